"""Who is there: what workers said at their last poll, kept in memory and written down every few seconds."""

from __future__ import annotations

import math
import threading
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, bindparam, or_, select, update

from poco.states import Presence
from poco.wire import Poll, WorkerInfo
from scheduler import tables as t

#: Everybody is looked at this often; in between only those who were heard of.
EVERYBODY_SECONDS = 1
#: Clocks of processes on one database differ by less.
AHEAD_SECONDS = 60
#: Rows that one flush writes for liveness alone; those that changed in what they say are always written.
FLUSH_ROWS = 1000


@dataclass(frozen=True, slots=True)
class Seen:
    """One worker. `until`: as long as it need not be heard of again (its open poll, or its announced sleep)."""

    wallet: str
    name: str = ""
    platforms: tuple[str, ...] = ()
    cpus: int = 0
    memory_mb: int = 0
    disk_mb: int = 0
    features: tuple[str, ...] = ()
    #: whose it is: the wallet that has signed for it, and where it comes from (`scheduler.owners`)
    operator: str | None = None
    network: str | None = None
    #: latitude and longitude in degrees, where its operator lets it say so
    site: tuple[float, float] | None = None
    #: how often it was of no use, and when that was counted (`scheduler.backoff`)
    faults: float = 0
    faults_at: int = 0
    said: Presence = Presence.UNKNOWN
    resume_at: int | None = None
    free_slots: int = 0
    energy: dict[str, Any] = field(default_factory=dict)
    running: frozenset[str] = frozenset()
    last_seen: int = 0
    #: when `running` was said
    heard_at: int = 0
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
        #: to be written: in what they say, and in when they were heard of alone
        self._dirty: set[str] = set()
        self._stale: set[str] = set()
        self._written: dict[str, int] = {}
        #: what `turned` told last
        self._turned: dict[str, tuple[Presence, int | None]] = {}
        self._heard: set[str] = set()
        #: polls that came of each worker; it holds the last one open, whatever has become of those before
        self._polls: dict[str, int] = {}
        self._looked_at_all = -math.inf

    def load(self, db: Connection, now: int) -> None:
        """Read all; nobody is blamed for the time in which the scheduler itself was away."""
        for row in db.execute(select(t.workers)).mappings():
            last = min(row["last_seen"], now)  # written by a clock that showed too much
            lost = row["presence"] == Presence.LOST
            self._seen[row["wallet"]] = _seen(row, last if lost else max(last, now))

    def merge(self, db: Connection, now: int) -> None:
        """Take over what other processes on the same database have heard later than this one.

        How long their polls are held open is not known here: their workers are believed `unknown_after` longer.
        """
        last_seen = t.workers.c.last_seen
        recent = select(t.workers).where(last_seen > now - 3 * self.unknown_after, last_seen <= now + AHEAD_SECONDS)
        for row in db.execute(recent).mappings():
            with self._lock:
                known = self._seen.get(row["wallet"])
                if known is None or known.last_seen < row["last_seen"]:
                    self._seen[row["wallet"]] = _seen(row, row["last_seen"] + self.unknown_after)
                    self._heard.add(row["wallet"])
                    self._dirty.discard(row["wallet"])
                    self._stale.discard(row["wallet"])

    def set_back(self, now: int) -> None:
        """The clock shows less than it did: nobody was heard of later than now, or is believed for long unheard."""
        with self._lock:
            for wallet, seen in self._seen.items():
                until = min(seen.until, now + self.unknown_after)
                instants = (min(at, now) for at in (seen.last_seen, seen.heard_at, seen.faults_at))
                last_seen, heard_at, faults_at = instants
                self._seen[wallet] = replace(
                    seen, last_seen=last_seen, heard_at=heard_at, faults_at=faults_at, until=until
                )
            self._written.clear()

    def look_again(self, wallets: Iterable[str] | None = None) -> None:
        """Let `turned` tell everybody's presence once more, or that of some: nobody, or another, has acted on it."""
        with self._lock:
            for wallet in list(self._turned if wallets is None else wallets):
                self._turned.pop(wallet, None)
            self._looked_at_all = -math.inf

    def register(
        self, wallet: str, info: WorkerInfo, now: int, *, operator: str | None = None, network: str | None = None
    ) -> None:
        """A worker has said what it is; `operator` and `network` are what was found out about whose it is."""
        with self._lock:
            seen = self._seen.get(wallet, Seen(wallet))
            values: dict[str, Any] = info.model_dump(exclude={"operator", "site"})
            values["site"] = (info.site.latitude, info.site.longitude) if info.site else None
            values |= {"platforms": tuple(info.platforms), "features": tuple(info.features)}
            values |= {"operator": operator, "network": network}
            self._put(replace(seen, **values, registered=True, last_seen=now, until=max(seen.until, now)))

    def heard(self, wallet: str, poll: Poll, now: int, open_until: float) -> int:
        """A poll came in and is held open until then; its number, for `hung_up`."""
        with self._lock:
            number = self._polls[wallet] = self._polls.get(wallet, 0) + 1
            seen = self._seen.get(wallet, Seen(wallet))
            self._put(
                replace(
                    seen,
                    said=poll.presence,
                    resume_at=poll.resume_at,
                    free_slots=poll.free_slots,
                    disk_mb=seen.disk_mb if poll.disk_mb is None else poll.disk_mb,
                    energy=poll.energy.model_dump(exclude_none=True),
                    running=frozenset(poll.running),
                    last_seen=now,
                    heard_at=now,
                    until=open_until,
                )
            )
        return number

    def blame(self, wallet: str, faults: float, now: int) -> None:
        """Set how often that worker was of no use."""
        with self._lock:
            if wallet in self._seen:
                self._put(replace(self._seen[wallet], faults=faults, faults_at=now))

    def hung_up(self, wallet: str, now: int, number: int) -> None:
        """That poll was answered or has gone away; it says nothing where the worker has opened another one since."""
        with self._lock:
            if wallet in self._seen and self._polls.get(wallet) == number:
                self._put(replace(self._seen[wallet], last_seen=now, until=now))

    def doubt(self, wallet: str, until: float) -> None:
        """Believe a worker no longer than that unless it is heard of again."""
        with self._lock:
            seen = self._seen.get(wallet)
            if seen is not None and seen.until > until:
                self._put(replace(seen, until=until))

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

    def turned(self, now: float) -> list[tuple[Seen, Presence]]:
        """Those whose presence, or end of sleep, is another than when this was asked last."""
        with self._lock:
            if now - self._looked_at_all >= EVERYBODY_SECONDS or now < self._looked_at_all:
                self._looked_at_all = now
                asked = list(self._seen.values())
            else:
                asked = [self._seen[wallet] for wallet in self._heard]
            self._heard.clear()
        found = []
        for seen in asked:
            presence = self.presence(seen, now)
            if self._turned.get(seen.wallet) != (presence, seen.resume_at):
                self._turned[seen.wallet] = (presence, seen.resume_at)
                found.append((seen, presence))
        with self._lock:
            self._dirty.update(seen.wallet for seen, presence in found if presence in _SILENT)
        return found

    def flush(self, db: Connection, now: float) -> None:
        """Write down what changed since the last time."""
        write(db, self.changed(now))

    def changed(self, now: float) -> list[dict[str, Any]]:
        """Rows for `write`, each once: at once what was said, and after a while that it was said."""
        with self._lock:
            due = {
                w for w in self._stale if self._seen[w].last_seen - self._written.get(w, 0) >= self.unknown_after / 3
            }
            if len(due) > FLUSH_ROWS:
                due = set(sorted(due, key=lambda w: self._written.get(w, 0))[:FLUSH_ROWS])
            changed = [self._seen[wallet] for wallet in self._dirty | due]
            self._dirty.clear()
            self._stale -= {s.wallet for s in changed}
            self._written.update((s.wallet, s.last_seen) for s in changed)
        return [self._row(s, now) for s in sorted(changed, key=lambda s: s.wallet)]

    def not_written(self, wallets: Iterable[str]) -> None:
        """Rows of `changed` did not come into the database."""
        with self._lock:
            self._dirty.update(wallets)

    @property
    def dirty(self) -> bool:
        """Whether there is something for `flush` to write."""
        with self._lock:
            return bool(self._dirty or self._stale)

    def _row(self, s: Seen, now: float) -> dict[str, Any]:
        presence = self.presence(s, now)
        return {
            "of": s.wallet,
            "heard": s.last_seen,
            "latest": int(now) + AHEAD_SECONDS,
            "name": s.name,
            "platforms": list(s.platforms),
            "cpus": s.cpus,
            "memory_mb": s.memory_mb,
            "disk_mb": s.disk_mb,
            "features": list(s.features),
            "operator": s.operator,
            "network": s.network,
            "site": list(s.site) if s.site else None,
            "faults": s.faults,
            "faults_at": s.faults_at,
            "presence": (presence if presence in _SILENT else s.said).value,
            "resume_at": s.resume_at,
            "free_slots": s.free_slots,
            "energy": s.energy,
            "last_seen": s.last_seen,
            "registered": s.registered,
        }

    def _put(self, seen: Seen) -> None:
        before = self._seen.get(seen.wallet)
        self._seen[seen.wallet] = seen
        self._heard.add(seen.wallet)
        if before is None or _said(before) != _said(seen):
            self._dirty.add(seen.wallet)
        else:
            self._stale.add(seen.wallet)


