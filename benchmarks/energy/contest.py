"""The definition, version 1: systems, offers and physics in steps of 15 minutes, on numpy lanes.

A lane is one device under one stream of offers with one policy; lanes live through the same weather side by side. The
sun feeds the load first, a surplus charges, a lack is drawn. An offer stays open for its quarter of an hour. A task
that is cut off by a brown-out loses 35 % of its price as stake; a brown-out costs 1 token besides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from worker.energy.battery import Battery
from worker.energy.device import CONVERTER_EFFICIENCY, Device, Load

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

STEP_S = 900
DT = 0.25  # hours
STEPS_PER_DAY = 96
SENSING_PER_H = 0.20  # tokens
STAKE_SHARE = 0.35
BROWN_OUT = 1.0  # tokens
OFFERS_PER_H = 0.5
SPREAD = 0.6  # sigma of the log of the price of an hour, mean 1 token
DURATION_SPREAD = 0.2  # sigma of the log of true over expected duration
TASK_STEPS = (2, 4, 12)
TASK_SHARES = (0.4, 0.4, 0.2)
START_SOC = 0.6


@dataclass(frozen=True)
class System:
    """A panel, a battery and a board; watts and watt-hours at the battery's side."""

    name: str
    panel_wp: float
    battery: Battery
    device: Device

    @property
    def off_w(self) -> float:
        return self.device.power_w(Load.ASLEEP)

    @property
    def idle_w(self) -> float:
        return self.device.power_w(Load.IDLE)

    @property
    def cpu_w(self) -> float:
        return self.device.power_w(Load.COMPUTING)

    @property
    def boot_wh(self) -> float:
        return self.device.boot_s / 3600.0 * self.cpu_w

    @property
    def keep(self) -> float:
        """What a quarter of an hour leaves of the stored energy."""
        return float((1.0 - self.battery.self_discharge_per_month) ** (1.0 / 2880.0))


def _device(name: str, off: float, idle: float, cpu: float, boot_wh: float) -> Device:
    side = CONVERTER_EFFICIENCY
    return Device(name, idle * side, idle * side, cpu * side, off, boot_s=boot_wh * 3600.0 / cpu)


SYSTEMS = {
    system.name: system
    for system in (
        System("pi4-60W-256Wh", 60.0, Battery(256.0), _device("pi-4b", 0.06, 3.0, 7.1, 0.10)),
        System("pi4-30W-128Wh", 30.0, Battery(128.0), _device("pi-4b", 0.06, 3.0, 7.1, 0.10)),
        System("zero2w-10W-48Wh", 10.0, Battery(48.0), _device("pi-zero-2w", 0.02, 0.8, 2.4, 0.02)),
    )
}


@dataclass(frozen=True)
class Site:
    """A stretch of whole days: what a panel of 1 Wp gives after its controller and would under a clear sky, W; air
    temperature, degrees C. Steps of 15 minutes from `start` (Unix seconds) on."""

    name: str
    latitude: float
    longitude: float
    start: int
    panel_w: Floats
    clear_w: Floats
    temperature_c: Floats

    def __len__(self) -> int:
        return len(self.panel_w)

    @property
    def solar_offset(self) -> int:
        """Steps from local solar midnight to the first step."""
        return round((self.start + self.longitude * 240.0) % 86_400 / STEP_S) % STEPS_PER_DAY


@dataclass(frozen=True)
class Offers:
    """Streams of offers, one a seed; arrays are [step, place within the step, seed]."""

    count: Ints  # [step, seed]
    expected: Ints  # steps
    actual: Ints  # steps
    price: Floats  # tokens for the whole task


def make_offers(steps: int, seeds: tuple[int, ...]) -> Offers:
    """Poisson arrivals of tasks of 0.5, 1 and 3 hours at log-normal prices. The draws of a seed are those of the
    published definition, in its order."""
    drawn = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        count = rng.poisson(OFFERS_PER_H * DT, steps)
        total = int(count.sum())
        expected = rng.choice(TASK_STEPS, size=total, p=TASK_SHARES)
        actual = np.maximum(1, np.round(expected * rng.lognormal(0.0, DURATION_SPREAD, total))).astype(np.int64)
        price = rng.lognormal(-(SPREAD**2) / 2.0, SPREAD, total) * expected * DT
        drawn.append((count, expected, actual, price))
    places = max(1, *(int(count.max()) for count, *_ in drawn))
    shape = (steps, places, len(seeds))
    counts = np.zeros((steps, len(seeds)), np.int64)
    expecteds, actuals, prices = np.ones(shape, np.int64), np.ones(shape, np.int64), np.zeros(shape)
    for lane, (count, expected, actual, price) in enumerate(drawn):
        step = np.repeat(np.arange(steps), count)
        place = np.arange(len(step)) - np.repeat(np.cumsum(count) - count, count)
        counts[:, lane] = count
        expecteds[step, place, lane], actuals[step, place, lane], prices[step, place, lane] = expected, actual, price
    return Offers(counts, expecteds, actuals, prices)


