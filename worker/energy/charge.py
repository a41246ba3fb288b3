"""State of charge from what flows: an energy count, held right by what the voltage tells where it tells anything.

The voltage of LiFePO4 says little between 20 % and 90 %, so the count leads; it is set right when the battery is
plainly full or plainly empty, and after a time in which nothing was measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from worker.energy.battery import Battery

_SNAPSHOT_VERSION = 1
_MAX_GAP_S = 900.0
_FULL_CELL_V, _TAIL_C_RATE, _FULL_FOR_S = 3.45, 0.05, 600.0
_EMPTY_CELL_V = 3.0


@dataclass(frozen=True)
class Flowing:
    """What is known of the battery now; `None` is unknown. `battery_w` flows into (+) or out of (-) it."""

    battery_w: float | None
    battery_v: float | None


class ChargeCounter:
    """Counts the energy of one battery.

    Args:
        battery: capacity, efficiencies, self-discharge, cells.
        max_load_w, max_harvest_w: what may flow at most while nothing is measured.
    """

    def __init__(self, battery: Battery, *, max_load_w: float, max_harvest_w: float) -> None:
        self._battery, self._max_load_w, self._max_harvest_w = battery, max_load_w, max_harvest_w
        self._at: float | None = None
        self._stored_wh: float | None = None
        self._last_w: float | None = None
        self._full_since: float | None = None

    @property
    def stored_wh(self) -> float | None:
        """Energy in the battery, Wh, or unknown."""
        return self._stored_wh

    def told(self, at: float, soc: float, now: Flowing) -> None:
        """A meter knows the state of charge itself."""
        self._stored_wh, self._at, self._last_w = soc * self._battery.capacity_wh, at, now.battery_w

    def count(self, at: float, now: Flowing) -> None:
        """Take what flows at the instant `at`; the power since the last look is taken as straight in between."""
        battery = self._battery
        last, self._at = self._at, max(at, self._at or at)
        span = 0.0 if last is None else max(0.0, at - last)
        if self._stored_wh is None:
            self._stored_wh = self._by_voltage(now)
        elif now.battery_w is not None and self._last_w is not None and span <= _MAX_GAP_S:
            self._stored_wh = self._after(self._stored_wh, span / 3600, (now.battery_w + self._last_w) / 2)
        elif now.battery_w is None and span <= _MAX_GAP_S:
            self._at = last  # the next look that measures bridges this one
            return
        else:
            self._stored_wh = self._after_gap(self._stored_wh, span / 3600, now)
        self._last_w = now.battery_w
        if self._stored_wh is not None:
            self._stored_wh = min(battery.capacity_wh, max(0.0, self._at_the_ends(at, self._stored_wh, now)))

    def _after(self, stored: float, hours: float, watts: float) -> float:
        battery = self._battery
        into = watts * battery.charge_efficiency if watts > 0 else watts / battery.discharge_efficiency
        return stored + (into - battery.decay_per_h * stored) * hours

    def _after_gap(self, stored: float, hours: float, now: Flowing) -> float | None:
        """What the voltage says, within what the gap allows."""
        guess = self._by_voltage(now)
        if guess is None:
            return None
        least = self._after(stored, hours, -self._max_load_w)
        most = self._after(stored, hours, self._max_harvest_w)
        return min(most, max(least, guess))

    def _by_voltage(self, now: Flowing) -> float | None:
        return None if now.battery_v is None else self._battery.stored_at(now.battery_v, now.battery_w or 0.0)

    def _at_the_ends(self, at: float, stored: float, now: Flowing) -> float:
        battery = self._battery
        if now.battery_v is None or now.battery_w is None:
            self._full_since = None
            return stored
        full = (
            now.battery_v >= _FULL_CELL_V * battery.cells and 0.0 <= now.battery_w <= _TAIL_C_RATE * battery.capacity_wh
        )
        if not full:
            self._full_since = None
        elif self._full_since is None:
            self._full_since = at
        elif at - self._full_since >= _FULL_FOR_S:
            return battery.capacity_wh
        if now.battery_v <= _EMPTY_CELL_V * battery.cells and now.battery_w >= -0.2 * battery.capacity_wh:
            return min(stored, 0.05 * battery.capacity_wh)
        return stored

    def snapshot(self) -> dict[str, Any]:
        """What `restore` needs: JSON types only."""
        return {"version": _SNAPSHOT_VERSION, "at": self._at, "stored_wh": self._stored_wh}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on from a snapshot; the time since counts as a gap."""
        if snapshot.get("version") != _SNAPSHOT_VERSION:
            raise ValueError(f"snapshot of another version: {snapshot.get('version')}")
        self._at, self._stored_wh = snapshot["at"], snapshot["stored_wh"]
        if self._stored_wh is not None:
            self._stored_wh = min(self._stored_wh, self._battery.capacity_wh)
