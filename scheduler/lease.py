"""Who leads: of all schedulers of a pool one follows the chain, ticks and sends transactions.

On PostgreSQL that is whoever holds the row of `leases`. It runs out by the database's clock unless it is renewed, and
each time another takes it its epoch rises: a fencing token. Whatever the leader writes is written in a transaction that
first locks the row at its epoch, so that a leader that was paused and replaced meanwhile writes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy import Connection, Float, cast, func, select, update

from poco.errors import PewError
from scheduler import tables as t
from scheduler.store import Store, insert_new

NAME = "leader"


class LeaseLostError(PewError):
    """Another scheduler leads now; nothing was written."""

    def __init__(self) -> None:
        super().__init__("another scheduler of this pool leads now", code="LEASE_LOST")


@dataclass(frozen=True, slots=True)
class Seen:
    """The lease as it stands: its holder, what the holder says of its work, and whether it has run out."""

    holder: str = ""
    epoch: int = 0
    live: bool = False
    state: dict[str, Any] = field(default_factory=dict)


class Lease(Protocol):
    """How a process becomes the leader and stays it."""

    def acquire(self) -> int | None:
        """The epoch in which this process leads from now on; None while another does."""

    def renew(self, epoch: int, state: dict[str, Any], /) -> bool:
        """Go on leading and say how the work stands; False where another leads."""

    def release(self, epoch: int, /) -> None:
        """Let others lead at once."""

    def require(self, db: Connection, epoch: int, /) -> None:
        """Hold the lease until this transaction ends; LeaseLostError where it is another's."""

    def look(self) -> Seen:
        """Who leads."""


class SoleLease:
    """Of a process that has the database for itself: it always leads."""

    def acquire(self) -> int | None:
        return 1

    def renew(self, _epoch: int, _state: dict[str, Any], /) -> bool:
        return True

    def release(self, _epoch: int, /) -> None:
        """Nobody waits for it."""

    def require(self, _db: Connection, _epoch: int, /) -> None:
        """Nobody else writes."""

    def look(self) -> Seen:
        return Seen("", 1, True)


class RowLease:
    """The lease in a shared database.

    Args:
        holder: names this process to people; another process never has the same.
        seconds: how long it lasts without being renewed.
    """

    def __init__(self, database: Store, holder: str, seconds: float) -> None:
        self._store = database
        self._holder = holder
        self._seconds = seconds

    def acquire(self) -> int | None:
        row = t.leases.c
        with self._store.write() as db:
            mine = {"holder": self._holder, "expires_at": _clock() + self._seconds, "state": {}}
            # waits for what the last leader is just committing
            held = select(row.epoch).where(row.name == NAME, row.expires_at <= _clock()).with_for_update()
            epoch = db.scalar(held)
            if epoch is not None:
                db.execute(update(t.leases).where(row.name == NAME).values(**mine, epoch=epoch + 1))
                return int(epoch) + 1
            if db.scalar(select(row.epoch).where(row.name == NAME)) is not None:
                return None
            first = {"name": NAME, "epoch": 0, "holder": "", "expires_at": 0.0, "state": {}}
            insert_new(db, t.leases, first)
        return self.acquire()

    def renew(self, epoch: int, state: dict[str, Any], /) -> bool:
        values = {"expires_at": _clock() + self._seconds, "state": state}
        with self._store.write() as db:
            return db.execute(update(t.leases).where(self._mine(epoch)).values(**values)).rowcount == 1

    def release(self, epoch: int, /) -> None:
        with self._store.write() as db:
            db.execute(update(t.leases).where(self._mine(epoch)).values(expires_at=0.0))

    def require(self, db: Connection, epoch: int, /) -> None:
        # a key lock: lets the row be renewed meanwhile, and not be taken
        if (
            db.scalar(select(t.leases.c.epoch).where(self._mine(epoch)).with_for_update(read=True, key_share=True))
            is None
        ):
            raise LeaseLostError

    def look(self) -> Seen:
        row = t.leases.c
        with self._store.read() as db:
            query = select(row.holder, row.epoch, (row.expires_at > _clock()).label("live"), row.state)
            found = db.execute(query.where(row.name == NAME)).mappings().first()
        return Seen(**found) if found else Seen()

    def _mine(self, epoch: int) -> Any:
        row = t.leases.c
        return (row.name == NAME) & (row.holder == self._holder) & (row.epoch == epoch)


def _clock() -> Any:
    return cast(func.extract("epoch", func.clock_timestamp()), Float)