class Policy(Protocol):
    """Decides for all lanes at once. Lane arrays are as long as `lanes`."""

    name: str
    lanes: int

    def begin(self, system: System, site: Site) -> None:
        """A new run."""

    def observe(self, step: int, panel_w: float) -> None:
        """What the panel gave, or could have given, over a step that has passed."""

    def accept(self, step: int, soc: Floats, expected: Ints, price: Floats, asked: Bools) -> Bools:
        """Which of the lanes that are asked take what they are offered."""
        ...

    def rest(self, step: int, soc: Floats, asked: Bools) -> Ints:
        """For how many steps each free lane goes to sleep; 0 stays up (and senses)."""
        ...


@dataclass(frozen=True)
class Outcome:
    """One lane's year."""

    score: Floats
    tasks_done: Ints
    tasks_lost: Ints
    brown_outs: Ints
    iot_uptime: Floats
    min_soc: Floats
    harvested_wh: Floats
    consumed_wh: Floats
    wakes: Ints
    cycles: Floats  # equivalent full cycles


def simulate(system: System, site: Site, offers: Offers, policy: Policy, stream: Ints) -> Outcome:  # noqa: PLR0915
    """A policy's run; lane j hears the stream of offers `stream[j]`."""
    battery, lanes, steps = system.battery, policy.lanes, len(site)
    capacity, cut = battery.capacity_wh, battery.cutoff_soc * battery.capacity_wh
    recover, keep = battery.recovery_soc, system.keep
    eta_in, eta_out = battery.charge_efficiency, battery.discharge_efficiency
    sun_wh = site.panel_w * system.panel_wp * DT
    most_wh = np.where(site.temperature_c >= battery.min_charge_c, battery.max_c_rate * capacity * DT, 0.0)
    off_wh, idle_wh, cpu_wh = system.off_w * DT, system.idle_w * DT, system.cpu_w * DT
    count, most = offers.count[:, stream], offers.count.max(axis=1)
    stored = np.full(lanes, START_SOC * capacity)
    busy, wake_at = np.zeros(lanes, np.int64), np.zeros(lanes, np.int64)
    on, brown = np.ones(lanes, bool), np.zeros(lanes, bool)
    prize, score, harvested, consumed, cycled = (np.zeros(lanes) for _ in range(5))
    done, lost, browns, up, wakes = (np.zeros(lanes, np.int64) for _ in range(5))
    lowest = np.ones(lanes)
    policy.begin(system, site)
    for step in range(steps):
        if step:
            policy.observe(step - 1, sun_wh[step - 1] / DT)
        soc = stored / capacity
        risen = (brown & (soc >= recover)) | (~brown & ~on & (step >= wake_at))
        brown &= ~risen
        on |= risen
        wakes += risen
        free = on & (busy == 0)
        for place in range(most[step]):
            asked = free & (count[step] > place)
            if asked.any():
                price = offers.price[step, place, stream]
                taken = asked & policy.accept(step, soc, offers.expected[step, place, stream], price, asked)
                busy = np.where(taken, offers.actual[step, place, stream], busy)
                prize = np.where(taken, price, prize)
                free &= ~taken
        if free.any():
            rest = np.where(free, policy.rest(step, soc, free), 0)
            sleeps = rest > 0
            on &= ~sleeps
            wake_at = np.where(sleeps, step + rest, wake_at)
        working = busy > 0
        load = np.where(working, cpu_wh, np.where(on, idle_wh, off_wh)) + risen * system.boot_wh
        sun = sun_wh[step]
        surplus = sun - load
        charge = np.minimum(np.minimum(np.maximum(surplus, 0.0), most_wh[step]), (capacity - stored) / eta_in)
        drawn = np.maximum(-surplus, 0.0) / eta_out
        cuts = on & (surplus < 0.0) & (stored - drawn < cut)
        if cuts.any():
            browns += cuts
            gone = cuts & working
            lost += gone
            score -= cuts * BROWN_OUT + gone * STAKE_SHARE * prize
            busy[gone] = 0
            on &= ~cuts
            brown |= cuts
            drawn = np.where(cuts, max(0.0, off_wh - sun) / eta_out, drawn)
            load = np.where(cuts, off_wh, load)
        before = stored
        stored = np.maximum(0.0, stored + charge * eta_in - drawn) * keep
        harvested += np.where(surplus >= 0.0, load + charge, sun)
        consumed += load
        awake = on & ~brown
        score += awake * (SENSING_PER_H * DT)
        up += awake
        ends = busy == 1
        score += ends * prize
        done += ends
        busy = np.maximum(busy - 1, 0)
        lowest = np.minimum(lowest, stored / capacity)
        cycled += np.abs(stored - before)
    return Outcome(score, done, lost, browns, up / steps, lowest, harvested, consumed, wakes, cycled / capacity / 2.0)
