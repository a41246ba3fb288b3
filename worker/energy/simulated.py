"""A panel, a battery and a board that are not there: a real record of weather, replayed faster than life."""

from __future__ import annotations

import math
from typing import Any

from poco.errors import BadInputError
from worker.energy.battery import Battery, BatteryState, Flow, advance
from worker.energy.device import Device, Load
from worker.energy.replay import CELL_S, Replay
from worker.energy.source import PowerReading

_SNAPSHOT_VERSION = 1


class SimulatedPower:
    """A `PowerSource` without hardware.

    Its clock runs `speed` times as fast as the worker's and starts at `start` inside the record at the first reading.
    The same calls at the same instants give the same readings, and how often it is read changes nothing.
    """

    def __init__(
        self, replay: Replay, battery: Battery, device: Device, *, start: float, speed: float = 1.0, soc: float = 0.6
    ) -> None:
        self._replay = replay
        self._battery = battery
        self._device = device
        self._speed = speed
        self._wall: float | None = None
        self._at = start
        self._state = BatteryState(soc * battery.capacity_wh)
        self._load = Load.IDLE
        self._total = Flow()
        self._unseen_wh = 0.0  # harvested while the record had a gap: in the battery, not on the counter

    @property
    def speed(self) -> float:
        return self._speed

    @property
    def trouble(self) -> str:
        return ""

    @property
    def cut(self) -> bool:
        """Whether the low-voltage cut-off is open: the device has no power."""
        return self._state.cut

    def check(self) -> str:
        soc = self._state.stored_wh / self._battery.capacity_wh
        return f"simulated by {self._replay.record.name}, battery at {soc:.0%}"

    def sleep(self, seconds: float) -> bool:  # noqa: ARG002
        """Never: it is the model that sleeps, its machine stays on."""
        return False

    @property
    def total(self) -> Flow:
        """All that passed since the start, gaps of the record included."""
        return self._total

    def set_load(self, load: Load, now: float) -> None:
        self._advance_to(now)
        self._load = load

    def read(self, now: float) -> PowerReading:
        self._advance_to(now)
        battery, stored = self._battery, self._state.stored_wh
        moment = self._replay.at(self._at)
        load_w = self._device.power_w(Load.OFF if self._state.cut else self._load)
        # a look into the next second tells what is flowing now
        _, flow = advance(
            battery,
            self._state,
            1.0,
            panel_w=moment.panel_w,
            load_w=load_w,
            cut_load_w=self._device.power_w(Load.OFF),
            temperature_c=moment.temperature_c,
        )
        harvest_w = flow.harvested_wh * 3600.0
        return PowerReading(
            at=self._at,
            harvest_w=harvest_w if moment.known else None,
            load_w=load_w,
            battery_soc=stored / battery.capacity_wh,
            stored_wh=stored,
            capacity_wh=battery.capacity_wh,
            battery_v=battery.voltage(stored, harvest_w - load_w),
            temperature_c=moment.temperature_c,
            available_w=moment.panel_w if moment.known and flow.curtailed_wh == 0.0 else None,
            harvested_wh=self._total.harvested_wh - self._unseen_wh if moment.known else None,
            consumed_wh=self._total.consumed_wh,
        )

    def _advance_to(self, now: float) -> None:
        if self._wall is None:
            self._wall = now
        target = self._at + max(0.0, now - self._wall) * self._speed
        self._wall = max(self._wall, now)
        while self._at < target:
            edge = (math.floor(self._at / CELL_S) + 1) * CELL_S
            until = min(edge, target)
            moment = self._replay.at(self._at)
            self._state, flow = advance(
                self._battery,
                self._state,
                until - self._at,
                panel_w=moment.panel_w,
                load_w=self._device.power_w(self._load),
                cut_load_w=self._device.power_w(Load.OFF),
                temperature_c=moment.temperature_c,
            )
            self._total += flow
            if not moment.known:
                self._unseen_wh += flow.harvested_wh
            self._at = until

    def snapshot(self) -> dict[str, Any]:
        total = self._total
        return {
            "version": _SNAPSHOT_VERSION,
            "record": self._replay.record.name,
            "wall": self._wall,
            "at": self._at,
            "stored_wh": self._state.stored_wh,
            "cut": self._state.cut,
            "load": self._load.value,
            "unseen_wh": self._unseen_wh,
            "total": [
                total.hours,
                total.harvested_wh,
                total.consumed_wh,
                total.curtailed_wh,
                total.lost_wh,
                total.brown_outs,
            ],
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on from a snapshot of the same record; the wall time in between is lived through with the load it had.

        Raises:
            BadInputError: a snapshot of another record or version.
        """
        if snapshot.get("version") != _SNAPSHOT_VERSION or snapshot.get("record") != self._replay.record.name:
            raise BadInputError(
                "the journalled power state is of another irradiance record",
                hint="set energy.record back to what it was, or start with an empty data folder",
                code="BAD_SNAPSHOT",
            )
        hours, harvested, consumed, curtailed, lost, brown_outs = snapshot["total"]
        self._wall = snapshot["wall"]
        self._at = snapshot["at"]
        self._state = BatteryState(min(snapshot["stored_wh"], self._battery.capacity_wh), snapshot["cut"])
        self._load = Load(snapshot["load"])
        self._unseen_wh = snapshot["unseen_wh"]
        self._total = Flow(hours, harvested, consumed, curtailed, lost, brown_outs)
