"""What the days are like: the clear-sky index of today and of the days to come, and the chance of frost, learnt from
the device's own meter."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

_DAY_S = 86_400
_YEAR_DAYS = 365.25
_SLOTS = 48
_START_INDEX = 0.55
_PERSISTENCE = 0.4  # of today's departure from the mean, how much is left tomorrow
_MEMORY_DAYS = 8.0
_YEAR_MEMORY_DAYS = 120.0
_EARLY = 0.04  # share of the day's clear-sky energy after which the day itself counts as much as what came before
_FROST_SPREAD_K = 2.9
_MEAN_TEMPERATURE_DAYS = 10.0
_ANOMALY_S = 12 * 3600.0


class Season:
    """Days begin at local solar midnight.

    Args:
        clear_sky_w: power of the panel under a clear sky at an instant.
        offset_s: local solar time less UTC.
        low, high: bounds of the index.
        frost_c: below this the battery takes no charge.
    """

    def __init__(
        self, clear_sky_w: Callable[[float], float], offset_s: float, low: float, high: float, frost_c: float
    ) -> None:
        self._clear_sky_w = clear_sky_w
        self._offset_s = offset_s
        self._low, self._high, self._frost_c = low, high, frost_c
        self._day: int | None = None
        self._days = 0
        self._mean = self._year = self._yesterday = self._dawn = _START_INDEX
        self.information = 0.1  # how far the belief wanders in a day, as tau of the diffusion
        self._seen = [0.0, 0.0]  # available and clear energy of today so far, W s
        self._clear_today_ws = 0.0
        self._slot_c: list[float | None] = [None] * _SLOTS
        self._anomaly_k = 0.0
        self._year_clear_w: float | None = None

    def observe(self, at: float, seconds: float, available_w: float | None, temperature_c: float | None) -> None:
        """Take the mean power that the panel could give over `seconds` from `at` on, and the temperature; unknown
        teaches nothing."""
        local = at + self._offset_s
        day = int(local // _DAY_S)
        if day != self._day:
            self._end_day()
            self._day = day
            self._dawn = self.next_day(self._yesterday)
            self._clear_today_ws = 3600.0 * sum(self.clear_day(day, _SLOTS))
        if temperature_c is not None:
            self._feel(int(local % _DAY_S / _DAY_S * _SLOTS), seconds, temperature_c)
        if available_w is not None:
            self._seen[0] += available_w * seconds
            self._seen[1] += self._clear_sky_w(at + seconds / 2.0) * seconds

    def _end_day(self) -> None:
        available, clear = self._seen
        self._seen = [0.0, 0.0]
        if clear < 0.05 * self._clear_today_ws or clear <= 0.0:
            return
        index = min(1.2, available / clear)
        self._days += 1
        inside = min(self._high, max(self._low, index))
        room = max(0.02, (self._dawn - self._low) * (self._high - self._dawn))
        surprise = (inside - self._dawn) ** 2 / room
        self.information += (surprise - self.information) * max(1.0 / 60.0, 1.0 / (self._days + 15))
        self._mean += (index - self._mean) * max(1.0 / _MEMORY_DAYS, 1.0 / (self._days + 6))
        self._year += (index - self._year) * max(1.0 / _YEAR_MEMORY_DAYS, 1.0 / (self._days + 6))
        self._yesterday = index

    def _feel(self, slot: int, seconds: float, temperature_c: float) -> None:
        usual = self._slot_c[slot]
        if usual is None:
            self._slot_c[slot] = temperature_c - self._anomaly_k
            return
        self._anomaly_k += (temperature_c - usual - self._anomaly_k) * min(1.0, seconds / _ANOMALY_S)
        share = seconds / (_DAY_S / _SLOTS) / _MEAN_TEMPERATURE_DAYS
        self._slot_c[slot] = usual + (temperature_c - usual) * min(1.0, share)

    def next_day(self, index: float) -> float:
        """The index to expect of the day after one of `index`."""
        return _PERSISTENCE * index + (1.0 - _PERSISTENCE) * self._mean

    def belief(self, at: float) -> float:
        """The index that the rest of the day is expected to have."""
        available, clear = self._seen
        if int((at + self._offset_s) // _DAY_S) != self._day:
            return self._clip(self.next_day(self._yesterday))
        if clear <= 0.0 or self._clear_today_ws <= 0.0:
            return self._clip(self._dawn)
        share = clear / self._clear_today_ws
        weight = share / (share + _EARLY)
        return self._clip(self._dawn + weight * (available / clear - self._dawn))

    def _clip(self, index: float) -> float:
        return min(self._high, max(0.0, index))

    def clear_day(self, day: int, slots: int) -> list[float]:
        """Clear-sky energy of each slot of a day, Wh."""
        start, span = day * _DAY_S - self._offset_s, _DAY_S / slots
        return [
            (self._clear_sky_w(start + (i + 0.25) * span) + self._clear_sky_w(start + (i + 0.75) * span))
            * span
            / 7200.0
            for i in range(slots)
        ]

    def cold_chance(self, slots: int) -> list[float]:
        """Chance, by slot of the day, that it is too cold to charge."""
        width = _FROST_SPREAD_K * math.sqrt(2.0)
        chances = []
        for slot in range(slots):
            usual = self._slot_c[slot * _SLOTS // slots]
            expected = math.inf if usual is None else usual + 0.8 * self._anomaly_k - self._frost_c
            chances.append(0.5 * math.erfc(expected / width))
        return chances

    def year_mean_w(self, day: int) -> float:
        """Mean power of the panel over a year, as the days so far let expect, W."""
        if self._year_clear_w is None:
            days = [day + int(k * _YEAR_DAYS / 12) for k in range(12)]
            self._year_clear_w = sum(sum(self.clear_day(d, _SLOTS)) for d in days) / 12.0 / 24.0
        return self._year * self._year_clear_w

    def snapshot(self) -> dict[str, Any]:
        """What `restore` needs: JSON types only."""
        return {
            "day": self._day,
            "days": self._days,
            "mean": self._mean,
            "year": self._year,
            "yesterday": self._yesterday,
            "dawn": self._dawn,
            "information": self.information,
            "seen": list(self._seen),
            "clear_today_ws": self._clear_today_ws,
            "slot_c": list(self._slot_c),
            "anomaly_k": self._anomaly_k,
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on from a snapshot."""
        self._day, self._days = snapshot["day"], snapshot["days"]
        self._mean, self._year = snapshot["mean"], snapshot["year"]
        self._yesterday, self._dawn = snapshot["yesterday"], snapshot["dawn"]
        self.information = snapshot["information"]
        self._seen = list(snapshot["seen"])
        self._clear_today_ws = snapshot["clear_today_ws"]
        self._slot_c = list(snapshot["slot_c"])
        self._anomaly_k = snapshot["anomaly_k"]
