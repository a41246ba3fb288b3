"""The power source that is really there: its meters together, and the alarm that wakes the board."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

from poco.errors import PewError
from worker.energy.battery import Battery
from worker.energy.charge import ChargeCounter, Flowing
from worker.energy.device import Device, Load
from worker.energy.hardware.measures import Alarm, Measures, Meter
from worker.energy.source import PowerReading
from worker.i2c import DeviceError

_SNAPSHOT_VERSION = 1
#: Below this voltage of a cell nothing is held back by the charge controller.
_CURTAILED_CELL_V = 3.40
_SHUTDOWN_S = 60.0
_SHORTEST_SLEEP_S = 300.0


class HardwarePower:
    """A `PowerSource` over meters; the first of them that knows a value gives it.

    Args:
        meters: in the order in which they are believed.
        battery: the pack.
        device: the board; how much it draws at most.
        panel_wp: rated power of the panel, W.
        alarm: wakes the board, where there is one.
        shutdown: the command that switches the board off.
    """

    def __init__(
        self,
        meters: Sequence[Meter],
        battery: Battery,
        device: Device,
        *,
        panel_wp: float,
        alarm: Alarm | None = None,
        shutdown: Sequence[str] = (),
    ) -> None:
        self._meters, self._battery, self._alarm, self._shutdown = meters, battery, alarm, shutdown
        most = device.power_w(Load.COMPUTING)
        self._charge = ChargeCounter(battery, max_load_w=most, max_harvest_w=panel_wp)
        self._trouble: dict[str, str] = {}
        self._mains = False

    @property
    def speed(self) -> float:
        return 1.0

    @property
    def trouble(self) -> str:
        return "; ".join(self._trouble.values())

    def check(self) -> str:
        said = [meter.check() for meter in self._meters]
        if self._alarm is not None:
            said.append(self._alarm.check())
        return "; ".join(said)

    def set_load(self, load: Load, now: float) -> None:
        """Nothing: the meters see it."""

    def read(self, now: float) -> PowerReading:
        seen = reduce(Measures.or_else, map(self._measure, self._meters), Measures())
        self._mains = self._mains or seen.mains_w is not None
        if seen.mains_w is not None or not self._mains:  # what a silent mains meter gives would pass for sun
            seen = _completed(seen)
        flowing = Flowing(seen.battery_w, seen.battery_v)
        if seen.battery_soc is not None:
            self._charge.told(now, seen.battery_soc, flowing)
        else:
            self._charge.count(now, flowing)
        stored, capacity = self._charge.stored_wh, self._battery.capacity_wh
        bulk = seen.battery_v is not None and seen.battery_v < _CURTAILED_CELL_V * self._battery.cells
        return PowerReading(
            at=now,
            harvest_w=seen.harvest_w,
            load_w=seen.load_w,
            battery_soc=None if stored is None else stored / capacity,
            stored_wh=stored,
            capacity_wh=capacity,
            battery_v=seen.battery_v,
            temperature_c=seen.temperature_c,
            available_w=seen.harvest_w if bulk else None,
            mains_w=seen.mains_w,
        )

    def sleep(self, seconds: float) -> bool:
        # an alarm that rings before the board is off would never wake it
        if self._alarm is None or not self._shutdown or seconds < _SHORTEST_SLEEP_S:
            return False
        self._alarm.wake_in(seconds)
        try:
            done = subprocess.run(self._shutdown, capture_output=True, text=True, timeout=_SHUTDOWN_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PewError(f"cannot switch the board off: {error}", hint="check energy.hardware.shutdown") from None
        if done.returncode:
            said = done.stderr.strip()[-200:]
            hint = "the worker's user needs the right to do this: docs/reference/hardware.md"
            raise PewError(f"`{' '.join(self._shutdown)}` failed: {said}", hint=hint)
        return True

    def snapshot(self) -> dict[str, Any]:
        return {"version": _SNAPSHOT_VERSION, "charge": self._charge.snapshot()}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on from a snapshot of hardware; one of a simulation is left aside: the meters tell."""
        if snapshot.get("version") == _SNAPSHOT_VERSION and "charge" in snapshot:
            self._charge.restore(snapshot["charge"])

    def _measure(self, meter: Meter) -> Measures:
        try:
            seen = meter.measure()
        except DeviceError as error:
            self._trouble[meter.name] = error.message
            return Measures()
        self._trouble.pop(meter.name, None)
        return seen


def _completed(seen: Measures) -> Measures:
    """Of harvest, load and battery two give the third, with what a mains charger gives."""
    harvest, load, battery, mains = seen.harvest_w, seen.load_w, seen.battery_w, seen.mains_w or 0.0
    if battery is None and harvest is not None and load is not None:
        battery = harvest + mains - load
    elif harvest is None and load is not None and battery is not None:
        harvest = max(0.0, load + battery - mains)
    elif load is None and harvest is not None and battery is not None:
        load = max(0.0, harvest + mains - battery)
    return replace(seen, harvest_w=harvest, load_w=load, battery_w=battery)
