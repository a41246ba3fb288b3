"""The energy gate: the only place that decides whether to run, decline, pause, sleep or drain.

`decide` is pure: it is given the state, the situation and the configuration, and answers with the action, the reason
in words and the condition that ends it. `Gate` beside it only remembers the state and feeds the forecast.

Seconds of tasks are the worker's (wall clock). The sun, the battery and the dwell live on the source's clock, which a
simulation runs `speed` times as fast.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from worker.energy.battery import Battery
from worker.energy.device import Device, Load
from worker.energy.forecast import STEP_S, Forecaster
from worker.energy.plan import longest_run_s, lowest_ahead, project, seconds_until
from worker.energy.planner import Planner
from worker.energy.sensing import Sensing, may_sense
from worker.energy.situation import (
    Action,
    Decision,
    GateConfig,
    GateState,
    Mode,
    Offer,
    OpenStake,
    RunningTask,
    Situation,
    floor_wh,
    paused,
    price_nrlc_per_wh,
    rlc,
    soc_of,
    sum_of,
)
from worker.energy.source import PowerReading

_SNAPSHOT_VERSION = 1
_SHORTEST_REST_S = 120.0
#: Of the time that a reveal may take: what is left of it is for the board to start and the transaction to be mined.
_LOOK_SHARE = 0.6


_RANK = {Mode.ASLEEP: 0, Mode.PAUSED: 1, Mode.RESERVED: 2, Mode.WILLING: 3}


def decide(state: GateState, situation: Situation, config: GateConfig) -> Decision:
    """Decide what the worker does now, and with the offer if there is one.

    Without an offer the answer is about the worker as it stands: run (and be willing), decline (stay up, take
    nothing), pause, sleep or drain. With an offer it is run or decline, unless the worker must pause, sleep or drain
    anyway.
    """
    decision = _decide(state, situation, config)
    wake_at = situation.wake_at
    if decision.action is Action.SLEEP and wake_at is not None and situation.now < wake_at:
        return replace(decision, resume_at=round(min(wake_at, decision.resume_at or wake_at)))
    return decision


def _decide(state: GateState, situation: Situation, config: GateConfig) -> Decision:
    soc = situation.soc
    if soc is None:
        if situation.paused:
            return paused(state, situation)
        doing = "what runs goes on" if situation.running else "no new work is taken"
        return Decision(
            Action.DECLINE,
            f"the state of charge is unknown; {doing}",
            "a reading of the battery arrives",
            state,
        )
    state = _next_state(state, soc, situation, config)
    if state.mode is Mode.ASLEEP:
        return _sleep(state, soc, situation, config)
    if situation.paused:
        return paused(state, situation)
    if state.mode is Mode.PAUSED and situation.running:
        lowest, _ = lowest_ahead(soc * situation.battery.capacity_wh, None, situation, config)
        floor = floor_wh(situation.battery, config)
        if lowest >= floor:
            return Decision(
                Action.DECLINE,
                f"battery at {soc:.0%}: what runs can be revealed with {lowest:.1f} Wh left, nothing is added to it",
                f"the battery is above {config.start_above:.0%}",
                state,
            )
        return Decision(
            Action.PAUSE,
            f"battery at {soc:.0%}: what runs could bring it to {lowest:.1f} Wh, {floor:.1f} Wh are kept in reserve",
            f"the battery is above {config.continue_above + config.hysteresis:.0%}",
            state,
            _resume_at(situation, soc, config.continue_above + config.hysteresis, Load.IDLE),
        )
    if situation.draining:
        return Decision(
            Action.DECLINE if situation.running else Action.DRAIN,
            "the operator drains this worker: what is open is finished, nothing is added",
            "the operator lets it work again",
            state,
        )
    if state.mode is not Mode.WILLING:
        return Decision(
            Action.DECLINE,
            f"battery at {soc:.0%}: new work starts above {config.start_above:.0%}",
            f"the battery is above {config.start_above:.0%}, {config.dwell_s} s or more after the last change",
            state,
            _resume_at(situation, soc, config.start_above, Load.IDLE),
        )
    if not situation.running and not situation.stakes:
        resting = _rest(state, soc, situation, config)
        if resting is not None:
            return resting
    if situation.offer is None:
        return Decision(
            Action.RUN,
            f"battery at {soc:.0%}",
            f"the battery is below {config.start_above - config.hysteresis:.0%}",
            state,
        )
    return _weigh(state, soc, situation.offer, situation, config)


def _rest(state: GateState, soc: float, situation: Situation, config: GateConfig) -> Decision | None:
    """The sleep that the planner chose: begun when it pays, slept to its end, and not begun again before the worker
    has listened for what was waiting. Ends lie on the source's quarter hours."""
    at, listen_s = situation.reading.at, config.listen_s * situation.speed
    if situation.wake_at is not None and situation.wake_at <= situation.now < situation.wake_at + config.woken_s:
        return None
    if at >= state.rest_until:
        if not situation.rest_s or at < state.rest_until + listen_s:
            return None
        end = at // STEP_S * STEP_S + max(situation.rest_s, 4.0 * listen_s)
        state = replace(state, rest_until=end if end - at > _SHORTEST_REST_S else end + STEP_S)
    minutes = (state.rest_until - at) / 60.0
    return Decision(
        Action.SLEEP,
        f"battery at {soc:.0%}: the energy of staying up is worth more than sensing and what may be offered meanwhile",
        f"{minutes:.0f} minutes have passed",
        state,
        situation.now + max(1, round((state.rest_until - at) / situation.speed)),
    )


