"""Login by signature: nonces that work once, sessions that are stored hashed and survive a restart."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Table, delete, insert, select

from chain.wallet import recover_typed
from poco.errors import PewError
from poco.hexes import to_hex
from poco.wire import Challenge, LoginRequest, Session, login_typed_data
from scheduler import challenges
from scheduler import tables as t
from scheduler.store import Store

CHALLENGE_SECONDS = 60
SESSION_SECONDS = 24 * 3600
#: Sessions that are believed without asking the store, and for how long (another replica may end one), seconds.
MAX_REMEMBERED = 50_000
REMEMBERED_SECONDS = 300


class LoginError(PewError):
    """Not let in."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Whose sessions: where they are stored, what is signed to log in, and what those are told who may not."""

    table: Table
    typed_data: Callable[[int, str, str, str, int], dict[str, Any]]
    what: str
    cure: str


WORKERS = Kind(t.sessions, login_typed_data, "workers", "ask the pool's owner to add it to allowed_workers")


class Sessions:
    """Who is logged in.

    Args:
        chain_id, workerpool: the domain of the signatures.
        allowed: wallets that may log in; all where empty.
        kind: whose sessions.
    """

    def __init__(
        self, database: Store, chain_id: int, workerpool: str, allowed: list[str], kind: Kind = WORKERS
    ) -> None:
        self._kind = kind
        self._rows = kind.table.c
        self._store = database
        self._chain_id = chain_id
        self._pool = workerpool
        self._allowed = frozenset(allowed)
        self._lock = threading.Lock()
        #: by hash of the token: (wallet, expires, until when the store need not be asked again)
        self._known: OrderedDict[str, tuple[str, int, int]] = OrderedDict()
        self._revocations = 0

    def challenge(self, wallet: str, now: int) -> Challenge:
        """A nonce for that wallet to sign."""
        self._require_allowed(wallet)
        nonce = to_hex(secrets.token_bytes(32))
        with self._store.write() as db:
            challenges.give(db, nonce, wallet, now, CHALLENGE_SECONDS)
        return Challenge(nonce=nonce, expires=now + CHALLENGE_SECONDS)

    def login(self, request: LoginRequest, now: int) -> Session:
        """A session for a signed challenge; LoginError where it is not right. The nonce is used up either way."""
        self._require_allowed(request.wallet)
        with self._store.write() as db:
            given = challenges.take(db, request.nonce)
        if given is None or given.wallet != request.wallet or given.expires != request.expires:
            raise LoginError(
                "this challenge was not given to you, or is used up", hint="ask for a new one", code="LOGIN"
            )
        if now > given.expires:
            raise LoginError("the challenge has expired", hint="ask for a new one; check the clock", code="LOGIN")
        typed = self._kind.typed_data(self._chain_id, self._pool, request.wallet, request.nonce, request.expires)
        if recover_typed(typed, request.signature) != request.wallet:
            raise LoginError(
                f"the signature is not that of {request.wallet}",
                hint="sign with that wallet, for this chain and pool",
                code="LOGIN",
            )
        token, expires = secrets.token_urlsafe(32), now + SESSION_SECONDS
        with self._store.write() as db:
            db.execute(delete(self._kind.table).where(self._rows.expires < now))
            db.execute(insert(self._kind.table).values(token_hash=_hash(token), wallet=request.wallet, expires=expires))
        return Session(token=token, expires=expires)

    def remembered(self, token: str, now: int) -> str | None:
        """The wallet of a session that was looked up lately, without asking the store; None where it must be asked."""
        name = _hash(token)
        with self._lock:
            found = self._known.get(name)
            if found is None or found[1] < now or found[2] < now or not self._is_allowed(found[0]):
                return None
            self._known.move_to_end(name)
            return found[0]

    def wallet_of(self, token: str, now: int) -> str:
        """Whose session that is; LoginError for none, or one that has ended."""
        known = self.remembered(token, now)
        if known is not None:
            return known
        name, revocations = _hash(token), self._revocations
        with self._store.read() as db:
            row = db.execute(select(self._kind.table).where(self._rows.token_hash == name)).mappings().first()
        if row is None or row["expires"] < now or not self._is_allowed(row["wallet"]):
            with self._lock:
                self._known.pop(name, None)
            raise LoginError("no session, or one that has ended", hint="log in again", code="NOT_LOGGED_IN")
        with self._lock:
            if revocations == self._revocations:  # else it may have been ended since it was read
                self._known[name] = (row["wallet"], row["expires"], now + REMEMBERED_SECONDS)
            if len(self._known) > MAX_REMEMBERED:
                self._known.popitem(last=False)
        return str(row["wallet"])

    def revoke(self, token: str) -> None:
        """End one session."""
        self._end(self._rows.token_hash == _hash(token))

    def allow(self, wallets: Iterable[str]) -> None:
        """Other wallets may log in from now on (all where empty); sessions of those that may not end."""
        self._allowed = frozenset(wallets)
        if self._allowed:
            self._end(self._rows.wallet.not_in(self._allowed))

    def _end(self, which: ColumnElement[bool]) -> None:
        with self._store.write() as db:
            ended = list(db.scalars(select(self._rows.token_hash).where(which)))
            db.execute(delete(self._kind.table).where(which))
        with self._lock:
            self._revocations += 1
            for name in ended:
                self._known.pop(name, None)

    def _is_allowed(self, wallet: str) -> bool:
        return not self._allowed or wallet in self._allowed

    def _require_allowed(self, wallet: str) -> None:
        if not self._is_allowed(wallet):
            raise LoginError(
                f"{wallet} is not among the {self._kind.what} of this pool",
                hint=self._kind.cure,
                code="NOT_ALLOWED",
            )


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
