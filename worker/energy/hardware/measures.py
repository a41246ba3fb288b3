"""What one meter contributes to a reading, and what every driver offers."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Protocol


@dataclass(frozen=True)
class Measures:
    """One look at one meter; `None` is unknown, never zero.

    Powers are watts at the battery's side: `harvest_w` comes from the charge controller, `load_w` is what the device
    draws with its converter, `battery_w` flows into (+) or out of (-) the battery. `mains_w` is what a charger on the
    mains gives.
    """

    harvest_w: float | None = None
    load_w: float | None = None
    battery_w: float | None = None
    battery_v: float | None = None
    battery_soc: float | None = None
    temperature_c: float | None = None
    mains_w: float | None = None

    def or_else(self, other: Measures) -> Measures:
        """These, and where they are unknown the other's."""
        lacking = {f.name: getattr(other, f.name) for f in fields(self) if getattr(self, f.name) is None}
        return replace(self, **lacking)


class Meter(Protocol):
    """A device that measures power. Both calls raise `DeviceError` where it does not answer as it should."""

    @property
    def name(self) -> str:
        """Driver and place, for people."""
        ...

    def check(self) -> str:
        """Look whether the right device is there, prepare it, and say in words what was found."""
        ...

    def measure(self) -> Measures:
        """What it measures now."""
        ...


class Alarm(Protocol):
    """A clock that switches the board's power on again."""

    def check(self) -> str:
        """As `Meter.check`."""
        ...

    def wake_in(self, seconds: float) -> None:
        """Switch the power on `seconds` from now, and prove by reading it back that the alarm is set."""
        ...
