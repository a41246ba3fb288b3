"""What measures power: one small protocol, whatever stands behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from worker.energy.device import Load


@dataclass(frozen=True)
class PowerReading:
    """One look at panel, battery and load. `None` is unknown, which is never the same as zero.

    `at` is on the source's own clock (Unix seconds): the worker's clock for real hardware, the replayed instant for a
    simulation. The two counters only grow; a source that has them is integrated exactly, however seldom it is read.
    """

    at: float
    harvest_w: float | None = None  # taken from the panel, after the charge controller
    load_w: float | None = None  # drawn by the device, converter included
    battery_soc: float | None = None  # 0 to 1
    stored_wh: float | None = None
    capacity_wh: float | None = None
    battery_v: float | None = None
    temperature_c: float | None = None
    available_w: float | None = None  # what the panel could give: known from a sensor, or while nothing is curtailed
    harvested_wh: float | None = None  # counter
    consumed_wh: float | None = None  # counter
    mains_w: float | None = None  # from a mains charger; None where none is metered


class PowerSource(Protocol):
    """Panel, battery and load as the worker sees them."""

    @property
    def speed(self) -> float:
        """Seconds of the source's clock in one second of the worker's: 1 for hardware."""
        ...

    @property
    def trouble(self) -> str:
        """What does not answer, in words; empty when all is well."""
        ...

    def check(self) -> str:
        """Look whether all is there and as configured, and say what was found; `DeviceError` where it is not."""
        ...

    def sleep(self, seconds: float) -> bool:
        """Switch the device off until `seconds` from now; False where it has nothing that would wake it.

        Raises:
            PewError: it should have worked and did not; the device stays on.
        """
        ...

    def read(self, now: float) -> PowerReading:
        """What is so at the worker's instant `now`."""
        ...

    def set_load(self, load: Load, now: float) -> None:
        """Tell what the device does from `now` on. Hardware that measures the load may ignore it."""
        ...

    def snapshot(self) -> dict[str, Any]:
        """What `restore` needs after a restart: JSON types only."""
        ...

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on where `snapshot` was taken; the time between counts."""
        ...
