"""The fleet as the page shows it: sought, sorted, cut into pages; what the store adds is asked for one page alone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, func, select

from poco.states import FINAL_REPLICATE, Presence
from scheduler import tables as t
from scheduler.page.formats import PRESENCE
from scheduler.presence import Roll, Seen

#: Workers on one page.
PAGE = 50
#: Tasks of one worker that are named.
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Task:
    id: str
    status: str


@dataclass(slots=True)
class Row:
    """One worker. Powers in W, energies in Wh, `soc` from 0 to 1; None is not known."""

    seen: Seen
    presence: Presence
    earned: int | None
    tasks: list[Task] = field(default_factory=list)
    temperature: float | None = None

    @property
    def name(self) -> str:
        return self.seen.name or "(no name yet)"

    def meter(self, name: str) -> float | None:
        value = self.seen.energy.get(name)
        return float(value) if isinstance(value, int | float) else None

    @property
    def decision(self) -> str:
        """What the energy gate said last: the worker's own words."""
        return str(self.seen.energy.get("decision") or "")


@dataclass(frozen=True, slots=True)
class Question:
    """What a reader asked for."""

    words: str = ""
    state: Presence | None = None
    sort: str = "state"
    down: bool = False
    page: int = 1


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of the fleet."""

    rows: list[Row]
    found: int
    page: int
    pages: int


@dataclass(frozen=True, slots=True)
class Summary:
    """The whole fleet in figures; energies are sums over those whose meters say something."""

    count: int
    by_presence: Mapping[Presence, int]
    harvest_w: float | None
    load_w: float | None
    soc: float | None
    metered: int

    def words(self) -> str:
        """As a sentence."""
        if not self.count:
            return "no workers yet"
        parts = [f"{n} {PRESENCE[p][1]}" for p, n in self.by_presence.items() if n]
        return f"{self.count} worker{'s' if self.count > 1 else ''}: {', '.join(parts)}"


_ORDER = {presence: number for number, presence in enumerate(PRESENCE)}
#: What can be sorted by: smallest first, the unknown last either way.
SORTS: Mapping[str, Callable[[Row], Any]] = {
    "name": lambda row: row.seen.name.lower(),
    "state": lambda row: _ORDER[row.presence],
    "battery": lambda row: row.meter("soc"),
    "sun": lambda row: row.meter("harvest_w"),
    "load": lambda row: row.meter("load_w"),
    "earned": lambda row: row.earned,
    "seen": lambda row: row.seen.last_seen,
}


def everybody(roll: Roll, now: float, earned: Mapping[str, int] | None) -> list[Row]:
    """All workers that have registered or were heard of."""
    return [
        Row(seen, roll.presence(seen, now), None if earned is None else earned.get(seen.wallet, 0))
        for seen in roll.all()
        if seen.registered or seen.last_seen
    ]


def summary(rows: Sequence[Row]) -> Summary:
    """The fleet in figures; the lost count among the workers and not in the energies."""
    here = Counter(row.presence for row in rows)
    there = [row for row in rows if row.presence is not Presence.LOST]
    names = ("harvest_w", "load_w", "soc")
    known = {name: [v for row in there if (v := row.meter(name)) is not None] for name in names}
    charge = known["soc"]
    return Summary(
        count=len(rows),
        by_presence={presence: here[presence] for presence in PRESENCE},
        harvest_w=sum(known["harvest_w"]) if known["harvest_w"] else None,
        load_w=sum(known["load_w"]) if known["load_w"] else None,
        soc=sum(charge) / len(charge) if charge else None,
        metered=sum(1 for row in there if row.seen.energy),
    )


def chosen(rows: Sequence[Row], question: Question) -> list[Row]:
    """Those that were asked for, in the order that was asked for."""
    words = question.words.lower().split()
    found = [
        row
        for row in rows
        if (question.state is None or row.presence is question.state)
        and all(word in row.seen.name.lower() or word in row.seen.wallet.lower() for word in words)
    ]
    key = SORTS[question.sort]
    found.sort(key=lambda row: (row.seen.name.lower(), row.seen.wallet))
    known = [row for row in found if key(row) is not None]
    known.sort(key=key, reverse=question.down)
    return [*known, *(row for row in found if key(row) is None)]


def listing(db: Connection, rows: Sequence[Row], question: Question) -> Listing:
    """One page of what was asked for, with tasks and temperatures."""
    found = chosen(rows, question)
    pages = max(math.ceil(len(found) / PAGE), 1)
    page = max(1, min(question.page, pages))
    shown = found[(page - 1) * PAGE : page * PAGE]
    complete(db, shown)
    return Listing(shown, len(found), page, pages)


def complete(db: Connection, rows: Sequence[Row]) -> None:
    """Add what the store knows of these workers: two questions, however many there are."""
    by_wallet = {row.seen.wallet: row for row in rows}
    if not by_wallet:
        return
    r = t.replicates.c
    busy = select(r.worker, r.task_id, r.status).where(
        r.worker.in_(by_wallet), r.status.not_in([s.value for s in FINAL_REPLICATE])
    )
    for one in db.execute(busy.order_by(r.since.desc(), r.task_id).limit(PAGE * 20)):
        tasks = by_wallet[one.worker].tasks
        if len(tasks) < _NAMED:
            tasks.append(Task(one.task_id, one.status))
    c = t.telemetry.c
    newest = select(c.worker, func.max(c.at).label("at")).where(c.worker.in_(by_wallet)).group_by(c.worker).subquery()
    joined = t.telemetry.join(newest, (c.worker == newest.c.worker) & (c.at == newest.c.at))
    for told in db.execute(select(c.worker, c.temperature_c).select_from(joined)):
        by_wallet[told.worker].temperature = told.temperature_c
