"""What the panel will give: the clear sky times a clear-sky index that goes from the last quarter hour over the last
hours to the last days, with the errors made so far as its uncertainty."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

from worker.energy.outside import OutsideForecast
from worker.energy.panel import Panel

STEP_S = 900
_DAY_S = 86_400
_RECENT_STEPS = 8  # daylight steps that make the index of the last hours
_LAST_FADES_STEPS = 4.0  # daylight steps over which the last quarter hour loses its say
_LAST_WEIGHT = 0.9
_RECENT_WEIGHT = 0.45  # of what the last quarter hour leaves; the rest is the mean of the last days
_MEMORY_DAYS = 8.0
_MAX_INDEX = 1.2
_LEADS = (1, 8, 32)  # daylight steps ahead at which the errors are learnt
_QUANTILE = 0.1
_LEARNING_RATE = 0.02
_ERROR_RATE = 0.01
_OUTSIDE_RISES_STEPS = 8.0  # daylight steps after which a weather service knows more than the last hours
_KEPT_STEPS = 1000
_SNAPSHOT_VERSION = 3


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
    """Learns the clear-sky index of its own panel and projects it; which index it exceeds nine times in ten is learnt
    for some leads and lies between them in between.

    A weather service's forecast, where there is one, has the say over what is hours ahead, as far as it has proven
    better than the own one for a day ahead (inverse squared errors).
    """

    def __init__(self, panel: Panel, *, index: float = 0.5, outside: OutsideForecast | None = None) -> None:
        self._panel, self._outside = panel, outside
        self._errors = [0.06, 0.06]  # mean squared errors of the index: own, a day ahead, and the service's
        self._clear: dict[int, float] = {}  # clear-sky power by step number, of the steps asked for lately
        self._recent: list[tuple[float, float]] = []  # (available, clear) of the last daylight steps
        self._mean = index
        self._day: list[float] = [-1.0, 0.0, 0.0]  # day number, available, clear
        self._past: list[tuple[float, float, float]] = []  # what was known at the last daylight steps
        self._low = [-0.3] * len(_LEADS)  # quantile of index less expected index, by lead

    def observe(self, at: float, available_w: float | None) -> None:
        """Take the mean power that the panel could give over the step that began at `at`; unknown is skipped."""
        clear = self._clear_w(int(at // STEP_S))
        if available_w is None or clear < 0.05 * self._panel.peak_w:
            return
        day = (at + self._panel.longitude / 360.0 * _DAY_S) // _DAY_S
        if day != self._day[0]:
            if self._day[2] > 0.0:
                self._mean += (min(_MAX_INDEX, self._day[1] / self._day[2]) - self._mean) / _MEMORY_DAYS
            self._day = [day, 0.0, 0.0]
        self._day[1] += available_w
        self._day[2] += clear
        index = available_w / clear
        self._compare(at, index)
        for k, lead in enumerate(_LEADS):
            if len(self._past) >= lead:
                below = index - _expected(self._past[-lead], lead) < self._low[k]
                self._low[k] += _LEARNING_RATE * (_QUANTILE - below)
        self._recent = [*self._recent[1 - _RECENT_STEPS :], (available_w, clear)]
        self._past = [*self._past[1 - _LEADS[-1] :], self._known()]

    def _compare(self, at: float, index: float) -> None:
        said = self._outside.index(at) if self._outside is not None else None
        if said is None or len(self._past) < _LEADS[-1]:
            return
        for k, expected in enumerate((_expected(self._past[-_LEADS[-1]], _LEADS[-1]), said)):
            self._errors[k] += _ERROR_RATE * ((index - expected) ** 2 - self._errors[k])

    def _blended(self, own: float, at: float, lead: int) -> float:
        said = self._outside.index(at) if self._outside is not None else None
        if said is None:
            return own
        share = self._errors[0] / (self._errors[0] + self._errors[1])
        share *= 1.0 - math.exp(-(lead - 1) / _OUTSIDE_RISES_STEPS)
        return own + share * (said - own)

    def _clear_w(self, step: int) -> float:
        if step not in self._clear:
            if len(self._clear) > _KEPT_STEPS:
                self._clear.clear()
            self._clear[step] = self._panel.clear_sky_w((step + 0.5) * STEP_S)
        return self._clear[step]

    def _known(self) -> tuple[float, float, float]:
        """Index of the last quarter hour of daylight, of the last hours and of the last days."""
        if not self._recent:
            return self._mean, self._mean, self._mean
        available, clear = self._recent[-1]
        hours = sum(a for a, _ in self._recent) / sum(c for _, c in self._recent)
        return min(_MAX_INDEX, available / clear), min(_MAX_INDEX, hours), self._mean

    def forecast(self, at: float, hours: float = 24.0) -> Forecast:
        """The panel's power over the next `hours`, from the step that holds `at` on."""
        if self._outside is not None:
            self._outside.refresh()
        known = self._known()
        daylight = 0
        mean, low = [], []
        first = int(at // STEP_S)
        for step in range(first, first + math.ceil(hours * 3600 / STEP_S)):
            clear = self._clear_w(step)
            if clear >= 0.05 * self._panel.peak_w:
                daylight += 1
            if clear <= 0.0:
                mean.append(0.0)
                low.append(0.0)
                continue
            lead = max(1, daylight)
            expected = self._blended(_expected(known, lead), (step + 0.5) * STEP_S, lead)
            mean.append(expected * clear)
            low.append(max(0.0, expected + self._lower(lead)) * clear)
        return Forecast(at, STEP_S, tuple(mean), tuple(low))

    def _lower(self, lead: int) -> float:
        k, part = _between(lead)
        if not k:
            return min(0.0, self._low[-1])
        return min(0.0, self._low[k - 1] + part * (self._low[k] - self._low[k - 1]))

    def snapshot(self) -> dict[str, Any]:
        """What `restore` needs: JSON types only."""
        return {
            "version": _SNAPSHOT_VERSION,
            "recent": [list(pair) for pair in self._recent],
            "mean": self._mean,
            "day": list(self._day),
            "past": [list(known) for known in self._past],
            "low": list(self._low),
            "errors": list(self._errors),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on from a snapshot."""
        if snapshot.get("version") != _SNAPSHOT_VERSION:
            raise ValueError(f"snapshot of another version: {snapshot.get('version')}")
        self._recent = [(float(a), float(c)) for a, c in snapshot["recent"]]
        self._mean = snapshot["mean"]
        self._day = list(snapshot["day"])
        self._past = [(a, b, c) for a, b, c in snapshot["past"]]
        self._low = list(snapshot["low"])
        self._errors = list(snapshot["errors"])


def _expected(known: tuple[float, float, float], lead: int) -> float:
    """Index to expect `lead` daylight steps ahead."""
    last, hours, days = known
    weight = _last_weight(lead)
    return weight * last + (1.0 - weight) * (_RECENT_WEIGHT * hours + (1.0 - _RECENT_WEIGHT) * days)


@cache
def _last_weight(lead: int) -> float:
    """The say of the last quarter hour, `lead` daylight steps ahead."""
    return _LAST_WEIGHT * math.exp(-(lead - 1) / _LAST_FADES_STEPS)


@cache
def _between(lead: int) -> tuple[int, float]:
    """Which of `_LEADS` is the first not below, and how far on the way to it from the one before; 0 beyond the last."""
    for k in range(1, len(_LEADS)):
        if lead <= _LEADS[k]:
            return k, math.log(lead / _LEADS[k - 1]) / math.log(_LEADS[k] / _LEADS[k - 1])
    return 0, 0.0