def _next_state(state: GateState, soc: float, situation: Situation, config: GateConfig) -> GateState:
    """Down at once, up only past the hysteresis and after the dwell."""
    up = config.hysteresis
    low = state.mode is Mode.ASLEEP
    if soc < (config.wake_above if low else config.sleep_below):
        mode = Mode.ASLEEP
    elif soc < config.continue_above + (up if _RANK[state.mode] <= _RANK[Mode.PAUSED] else 0.0):
        mode = Mode.PAUSED
    elif soc < config.start_above - (up if state.mode is Mode.WILLING else 0.0):
        mode = Mode.RESERVED
    else:
        mode = Mode.WILLING
    if mode is state.mode:
        return state
    at = situation.reading.at
    if _RANK[mode] > _RANK[state.mode] and at - state.since < config.dwell_s:
        return state
    return GateState(mode, at, state.rest_until)


def _sleep(state: GateState, soc: float, situation: Situation, config: GateConfig) -> Decision:
    battery = situation.battery
    stored = soc * battery.capacity_wh
    resume_at = _resume_at(situation, soc, config.wake_above, Load.ASLEEP)
    longest = situation.now + round(config.max_sleep_s / situation.speed)
    resume_at = longest if resume_at is None else min(resume_at, longest)
    awake_w = situation.device.power_w(Load.IDLE)
    until = f"the battery is above {config.wake_above:.0%}"
    if not situation.stakes:
        return Decision(
            Action.SLEEP, f"battery at {soc:.0%}, awake above {config.sleep_below:.0%}", until, state, resume_at
        )
    path = project(battery, stored, lambda _: awake_w, situation.stakes_s, situation.forecast)
    lowest = min(path, default=stored)
    if lowest > battery.cutoff_soc * battery.capacity_wh:
        return Decision(
            Action.DRAIN,
            f"battery at {soc:.0%}: only what is staked is brought to its reveal ({len(situation.stakes)} open)",
            "the last reveal is mined",
            state,
        )
    lack = battery.cutoff_soc * battery.capacity_wh - lowest
    # a consensus that comes while it sleeps leaves its reveal window: it wakes and looks before that ends
    look_at = situation.now + max(1, round(_LOOK_SHARE * min(stake.seconds_left for stake in situation.stakes)))
    return Decision(
        Action.SLEEP,
        f"battery at {soc:.0%}: {lack:.1f} Wh are lacking to stay up until the reveal of {situation.stakes[0].task_id}",
        f"{until}, or it is time to look for a reveal" if look_at < resume_at else until,
        state,
        min(resume_at, look_at),
    )


