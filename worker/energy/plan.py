"""Looks ahead: how the stored energy goes under a forecast and a load."""

from __future__ import annotations

from collections.abc import Callable

from worker.energy.battery import Battery
from worker.energy.device import Load
from worker.energy.forecast import STEP_S, Forecast
from worker.energy.situation import GateConfig, Offer, RunningTask, Situation

_FROST_MARGIN_K = 3.0


def project(
    battery: Battery,
    stored_wh: float,
    load_w: Callable[[float], float],
    seconds: float,
    forecast: Forecast | None,
    *,
    low: bool = False,
    charges: bool = True,
) -> list[float]:
    """Stored energy, Wh, at the end of each step of 15 minutes (the last may be shorter) over `seconds` of the
    source's clock.

    Without a forecast, and beyond its end, there is no sun. Never above the capacity; may fall below 0, which says
    how much is lacking.

    Args:
        load_w: watts drawn at so many seconds from now, taken at the middle of a step.
        low: plan with what nine in ten cases exceed instead of with the expected.
        charges: whether the battery takes a surplus; it does not in frost.
    """
    powers = () if forecast is None else (forecast.low_w if low else forecast.mean_w)
    charging, discharging = battery.charge_efficiency * charges, battery.discharge_efficiency
    capacity, known = battery.capacity_wh, len(powers)
    path: list[float] = []
    done = 0.0
    while done < seconds:
        span = min(float(STEP_S), seconds - done)
        step = int(done // STEP_S)
        panel_w = powers[step] if step < known else 0.0
        net_wh = (panel_w - load_w(done + span / 2)) * span / 3600.0
        stored_wh = min(capacity, stored_wh + (net_wh * charging if net_wh >= 0.0 else net_wh / discharging))
        path.append(stored_wh)
        done += span
    return path


def seconds_until(
    battery: Battery, stored_wh: float, goal_wh: float, load_w: float, forecast: Forecast | None
) -> float | None:
    """Seconds of the source's clock until the stored energy is expected to reach `goal_wh`; `None` if the forecast
    does not show it."""
    if forecast is None:
        return None
    horizon = len(forecast.mean_w) * forecast.step_s
    for step, stored in enumerate(project(battery, stored_wh, lambda _: load_w, horizon, forecast), start=1):
        if stored >= goal_wh:
            return float(step * STEP_S)
    return None


def lowest_ahead(stored: float, offer: Offer | None, situation: Situation, config: GateConfig) -> tuple[float, float]:
    """Lowest stored energy until all that runs, is staked and is offered is revealed, under little sun; and what it
    takes, Wh."""
    device, speed = situation.device, situation.speed
    tasks: list[Offer | RunningTask] = [*situation.running]
    computing_s = sum(task.seconds_left for task in situation.running)
    if offer is not None:
        tasks.append(offer)
        computing_s += offer.seconds
    computing_s *= config.overrun * speed
    reveal_s = max((task.reveal_s for task in tasks), default=0.0) * speed
    seconds = max(computing_s + reveal_s, situation.stakes_s)
    computing_w, idle_w = device.power_w(Load.COMPUTING), device.power_w(Load.IDLE)
    path = project(
        situation.battery,
        stored,
        lambda s: computing_w if s < computing_s else idle_w,
        seconds,
        situation.forecast,
        low=True,
        charges=situation.reading.temperature_c is None
        or situation.reading.temperature_c >= situation.battery.min_charge_c + _FROST_MARGIN_K,
    )
    need = (computing_w * computing_s + idle_w * (seconds - computing_s)) / 3600.0
    return min(path, default=stored), need


def longest_run_s(stored: float, floor: float, situation: Situation, config: GateConfig) -> int | None:
    """The longest offer, seconds of the worker's clock, after which `floor` Wh are left; None for a day or more."""

    def bearable(seconds: int) -> bool:
        return lowest_ahead(stored, Offer("", float(seconds), 0), situation, config)[0] >= floor

    low, high = 0, 86_400
    if bearable(high):
        return None
    while high - low > max(60, low // 10):
        middle = (low + high) // 2
        low, high = (middle, high) if bearable(middle) else (low, middle)
    return low
