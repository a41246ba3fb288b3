"""Who is there: what workers said at their last poll, kept in memory and written down every few seconds."""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, select, update

from poco.states import Presence
from poco.wire import Poll, WorkerInfo
from scheduler import tables as t


@dataclass(frozen=True, slots=True)
class Seen:
    """One worker. `until`: as long as it need not be heard of again (its open poll, or its announced sleep)."""

    wallet: str
    name: str = ""
    platforms: tuple[str, ...] = ()
    cpus: int = 0
    memory_mb: int = 0
    disk_mb: int = 0
    said: Presence = Presence.UNKNOWN
    resume_at: int | None = None
    free_slots: int = 0
    energy: dict[str, Any] = field(default_factory=dict)
    running: frozenset[str] = frozenset()
    last_seen: int = 0
    until: float = 0
    registered: bool = False
    #: why it got no task lately
    reason: str = ""


def presence_at(seen: Seen, now: float, unknown_after: float, lost_after: float) -> Presence:
    """What the scheduler takes the worker for: asleep as announced is not silent, silent is not yet lost.

    One that was draining and has fallen silent has gone, as it said.
    """
    silent = now - max(seen.until, seen.resume_at or 0 if seen.said is Presence.ASLEEP else 0)
    gone = seen.said is Presence.DRAINING and silent > unknown_after
    if seen.last_seen == 0 or gone or silent > lost_after:
        return Presence.LOST
    return Presence.UNKNOWN if silent > unknown_after else seen.said


class Roll:
    """All workers of the pool.

    Args:
        unknown_after: seconds of silence after which nothing is known of a worker.
        lost_after: seconds after which its tasks go to others.
    """

    def __init__(self, unknown_after: float, lost_after: float) -> None:
        self.unknown_after = unknown_after
        self.lost_after = lost_after
        self._lock = threading.Lock()
        self._seen: dict[str, Seen] = {}
        self._dirty: set[str] = set()

    def load(self, db: Connection, now: int) -> None:
        """Read all; nobody is blamed for the time in which the scheduler itself was away."""
        for row in db.execute(select(t.workers)).mappings():
            last = row["last_seen"]
            lost = row["presence"] == Presence.LOST
            self._seen[row["wallet"]] = Seen(
                wallet=row["wallet"],
                name=row["name"],
                platforms=tuple(row["platforms"]),
                cpus=row["cpus"],
                memory_mb=row["memory_mb"],
                disk_mb=row["disk_mb"],
                said=Presence(row["presence"]),
                resume_at=row["resume_at"],
                free_slots=0,
                energy=row["energy"],
                last_seen=last,
                until=last if lost else max(last, now),
                registered=row["registered"],
            )

    def register(self, wallet: str, info: WorkerInfo, now: int) -> None:
        with self._lock:
            seen = self._seen.get(wallet, Seen(wallet))
            values: dict[str, Any] = {**info.model_dump(), "platforms": tuple(info.platforms)}
            self._put(replace(seen, **values, registered=True, last_seen=now, until=max(seen.until, now)))

    def heard(self, wallet: str, poll: Poll, now: int, open_until: float) -> None:
        """A poll came in and is held open until then."""
        with self._lock:
            seen = self._seen.get(wallet, Seen(wallet))
            self._put(
                replace(
                    seen,
                    said=poll.presence,
                    resume_at=poll.resume_at,
                    free_slots=poll.free_slots,
                    energy=poll.energy.model_dump(exclude_none=True),
                    running=frozenset(poll.running),
                    last_seen=now,
                    until=open_until,
                )
            )

    def hung_up(self, wallet: str, now: int) -> None:
        """Its poll was answered or has gone away."""
        with self._lock:
            if wallet in self._seen:
                self._put(replace(self._seen[wallet], last_seen=now, until=now))

    def explain(self, wallet: str, reason: str) -> None:
        with self._lock:
            if wallet in self._seen:
                self._seen[wallet] = replace(self._seen[wallet], reason=reason)

    def explain_all(self, wallets: Collection[str], reason: str) -> None:
        with self._lock:
            for wallet in wallets:
                if wallet in self._seen and self._seen[wallet].reason != reason:
                    self._seen[wallet] = replace(self._seen[wallet], reason=reason)

    def get(self, wallet: str) -> Seen | None:
        with self._lock:
            return self._seen.get(wallet)

    def all(self) -> list[Seen]:
        with self._lock:
            return list(self._seen.values())

    def presence(self, seen: Seen, now: float) -> Presence:
        return presence_at(seen, now, self.unknown_after, self.lost_after)

    def flush(self, db: Connection, now: float) -> None:
        """Write down what changed since the last time."""
        with self._lock:
            changed = [self._seen[wallet] for wallet in self._dirty]
            self._dirty.clear()
        for s in changed:
            values = {
                "name": s.name,
                "platforms": list(s.platforms),
                "cpus": s.cpus,
                "memory_mb": s.memory_mb,
                "disk_mb": s.disk_mb,
                "presence": self.presence(s, now).value if s.said is Presence.UNKNOWN else s.said.value,
                "resume_at": s.resume_at,
                "free_slots": s.free_slots,
                "energy": s.energy,
                "last_seen": s.last_seen,
                "registered": s.registered,
            }
            db.execute(update(t.workers).where(t.workers.c.wallet == s.wallet).values(**values))

    @property
    def dirty(self) -> bool:
        return bool(self._dirty)

    def _put(self, seen: Seen) -> None:
        self._seen[seen.wallet] = seen
        self._dirty.add(seen.wallet)
