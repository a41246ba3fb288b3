"""Plans on the dynamics of the year: what stored energy is worth, by the hour and by the weather of the day.

A day has one of six classes of clear-sky index, which follow each other as a Markov chain learnt from the device's
own days. Backward induction over the half hours of a day, repeated day upon day on the value the next day begins
with, gives the value of every state of charge. Offers arrive at random with log-normal prices; the device may idle
(and sense), compute or sleep. Values are in hours of typical reward, so the tables stay near 1.

The work is cut into slices of one half hour (some milliseconds), so that no reading waits for a plan.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from worker.energy.battery import Battery
from worker.energy.device import Device, Load

_STEP_S = 1800
_STEPS = 48
_AHEAD = 8  # half hours of the day after that a table carries, for tasks that run past midnight
_DAY_S = 86_400
_LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9, 1.05)
_GRID = 41
_PERSISTENCE = 0.4  # chance that tomorrow is of today's class because today is
_MEMORY_DAYS = 45.0
_FIRST_DAYS = 20  # days' worth of iteration before the first plan is used
_DAYS_PER_DAY = 2
_BROWN_OUT = 5.0  # worth of never planning through the cut-off, hours of reward
_TASKS = ((1, 0.4), (2, 0.4), (6, 0.2))  # half hours, share
_SNAPSHOT_VERSION = 1


class Market(BaseModel):
    """What work is worth around here; the plan weighs it against the energy."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task_nrlc_per_h: float = Field(gt=0, description="mean reward, less gas, of an hour of computing")
    sensing_nrlc_per_h: float = Field(0.0, ge=0, description="what an hour awake is worth as a sensor")
    offers_per_h: float = Field(0.5, gt=0)
    spread: float = Field(0.6, gt=0, le=3, description="sigma of the log of the reward of an hour")


