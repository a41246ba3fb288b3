"""Our gate in the contest: `worker.energy.gate.Gate` itself, one a lane, asked through the calls that the worker uses.

It is told what a worker would be: what the meter measured, its state of charge and temperature, and what is offered.
One configuration serves all places and systems. The plan of a day depends on weather and device alone, so lanes with
the same past share the computation of its tables.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from benchmarks.energy.contest import (
    OFFERS_PER_H,
    SENSING_PER_H,
    SPREAD,
    STEP_S,
    STEPS_PER_DAY,
    Bools,
    Floats,
    Ints,
    Site,
    System,
)
from simulator.sharing import SharedPlanner
from worker.energy import Action, GateConfig, Market, Offer, PowerReading
from worker.energy.forecast import Forecaster
from worker.energy.gate import Gate
from worker.energy.panel import Panel
from worker.energy.planner import Table

NAME = "gate"
TOKEN_NRLC = 1_000_000
MARKET = Market(
    task_nrlc_per_h=TOKEN_NRLC,
    sensing_nrlc_per_h=SENSING_PER_H * TOKEN_NRLC,
    offers_per_h=OFFERS_PER_H,
    spread=SPREAD,
)
#: What an operator writes; the same for all.
CONFIG = GateConfig(
    start_above=0.12,
    continue_above=0.11,
    sleep_below=0.11,
    wake_above=0.13,
    hysteresis=0.02,
    reserve_soc=0.03,
    dwell_s=900,
    overrun=1.6,
    market=MARKET,
)
_UP_S = 60  # a woken worker has listened after so long


@dataclass(frozen=True)
class SitePanel(Panel):
    """The panel whose clear-sky power is looked up instead of computed each time."""

    start: int = 0
    clear_w: tuple[float, ...] = field(default=(), repr=False)

    def clear_sky_w(self, at: float, temperature_c: float = 15.0) -> float:  # noqa: ARG002
        step, steps = int((at - self.start) // STEP_S), len(self.clear_w)
        if not 0 <= step < steps:  # the days around the record are like its own first and last
            step = step % STEPS_PER_DAY + (0 if step < 0 else steps - STEPS_PER_DAY)
        return self.clear_w[step]


def panel_of(site: Site, peak_w: float) -> SitePanel:
    """What the worker is told of its panel."""
    clear_w = tuple((site.clear_w * peak_w).tolist())
    return SitePanel(
        peak_w, site.latitude, site.longitude, abs(site.latitude), 180.0, start=site.start, clear_w=clear_w
    )


class Gates:
    """The policy."""

    name = NAME

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        self.decision_ms: list[list[float]] = [[] for _ in range(lanes)]

    def begin(self, system: System, site: Site) -> None:
        self._start = site.start
        self._temperature = site.temperature_c.tolist()
        self._soc = np.full(self.lanes, 0.6)
        self._offers = 0
        panel = panel_of(site, system.panel_wp)
        tables: dict[int, tuple[Table, Table]] = {}
        self._gates = []
        for _ in range(self.lanes):
            planner = SharedPlanner(system.battery, system.device, MARKET, panel.clear_sky_w, panel.longitude)
            forecaster = Forecaster(panel)
            gate = Gate(CONFIG, system.battery, system.device, forecaster, planner=planner.share(tables))
            self._gates.append(gate)
        self._learn(PowerReading(at=float(site.start), battery_soc=0.6, temperature_c=self._temperature[0]))

    def _learn(self, reading: PowerReading) -> None:
        for gate in self._gates:
            gate.observe(reading)
            while gate.planning(reading.at):  # a worker reads every few seconds: the day's plan stands at once
                gate.observe(reading)

    def observe(self, step: int, panel_w: float) -> None:
        at = float(self._start + (step + 1) * STEP_S)
        self._learn(PowerReading(at=at - 1e-3, available_w=panel_w, temperature_c=self._temperature[step]))
        self._temperature_now = self._temperature[step]

    def _reading(self, step: int, soc: float, late_s: int = 0) -> PowerReading:
        temperature = self._temperature[max(0, step - 1)]
        at = float(self._start + step * STEP_S + late_s)
        return PowerReading(at=at, battery_soc=soc, temperature_c=temperature)

    def accept(self, step: int, soc: Floats, expected: Ints, price: Floats, asked: Bools) -> Bools:
        answer = np.zeros(self.lanes, bool)
        for lane in np.flatnonzero(asked):
            self._offers += 1
            offer = Offer(
                f"0x{self._offers:064x}",
                seconds=float(expected[lane] * STEP_S),
                reward_nrlc=round(float(price[lane]) * TOKEN_NRLC),
                reveal_s=0.0,
            )
            began = time.perf_counter()
            decision = self._gates[lane].decide(
                self._start + step * STEP_S, self._reading(step, float(soc[lane])), offer=offer
            )
            self.decision_ms[lane].append(1e3 * (time.perf_counter() - began))
            answer[lane] = decision.action is Action.RUN
        return answer

    def rest(self, step: int, soc: Floats, asked: Bools) -> Ints:
        answer = np.zeros(self.lanes, np.int64)
        now = self._start + step * STEP_S + _UP_S
        for lane in np.flatnonzero(asked):
            began = time.perf_counter()
            decision = self._gates[lane].decide(now, self._reading(step, float(soc[lane]), _UP_S))
            self.decision_ms[lane].append(1e3 * (time.perf_counter() - began))
            if decision.action is Action.SLEEP:
                until = decision.resume_at if decision.resume_at is not None else now + 4 * STEP_S
                answer[lane] = max(1, -(-(until - self._start) // STEP_S) - step)
        return answer
