"""Plans on the dynamics of the year: what stored energy is worth, by the hour and by how the day looks.

The state is the stored energy and the belief: the clear-sky index that the rest of the day is expected to have. During
daylight the belief wanders as a martingale (a birth-death chain on `LEVELS` with the variance of a Jacobi diffusion,
x' ~ tau (x - lo)(hi - x)); how far, is learnt from the device's own days. Overnight it falls back towards the mean of
the last weeks. Backward induction over the half hours of a day, repeated day upon day on the value the next day begins
with, gives the value of every state. In each half hour the device may stay up (and sense), nap (wake now and then
for what is offered and go down again), sleep an hour through, or compute what is offered: offers arrive at random with
log-normal prices, learnt from those seen. Values are in hours of typical reward, so the tables stay near 1.

The work is cut into slices of one half hour (about a millisecond), so that no reading waits for a plan.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from worker.energy.battery import Battery
from worker.energy.device import Device, Load
from worker.energy.market import Market, MarketBook
from worker.energy.panel import Panel
from worker.energy.season import Season
from worker.energy.situation import GateConfig

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95, 1.15)
SLEEP_S = 3600.0
_STEP_S = 1800.0
_HOURS = _STEP_S / 3600.0
_STEPS = 48
_AHEAD = 8  # half hours of the day after that a table carries, for tasks that run past midnight
_DAY_S = 86_400
_GRID = 25
_FIRST_DAYS = 25  # days' worth of iteration before the first plan is used
_DAYS_PER_DAY = 1
_BROWN_OUT = 5.0  # worth of never planning through the cut-off, hours of reward
_RESOLVED = 0.4  # share of a day's surprise that comes gradually; the rest shows early in the morning
_PREMIUM = 0.05  # asked on top, hours of reward for an hour: the plan knows less than it thinks
_DUTY_FIRST = 2.2  # harvest over need of a year from which on sensing comes first
_DUTY_WEIGHT = 3.0
_SNAPSHOT_VERSION = 2

Table = list[list[list[float]]]  # [half hour][belief][charge]


class Planner:
    """Value of stored energy for one battery, device and panel.

    Args:
        clear_sky_w: power of the panel under a clear sky at an instant (Unix seconds of the source's clock).
        longitude: degrees; days begin at local solar midnight.
        wear_nrlc_per_wh: what a watt-hour drawn from the battery costs in its life.
        nap_s: after so long a nap ends.
    """

    def __init__(
        self,
        battery: Battery,
        device: Device,
        market: Market,
        clear_sky_w: Callable[[float], float],
        longitude: float,
        *,
        wear_nrlc_per_wh: float = 0.0,
        nap_s: float = 900.0,
    ) -> None:
        self._battery = battery
        self._device = device
        self._sensing_nrlc_per_h = market.sensing_nrlc_per_h
        self._wear_nrlc_per_wh = wear_nrlc_per_wh
        self._nap_s = nap_s
        self._offset_s = longitude / 360.0 * _DAY_S
        self.book = MarketBook(market)
        self._season = Season(clear_sky_w, self._offset_s, LEVELS[0], LEVELS[-1], battery.min_charge_c)
        self._tomorrow: Table | None = None  # the first half hours of the day after, of the last iteration
        self._table: Table | None = None
        self._building: Table = []
        self._building_day: int | None = None
        self._rounds_left = 0
        self._sun_wh: list[float] = []
        self._cold: list[float] = []
        self._tau: list[float] = []
        self._sensing = self._wear = self._arrival = 0.0

    @property
    def ready(self) -> bool:
        """Whether there is a plan."""
        return self._table is not None

    def observe(self, at: float, seconds: float, available_w: float | None, temperature_c: float | None) -> None:
        """Take what the panel could give, on the mean, over `seconds` from `at` on. Unknown teaches nothing."""
        self._season.observe(at, seconds, available_w, temperature_c)

    def planning(self, at: float) -> bool:
        """Whether the plan of the day that holds `at` still has to be made."""
        return self._building_day != self._place(at)[0] or self._rounds_left > 0

    def work(self, at: float) -> None:
        """Do one slice of planning for the day that holds `at`; nothing to do once the day's plan stands."""
        day, _ = self._place(at)
        if self._building_day != day:
            self._begin(day)
        if not self._rounds_left:
            return
        if not self._building:
            self._building = self._after_midnight()
        self._building.insert(0, self._slice(_STEPS + _AHEAD - 1 - len(self._building)))
        if len(self._building) == _STEPS + _AHEAD:
            self._rounds_left -= 1
            level = sum(map(sum, self._building[0])) / (len(LEVELS) * _GRID)
            table = [[[v - level for v in row] for row in rows] for rows in self._building]
            self._tomorrow, self._building = table[:_AHEAD], []
            if not self._rounds_left:
                self._table = table

    def _begin(self, day: int) -> None:
        """Fix what the day's plan is made from."""
        season, market = self._season, self.book
        self._building_day, self._building = day, []
        self._rounds_left = _FIRST_DAYS if self._tomorrow is None else _DAYS_PER_DAY
        sun = season.clear_day(day, _STEPS)
        self._sun_wh = sun + sun[:_AHEAD]
        total = sum(sun) or 1.0
        self._tau = [_RESOLVED * season.information * wh / total for wh in sun]
        cold = season.cold_chance(_STEPS)
        self._cold = cold + cold[:_AHEAD]
        market.tell()
        self._arrival = 1.0 - math.exp(-market.offers_per_h * _HOURS)
        need_w = self._device.power_w(Load.IDLE)
        rich = season.year_mean_w(day) >= _DUTY_FIRST * need_w
        self._sensing = self._sensing_nrlc_per_h / market.nrlc_per_h * _HOURS * (_DUTY_WEIGHT if rich else 1.0)
        self._wear = self._wear_nrlc_per_wh / market.nrlc_per_h

    def ask_nrlc(self, at: float, stored_wh: float, seconds: float) -> float | None:
        """The least reward, less gas, for which a task of that many seconds (source's clock) is worth its energy and
        time.

        `None` while there is no plan.
        """
        if self._table is None:
            return None
        steps = min(_AHEAD - 1.0, seconds / _STEP_S)
        after = self._value(at, stored_wh, steps, Load.COMPUTING) + self._sensing * steps
        ask = max(0.0, max(self._waits(at, stored_wh)) - after) * (seconds / _STEP_S / steps if steps else 1.0)
        return (ask + _PREMIUM * seconds / 3600.0) * self.book.nrlc_per_h

    def rest_s(self, at: float, stored_wh: float) -> float:
        """How long sleep is worth more than staying up for what may be offered: 0, `nap_s` or `SLEEP_S`."""
        if self._table is None:
            return 0.0
        up, nap, sleep = self._waits(at, stored_wh)
        if up >= nap and up >= sleep:
            return 0.0
        return self._nap_s if nap >= sleep else SLEEP_S

    def _waits(self, at: float, stored_wh: float) -> tuple[float, float, float]:
        """Value of staying up a quarter hour, of a nap, and of an hour of sleep."""
        steps = self._nap_s / _STEP_S
        return (
            self._value(at, stored_wh, steps, Load.IDLE) + self._sensing * steps,
            self._value(at, stored_wh, steps, Load.ASLEEP, lost_wh=self._boot_wh),
            self._value(at, stored_wh, SLEEP_S / _STEP_S, Load.ASLEEP, lost_wh=self._boot_wh),
        )

    def expected_index(self, at: float) -> float:
        """The clear-sky index that the rest of the day is expected to have, as it looks at `at`."""
        return self._season.belief(at)

    @property
    def _boot_wh(self) -> float:
        return self._device.boot_s / 3600.0 * self._device.power_w(Load.COMPUTING)

    def _place(self, at: float) -> tuple[int, float]:
        day, second = divmod(at + self._offset_s, _DAY_S)
        return int(day), second / _STEP_S

    def _after_midnight(self) -> Table:
        """The first half hours of the next day as each belief at the end of this one expects them."""
        if self._tomorrow is None:
            capacity = self._battery.capacity_wh
            row = [0.1 * capacity * i / (_GRID - 1) for i in range(_GRID)]
            self._tomorrow = [[row] * len(LEVELS)] * _AHEAD
        ahead = []
        for rows in self._tomorrow:
            mixed = []
            for level in LEVELS:
                k, f = _bracket(self._season.next_day(level))
                mixed.append([a + f * (b - a) for a, b in zip(rows[k], rows[k + 1], strict=True)])
            ahead.append(mixed)
        return ahead

    def _flow(self, index: float, step: int, load: Load, hours: float = _HOURS) -> tuple[float, float]:
        """Change of the stored energy, Wh, and watt-hours drawn from the battery, over `hours` of a half hour."""
        battery = self._battery
        load_w, keep = self._device.power_w(load), battery.decay_per_h * battery.capacity_wh / 2.0
        if step >= _STEPS:
            index = self._season.next_day(index)
        net = index * self._sun_wh[step] / _HOURS - load_w
        if net < 0.0:
            drawn = -net * hours / battery.discharge_efficiency
            return -drawn - keep * hours, drawn
        into = min(net, battery.max_c_rate * battery.capacity_wh) * battery.charge_efficiency * (1.0 - self._cold[step])
        return (into - keep) * hours, 0.0

    def _slice(self, step: int) -> list[list[float]]:
        """One half hour of backward induction; `self._building[0]` is the half hour after it."""
        capacity = self._battery.capacity_wh
        pitch = capacity / (_GRID - 1)
        cutoff = self._battery.cutoff_soc * capacity / pitch
        naps_wh, sleep_wh = self._boot_wh * _STEP_S / self._nap_s, self._boot_wh * _STEP_S / SLEEP_S
        gain, arrival, wear, sensing = self.book.gain, self._arrival, self._wear, self._sensing
        after = self._building[0]
        out = []
        for k, index in enumerate(LEVELS):
            now = self._wander(after, k, self._tau[step])
            flow, drawn = self._flow(index, step, Load.IDLE)
            up = _moved(now, flow / pitch, sensing - wear * drawn, cutoff)
            flow, drawn = self._flow(index, step, Load.ASLEEP)
            nap = _moved(now, (flow - naps_wh) / pitch, -wear * drawn, -1.0)
            asleep = _moved(now, (flow - sleep_wh) / pitch, -wear * drawn, -1.0)
            wait = [a if a >= b else b for a, b in zip(up, nap, strict=True)]
            offered = [0.0] * _GRID
            flow, drawn, done = 0.0, 0.0, 0
            for steps, share in self.book.tasks:
                while done < steps:
                    more, drew = self._flow(index, step + done, Load.COMPUTING)
                    flow, drawn, done = flow + more, drawn + drew, done + 1
                row = now if steps == 1 else self._building[steps - 1][k]
                taken = _moved(row, flow / pitch, steps * sensing - wear * drawn, cutoff)
                hours = steps * _HOURS
                weight, fine = share * hours, 100.0 / hours
                offered = [
                    o + weight * (1.0 - (w - t) / hours if w <= t else gain[min(int((w - t) * fine), 1200)])
                    for o, w, t in zip(offered, wait, taken, strict=True)
                ]
            out.append([max(w + arrival * o, s) for w, o, s in zip(wait, offered, asleep, strict=True)])
        return out

    @staticmethod
    def _wander(rows: list[list[float]], k: int, tau: float) -> list[float]:
        """Expectation over where the belief goes from level `k` in one half hour."""
        row, last = rows[k], len(LEVELS) - 1
        if tau <= 0.0 or k in (0, last):
            return row
        x = LEVELS[k]
        down, up = x - LEVELS[k - 1], LEVELS[k + 1] - x
        variance = min(tau * (x - LEVELS[0]) * (LEVELS[last] - x), down * up)
        left, right = variance / (down * (down + up)), variance / (up * (down + up))
        return [v + left * (a - v) + right * (b - v) for v, a, b in zip(row, rows[k - 1], rows[k + 1], strict=True)]

    def _value(self, at: float, stored_wh: float, steps: float, load: Load, *, lost_wh: float = 0.0) -> float:
        """Expected value after `steps` half hours under a load, the wear on the way taken off."""
        table = self._table
        if table is None:
            raise RuntimeError("there is no plan yet")
        _, now = self._place(at)
        belief = self._season.belief(at)
        capacity, stored, drawn, left, place = self._battery.capacity_wh, stored_wh, 0.0, steps, now
        while left > 1e-9:
            part = min(int(place) + 1.0 - place, left)
            flow, drew = self._flow(belief, min(int(place), _STEPS + _AHEAD - 1), load, part * _HOURS)
            stored, drawn, left, place = min(stored + flow, capacity), drawn + drew, left - part, place + part
        x = (stored - lost_wh) * (_GRID - 1) / capacity
        end = min(now + steps, _STEPS + _AHEAD - 1.001)
        low, (k, f) = int(end), _bracket(belief)
        value = 0.0
        for rows, weight in ((table[low], 1.0 - end + low), (table[low + 1], end - low)):
            value += weight * ((1.0 - f) * _at(rows[k], x) + f * _at(rows[k + 1], x))
        return value - self._wear * drawn

    def snapshot(self) -> dict[str, Any]:
        """What `restore` needs: JSON types only. The tables are computed anew."""
        return {"version": _SNAPSHOT_VERSION, "season": self._season.snapshot(), "market": self.book.snapshot()}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on from a snapshot."""
        if snapshot.get("version") != _SNAPSHOT_VERSION:
            raise ValueError(f"snapshot of another version: {snapshot.get('version')}")
        self._season.restore(snapshot["season"])
        self.book.restore(snapshot["market"])


def create_planner(config: GateConfig, battery: Battery, device: Device, panel: Panel) -> Planner | None:
    """The planner that the gate's configuration asks for; `None` where it does not say what work is worth."""
    if config.market is None:
        return None
    return Planner(
        battery,
        device,
        config.market,
        panel.clear_sky_w,
        panel.longitude,
        wear_nrlc_per_wh=config.wear_nrlc_per_wh,
        nap_s=config.nap_s,
    )


def _bracket(index: float) -> tuple[int, float]:
    """The level below, and how far it is to the next."""
    k = 0
    while k < len(LEVELS) - 2 and index > LEVELS[k + 1]:
        k += 1
    return k, min(1.0, max(0.0, (index - LEVELS[k]) / (LEVELS[k + 1] - LEVELS[k])))


def _at(row: list[float], x: float) -> float:
    """Linear interpolation on the grid."""
    if x <= 0.0:
        return row[0]
    j = int(x)
    if j >= _GRID - 1:
        return row[-1]
    return row[j] + (x - j) * (row[j + 1] - row[j])


def _moved(row: list[float], shift: float, gain: float, cutoff: float) -> list[float]:
    """`gain` plus the value at every charge moved by `shift` cells, held inside the grid; where it ends below `cutoff`
    a brown-out is taken off."""
    j = math.floor(shift)
    f = shift - j
    ends = [*row[j:], *([row[-1]] * (j + 1))] if j >= 0 else [*([row[0]] * -j), *row[: _GRID + j + 1]]
    moved = [a + f * (b - a) + gain for a, b in pairwise(ends[: _GRID + 1])]
    for i in range(min(_GRID, max(0, math.ceil(cutoff - shift)))):
        moved[i] -= _BROWN_OUT
    return moved
