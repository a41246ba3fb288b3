"""Over random weather and offers: a device that asks the gate is never cut off while it owes a reveal."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from worker.energy import Action, GateConfig, Load, Offer, OpenStake, PowerReading, RunningTask
from worker.energy.battery import Battery, BatteryState, advance
from worker.energy.device import board
from worker.energy.forecast import STEP_S, Forecaster
from worker.energy.gate import Gate
from worker.energy.panel import Panel

BATTERY = Battery(48.0)
DEVICE = board("pi-4b")
PANEL = Panel(30.0, 50.9, 13.5, 50.0, 180.0)
CONFIG = GateConfig(start_above=0.15, continue_above=0.12, sleep_below=0.11, wake_above=0.17)
REVEAL_S = 7200.0
START = 1_600_041_600  # 2020-09-14T00:00Z


class Owing(RuleBasedStateMachine):
    """Tasks take at most `overrun` times what was expected; clouds may come at any time."""

    @initialize(soc=st.floats(0.12, 1.0), hour=st.integers(0, 23))
    def begin(self, soc: float, hour: int) -> None:
        self.gate = Gate(CONFIG, BATTERY, DEVICE, Forecaster(PANEL))
        self.state, self.at = BatteryState(soc * BATTERY.capacity_wh), float(START + hour * 3600)
        self.left_s = self.owed_s = self.expected_s = 0.0
        self.cut_while_owing = False

    def reading(self) -> PowerReading:
        return PowerReading(self.at, battery_soc=self.state.stored_wh / BATTERY.capacity_wh, temperature_c=15.0)

    def decide(self, offer: Offer | None = None) -> Action:
        running = (RunningTask("0x01", self.expected_s, reveal_s=REVEAL_S),) if self.left_s > 0.0 else ()
        stakes = (OpenStake("0x01", self.owed_s),) if self.left_s <= 0.0 < self.owed_s else ()
        return self.gate.decide(int(self.at), self.reading(), offer=offer, running=running, stakes=stakes).action

    @rule(hours=st.sampled_from((0.25, 0.5, 1.0, 3.0)), overrun=st.floats(0.7, 1.5))
    def offered(self, hours: float, overrun: float) -> None:
        if self.left_s > 0.0 or self.owed_s > 0.0 or self.state.cut:
            return
        offer = Offer("0x01", hours * 3600.0, reward_nrlc=1000, reveal_s=REVEAL_S)
        if self.decide(offer) is Action.RUN:
            self.left_s, self.expected_s, self.owed_s = hours * 3600.0 * overrun, hours * 3600.0, REVEAL_S

    @rule(index=st.floats(0.0, 1.1), quarters=st.integers(1, 12))
    def time_passes(self, index: float, quarters: int) -> None:
        for _ in range(quarters):
            panel_w = index * PANEL.clear_sky_w(self.at + STEP_S / 2)
            action = self.decide()
            works = self.left_s > 0.0 and action is not Action.PAUSE
            load = Load.COMPUTING if works else Load.ASLEEP if action is Action.SLEEP else Load.IDLE
            self.state, flow = advance(
                BATTERY,
                self.state,
                STEP_S,
                panel_w=panel_w,
                load_w=DEVICE.power_w(load),
                cut_load_w=DEVICE.power_w(Load.OFF),
                temperature_c=15.0,
            )
            owing = self.left_s <= 0.0 < self.owed_s
            self.cut_while_owing |= owing and bool(flow.brown_outs)
            if works:
                self.left_s = max(0.0, self.left_s - STEP_S)
                self.expected_s = max(0.0, self.expected_s - STEP_S)
            elif owing:
                self.owed_s -= STEP_S
            self.at += STEP_S
            self.gate.observe(PowerReading(self.at - 1.0, available_w=panel_w, temperature_c=15.0))

    @invariant()
    def never_cut_off_while_a_stake_is_open(self) -> None:
        assert not getattr(self, "cut_while_owing", False)


TestOwing = Owing.TestCase
TestOwing.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
