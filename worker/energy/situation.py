"""What the gate is asked, what it is set to, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, model_validator

from worker.energy.battery import Battery
from worker.energy.device import Device, Load
from worker.energy.forecast import STEP_S, Forecast
from worker.energy.market import Market
from worker.energy.source import PowerReading


class GateConfig(BaseModel):
    """Thresholds are states of charge between 0 and 1; durations are seconds on the source's clock."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    start_above: float = Field(0.40, ge=0, le=1)
    continue_above: float = Field(0.25, ge=0, le=1)
    sleep_below: float = Field(0.16, ge=0, le=1)
    wake_above: float = Field(0.30, ge=0, le=1)
    duty_above: float = Field(0.50, ge=0, le=1, description="the device's own sensing and analyses")
    hysteresis: float = Field(0.05, ge=0, le=0.5)
    reserve_soc: float = Field(0.05, ge=0, le=1, description="kept above the low-voltage cut-off whatever happens")
    dwell_s: int = Field(1800, ge=0)
    overrun: float = Field(1.5, ge=1, description="a task may take this many times as long as expected")
    min_net_reward_nrlc: int = Field(0, description="reward less gas must be at least this")
    full_nrlc_per_wh: float = Field(0.0, ge=0, description="least net reward of a watt-hour from a full battery")
    empty_nrlc_per_wh: float = Field(0.0, ge=0, description="the same from an empty one; straight in between")
    forecast_weight: float = Field(
        0.3, ge=0, le=2, description="how much tomorrow's surplus counts as charge in the price"
    )
    max_sleep_s: int = Field(14 * 3600, ge=STEP_S)
    wear_nrlc_per_wh: float = Field(0.0, ge=0, description="what a watt-hour drawn from the battery costs in its life")
    nap_s: int = Field(STEP_S, ge=300, le=1800, description="a nap that the plan chose ends after so long")
    woken_s: int = Field(600, ge=0, description="no nap so long after the operator had it woken (worker's clock)")
    listen_s: int = Field(20, ge=0, description="stays up so long after a nap, for what was waiting (worker's clock)")
    market: Market | None = Field(None, description="what work is worth: turns the planner on")

    @model_validator(mode="after")
    def _ordered(self) -> GateConfig:
        if not self.sleep_below <= self.continue_above <= self.start_above:
            raise ValueError("sleep_below <= continue_above <= start_above must hold")
        if self.wake_above < self.sleep_below + self.hysteresis:
            raise ValueError("wake_above must be at least sleep_below + hysteresis")
        if self.empty_nrlc_per_wh < self.full_nrlc_per_wh:
            raise ValueError("a watt-hour of an empty battery cannot be cheaper than one of a full battery")
        return self


@dataclass(frozen=True)
class Offer:
    """A task that is offered: what it brings and what it takes."""

    task_id: str
    seconds: float  # expected run time
    reward_nrlc: int
    gas_nrlc: int = 0  # cost of contribute and reveal
    contribution_deadline: int | None = None
    reveal_s: float = 600.0  # from the end of the run until the reveal is mined


@dataclass(frozen=True)
class RunningTask:
    task_id: str
    seconds_left: float
    deadline: int | None = None
    paused: bool = False
    reveal_s: float = 600.0


@dataclass(frozen=True)
class OpenStake:
    """A contribution whose reveal is not mined yet: losing power now loses the stake."""

    task_id: str
    seconds_left: float  # until the reveal is expected to be mined
    stake_nrlc: int = 0


def soc_of(reading: PowerReading, battery: Battery) -> float | None:
    """The state of charge 0..1 that a reading tells; None is unknown."""
    if reading.battery_soc is not None:
        return reading.battery_soc
    if reading.stored_wh is not None:
        return reading.stored_wh / (reading.capacity_wh or battery.capacity_wh)
    return None


