"""The sun oracle: knows all of the year's sun and frost, and of the offers only how they are distributed.

Backward induction over (step, stored energy) with linear interpolation; the option of an offer has a closed form
(Black's formula for log-normal prices). A task that would run into the cut-off is never taken. `naps` lets it also
sleep a quarter of an hour, where the published oracle knows only sleeps of a whole one.
"""

from __future__ import annotations

import math

import numpy as np

from benchmarks.energy.contest import (
    BROWN_OUT,
    DT,
    OFFERS_PER_H,
    SENSING_PER_H,
    SPREAD,
    TASK_SHARES,
    TASK_STEPS,
    Bools,
    Floats,
    Ints,
    Site,
    System,
)

_GRID = 81
_SLEEP = 4
_END_PRICE = 0.12  # tokens, worth of a watt-hour at the end of the record
_CHANCE = 1.0 - math.exp(-OFFERS_PER_H * DT)


def _options() -> tuple[Floats, Floats]:
    strike = np.linspace(0.0, 12.0, 1201)
    safe = np.maximum(strike, 1e-9)
    d1 = (SPREAD**2 / 2.0 - np.log(safe)) / SPREAD
    normal = np.vectorize(lambda x: 0.5 * math.erfc(-x / math.sqrt(2.0)))
    return strike, normal(d1) - safe * normal(d1 - SPREAD)


_STRIKE, _OPTION = _options()


def option(threshold: Floats, hours: float) -> Floats:
    """E[max(0, price - threshold)] of a task of so many hours."""
    z = threshold / hours
    return np.asarray(hours * np.where(z <= 0.0, 1.0 - z, np.interp(z, _STRIKE, _OPTION)))


class Oracle:
    """Also the policy; `begin` computes the values unless they are those of the same system and site."""

    def __init__(self, lanes: int, *, naps: bool) -> None:
        self.lanes, self._naps = lanes, naps
        self.name = "sun oracle, naps" if naps else "sun oracle"

    def begin(self, system: System, site: Site) -> None:
        battery = system.battery
        self._system = system
        self._sun = site.panel_w * system.panel_wp * DT
        self._warm = site.temperature_c >= battery.min_charge_c
        self._pitch = battery.capacity_wh / (_GRID - 1)
        grid = np.linspace(0.0, battery.capacity_wh, _GRID)
        steps = len(site)
        self._values = np.zeros((steps + 14, _GRID))
        self._values[steps:] = grid * _END_PRICE
        for step in range(steps - 1, -1, -1):
            wait, rest, after = self._weigh(step, grid)
            offered = np.zeros(_GRID)
            for length, share, value in zip(TASK_STEPS, TASK_SHARES, after, strict=True):
                offered += share * option(wait - value, length * DT)
            hears = rest < _SLEEP if self._naps else rest == 0
            self._values[step] = wait + _CHANCE * offered * hears

    def observe(self, step: int, panel_w: float) -> None:
        """It knows."""

    def _at(self, step: int, stored: Floats) -> Floats:
        row = self._values[min(step, len(self._sun))]
        x = np.minimum(np.maximum(stored / self._pitch, 0.0), _GRID - 1.000001)
        low = x.astype(np.int64)
        part = x - low
        return np.asarray(row[low] * (1.0 - part) + row[low + 1] * part)

    def _next(self, stored: Floats, step: int, load_w: float) -> tuple[Floats, Floats]:
        """Stored energy after a step, and before self-discharge and the floor at 0."""
        battery, system = self._system.battery, self._system
        surplus = self._sun[step] - load_w * DT
        if surplus < 0.0:
            left = stored + surplus / battery.discharge_efficiency
            return np.maximum(left, 0.0) * system.keep, left
        if self._warm[step]:
            most = min(surplus, battery.max_c_rate * battery.capacity_wh * DT) * battery.charge_efficiency
            stored = np.minimum(stored + most, battery.capacity_wh)
        return stored * system.keep, np.full(len(stored), np.inf)

    def _weigh(self, step: int, stored: Floats) -> tuple[Floats, Ints, list[Floats]]:
        """Value of the best way to wait, how long it sleeps, and values after each kind of task."""
        system, steps = self._system, len(self._sun)
        cut = system.battery.cutoff_soc * system.battery.capacity_wh
        end, raw = self._next(stored, step, system.idle_w)
        sensing = SENSING_PER_H * DT
        up = sensing + self._at(step + 1, end)
        shed = np.minimum(stored, end + system.idle_w * DT)
        up = np.where(raw < cut, self._at(step + 1, shed) - BROWN_OUT, up)
        wait, rest = up, np.zeros(len(stored), np.int64)
        asleep = stored
        for k in range(min(_SLEEP, steps - step)):
            asleep, _ = self._next(asleep, step + k, system.off_w)
            if k + 1 == _SLEEP or step + k + 1 == steps or (self._naps and k == 0):
                value = self._at(step + k + 1, asleep - system.boot_wh)
                rest = np.where(value > wait, k + 1 if k == 0 and self._naps else _SLEEP, rest)
                wait = np.maximum(wait, value)
        after, left, done = [], stored, 0
        dead = stored < cut
        for length in TASK_STEPS:
            while done < length:
                if step + done < steps:
                    left, raw = self._next(left, step + done, system.cpu_w)
                    dead = dead | (raw < cut)
                done += 1
            after.append(np.where(dead, -1e3, length * sensing + self._at(step + length, left)))
        return wait, rest, after

    def accept(self, step: int, soc: Floats, expected: Ints, price: Floats, _asked: Bools) -> Bools:
        wait, _, after = self._weigh(step, soc * self._system.battery.capacity_wh)
        value = np.choose(np.searchsorted(TASK_STEPS, expected), after)
        return np.asarray(price + value >= wait)

    def rest(self, step: int, soc: Floats, _asked: Bools) -> Ints:
        return self._weigh(step, soc * self._system.battery.capacity_wh)[1]
