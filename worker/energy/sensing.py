"""Whether the device may work for itself: camera on, analyses running. Paid work has thresholds of its own."""

from __future__ import annotations

from dataclasses import dataclass

from worker.energy.situation import GateConfig, Mode


@dataclass(frozen=True, slots=True)
class Sensing:
    """The gate's answer: `until` is what changes it."""

    allowed: bool
    reason: str
    until: str


def may_sense(was: bool, mode: Mode, soc: float | None, config: GateConfig) -> Sensing:
    """Above `duty_above` yes; once begun, down to `hysteresis` below it.

    Args:
        was: the answer before.
        mode: what the thresholds of the worker as a whole say.
        soc: state of charge 0..1; None is unknown.
        config: thresholds.
    """
    if mode in (Mode.ASLEEP, Mode.PAUSED):
        return Sensing(False, f"the worker is {mode.value}", "it may go on")
    if soc is None:
        return Sensing(False, "the state of charge is unknown", "a reading of the battery arrives")
    floor = config.duty_above - config.hysteresis if was else config.duty_above
    if soc < floor:
        return Sensing(False, f"battery at {soc:.0%}", f"the battery is above {config.duty_above:.0%}")
    lower = max(0.0, config.duty_above - config.hysteresis)
    return Sensing(True, f"battery at {soc:.0%}", f"the battery is below {lower:.0%}")
