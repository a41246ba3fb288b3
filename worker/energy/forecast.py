"""What the panel will give: the clear sky times a clear-sky index that blends the last hours with the last weeks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from worker.energy.panel import Panel

STEP_S = 900
_DAY_S = 86_400
_RECENT_STEPS = 8  # daylight steps that make the index of "now"
_MAX_INDEX = 1.2
_KEPT_STEPS = 1000
_SNAPSHOT_VERSION = 1


@dataclass(frozen=True)
class Forecast:
    """Panel power from `at` on, in steps of `step_s` on the source's clock: expected, and what nine in ten cases
    exceed."""

    at: float
    step_s: int
    mean_w: tuple[float, ...]
    low_w: tuple[float, ...]

    def energy_wh(self, seconds: float, *, low: bool = False) -> float:
        """Energy of the next `seconds`, Wh; beyond the forecast's end nothing is counted."""
        powers = self.low_w if low else self.mean_w
        whole = min(len(powers), int(seconds // self.step_s))
        energy = sum(powers[:whole]) * self.step_s
        if whole < len(powers):
            energy += powers[whole] * (seconds - whole * self.step_s)
        return energy / 3600.0


class Forecaster:
    """Learns the clear-sky index of its own panel and projects it.

    The index decays from the mean of the last daylight hours towards a running mean of days; a part of it outlives
    the night, as weather regimes do. Its spread is learnt from its own errors.
    """

    def __init__(self, panel: Panel, *, index: float = 0.5) -> None:
        self._panel = panel
        self._clear: dict[int, float] = {}  # clear-sky power by step number, of the steps asked for lately
        self._recent: list[tuple[float, float]] = []  # (available, clear) of the last daylight steps
        self._day_index = index
        self._day: list[float] = [-1.0, 0.0, 0.0]  # day number, available, clear
        self._spread = 0.3

    def observe(self, at: float, available_w: float | None) -> None:
        """Take the mean power that the panel could give over the step that began at `at`; unknown is skipped."""
        clear = self._clear_w(int(at // STEP_S))
        if available_w is None or clear < 0.05 * self._panel.peak_w:
            return
        day = (at + self._panel.longitude / 360.0 * _DAY_S) // _DAY_S
        if day != self._day[0]:
            if self._day[2] > 0.0:
                today = min(_MAX_INDEX, self._day[1] / self._day[2])
                self._day_index += (today - self._day_index) / 15.0
            self._day = [day, 0.0, 0.0]
        self._day[1] += available_w
        self._day[2] += clear
        error = abs(available_w / clear - self._index())
        self._spread += (error - self._spread) / 400.0
        self._recent = [*self._recent[1 - _RECENT_STEPS :], (available_w, clear)]

    def _clear_w(self, step: int) -> float:
        if step not in self._clear:
            if len(self._clear) > _KEPT_STEPS:
                self._clear.clear()
            self._clear[step] = self._panel.clear_sky_w((step + 0.5) * STEP_S)
        return self._clear[step]

    def _index(self) -> float:
        if not self._recent:
            return self._day_index
        return min(_MAX_INDEX, sum(a for a, _ in self._recent) / sum(c for _, c in self._recent))

    def forecast(self, at: float, hours: float = 24.0) -> Forecast:
        """The panel's power over the next `hours`, from the step that holds `at` on."""
        index = self._index()
        daylight = 0
        mean, low = [], []
        first = int(at // STEP_S)
        for step in range(first, first + math.ceil(hours * 3600 / STEP_S)):
            clear = self._clear_w(step)
            if clear >= 0.05 * self._panel.peak_w:
                daylight += 1
            weight = 0.75 * math.exp(-daylight / 10.0) + 0.25 * math.exp(-daylight / 60.0)
            expected = weight * index + (1.0 - weight) * self._day_index
            mean.append(expected * clear)
            spread = self._spread * math.sqrt(1.0 + 4.0 * (1.0 - weight))
            low.append(max(0.05, expected - 1.3 * spread) * clear)
        return Forecast(at, STEP_S, tuple(mean), tuple(low))

    def snapshot(self) -> dict[str, Any]:
        """What `restore` needs: JSON types only."""
        return {
            "version": _SNAPSHOT_VERSION,
            "recent": [list(pair) for pair in self._recent],
            "day_index": self._day_index,
            "day": list(self._day),
            "spread": self._spread,
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on from a snapshot."""
        if snapshot.get("version") != _SNAPSHOT_VERSION:
            raise ValueError(f"snapshot of another version: {snapshot.get('version')}")
        self._recent = [(float(a), float(c)) for a, c in snapshot["recent"]]
        self._day_index = snapshot["day_index"]
        self._day = list(snapshot["day"])
        self._spread = snapshot["spread"]
