"""Secrets, with the interface of iExec's secret management service: pushed, shown to exist, never read by anybody.

Only trusted execution could use a secret without betraying it, and this pool runs standard tasks: a deal that asks for
secrets is refused (`TASK_DESCRIPTION_INVALID`). What is pushed is encrypted at rest under a key that follows from the
scheduler's wallet, and no call returns it.
"""

from __future__ import annotations

from dataclasses import dataclass

from Crypto.Cipher import AES
from Crypto.Random import get_random_bytes
from sqlalchemy import ColumnElement, delete, func, insert, select

from chain.client import Chain
from chain.wallet import Wallet, recover_message
from poco.errors import BadInputError, PewError
from poco.hexes import address, keccak, to_bytes, to_hex
from scheduler import tables as t
from scheduler.store import Store

DOMAIN = keccak(b"IEXEC_SMS_DOMAIN")
MAX_SECRET_BYTES = 4096
MAX_NAME_CHARS = 200
MAX_OF_ONE = 200
#: The one secret of an app has this name in what is signed.
APP_SECRET = "1"  # noqa: S105 - a name, not a secret
_NONCE, _TAG = 12, 16


class NotAllowedError(PewError):
    """Signed by somebody who may not set this secret: HTTP 401."""


class ExistsError(PewError):
    """It is there and cannot be changed: HTTP 409."""


@dataclass(frozen=True, slots=True)
class Name:
    """A secret's name. `kind`: `web3` (of a contract), `web2` (of a wallet), `app` or `requester`."""

    kind: str
    owner: str
    name: str = ""

    def challenge(self, value: bytes) -> str:
        """What is signed to set it (a personal signature of these 32 bytes)."""
        parts = [DOMAIN, to_bytes(self.owner, 20)]
        if self.kind != "web3":
            parts.append(keccak(self.name.encode()))
        return to_hex(keccak(*parts, keccak(value)))


class Secrets:
    """The secrets of one pool's users."""

    def __init__(self, database: Store, chain: Chain, wallet: Wallet) -> None:
        self._store = database
        self._chain = chain
        # a signature is the same each time, and nobody is ever given this one
        self._key = keccak(to_bytes(wallet.sign_message(to_hex(keccak(b"key of the secrets at rest")))))

    def exists(self, name: Name) -> bool:
        with self._store.read() as db:
            return bool(db.scalar(select(func.count()).where(*_where(name))))

    def push(self, name: Name, value: bytes, authorization: str, now: int, *, update: bool = False) -> None:
        """Keep a secret.

        Args:
            name: of the secret.
            value: the bytes.
            authorization: the owner's signature over name and value.
            now: Unix seconds.
            update: whether one that exists is replaced.

        Raises:
            BadInputError: too long, too many, or nothing.
            NotAllowedError: not signed by who may set it.
            ExistsError: there is one already.
        """
        if not 0 < len(value) <= MAX_SECRET_BYTES or len(name.name) > MAX_NAME_CHARS:
            raise BadInputError(
                f"a secret has 1 to {MAX_SECRET_BYTES} bytes and a name of at most {MAX_NAME_CHARS} characters",
                hint="send it as the request's body",
            )
        self._check(name, value, authorization)
        nonce = get_random_bytes(_NONCE)
        cipher = AES.new(self._key, AES.MODE_GCM, nonce=nonce)
        cipher.update(f"{name.kind}/{name.owner}/{name.name}".encode())
        sealed, tag = cipher.encrypt_and_digest(value)
        row = {"kind": name.kind, "owner": name.owner, "name": name.name, "sealed": nonce + tag + sealed, "set_at": now}
        with self._store.write() as db:
            known = db.scalar(select(func.count()).where(*_where(name)))
            if known and not update:
                raise ExistsError(f"this secret of {name.owner} exists already", hint="it cannot be changed")
            if (db.scalar(select(func.count()).where(t.secrets.c.owner == name.owner)) or 0) >= MAX_OF_ONE:
                raise BadInputError(f"{name.owner} has too many secrets here", hint=f"at most {MAX_OF_ONE}")
            db.execute(delete(t.secrets).where(*_where(name)))
            db.execute(insert(t.secrets).values(**row))

    def _check(self, name: Name, value: bytes, authorization: str) -> None:
        try:
            signer = recover_message(name.challenge(value), authorization)
        except BadInputError:
            signer = ""
        owner = self._owner(name)
        if signer != owner:
            raise NotAllowedError(f"only {owner} may set this secret", hint="sign with that wallet", code="NOT_ALLOWED")

    def _owner(self, name: Name) -> str:
        if name.kind == "app":
            return address(self._chain.app(name.owner).owner)
        if name.kind == "web3":
            return address(self._chain.dataset(name.owner).owner)
        return name.owner


def _where(name: Name) -> list[ColumnElement[bool]]:
    s = t.secrets.c
    return [s.kind == name.kind, s.owner == name.owner, s.name == name.name]
