"""Login by signature: nonces that work once, sessions that are stored hashed and survive a restart."""

from __future__ import annotations

import hashlib
import secrets
import threading

from sqlalchemy import delete, func, insert, select

from chain.wallet import recover_typed
from poco.errors import PewError
from poco.hexes import to_hex
from poco.wire import Challenge, LoginRequest, Session, login_typed_data
from scheduler import tables as t
from scheduler.store import Store

CHALLENGE_SECONDS = 60
SESSION_SECONDS = 24 * 3600
#: Unanswered challenges that one wallet may have.
MAX_CHALLENGES = 20
MAX_CHALLENGES_IN_ALL = 20_000
MAX_REMEMBERED = 50_000


class LoginError(PewError):
    """Not let in."""


class TooManyError(PewError):
    """Asked too often."""


class Sessions:
    """Who is logged in.

    Args:
        chain_id, workerpool: the domain of the signatures.
        allowed: wallets that may log in; all where empty.
    """

    def __init__(self, database: Store, chain_id: int, workerpool: str, allowed: list[str]) -> None:
        self._store = database
        self._chain_id = chain_id
        self._pool = workerpool
        self._allowed = frozenset(allowed)
        self._lock = threading.Lock()
        self._known: dict[str, tuple[str, int]] = {}

    def challenge(self, wallet: str, now: int) -> Challenge:
        """A nonce for that wallet to sign."""
        self._require_allowed(wallet)
        nonce, expires = to_hex(secrets.token_bytes(32)), now + CHALLENGE_SECONDS
        c = t.challenges.c
        with self._store.write() as db:
            db.execute(delete(t.challenges).where(c.expires < now))
            mine = db.scalar(select(func.count()).where(c.wallet == wallet)) or 0
            everybody = db.scalar(select(func.count()).select_from(t.challenges)) or 0
            if mine >= MAX_CHALLENGES or everybody >= MAX_CHALLENGES_IN_ALL:
                raise TooManyError(
                    "too many challenges wait for an answer",
                    hint=f"try again in {CHALLENGE_SECONDS} s",
                    code="TOO_MANY_CHALLENGES",
                )
            db.execute(insert(t.challenges).values(nonce=nonce, wallet=wallet, expires=expires))
        return Challenge(nonce=nonce, expires=expires)

    def login(self, request: LoginRequest, now: int) -> Session:
        """A session for a signed challenge; LoginError where it is not right. The nonce is used up either way."""
        self._require_allowed(request.wallet)
        c = t.challenges.c
        with self._store.write() as db:
            row = db.execute(select(t.challenges).where(c.nonce == request.nonce)).mappings().first()
            db.execute(delete(t.challenges).where(c.nonce == request.nonce))
        if row is None or row["wallet"] != request.wallet or row["expires"] != request.expires:
            raise LoginError(
                "this challenge was not given to you, or is used up", hint="ask for a new one", code="LOGIN"
            )
        if now > row["expires"]:
            raise LoginError("the challenge has expired", hint="ask for a new one; check the clock", code="LOGIN")
        typed = login_typed_data(self._chain_id, self._pool, request.wallet, request.nonce, request.expires)
        if recover_typed(typed, request.signature) != request.wallet:
            raise LoginError(
                f"the signature is not that of {request.wallet}",
                hint="sign with that wallet, for this chain and pool",
                code="LOGIN",
            )
        token, expires = secrets.token_urlsafe(32), now + SESSION_SECONDS
        with self._store.write() as db:
            db.execute(delete(t.sessions).where(t.sessions.c.expires < now))
            db.execute(insert(t.sessions).values(token_hash=_hash(token), wallet=request.wallet, expires=expires))
        return Session(token=token, expires=expires)

    def wallet_of(self, token: str, now: int) -> str:
        """Whose session that is; LoginError for none, or one that has ended."""
        name = _hash(token)
        with self._lock:
            found = self._known.get(name)
        if found is None:
            with self._store.read() as db:
                row = db.execute(select(t.sessions).where(t.sessions.c.token_hash == name)).mappings().first()
            if row is not None:
                found = (row["wallet"], row["expires"])
                with self._lock:
                    if len(self._known) >= MAX_REMEMBERED:
                        self._known.clear()
                    self._known[name] = found
        if found is None or found[1] < now or (self._allowed and found[0] not in self._allowed):
            with self._lock:
                self._known.pop(name, None)
            raise LoginError("no session, or one that has ended", hint="log in again", code="NOT_LOGGED_IN")
        return found[0]

    def _require_allowed(self, wallet: str) -> None:
        if self._allowed and wallet not in self._allowed:
            raise LoginError(
                f"{wallet} is not among the workers of this pool",
                hint="ask the pool's owner to add it to allowed_workers",
                code="NOT_ALLOWED",
            )


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