class Planner:
    """Value of stored energy for one battery, device and panel.

    Args:
        clear_sky_w: power of the panel under a clear sky at an instant (Unix seconds of the source's clock).
        longitude: degrees; days begin at local solar midnight.
    """

    def __init__(
        self, battery: Battery, device: Device, market: Market, clear_sky_w: Callable[[float], float], longitude: float
    ) -> None:
        self._battery = battery
        self._device = device
        self._market = market
        self._clear_sky_w = clear_sky_w
        self._offset_s = longitude / 360.0 * _DAY_S
        self._gain = _option_values(market.spread)
        self._sensing = market.sensing_nrlc_per_h / market.task_nrlc_per_h
        self._arrival = 1.0 - math.exp(-market.offers_per_h * _STEP_S / 3600.0)
        self._classes = [1.0 / len(_LEVELS)] * len(_LEVELS)
        self._today = list(self._classes)  # chances of today's class before the day began
        self._days = 0
        self._day: int | None = None
        self._seen = [0.0, 0.0]  # available and clear energy of today so far
        self._cold = [False] * _STEPS
        self._next: list[list[list[float]]] | None = None  # tables of the iteration before
        self._table: list[list[list[float]]] | None = None  # [half hour][class][charge]
        self._table_day: int | None = None
        self._building: list[list[list[float]]] = []
        self._building_day: int | None = None
        self._clear_wh: list[float] = []
        self._rounds_left = 0

    @property
    def ready(self) -> bool:
        """Whether there is a plan for the day."""
        return self._table is not None

    def observe(self, at: float, seconds: float, available_w: float | None, temperature_c: float | None) -> None:
        """Take what the panel could give, on the mean, over `seconds` from `at` on. Unknown teaches nothing."""
        day, step, _ = self._place(at)
        if day != self._day:
            self._end_day()
            self._day = day
        if temperature_c is not None:
            self._cold[step] = temperature_c < self._battery.min_charge_c
        if available_w is not None:
            self._seen[0] += available_w * seconds
            self._seen[1] += self._clear_sky_w(at + seconds / 2.0) * seconds

    def work(self, at: float) -> None:
        """Do one slice of planning for the day that holds `at`; nothing to do once the day's plan stands."""
        day, _, _ = self._place(at)
        if self._building_day != day:
            self._building_day = day
            self._building = []
            self._rounds_left = _FIRST_DAYS if self._next is None else _DAYS_PER_DAY
            start = day * _DAY_S - self._offset_s
            clear = [self._clear_sky_w(start + (step + 0.5) * _STEP_S) * _STEP_S / 3600.0 for step in range(_STEPS)]
            self._clear_wh = clear + clear[:_AHEAD]
        if not self._rounds_left:
            return
        if not self._building:
            self._building = self._tomorrow()
        self._building.insert(0, self._slice(_STEPS + _AHEAD - 1 - len(self._building)))
        if len(self._building) == _STEPS + _AHEAD:
            self._rounds_left -= 1
            level = sum(map(sum, self._building[0])) / (len(_LEVELS) * _GRID)
            tables = [[[v - level for v in row] for row in rows] for rows in self._building]
            self._next, self._building = tables[:_STEPS], []
            if not self._rounds_left:
                self._table, self._table_day = tables, day

    def ask_nrlc(self, at: float, stored_wh: float, seconds: float) -> float | None:
        """The least reward, less gas, for which a task of that many seconds (source's clock) is worth its energy and
        time.

        `None` while there is no plan.
        """
        if self._table is None:
            return None
        steps = min(_AHEAD - 1.0, seconds / _STEP_S)
        after = self._mean(at, stored_wh, steps, Load.COMPUTING)
        gain = self._sensing * steps * _STEP_S / 3600.0
        idle = self._mean(at, stored_wh, 0.5, Load.IDLE) + self._sensing * 0.25
        ask = max(0.0, idle - after - gain) * (seconds / _STEP_S / steps if steps else 1.0)
        return ask * self._market.task_nrlc_per_h

    def sleeps(self, at: float, stored_wh: float) -> bool:
        """Whether an hour of sleep is worth more than staying up for what may be offered."""
        if self._table is None:
            return False
        idle = self._mean(at, stored_wh, 0.5, Load.IDLE) + self._sensing * 0.25
        boot_wh = self._device.boot_s / 3600.0 * self._device.power_w(Load.COMPUTING)
        return self._mean(at, stored_wh, 2.0, Load.ASLEEP, lost_wh=boot_wh) > idle

    def expected_index(self, at: float) -> float:
        """The day's clear-sky index as it looks at `at`."""
        return sum(w * level for w, level in zip(self._weights(at), _LEVELS, strict=True))

    def _place(self, at: float) -> tuple[int, int, float]:
        day, second = divmod(at + self._offset_s, _DAY_S)
        return int(day), int(second // _STEP_S), second / _STEP_S

    def _end_day(self) -> None:
        available, clear = self._seen
        self._seen = [0.0, 0.0]
        if self._day is None or clear <= 0.0:
            self._today = list(self._classes)
            return
        index = available / clear
        weights = _normal([math.exp(-(((index - level) / 0.1) ** 2) / 2.0) + 1e-9 for level in _LEVELS])
        self._days += 1
        rate = max(1.0 / _MEMORY_DAYS, 1.0 / (self._days + 6))
        self._classes = [c + (w - c) * rate for c, w in zip(self._classes, weights, strict=True)]
        self._today = [_PERSISTENCE * w + (1.0 - _PERSISTENCE) * c for c, w in zip(self._classes, weights, strict=True)]

    def _weights(self, at: float) -> list[float]:
        """Chances of the classes of today, given what it has shown so far."""
        day, _, _ = self._place(at)
        available, clear = self._seen
        total = sum(self._clear_wh[:_STEPS]) * 3600.0
        if day != self._day or not total or clear < 0.01 * total:
            return self._today
        share = min(0.999, clear / total)
        width = 0.125 * math.sqrt((1.0 - share) / share) + 0.05
        index = available / clear
        return _normal(
            [
                w * (math.exp(-(((index - level) / width) ** 2) / 2.0) + 1e-9)
                for w, level in zip(self._today, _LEVELS, strict=True)
            ]
        )

    def _tomorrow(self) -> list[list[list[float]]]:
        """The first half hours of the next day as each class of today expects them."""
        if self._next is None:
            capacity = self._battery.capacity_wh
            row = [0.1 * capacity * i / (_GRID - 1) for i in range(_GRID)]
            self._next = [[list(row) for _ in _LEVELS] for _ in range(_STEPS)]
        ahead = []
        for step in range(_AHEAD):
            rows = self._next[step]
            blend = [sum(c * row[i] for c, row in zip(self._classes, rows, strict=True)) for i in range(_GRID)]
            ahead.append(
                [
                    [_PERSISTENCE * own + (1.0 - _PERSISTENCE) * all_ for own, all_ in zip(row, blend, strict=True)]
                    for row in rows
                ]
            )
        return ahead

    def _shift(self, level: float, step: int, load: Load) -> tuple[float, float]:
        """Energy that enters and that leaves the cells in a half hour, Wh."""
        battery = self._battery
        net = level * self._clear_wh[step] - self._device.power_w(load) * _STEP_S / 3600.0
        if net < 0.0:
            return 0.0, net / battery.discharge_efficiency
        if self._cold[step % _STEPS]:
            return 0.0, 0.0
        return min(net, battery.max_c_rate * battery.capacity_wh * _STEP_S / 3600.0) * battery.charge_efficiency, 0.0

    def _slice(self, step: int) -> list[list[float]]:
        """One half hour of backward induction; `self._building[0]` is the half hour after it."""
        capacity = self._battery.capacity_wh
        cutoff = self._battery.cutoff_soc * capacity
        pitch = capacity / (_GRID - 1)
        keep = math.exp(-self._battery.decay_per_h * _STEP_S / 3600.0)
        boot_wh = self._device.boot_s / 3600.0 * self._device.power_w(Load.COMPUTING) / 2.0
        sensing = self._sensing * _STEP_S / 3600.0
        gain, arrival = self._gain, self._arrival
        out = []
        for k, level in enumerate(_LEVELS):
            after = [rows[k] for rows in self._building]
            idle_in, idle_out = self._shift(level, step, Load.IDLE)
            sleep_in, sleep_out = self._shift(level, step, Load.ASLEEP)
            computing = [self._shift(level, step + i, Load.COMPUTING) for i in range(_TASKS[-1][0])]
            row = []
            for i in range(_GRID):
                stored = i * pitch
                e = (min(stored + idle_in, capacity) + idle_out) * keep
                up = sensing + _at(after[0], e / pitch) - (_BROWN_OUT if e < cutoff else 0.0)
                e = (min(stored + sleep_in, capacity) + sleep_out) * keep - boot_wh
                asleep = _at(after[0], e / pitch)
                offered, e, done = 0.0, stored, 0
                for steps, share in _TASKS:
                    while done < steps:
                        flow_in, flow_out = computing[done]
                        e = (min(e + flow_in, capacity) + flow_out) * keep
                        done += 1
                    hours = steps * _STEP_S / 3600.0
                    taken = steps * sensing + _at(after[steps - 1], e / pitch) - (_BROWN_OUT if e < cutoff else 0.0)
                    z = (up - taken) / hours
                    offered += share * hours * (1.0 - z if z <= 0.0 else gain[min(int(z * 100.0), 1200)])
                row.append(max(up + arrival * offered, asleep))
            out.append(row)
        return out

    def _mean(self, at: float, stored_wh: float, steps: float, load: Load, *, lost_wh: float = 0.0) -> float:
        """Expected value after `steps` half hours under a load."""
        table = self._table
        if table is None:
            raise RuntimeError("there is no plan yet")
        capacity = self._battery.capacity_wh
        pitch = capacity / (_GRID - 1)
        _, first, now = self._place(at)
        end = min(now + steps, len(table) - 1.001)
        low = int(end)
        value = 0.0
        for k, (weight, level) in enumerate(zip(self._weights(at), _LEVELS, strict=True)):
            e, left, step = stored_wh, steps, first
            while left > 1e-9:
                part = min(1.0, left)
                flow_in, flow_out = self._shift(level, min(step, _STEPS + _AHEAD - 1), load)
                e = min(e + flow_in * part, capacity) + flow_out * part
                left -= part
                step += 1
            x = (e - lost_wh) / pitch
            here = _at(table[low][k], x)
            value += weight * (here + (end - low) * (_at(table[low + 1][k], x) - here))
        return value

    def snapshot(self) -> dict[str, Any]:
        """What `restore` needs: JSON types only. The tables are computed anew."""
        return {
            "version": _SNAPSHOT_VERSION,
            "classes": list(self._classes),
            "today": list(self._today),
            "days": self._days,
            "day": self._day,
            "seen": list(self._seen),
            "cold": list(self._cold),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on from a snapshot."""
        if snapshot.get("version") != _SNAPSHOT_VERSION:
            raise ValueError(f"snapshot of another version: {snapshot.get('version')}")
        self._classes = list(snapshot["classes"])
        self._today = list(snapshot["today"])
        self._days = snapshot["days"]
        self._day = snapshot["day"]
        self._seen = list(snapshot["seen"])
        self._cold = list(snapshot["cold"])


def _at(row: list[float], x: float) -> float:
    """Linear interpolation on the grid."""
    if x <= 0.0:
        return row[0]
    j = int(x)
    if j >= _GRID - 1:
        return row[-1]
    return row[j] + (x - j) * (row[j + 1] - row[j])


def _normal(weights: list[float]) -> list[float]:
    total = sum(weights)
    return [w / total for w in weights]


def _option_values(spread: float) -> list[float]:
    """E[max(0, p - z)] for z = 0, 0.01, ... 12 and p log-normal with mean 1 (Black's formula)."""

    def phi(x: float) -> float:
        return 0.5 * (1.0 + math.erf(x / math.sqrt(2.0)))

    values = []
    for i in range(1201):
        z = max(i / 100.0, 1e-9)
        d1 = (spread * spread / 2.0 - math.log(z)) / spread
        values.append(phi(d1) - z * phi(d1 - spread))
    return values
