"""Rivals: accept all, thresholds, an energy-neutral budget, and bid curves. All run on lanes.

Sources: Kansal et al. 2007 (energy-neutral budget on an EWMA forecast); bid curve: a price of an hour that falls with
the state of charge, to which the surplus of the next 24 hours is added as if it were charge already.
"""

from __future__ import annotations

import numpy as np

from benchmarks.energy.contest import DT, STEPS_PER_DAY, Bools, Floats, Ints, Site, System

_HOUR = 4  # steps; rivals sleep an hour at a time
_GUARD = 1.5  # a task must be finished on the battery alone, even if it takes so many times its time
_GUARD_SOC = 0.03
_START_INDEX = 0.5


class Rival:
    """Shared by all: takes nothing, never sleeps."""

    name = "rival"

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes

    def begin(self, system: System, site: Site) -> None:
        self._system = system
        self._clear_w = site.clear_w * system.panel_wp
        self._off = np.zeros(self.lanes, bool)

    def observe(self, step: int, panel_w: float) -> None:
        """Most do not look at the sky."""

    def accept(self, _step: int, _soc: Floats, _expected: Ints, _price: Floats, asked: Bools) -> Bools:
        return asked

    def rest(self, _step: int, _soc: Floats, _asked: Bools) -> Ints:
        return np.zeros(self.lanes, np.int64)

    def _guard(self, soc: Floats, expected: Ints) -> Bools:
        battery = self._system.battery
        need = self._system.cpu_w * DT * expected * _GUARD / battery.discharge_efficiency
        return np.asarray(soc * battery.capacity_wh - need >= (battery.cutoff_soc + _GUARD_SOC) * battery.capacity_wh)

    def _hysteresis(self, charge: Floats, off: Floats | float, on: Floats | float, asked: Bools) -> Ints:
        """Off below `off`, on again above `on`."""
        down = (charge < off) | (self._off & (charge < on))
        self._off = np.where(asked, down, self._off)
        return np.where(down, _HOUR, 0)


class AcceptAll(Rival):
    name = "accept all"


class Threshold(Rival):
    """Takes what pays at least `floor` an hour above a state of charge; sleeps below another."""

    def __init__(self, name: str, parameters: Floats) -> None:
        """`parameters`: [lane, (accept above, off below, on above, floor)]."""
        super().__init__(len(parameters))
        self.name = name
        self._accept, self._down, self._up, self._floor = np.asarray(parameters, float).T

    def accept(self, _step: int, soc: Floats, expected: Ints, price: Floats, _asked: Bools) -> Bools:
        pays = price / (expected * DT) >= self._floor
        return np.asarray((soc >= self._accept) & pays & self._guard(soc, expected))

    def rest(self, _step: int, soc: Floats, asked: Bools) -> Ints:
        return self._hysteresis(soc, self._down, self._up, asked)


class Ewma:
    """Kansal et al. 2007: every slot of the day remembers itself."""

    def __init__(self, first_day_w: Floats, weight: float = 0.5) -> None:
        self._slots, self._weight = _START_INDEX * first_day_w, weight

    def observe(self, step: int, panel_w: float) -> None:
        slot = step % STEPS_PER_DAY
        self._slots[slot] = self._weight * self._slots[slot] + (1.0 - self._weight) * panel_w

    def day_ahead(self, step: int) -> Floats:
        return np.roll(self._slots, -(step % STEPS_PER_DAY))


class ClearSkyBlend:
    """The clear sky times an index that decays from the last daylight to the mean of the last weeks."""

    def __init__(self, clear_w: Floats) -> None:
        self._clear = np.concatenate([clear_w, clear_w[-STEPS_PER_DAY:]])
        self._low = 0.05 * float(clear_w.max())
        self._mean = _START_INDEX
        self._day = np.zeros(2)
        self._recent: list[tuple[float, float]] = []

    def observe(self, step: int, panel_w: float) -> None:
        clear = self._clear[step]
        self._day += (panel_w, clear)
        if clear > self._low:
            self._recent = [*self._recent[-7:], (panel_w, clear)]
        if step % STEPS_PER_DAY == STEPS_PER_DAY - 1:
            if self._day[1] > 0.0:
                self._mean += (min(1.2, self._day[0] / self._day[1]) - self._mean) / 15.0
            self._day[:] = 0.0

    def day_ahead(self, step: int) -> Floats:
        clear = self._clear[step : step + STEPS_PER_DAY]
        index = _START_INDEX
        if self._recent:
            index = min(1.3, sum(p for p, _ in self._recent) / sum(c for _, c in self._recent))
        weight = 0.9 * np.exp(-np.arange(len(clear)) / 20.0)
        return np.asarray((weight * index + (1.0 - weight) * self._mean) * clear)


