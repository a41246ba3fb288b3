"""Looks ahead: how the stored energy goes under a forecast and a load."""

from __future__ import annotations

from collections.abc import Callable

from worker.energy.battery import Battery
from worker.energy.forecast import STEP_S, Forecast


def project(
    battery: Battery,
    stored_wh: float,
    load_w: Callable[[float], float],
    seconds: float,
    forecast: Forecast | None,
    *,
    low: bool = False,
) -> list[float]:
    """Stored energy, Wh, at the end of each step of 15 minutes (the last may be shorter) over `seconds` of the
    source's clock.

    Without a forecast, and beyond its end, there is no sun. Never above the capacity; may fall below 0, which says
    how much is lacking.

    Args:
        load_w: watts drawn at so many seconds from now, taken at the middle of a step.
        low: plan with what nine in ten cases exceed instead of with the expected.
    """
    powers = () if forecast is None else (forecast.low_w if low else forecast.mean_w)
    path: list[float] = []
    done = 0.0
    while done < seconds:
        span = min(float(STEP_S), seconds - done)
        step = int(done // STEP_S)
        panel_w = powers[step] if step < len(powers) else 0.0
        net_wh = (panel_w - load_w(done + span / 2)) * span / 3600.0
        net_wh = net_wh * battery.charge_efficiency if net_wh >= 0.0 else net_wh / battery.discharge_efficiency
        stored_wh = min(battery.capacity_wh, stored_wh + net_wh)
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