@dataclass(frozen=True)
class Situation:
    now: int
    reading: PowerReading
    battery: Battery
    device: Device
    speed: float = 1.0
    offer: Offer | None = None
    running: tuple[RunningTask, ...] = ()
    stakes: tuple[OpenStake, ...] = ()
    forecast: Forecast | None = None
    draining: bool = False  # the operator's wish
    pause_until: float | None = None  # the operator's wish, on the worker's clock
    wake_at: float | None = None  # the operator's wish, on the worker's clock
    ask_nrlc: float | None = None  # what the planner asks for the offer's energy and time; `None` without a plan
    rest_s: float = 0.0  # the planner would rather sleep so long than wait for offers, on the source's clock

    @property
    def soc(self) -> float | None:
        return soc_of(self.reading, self.battery)

    @property
    def paused(self) -> bool:
        """Whether the operator wants nothing to be computed."""
        return self.pause_until is not None and self.now < self.pause_until

    @property
    def stakes_s(self) -> float:
        """How long, on the source's clock, the device must stay up for what is staked."""
        return max((stake.seconds_left for stake in self.stakes), default=0.0) * self.speed


class Action(StrEnum):
    RUN = "run"  # take the offered task; without an offer: go on, and be willing
    DECLINE = "decline"  # go on with what runs, take no new work
    PAUSE = "pause"  # halt what runs, stay awake
    SLEEP = "sleep"  # shut down until `resume_at`
    DRAIN = "drain"  # stay up only until what is staked is revealed, then sleep


class Mode(StrEnum):
    """What the thresholds last said; it gives them their hysteresis."""

    WILLING = "willing"
    RESERVED = "reserved"
    PAUSED = "paused"
    ASLEEP = "asleep"


@dataclass(frozen=True)
class GateState:
    mode: Mode = Mode.WILLING
    since: float = float("-inf")  # on the source's clock
    rest_until: float = float("-inf")  # the end of a sleep that the planner chose, on the source's clock


@dataclass(frozen=True)
class Decision:
    action: Action
    reason: str
    until: str
    state: GateState
    resume_at: int | None = None  # Unix seconds of the worker's clock


def paused(state: GateState, situation: Situation) -> Decision:
    """The operator wants nothing to be computed; what is staked is revealed nevertheless."""
    until = round(situation.pause_until or situation.now)
    return Decision(
        Action.PAUSE if situation.running else Action.DECLINE,
        "the operator has paused this worker",
        f"{until - situation.now} s have passed, or the operator lets it work again",
        state,
        until,
    )


def price_nrlc_per_wh(soc: float, situation: Situation, config: GateConfig) -> float:
    """What a watt-hour is worth now: dearer the emptier the battery and the less sun the next day brings."""
    charge = soc
    if situation.forecast is not None:
        day_s = 86_400.0
        surplus = situation.forecast.energy_wh(day_s) - 24.0 * situation.device.power_w(Load.IDLE)
        charge += config.forecast_weight * surplus / situation.battery.capacity_wh
    charge = min(1.0, max(0.0, charge))
    return config.empty_nrlc_per_wh + (config.full_nrlc_per_wh - config.empty_nrlc_per_wh) * charge


def sum_of(reward_nrlc: int, gas_nrlc: int) -> str:
    """What a task brings, for people: "reward 0.1 RLC - gas 0.14 RLC = -0.04 RLC"."""
    return f"reward {rlc(reward_nrlc)} RLC - gas {rlc(gas_nrlc)} RLC = {rlc(reward_nrlc - gas_nrlc)} RLC"


def rlc(nrlc: int) -> str:
    """nRLC as a number of RLC, without needless digits."""
    return f"{Decimal(nrlc).scaleb(-9).normalize():f}"


def floor_wh(battery: Battery, config: GateConfig) -> float:
    """The stored energy that no accepted task may be planned to go below."""
    return min(1.0, battery.cutoff_soc + config.reserve_soc) * battery.capacity_wh
