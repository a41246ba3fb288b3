"""The meter: readings in, energies out, with what is not known said so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from poco.energy import RECORD_S
from worker.energy.source import PowerReading

_SNAPSHOT_VERSION = 1
#: A clock that jumps further than this was wrong before or is wrong now: the meter starts anew.
_JUMP_S = 31 * 86_400.0


@dataclass(frozen=True)
class EnergyRecord:
    """One quarter of an hour on the source's clock, aligned to it. Energies are what was measured, Wh.

    `unknown_s` of them were not measured: the energies are then a lower bound. `stored_wh` is the battery at the end.
    `charged_wh` came from the mains.
    """

    start: int
    end: int
    harvested_wh: float
    consumed_wh: float
    stored_wh: float | None
    harvest_unknown_s: float
    load_unknown_s: float
    charged_wh: float = 0.0


@dataclass(frozen=True)
class Totals:
    """Sums since the meter began."""

    since: float | None
    until: float | None
    harvested_wh: float
    consumed_wh: float
    harvest_unknown_s: float
    load_unknown_s: float


class Meter:
    """Integrates readings: by the counters where the source has them, else by the trapezoidal rule over gaps of at
    most `max_gap_s`.

    Longer gaps are unknown. What counters gained over a gap is harvested as the sun stood in it. A record is handed out
    once it is complete.

    Args:
        max_gap_s: the longest span between two readings that powers are integrated over.
        sun: how strong the sun is at an instant, in any unit; evenly shared where it is left out.
    """

    def __init__(self, *, max_gap_s: float = 300.0, sun: Callable[[float], float] | None = None) -> None:
        self._max_gap_s = max_gap_s
        self._sun = sun
        self._last: PowerReading | None = None
        self._since: float | None = None
        self._harvest = _Channel()
        self._load = _Channel()
        self._mains = _Channel()
        self._open_start = 0

    @property
    def totals(self) -> Totals:
        """What was measured so far."""
        until = self._last.at if self._last else None
        return Totals(
            self._since,
            until,
            self._harvest.total_wh,
            self._load.total_wh,
            self._harvest.total_unknown_s,
            self._load.total_unknown_s,
        )

    def record(self, reading: PowerReading) -> list[EnergyRecord]:
        """Take a reading; returns the quarter hours it completes, oldest first.

        A reading a little older than the last is ignored. Where the clock was set back, or forward by more than a
        month, the meter starts anew with it: the open quarter of an hour is given up.
        """
        last = self._last
        if last is None or not last.at - self._max_gap_s <= reading.at <= last.at + _JUMP_S:
            self._last = reading
            self._since = reading.at if last is None else self._since
            self._open_start = int(reading.at // RECORD_S) * RECORD_S
            for channel in (self._harvest, self._load, self._mains):
                channel.close()
            return []
        if reading.at <= last.at:
            return []
        done: list[EnergyRecord] = []
        span = reading.at - last.at
        harvest_wh = self._energy(last.harvested_wh, reading.harvested_wh, last.harvest_w, reading.harvest_w, span)
        load_wh = self._energy(last.consumed_wh, reading.consumed_wh, last.load_w, reading.load_w, span)
        mains_wh = self._energy(None, None, last.mains_w or 0.0, reading.mains_w or 0.0, span) or 0.0
        parts = _parts(last.at, reading.at, self._open_start + RECORD_S)
        for (at, edge), sunny in zip(parts, self._sunny(parts, span), strict=True):
            share = (edge - at) / span
            self._harvest.add(None if harvest_wh is None else harvest_wh * sunny, edge - at)
            self._load.add(None if load_wh is None else load_wh * share, edge - at)
            self._mains.add(mains_wh * share, edge - at)
            if edge == self._open_start + RECORD_S:
                done.append(self._close(_between(last, reading, edge)))
        self._last = reading
        return done

    def _energy(
        self, counter0: float | None, counter1: float | None, w0: float | None, w1: float | None, span: float
    ) -> float | None:
        if counter0 is not None and counter1 is not None and counter1 >= counter0:
            return counter1 - counter0
        if w0 is None or w1 is None or span > self._max_gap_s:
            return None
        return (w0 + w1) / 2.0 * span / 3600.0

    def _sunny(self, parts: list[tuple[float, float]], span: float) -> list[float]:
        """The share of each part in the harvest: by its length, over a gap by the sun in it."""
        if self._sun is not None and span > self._max_gap_s:
            sun = self._sun
            lit = [(edge - at) * (sun(at) + 4.0 * sun((at + edge) / 2.0) + sun(edge)) for at, edge in parts]
            if sum(lit) > 0.0:
                return [one / sum(lit) for one in lit]
        return [(edge - at) / span for at, edge in parts]

    def _close(self, stored_wh: float | None) -> EnergyRecord:
        start, end = self._open_start, self._open_start + RECORD_S
        self._open_start = end
        harvested_wh, harvest_unknown_s = self._harvest.close()
        consumed_wh, load_unknown_s = self._load.close()
        charged_wh, _ = self._mains.close()
        return EnergyRecord(
            start, end, harvested_wh, consumed_wh, stored_wh, harvest_unknown_s, load_unknown_s, charged_wh
        )

    def snapshot(self) -> dict[str, Any]:
        """What `restore` needs: JSON types only."""
        return {
            "version": _SNAPSHOT_VERSION,
            "since": self._since,
            "open_start": self._open_start,
            "last": asdict(self._last) if self._last else None,
            "harvest": asdict(self._harvest),
            "load": asdict(self._load),
            "mains": asdict(self._mains),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on from a snapshot; what passed since is measured if the source kept counting, else unknown."""
        if snapshot.get("version") != _SNAPSHOT_VERSION:
            raise ValueError(f"snapshot of another version: {snapshot.get('version')}")
        self._since = snapshot["since"]
        self._open_start = snapshot["open_start"]
        self._last = PowerReading(**snapshot["last"]) if snapshot["last"] else None
        self._harvest = _Channel(**snapshot["harvest"])
        self._load = _Channel(**snapshot["load"])
        self._mains = _Channel(**snapshot.get("mains", {}))


@dataclass
class _Channel:
    total_wh: float = 0.0
    total_unknown_s: float = 0.0
    open_wh: float = 0.0
    open_unknown_s: float = 0.0

    def add(self, energy_wh: float | None, seconds: float) -> None:
        if energy_wh is None:
            self.total_unknown_s += seconds
            self.open_unknown_s += seconds
        else:
            self.total_wh += energy_wh
            self.open_wh += energy_wh

    def close(self) -> tuple[float, float]:
        closed = self.open_wh, self.open_unknown_s
        self.open_wh = self.open_unknown_s = 0.0
        return closed


def _parts(start: float, end: float, edge: float) -> list[tuple[float, float]]:
    """A span cut at the quarter hours, the first of which is `edge`."""
    cuts = [start]
    while edge < end:
        cuts.append(float(edge))
        edge += RECORD_S
    return list(pairwise([*cuts, end]))


def _between(last: PowerReading, reading: PowerReading, at: float) -> float | None:
    if last.stored_wh is None or reading.stored_wh is None:
        return None
    if reading.at - last.at > 2 * RECORD_S and at != reading.at:  # the battery may have been anywhere in between
        return None
    share = (at - last.at) / (reading.at - last.at)
    return last.stored_wh + (reading.stored_wh - last.stored_wh) * share