def _weigh(state: GateState, soc: float, offer: Offer, situation: Situation, config: GateConfig) -> Decision:
    """The offer against money, time, energy and the price of energy, in this order."""
    net = offer.reward_nrlc - offer.gas_nrlc
    if net < config.min_net_reward_nrlc:
        return Decision(
            Action.DECLINE,
            f"it does not pay: {sum_of(offer.reward_nrlc, offer.gas_nrlc)}, "
            f"at least {rlc(config.min_net_reward_nrlc)} RLC are asked",
            "a task pays more or gas is cheaper",
            state,
        )
    waiting = sum(task.seconds_left for task in situation.running)
    ends = situation.now + waiting + offer.seconds * config.overrun
    if offer.contribution_deadline is not None and ends > offer.contribution_deadline:
        return Decision(
            Action.DECLINE,
            f"it may take until {ends - offer.contribution_deadline:.0f} s past its contribution deadline",
            "a task leaves more time",
            state,
        )
    battery, floor = situation.battery, floor_wh(situation.battery, config)
    lowest, need = lowest_ahead(soc * battery.capacity_wh, offer, situation, config)
    if lowest < floor:
        return Decision(
            Action.DECLINE,
            f"it needs {need:.1f} Wh until its reveal: the battery could fall to {lowest:.1f} Wh, "
            f"{floor:.1f} Wh are kept in reserve",
            f"the battery holds {floor - lowest:.1f} Wh more, or a task needs less",
            state,
            _resume_at(situation, soc, min(1.0, soc + (floor - lowest) / battery.capacity_wh), Load.IDLE),
        )
    ask = situation.ask_nrlc
    if ask is None:
        watts = situation.device.power_w(Load.COMPUTING) - situation.device.power_w(Load.IDLE)
        compute_wh = watts * offer.seconds * situation.speed / 3600.0
        ask = price_nrlc_per_wh(soc, situation, config) * compute_wh
    if net < ask:
        return Decision(
            Action.DECLINE,
            f"{net} nRLC are offered: at {soc:.0%} and with the sun to come its energy is worth {ask:.0f} nRLC",
            "the battery is fuller, more sun is to come, or a task pays more",
            state,
        )
    return Decision(
        Action.RUN,
        f"battery at {soc:.0%}: {net} nRLC for {need:.1f} Wh, at worst {lowest:.1f} Wh are left",
        f"it is revealed, or the battery is below {config.continue_above:.0%}",
        state,
    )


def _resume_at(situation: Situation, soc: float, goal_soc: float, load: Load) -> int | None:
    """When the battery is expected to reach a state of charge, on the worker's clock; `None` if the forecast does not
    show it."""
    battery = situation.battery
    seconds = seconds_until(
        battery,
        soc * battery.capacity_wh,
        goal_soc * battery.capacity_wh,
        situation.device.power_w(load),
        situation.forecast,
    )
    return None if seconds is None else situation.now + max(1, round(seconds / situation.speed))


