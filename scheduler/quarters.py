"""What the workers' telemetry says of the whole pool, for `GET /metrics`: sums over a day, never a worker's own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from sqlalchemy import func, select

from scheduler import tables as t
from scheduler.exposition import gauge
from scheduler.store import Store
from scheduler.telemetry import DAY_S

#: Read again after so long, seconds: a day of 5,000 workers has half a million quarter hours.
KEPT_SECONDS = 60.0
RECENT_S = 3600
#: What an energy gate decides; a worker may send another word, which counts as "other".
ACTIONS = ("run", "decline", "pause", "sleep", "drain")


class Quarters:
    """Reads only.

    Args:
        clock: Unix seconds.
    """

    def __init__(self, database: Store, clock: Callable[[], float]) -> None:
        self._store, self._clock = database, clock
        self._text: tuple[float, str] = (0.0, "")

    def text(self) -> str:
        """All series, at most `KEPT_SECONDS` old."""
        read_at, text = self._text
        if not text or time.monotonic() - read_at >= KEPT_SECONDS:
            text = "".join(self._series(int(self._clock())))
            self._text = (time.monotonic(), text)
        return text

    def _series(self, now: int) -> Iterator[str]:
        c = t.telemetry.c
        sums = [func.sum(column) for column in (c.harvested_wh, c.consumed_wh)]
        recent = c.received_at > now - RECENT_S
        with self._store.read() as db:
            day = db.execute(select(*sums).where(c.received_at > now - DAY_S)).one()
            heat = db.execute(select(func.max(c.temperature_c), func.avg(c.temperature_c)).where(recent)).one()
            told = db.scalar(select(func.count(c.worker.distinct())).where(recent)) or 0
            counted = select(c.action, func.count()).where(recent, c.action.in_(ACTIONS)).group_by(c.action)
            known = dict.fromkeys(ACTIONS, 0) | {row[0]: row[1] for row in db.execute(counted)}
            quarters = db.scalar(select(func.count()).select_from(t.telemetry).where(recent)) or 0
        harvested, consumed = (float(value or 0) for value in day)
        yield gauge("pew_telemetry_workers", "Workers whose telemetry came within an hour", [({}, told)])
        yield gauge("pew_telemetry_harvested_wh", "Harvested, by the telemetry of a day, Wh", [({}, harvested)])
        yield gauge("pew_telemetry_consumed_wh", "Consumed, by the telemetry of a day, Wh", [({}, consumed)])
        known["other"] = quarters - sum(known.values())
        yield gauge(
            "pew_telemetry_decisions",
            "Quarter hours of the last hour by what the energy gate said",
            [({"action": action}, count) for action, count in known.items()],
        )
        if heat[0] is not None:
            ranks = [({"of": "most"}, float(heat[0])), ({"of": "mean"}, float(heat[1]))]
            yield gauge("pew_telemetry_temperature_c", "Temperature of workers in the last hour, Celsius", ranks)
