"""All that a device has learnt of its own parts, and what follows for its model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from worker.energy.ageing import Ageing, Wear
from worker.energy.battery import Battery
from worker.energy.calibration import CapacityMeter, PanelShape
from worker.energy.panel import Panel
from worker.energy.source import PowerReading

_SNAPSHOT_VERSION = 1


class Learnt:
    """Watches every reading; `panel` and `battery` are the parts as they seem to be.

    Args:
        panel, battery: the parts as they are rated.
    """

    def __init__(self, panel: Panel, battery: Battery, ageing: Ageing | None = None) -> None:
        self._panel, self._battery = panel, battery
        self._wear = Wear(ageing or Ageing())
        self._shape = PanelShape(panel.clear_sky_w, panel.peak_w, panel.latitude, panel.longitude)
        self._capacity = CapacityMeter(battery)

    def observe(self, reading: PowerReading) -> None:
        """Take one reading."""
        self._wear.observe(reading.at, reading.battery_soc, reading.temperature_c)
        self._shape.observe(reading)
        self._capacity.observe(reading)

    @property
    def panel(self) -> Panel:
        """The panel with its learnt shares of the clear sky."""
        return replace(self._panel, shares=self._shape.shares or ())

    @property
    def battery(self) -> Battery:
        """The battery with its measured capacity; as long as none was measured, with what its age should have left."""
        rated = self._battery.capacity_wh
        return replace(self._battery, capacity_wh=self._capacity.capacity_wh or rated * self._wear.health)

    @property
    def health(self) -> float:
        """Share of the rated capacity that should be left by its age, 0 to 1."""
        return self._wear.health

    def snapshot(self) -> dict[str, Any]:
        """What `restore` needs: JSON types only."""
        return {
            "version": _SNAPSHOT_VERSION,
            "wear": self._wear.snapshot(),
            "shape": self._shape.snapshot(),
            "capacity_wh": self._capacity.capacity_wh,
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on from a snapshot."""
        if snapshot.get("version") != _SNAPSHOT_VERSION:
            raise ValueError(f"snapshot of another version: {snapshot.get('version')}")
        self._wear.restore(snapshot["wear"])
        self._shape.restore(snapshot["shape"])
        self._capacity.capacity_wh = snapshot["capacity_wh"]