def write(db: Connection, rows: list[dict[str, Any]]) -> None:
    """Rows of `Roll.changed`; what another process has heard later stays."""
    if rows:
        db.execute(_WRITE, rows)


def _seen(row: Any, until: float) -> Seen:
    return Seen(
        wallet=row["wallet"],
        name=row["name"],
        platforms=tuple(row["platforms"]),
        cpus=row["cpus"],
        memory_mb=row["memory_mb"],
        disk_mb=row["disk_mb"],
        features=tuple(row["features"]),
        operator=row["operator"],
        network=row["network"],
        site=(row["site"][0], row["site"][1]) if row["site"] else None,
        faults=row["faults"],
        faults_at=row["faults_at"],
        said=Presence(row["presence"]),
        resume_at=row["resume_at"],
        free_slots=0,
        energy=row["energy"],
        last_seen=row["last_seen"],
        until=until,
        registered=row["registered"],
    )


def _said(seen: Seen) -> tuple[Any, ...]:
    """What must not be lost in a crash of the scheduler; meters and instants may be some seconds old."""
    machine = (seen.name, seen.platforms, seen.cpus, seen.memory_mb, seen.disk_mb, seen.site, seen.registered)
    return (*machine, seen.said, seen.resume_at)


#: What the scheduler knows and no worker says.
_SILENT = frozenset({Presence.UNKNOWN, Presence.LOST})
_COLUMNS = [c.name for c in t.workers.columns if c.name not in {"wallet", "next_seq"}]
_WRITE = (
    update(t.workers)
    .where(
        t.workers.c.wallet == bindparam("of"),
        # what lies ahead was written by a clock that showed too much
        or_(t.workers.c.last_seen <= bindparam("heard"), t.workers.c.last_seen > bindparam("latest")),
    )
    .values({name: bindparam(name) for name in _COLUMNS})
)
