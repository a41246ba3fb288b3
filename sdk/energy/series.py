"""A ledger by days of local solar time, ready to be drawn."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from poco.energy import DAY_S, RECORD_S, RECORDS_A_DAY, UNKNOWN, Ledger, Profile, Record
from poco.errors import BadInputError

ACTIONS = ("run", "decline", "pause", "sleep", "drain")


@dataclass
class Day:
    """One day from midnight to midnight: a record (or None) for each quarter hour, what ran and what was decided."""

    number: int
    records: list[Record | None] = field(default_factory=lambda: [None] * RECORDS_A_DAY)
    #: (begin, end) in seconds of the day
    tasks: list[tuple[int, int]] = field(default_factory=list)
    #: (begin, end, action, reason)
    decisions: list[tuple[int, int, str, str]] = field(default_factory=list)

    @property
    def label(self) -> str:
        return time.strftime("%Y-%m-%d", time.gmtime(self.number * DAY_S))

    def known(self) -> list[Record]:
        return [record for record in self.records if record is not None]

    @property
    def harvested(self) -> float:
        """Wh."""
        return sum(record.harvested for record in self.known()) / 1000

    @property
    def consumed(self) -> float:
        """Wh."""
        return sum(record.consumed for record in self.known()) / 1000

    @property
    def stored(self) -> tuple[int, int] | None:
        """Least and most in the battery, mWh."""
        found = [record.stored_after for record in self.known() if record.stored_after != UNKNOWN]
        return (min(found), max(found)) if found else None


class Series:
    """All days of a ledger.

    Raises:
        BadInputError: there is nothing to draw.
    """

    def __init__(self, ledger: Ledger) -> None:
        if not ledger.entries or ledger.entries[-1].record.profile not in ledger.profiles:
            raise BadInputError("the ledger has no record to draw", hint="a worker writes its first after 15 minutes")
        self.worker = ledger.worker
        self.profile: Profile = ledger.profiles[ledger.entries[-1].record.profile]
        #: the sun is highest about noon
        self.offset = round(self.profile.longitude / 100 / 15) * 3600
        self._days: dict[int, Day] = {}
        for entry in ledger.entries:
            at = entry.record.start + self.offset
            self._day(at // DAY_S).records[at % DAY_S // RECORD_S] = entry.record
        self._notes(ledger)

    def _day(self, number: int) -> Day:
        return self._days.setdefault(number, Day(number))

    def _notes(self, ledger: Ledger) -> None:
        end = ledger.entries[-1].record.end
        begun: dict[str, int] = {}
        decided: tuple[int, str, str] | None = None
        for note in ledger.notes:
            at, kind = note.get("at"), note.get("kind")
            if not isinstance(at, int):
                continue
            if kind == "task" and note.get("running"):
                begun[str(note.get("task"))] = at
            elif kind == "task":
                self._task(begun.pop(str(note.get("task")), at), at)
            elif kind == "decision" and note.get("action") in ACTIONS:
                if decided is not None:
                    self._decision(decided[0], at, *decided[1:])
                decided = at, str(note["action"]), str(note.get("reason", ""))
        for at in begun.values():
            self._task(at, end)
        if decided is not None:
            self._decision(decided[0], end, *decided[1:])

    def _cut(self, begin: int, end: int) -> Sequence[tuple[Day, int, int]]:
        """A span by the days that have records."""
        begin, end = begin + self.offset, end + self.offset
        parts = []
        for number in range(begin // DAY_S, (max(begin, end - 1)) // DAY_S + 1):
            if number in self._days:
                low, high = max(begin, number * DAY_S), min(end, (number + 1) * DAY_S)
                parts.append((self._days[number], low - number * DAY_S, high - number * DAY_S))
        return parts

    def _task(self, begin: int, end: int) -> None:
        for day, low, high in self._cut(begin, end):
            day.tasks.append((low, high))

    def _decision(self, begin: int, end: int, action: str, reason: str) -> None:
        for day, low, high in self._cut(begin, end):
            day.decisions.append((low, high, action, reason))

    @cached_property
    def numbers(self) -> list[int]:
        return sorted(self._days)

    def day(self, number: int) -> Day:
        """That day; an empty one where there is no record of it."""
        return self._days.get(number) or Day(number)

    def span(self, kind: str, date: str | None) -> list[Day]:
        """The days to draw.

        Args:
            kind: `day`, `month` or `year`.
            date: a date in it, YYYY-MM-DD; the last full day (month: with the 30 days that end there) where None.
        """
        if date is not None:
            number = day_number(date)
            if number not in self._days:
                span = " to ".join(self._days[self.numbers[end]].label for end in (0, -1))
                raise BadInputError(
                    f"the ledger has no record of {date}", hint=f"it goes from {span} (local solar time)"
                )
            moment = time.gmtime(number * DAY_S)
            if kind == "month":
                return [self.day(n) for n in self._between(moment.tm_year, moment.tm_mon, 1)]
            if kind == "year":
                return [self.day(n) for n in self._between(moment.tm_year, 1, 12)]
            return [self.day(number)]
        full = [n for n in self.numbers if len(self._days[n].known()) == RECORDS_A_DAY] or self.numbers
        length = {"day": 1, "month": 30, "year": 365}[kind]
        first = max(self.numbers[0], full[-1] - length + 1)
        return [self.day(n) for n in range(first, full[-1] + 1)]

    @staticmethod
    def _between(year: int, month: int, months: int) -> range:
        after = (year + (month + months - 1) // 12, (month + months - 1) % 12 + 1)
        return range(day_number(f"{year:04d}-{month:02d}-01"), day_number(f"{after[0]:04d}-{after[1]:02d}-01"))


def day_number(date: str) -> int:
    """Days since 1970 of YYYY-MM-DD; BadInputError for anything else."""
    from calendar import timegm

    try:
        return timegm(time.strptime(date, "%Y-%m-%d")) // DAY_S
    except (ValueError, OverflowError):
        raise BadInputError(f"'{date[:20]}' is no date", hint="write it as 2026-06-21") from None
