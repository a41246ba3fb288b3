"""A LiFePO4 battery as an energy count, with what makes a real one differ from a tank.

While powers are constant the stored energy obeys dE/dt = P - k E (P what enters the cells, k self-discharge), which
is solved exactly, to the very instant at which the cut-off opens or the battery is full: a span cut in two ends as if
taken in one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise

_MONTH_H = 30 * 24.0

#: Rest voltage of one LiFePO4 cell against state of charge (typical data-sheet curve).
_CELL_CURVE = (
    (0.0, 2.50),
    (0.02, 2.90),
    (0.05, 3.05),
    (0.10, 3.15),
    (0.20, 3.22),
    (0.40, 3.27),
    (0.60, 3.30),
    (0.80, 3.33),
    (0.95, 3.36),
    (1.00, 3.45),
)


@dataclass(frozen=True)
class Battery:
    """What the battery is; `BatteryState` is how it is."""

    capacity_wh: float
    charge_efficiency: float = 0.97
    discharge_efficiency: float = 0.97
    self_discharge_per_month: float = 0.03
    max_c_rate: float = 0.5  # charging power over capacity, 1/h
    min_charge_c: float = 0.0  # charging LiFePO4 below freezing plates lithium and ruins it
    cutoff_soc: float = 0.10
    recovery_soc: float = 0.20
    cells: int = 4
    resistance_ohm: float = 0.05

    @property
    def decay_per_h(self) -> float:
        return -math.log(1.0 - self.self_discharge_per_month) / _MONTH_H

    def max_charge_w(self, temperature_c: float | None) -> float:
        """Power the battery may take, W: none below freezing. An unknown temperature forbids nothing here: the cells'
        own protection measures for itself."""
        if temperature_c is not None and temperature_c < self.min_charge_c:
            return 0.0
        return self.max_c_rate * self.capacity_wh

    def voltage(self, stored_wh: float, net_w: float = 0.0) -> float:
        """Terminal voltage at a net power into (+) or out of (-) the battery, V."""
        soc = stored_wh / self.capacity_wh
        rest = self.cells * _CELL_CURVE[-1][1]
        for (low, low_v), (high, high_v) in pairwise(_CELL_CURVE):
            if soc <= high:
                rest = self.cells * (low_v + (high_v - low_v) * max(0.0, soc - low) / (high - low))
                break
        return rest + self.resistance_ohm * net_w / rest

    def stored_at(self, volts: float, net_w: float = 0.0) -> float:
        """Stored energy at which the terminal voltage would be that, Wh: `voltage` the other way round.

        Between 20 % and 90 % of charge a hundredth of a volt is a tenth of the battery.
        """
        amperes = net_w / volts if volts > 0 else 0.0
        cell = (volts - amperes * self.resistance_ohm) / self.cells
        for (low, low_v), (high, high_v) in pairwise(_CELL_CURVE):
            if cell <= high_v:
                share = max(0.0, (cell - low_v) / (high_v - low_v))
                return (low + share * (high - low)) * self.capacity_wh
        return self.capacity_wh


@dataclass(frozen=True)
class BatteryState:
    stored_wh: float
    cut: bool = False  # the low-voltage cut-off has opened and not yet recovered


@dataclass(frozen=True)
class Flow:
    """What passed over a span, Wh at the bus."""

    hours: float = 0.0
    harvested_wh: float = 0.0  # taken from the panel
    consumed_wh: float = 0.0  # drawn by the load
    curtailed_wh: float = 0.0  # offered by the panel and not taken
    lost_wh: float = 0.0  # conversion and self-discharge
    brown_outs: int = 0  # how often the cut-off opened

    def __add__(self, other: Flow) -> Flow:
        return Flow(
            self.hours + other.hours,
            self.harvested_wh + other.harvested_wh,
            self.consumed_wh + other.consumed_wh,
            self.curtailed_wh + other.curtailed_wh,
            self.lost_wh + other.lost_wh,
            self.brown_outs + other.brown_outs,
        )


def advance(
    battery: Battery,
    state: BatteryState,
    seconds: float,
    *,
    panel_w: float,
    load_w: float,
    cut_load_w: float,
    temperature_c: float | None,
) -> tuple[BatteryState, Flow]:
    """The battery after `seconds` of constant powers, and what passed.

    Sun first: the panel feeds the load, the rest charges, a lack is drawn from the battery.

    Args:
        panel_w: what the panel could give.
        load_w: what the device draws; while the cut-off is open only `cut_load_w` is drawn.
    """
    total: Flow | None = None
    left = seconds / 3600.0
    while left > 1e-12:
        load = cut_load_w if state.cut else load_w
        state, flow = _segment(battery, state, left, panel_w=panel_w, load_w=load, temperature_c=temperature_c)
        total = flow if total is None else total + flow  # mostly there is one segment
        left -= flow.hours
    return state, total or Flow()


def _segment(
    battery: Battery, state: BatteryState, hours: float, *, panel_w: float, load_w: float, temperature_c: float | None
) -> tuple[BatteryState, Flow]:
    """One stretch without an event inside; ends at the first event or after `hours`."""
    full, decay, start = battery.capacity_wh, battery.decay_per_h, state.stored_wh
    end_cut = state.cut
    if panel_w >= load_w:
        taken = load_w + min(panel_w - load_w, battery.max_charge_w(temperature_c))
        into = (taken - load_w) * battery.charge_efficiency
        target = battery.recovery_soc * full if state.cut and start < battery.recovery_soc * full else full
        if start >= full and into >= decay * full:  # held full: only self-discharge is made good
            into = decay * full
            taken = load_w + into / battery.charge_efficiency
        elif state.cut and start >= battery.recovery_soc * full:
            return replace(state, cut=False), Flow()
    else:
        taken = panel_w
        into = (panel_w - load_w) / battery.discharge_efficiency
        target = 0.0 if state.cut else battery.cutoff_soc * full
        if start <= target and not state.cut:
            return replace(state, cut=True), Flow(brown_outs=1)
        if start <= 0.0:  # nothing left to draw: the load gets what the panel gives
            load_w, into = panel_w, 0.0
    to_target = _hours_to(start, into, decay, target)
    if to_target <= hours:
        hours, end = to_target, target
        if panel_w >= load_w and state.cut and target < full:
            end_cut = False
        elif panel_w < load_w and not state.cut:
            end_cut = True
    else:
        end = into / decay + (start - into / decay) * math.exp(-decay * hours) if decay else start + into * hours
    harvested, consumed = taken * hours, load_w * hours
    flow = Flow(
        hours=hours,
        harvested_wh=harvested,
        consumed_wh=consumed,
        curtailed_wh=(panel_w - taken) * hours,
        lost_wh=harvested - consumed - (end - start),
        brown_outs=int(end_cut and not state.cut),
    )
    return BatteryState(end, end_cut), flow


def _hours_to(start: float, into: float, decay: float, target: float) -> float:
    """Hours until the stored energy meets `target`; infinite where it never does or is there already."""
    if start == target:
        return math.inf
    if not decay:
        return (target - start) / into if (target - start) * into > 0.0 else math.inf
    rest = into / decay
    ratio = (target - rest) / (start - rest) if start != rest else math.inf
    return -math.log(ratio) / decay if 0.0 < ratio < 1.0 else math.inf
