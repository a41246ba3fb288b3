"""What the device learns of its own panel and battery from its meter, over days.

The panel: on clear days it gives a share of what the model says that depends on where the sun stands: dirt, ageing and
a wrong rating lower all of it, a tree or a chimney a part. The battery: what came out between full and nearly empty.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import median
from typing import Any

from poco.sun import sun_position
from worker.energy.battery import Battery
from worker.energy.source import PowerReading

SECTORS = 24
_KEPT_DAYS, _NEEDED_DAYS = 45, 12
_CLEAR_DAY_QUANTILE = 0.9
_MIN_SHARE_OF_PEAK = 0.1
_LARGEST, _SMALLEST = 1.3, 0.02
_MAX_GAP_S = 900.0
_NEARLY_EMPTY, _RESTING_C_RATE = 0.15, 0.05
_TRUST = 0.3


class PanelShape:
    """Learns the share of the modelled clear-sky power that the panel gives, by the sun's direction.

    Each of 24 sectors of azimuth keeps the mean shares of its last 45 days; the one that nine in ten days stay below is
    that of a clear day. A day on which the battery was full hides how much there was: it counts as above all others.

    Args:
        clear_sky_w: the model's power under a clear sky at an instant, W.
        peak_w: rated power, W.
        latitude, longitude: degrees.
    """

    def __init__(self, clear_sky_w: Callable[[float], float], peak_w: float, latitude: float, longitude: float) -> None:
        self._clear_sky_w, self._peak_w = clear_sky_w, peak_w
        self._latitude, self._longitude = latitude, longitude
        self._days: list[list[float]] = [[] for _ in range(SECTORS)]
        self._sector: int | None = None
        self._day = -1
        self._given_s = self._clear_s = 0.0  # of the sector the sun is in: sums of power times seconds
        self._hidden = False
        self._last_at: float | None = None

    def observe(self, reading: PowerReading) -> None:
        """Take one reading; call it with every one."""
        at, last = reading.at, self._last_at
        self._last_at = at
        clear = self._clear_sky_w(at)
        if clear < _MIN_SHARE_OF_PEAK * self._peak_w:
            self._close()
            return
        sun = sun_position(at, self._latitude, self._longitude)
        sector = int(math.degrees(sun.azimuth) // (360 / SECTORS)) % SECTORS
        day = int((at + self._longitude * 240.0) // 86_400)
        if (sector, day) != (self._sector, self._day):
            self._close()
            self._sector, self._day = sector, day
        if last is None or not 0.0 < at - last <= _MAX_GAP_S or reading.harvest_w is None:
            return
        if reading.available_w is None:
            self._hidden = True
            return
        self._given_s += reading.available_w * (at - last)
        self._clear_s += clear * (at - last)

    def _close(self) -> None:
        if self._sector is not None and (self._clear_s > 0.0 or self._hidden):
            share = math.inf if self._hidden else min(_LARGEST, self._given_s / self._clear_s)
            self._days[self._sector] = [*self._days[self._sector][1 - _KEPT_DAYS :], share]
        self._sector, self._given_s, self._clear_s, self._hidden = None, 0.0, 0.0, False

    @property
    def shares(self) -> tuple[float, ...] | None:
        """Share of the model on a clear day for each sector, clockwise from north; None before anything is known.

        A sector about which too little is known has the median of those that are known.
        """
        known = {}
        for sector, days in enumerate(self._days):
            if len(days) >= _NEEDED_DAYS:
                share = sorted(days)[int(_CLEAR_DAY_QUANTILE * len(days))]
                if share < math.inf:
                    known[sector] = max(_SMALLEST, share)
        if not known:
            return None
        usual = median(known.values())
        return tuple(known.get(sector, usual) for sector in range(SECTORS))

    def snapshot(self) -> dict[str, Any]:
        """What `restore` needs: JSON types only. The sector under way is not in it."""
        return {"days": [[None if share == math.inf else share for share in days] for days in self._days]}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on from a snapshot."""
        self._days = [[math.inf if share is None else float(share) for share in days] for days in snapshot["days"]]


class CapacityMeter:
    """Measures the battery's capacity: what came out of it from full until its voltage plainly says nearly empty."""

    def __init__(self, battery: Battery) -> None:
        self._battery = battery
        self._drawn_wh: float | None = None  # out of the cells since it was full
        self._last: PowerReading | None = None
        self.capacity_wh: float | None = None

    def observe(self, reading: PowerReading) -> None:
        """Take one reading; call it with every one."""
        last, self._last = self._last, reading
        net = _net_w(reading)
        if reading.battery_soc is not None and reading.battery_soc >= 0.999:
            self._drawn_wh = 0.0
            return
        if self._drawn_wh is None:
            return
        before = None if last is None else _net_w(last)
        if last is None or net is None or before is None or not 0.0 <= reading.at - last.at <= _MAX_GAP_S:
            self._drawn_wh = None
            return
        battery, hours = self._battery, (reading.at - last.at) / 3600
        mean = (net + before) / 2
        into = mean * battery.charge_efficiency if mean > 0 else mean / battery.discharge_efficiency
        left = (self.capacity_wh or battery.capacity_wh) - self._drawn_wh
        self._drawn_wh += (battery.decay_per_h * max(0.0, left) - into) * hours
        resting = abs(net) <= _RESTING_C_RATE * battery.capacity_wh
        if reading.battery_v is None or not resting:
            return
        left_share = battery.stored_at(reading.battery_v, net) / battery.capacity_wh
        if left_share <= _NEARLY_EMPTY:
            self._measured(self._drawn_wh / (1.0 - left_share))
            self._drawn_wh = None

    def _measured(self, capacity_wh: float) -> None:
        rated = self._battery.capacity_wh
        if 0.3 * rated <= capacity_wh <= 1.3 * rated:  # else the rating or the meter is wrong, not the battery
            old = self.capacity_wh
            self.capacity_wh = capacity_wh if old is None else old + _TRUST * (capacity_wh - old)


def _net_w(reading: PowerReading) -> float | None:
    if reading.harvest_w is None or reading.load_w is None:
        return None
    return reading.harvest_w - reading.load_w
