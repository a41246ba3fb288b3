"""Challenges that wallets sign: given once, answered once; and the way in which iExec's client answers them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select, true

from chain.wallet import recover_digest
from poco.errors import BadInputError, PewError
from poco.hexes import address, to_bytes
from scheduler import tables as t

#: Unanswered challenges that one wallet may have, and all together.
MAX_OF_ONE = 20
MAX_IN_ALL = 20_000
_AUTHORIZATION = re.compile(r"(0x[0-9a-fA-F]{64})_(0x[0-9a-fA-F]{130})_(0x[0-9a-fA-F]{40})")


class TooManyError(PewError):
    """Asked too often: HTTP 429."""


class ChallengeError(PewError):
    """No answer to a challenge of ours, or not this wallet's: HTTP 401."""


@dataclass(frozen=True, slots=True)
class Given:
    """A challenge that waited for its answer until `expires` (Unix seconds)."""

    wallet: str
    expires: int


def give(db: Connection, nonce: str, wallet: str, now: int, seconds: int) -> None:
    """Remember a challenge (32 bytes, `0x`) for that wallet.

    Where too many wait for an answer the oldest is forgotten: anybody may ask in anybody's name, and a refusal would
    shut that wallet out.
    """
    c = t.challenges.c
    db.execute(delete(t.challenges).where(c.expires < now))
    db.execute(insert(t.challenges).values(nonce=nonce, wallet=wallet, expires=now + seconds))
    for most, whose in ((MAX_OF_ONE, c.wallet == wallet), (MAX_IN_ALL, true())):
        surplus = (db.scalar(select(func.count()).select_from(t.challenges).where(whose)) or 0) - most
        if surplus > 0:
            oldest = select(c.nonce).where(whose, c.nonce != nonce).order_by(c.expires, c.nonce).limit(surplus)
            db.execute(delete(t.challenges).where(c.nonce.in_(oldest)))


def take(db: Connection, nonce: str) -> Given | None:
    """Use a challenge up; None where none such waits."""
    c = t.challenges.c
    row = db.execute(delete(t.challenges).where(c.nonce == nonce).returning(c.wallet, c.expires)).first()
    return None if row is None else Given(row.wallet, row.expires)


def answered(authorization: str, hint: str) -> tuple[bytes, str]:
    """(EIP-712 hash, wallet) of the header `<hash>_<signature>_<address>`, signed by that wallet.

    Whether the hash is that of a challenge that was given is the caller's to check.

    Raises:
        ChallengeError: malformed, or signed by another wallet.
    """
    found = _AUTHORIZATION.fullmatch(authorization)
    if found is None:
        raise ChallengeError("there is no answer to a challenge", hint=hint, code="NOT_SIGNED")
    digest, wallet = to_bytes(found[1], 32), address(found[3])
    try:
        signer = recover_digest(digest, found[2])
    except BadInputError:
        signer = ""
    if signer != wallet:
        raise ChallengeError(f"{wallet} has not signed this challenge", hint=hint, code="SIGNATURE")
    return digest, wallet
