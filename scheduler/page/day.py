"""A worker's day: what it harvested, drew, held and decided, by quarter hours, from telemetry or its energy ledger."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, func, select

from poco.energy import DAY_S, RECORD_S, RECORDS_A_DAY, UNKNOWN, Ledger
from poco.errors import BadInputError
from poco.wire import Sample
from scheduler import tables as t
from scheduler import telemetry
from scheduler.ledgers import Ledgers

#: What the energy gate decides, and how the page says it.
ACTIONS = {
    "run": "takes work",
    "decline": "takes no new work",
    "pause": "pauses what runs",
    "sleep": "sleeps",
    "drain": "drains",
}
_FIGURES = re.compile(r"[\d.,:-]+")


@dataclass(frozen=True, slots=True)
class Slot:
    """A quarter hour from `at`. Energies in Wh, `soc` from 0 to 1, None is not known; `reason` is the worker's word."""

    at: int
    harvested: float | None = None
    consumed: float | None = None
    soc: float | None = None
    temperature: float | None = None
    action: str = ""
    reason: str = ""
    tasks: int | None = None

    @property
    def empty(self) -> bool:
        return self.harvested is None and self.consumed is None and self.soc is None and not self.action

    @property
    def deed(self) -> str:
        return ACTIONS.get(self.action, self.action)


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided for a while, from `start` to `end` (Unix seconds); the worker's words at its begin and end."""

    start: int
    end: int
    action: str
    first: str
    last: str

    @property
    def deed(self) -> str:
        return ACTIONS.get(self.action, self.action)

    @property
    def reason(self) -> str:
        return self.first if self.first == self.last else f"{self.first} … {self.last}"

    def goes_on(self, slot: Slot) -> bool:
        """Whether that quarter hour continues it: the words may differ in their figures."""
        same = self.end == slot.at and self.action == slot.action
        return same and _FIGURES.sub("", self.first) == _FIGURES.sub("", slot.reason)


@dataclass(frozen=True, slots=True)
class Day:
    """96 quarter hours from midnight UTC. `source`: `telemetry`, `ledger` or empty; `days`: others that there are."""

    number: int
    slots: tuple[Slot, ...]
    source: str = ""
    simulated: bool = False
    days: tuple[int, ...] = field(default=())

    @property
    def start(self) -> int:
        return self.number * DAY_S

    @property
    def known(self) -> list[Slot]:
        return [slot for slot in self.slots if not slot.empty]

    def total(self, name: str) -> float | None:
        """The day's sum of a measured energy, Wh."""
        found = [value for slot in self.slots if (value := getattr(slot, name)) is not None]
        return sum(found) if found else None

    @property
    def charge(self) -> tuple[float, float] | None:
        """Least and most in the battery, 0 to 1."""
        found = [slot.soc for slot in self.slots if slot.soc is not None]
        return (min(found), max(found)) if found else None

    def decisions(self) -> list[Decision]:
        """Those of neighbouring quarter hours that differ in figures alone as one."""
        found: list[Decision] = []
        for slot in self.slots:
            if not slot.action:
                continue
            if found and found[-1].goes_on(slot):
                found[-1] = replace(found[-1], end=slot.at + RECORD_S, last=slot.reason)
            else:
                found.append(Decision(slot.at, slot.at + RECORD_S, slot.action, slot.reason, slot.reason))
        return found


def days(db: Connection, ledgers: Ledgers, wallet: str) -> list[int]:
    """Days (since 1970) of which there is something, rising."""
    c = t.telemetry.c
    first, last = db.execute(select(func.min(c.at), func.max(c.at)).where(c.worker == wallet)).one()
    told = set(range(first // DAY_S, last // DAY_S + 1)) if first is not None else set()
    return sorted(told | set(ledgers.days(wallet)))


def read(db: Connection, ledgers: Ledgers, wallet: str, number: int | None) -> Day | None:
    """That day of a worker, or the last of which there is something; None where there is nothing at all."""
    there = days(db, ledgers, wallet)
    if number is None:
        if not there:
            return None
        number = there[-1]
    around = tuple(there)
    samples = telemetry.day(db, wallet, number)
    if samples:
        return Day(number, from_samples(number, samples), "telemetry", days=around)
    ledger = ledgers.read(wallet, number)
    if ledger is None:
        return Day(number, _blank(number), days=around)
    return Day(number, from_ledger(number, ledger), "ledger", _simulated(ledger), around)


def _blank(number: int) -> tuple[Slot, ...]:
    return tuple(Slot(number * DAY_S + i * RECORD_S) for i in range(RECORDS_A_DAY))


def from_samples(number: int, samples: Iterable[Sample]) -> tuple[Slot, ...]:
    """The slots that a worker has told of as it went."""
    slots = list(_blank(number))
    for one in samples:
        slots[one.at % DAY_S // RECORD_S] = Slot(
            one.at,
            one.harvested_wh,
            one.consumed_wh,
            one.soc,
            one.temperature_c,
            one.action,
            one.reason,
            one.tasks,
        )
    return tuple(slots)


def from_ledger(number: int, ledger: Ledger) -> tuple[Slot, ...]:
    """The slots of a day of a ledger, with the decisions noted in it."""
    slots = list(_blank(number))
    notes = [n for n in ledger.notes if n.get("kind") == "decision" and isinstance(n.get("at"), int)]
    notes.sort(key=lambda note: int(note["at"]))
    for entry in ledger.entries:
        record = entry.record
        profile = ledger.profiles.get(record.profile)
        if record.day != number or profile is None:
            continue
        last: dict[str, Any] = next((note for note in reversed(notes) if note["at"] < record.end), {})
        known = record.stored_after != UNKNOWN and profile.battery
        slots[record.start % DAY_S // RECORD_S] = Slot(
            record.start,
            None if record.harvest_unknown >= RECORD_S else record.harvested / 1000,
            None if record.load_unknown >= RECORD_S else record.consumed / 1000,
            min(record.stored_after / profile.battery, 1.0) if known else None,
            action=str(last.get("action", "")) if last.get("action") in ACTIONS else "",
            reason=str(last.get("reason", ""))[:300],
        )
    return tuple(slots)


def _simulated(ledger: Ledger) -> bool:
    return any(profile.simulated for profile in ledger.profiles.values())


def number_of(text: str) -> int | None:
    """Days since 1970 of YYYY-MM-DD; None for no text; BadInputError for another."""
    import calendar
    import time

    if not text:
        return None
    try:
        found = calendar.timegm(time.strptime(text, "%Y-%m-%d")) // DAY_S
    except (ValueError, OverflowError):
        found = -1
    if not 0 <= found < 100_000:
        raise BadInputError(f"'{text[:20]}' is no day", hint="write it as 2026-06-21")
    return found


def around(there: Sequence[int], number: int) -> tuple[int | None, int | None]:
    """The days before and after of which there is something."""
    return max((d for d in there if d < number), default=None), min((d for d in there if d > number), default=None)