class Budget(Rival):
    """Energy-neutral (Kansal): the forecast day must never bring the battery below a reserve."""

    name = "EWMA budget"
    _RESERVE = 0.20

    def begin(self, system: System, site: Site) -> None:
        super().begin(system, site)
        self._forecast = Ewma(self._clear_w[:STEPS_PER_DAY])

    def observe(self, step: int, panel_w: float) -> None:
        self._forecast.observe(step, panel_w)

    def _lowest(self, step: int, soc: Floats, extra_wh: Floats | float) -> Floats:
        battery = self._system.battery
        hours = self._forecast.day_ahead(step).reshape(-1, _HOUR).mean(axis=1) - self._system.idle_w
        stored = soc * battery.capacity_wh - extra_wh
        lowest = stored
        for net in hours:
            moved = net * battery.charge_efficiency if net > 0.0 else net / battery.discharge_efficiency
            stored = np.minimum(battery.capacity_wh, stored + moved)
            lowest = np.minimum(lowest, stored)
        return lowest / battery.capacity_wh

    def accept(self, step: int, soc: Floats, expected: Ints, _price: Floats, _asked: Bools) -> Bools:
        extra: Floats = (self._system.cpu_w - self._system.idle_w) * DT * expected.astype(np.float64)
        return np.asarray(self._guard(soc, expected) & (self._lowest(step, soc, extra) >= self._RESERVE))

    def rest(self, step: int, soc: Floats, asked: Bools) -> Ints:
        if step % _HOUR and not self._off.any():
            return np.zeros(self.lanes, np.int64)
        down = soc < 0.16
        if (soc < 0.5).any():
            down = down | ((soc < 0.5) & (self._lowest(step, soc, 0.0) < self._system.battery.cutoff_soc + 0.03))
        if step % _HOUR:
            down &= self._off
        self._off = np.where(asked, down, self._off)
        return np.where(down, _HOUR, 0)


class BidCurve(Rival):
    """Asks a price an hour that falls with charge and with the surplus that is forecast for a day."""

    def __init__(self, name: str, parameters: Floats) -> None:
        """`parameters`: [lane, (weight of the forecast, price when full, price when empty, off below)]."""
        super().__init__(len(parameters))
        self.name = name
        self._weight, self._full, self._empty, self._down = np.asarray(parameters, float).T

    def begin(self, system: System, site: Site) -> None:
        super().begin(system, site)
        self._forecast = ClearSkyBlend(self._clear_w)
        self._looked, self._surplus = -_HOUR, 0.0

    def observe(self, step: int, panel_w: float) -> None:
        self._forecast.observe(step, panel_w)

    def _charge(self, step: int, soc: Floats) -> Floats:
        if not self._weight.any():
            return soc
        if step - self._looked >= _HOUR:
            day_wh = float(self._forecast.day_ahead(step).sum()) * DT
            self._surplus = (day_wh - 24.0 * self._system.idle_w) / self._system.battery.capacity_wh
            self._looked = step
        return np.asarray(soc + self._weight * self._surplus)

    def accept(self, step: int, soc: Floats, expected: Ints, price: Floats, _asked: Bools) -> Bools:
        charge = np.clip(self._charge(step, soc), 0.0, 1.0)
        asks = self._empty + (self._full - self._empty) * charge
        return np.asarray((price / (expected * DT) >= asks) & self._guard(soc, expected))

    def rest(self, step: int, soc: Floats, asked: Bools) -> Ints:
        resting = self._hysteresis(self._charge(step, soc), self._down, self._down + 0.05, asked)
        return np.where(soc < 0.14, _HOUR, resting)


def threshold_candidates(count: int) -> Floats:
    """What the tuned threshold is chosen from."""
    rng = np.random.default_rng(0)
    off = rng.uniform(0.12, 0.4, count)
    return np.column_stack([rng.uniform(0.15, 0.7, count), off, off + 0.05, rng.uniform(0.0, 1.4, count)])


def bid_candidates(count: int) -> Floats:
    """What the tuned bid curve is chosen from."""
    rng = np.random.default_rng(1)
    uniform = rng.uniform
    return np.column_stack(
        [uniform(0.0, 0.6, count), uniform(0.0, 0.7, count), uniform(0.5, 2.5, count), uniform(0.1, 0.45, count)]
    )