class Gate:
    """Holds the gate's state and its forecaster for one worker; `decide` does the thinking."""

    def __init__(
        self,
        config: GateConfig,
        battery: Battery,
        device: Device,
        forecaster: Forecaster,
        *,
        planner: Planner | None = None,
        speed: float = 1.0,
    ) -> None:
        self._config = config
        self._battery = battery
        self._device = device
        self._forecaster = forecaster
        self._planner = planner
        self._last_at: float | None = None
        self._speed = speed
        self._state = GateState()
        self._sensing = False
        self._waits = False  # a task could have been offered since the last reading
        self._step: int | None = None
        self._step_sum = 0.0
        self._step_count = 0

    def observe(self, reading: PowerReading) -> None:
        """Let the forecast learn from a reading; call it with every reading. A step of 15 minutes counts by its
        mean."""
        step = int(reading.at // STEP_S)
        if self._step is not None and step != self._step:
            mean = self._step_sum / self._step_count if self._step_count else None
            self._forecaster.observe(self._step * STEP_S, mean)
            self._step_sum, self._step_count = 0.0, 0
        self._step = step
        if reading.available_w is not None:
            self._step_sum += reading.available_w
            self._step_count += 1
        if self._planner is not None:
            if self._last_at is not None and 0.0 < reading.at - self._last_at <= STEP_S:
                seconds = reading.at - self._last_at
                self._planner.observe(self._last_at, seconds, reading.available_w, reading.temperature_c)
                if self._waits:
                    self._planner.book.waited(seconds / 3600.0)
            self._planner.work(reading.at)
        self._last_at = reading.at

    def planning(self, at: float) -> bool:
        """Whether the plan of the day that holds `at` (the source's clock) is still being made, a slice at each
        reading."""
        return self._planner is not None and self._planner.planning(at)

    def decide(
        self,
        now: int,
        reading: PowerReading,
        *,
        offer: Offer | None = None,
        running: tuple[RunningTask, ...] = (),
        stakes: tuple[OpenStake, ...] = (),
        draining: bool = False,
        pause_until: float | None = None,
        wake_at: float | None = None,
    ) -> Decision:
        """Decide with this worker's battery, device and forecast."""
        situation = Situation(
            now=now,
            reading=reading,
            battery=self._battery,
            device=self._device,
            speed=self._speed,
            offer=offer,
            running=running,
            stakes=stakes,
            draining=draining,
            pause_until=pause_until,
            wake_at=wake_at,
        )
        soc, config = situation.soc, self._config
        if offer or running or stakes or (soc is not None and soc < config.start_above + config.hysteresis):
            situation = replace(situation, forecast=self._forecaster.forecast(reading.at, hours=48.0))
        if self._planner is not None and soc is not None:
            situation = self._planned(self._planner, situation, soc)
        decision = decide(self._state, situation, config)
        self._state = decision.state
        self._waits = not running and (decision.action is Action.RUN or reading.at < decision.state.rest_until)
        return decision

    def longest_run_s(self, reading: PowerReading, running: tuple[RunningTask, ...]) -> int | None:
        """The longest run that would be accepted for its energy, seconds; None where a day is not too long."""
        soc = soc_of(reading, self._battery)
        if soc is None:
            return None
        forecast = self._forecaster.forecast(reading.at, hours=48.0)
        now, battery = int(reading.at), self._battery
        situation = Situation(now, reading, battery, self._device, self._speed, running=running, forecast=forecast)
        return longest_run_s(soc * battery.capacity_wh, floor_wh(battery, self._config), situation, self._config)

    def _planned(self, planner: Planner, situation: Situation, soc: float) -> Situation:
        """With what the plan says of the offer, or of staying up where there is none."""
        at, stored_wh, offer = situation.reading.at, soc * self._battery.capacity_wh, situation.offer
        if offer is None:
            return replace(situation, rest_s=planner.rest_s(at, stored_wh))
        seconds = offer.seconds * self._speed
        planner.book.offered(offer.task_id, offer.reward_nrlc - offer.gas_nrlc, seconds)
        return replace(situation, ask_nrlc=planner.ask_nrlc(at, stored_wh, seconds))

    def sense(self, reading: PowerReading) -> Sensing:
        """Whether the device may work for itself now; asked after `decide`."""
        mode = Mode.ASLEEP if reading.at < self._state.rest_until else self._state.mode
        answer = may_sense(self._sensing, mode, soc_of(reading, self._battery), self._config)
        self._sensing = answer.allowed
        return answer

    def snapshot(self) -> dict[str, Any]:
        """What `restore` needs: JSON types only."""
        return {
            "version": _SNAPSHOT_VERSION,
            "mode": self._state.mode.value,
            "since": _finite(self._state.since),
            "rest_until": _finite(self._state.rest_until),
            "forecaster": self._forecaster.snapshot(),
            "planner": None if self._planner is None else self._planner.snapshot(),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on from a snapshot."""
        if snapshot.get("version") != _SNAPSHOT_VERSION:
            raise ValueError(f"snapshot of another version: {snapshot.get('version')}")
        since, rest_until = (float("-inf") if snapshot[k] is None else snapshot[k] for k in ("since", "rest_until"))
        self._state = GateState(Mode(snapshot["mode"]), since, rest_until)
        self._forecaster.restore(snapshot["forecaster"])
        if self._planner is not None and snapshot["planner"] is not None:
            self._planner.restore(snapshot["planner"])


def _finite(value: float) -> float | None:
    """JSON has no infinity."""
    return None if value == float("-inf") else value
