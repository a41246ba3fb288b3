"""Plays a record back as panel power, finer than the record's own intervals."""

from __future__ import annotations

from typing import NamedTuple

from poco.sun import extraterrestrial, sun_position
from worker.energy.panel import Panel
from worker.energy.record import Interval, Record
from worker.energy.sun import Irradiance, clear_sky_ghi, split_ghi

#: Panel power is constant within one cell of this length, seconds.
CELL_S = 300
_DEFAULT_CLEARNESS = 0.6
_WEAK_SUN_W_M2 = 20.0


class Moment(NamedTuple):
    """The weather of one cell. `known` is false where the record has a gap and the power was bridged."""

    panel_w: float
    temperature_c: float | None
    known: bool


class Replay:
    """The panel under a record. An interval's mean is spread over its cells as the clear sky would be, so the mean is
    kept.

    Where the record has no irradiance the clear-sky index of the last known daylight is carried on: the sun does not
    stop for a broken sensor. Such cells are marked as not known.
    """

    def __init__(self, record: Record, panel: Panel) -> None:
        self.record = record
        self.panel = panel
        self._span = len(record) * record.interval_s
        self._clear: tuple[int, float] = (-1, 0.0)  # one interval's mean clear sky
        self._cell: tuple[int, Moment] | None = None
        self._temperature: tuple[int, float | None] = (-1, None)

    def at(self, at: float) -> Moment:
        """The weather of the cell that holds `at`; instants outside the record are folded into it."""
        folded = self.record.start + (at - self.record.start) % self._span
        cell = int(folded // CELL_S)
        if self._cell is None or self._cell[0] != cell:
            self._cell = (cell, self._compute(cell * CELL_S + CELL_S / 2))
        return self._cell[1]

    def _compute(self, middle: float) -> Moment:
        index = self.record.index(middle)
        interval = self.record.interval(index)
        temperature = self._temperature_c(index)
        known = interval.ghi is not None
        sun = sun_position(middle, self.record.latitude, self.record.longitude)
        if sun.cos_zenith <= 0.0:
            return Moment(0.0, temperature, known)
        sky = self._sky(middle, sun.cos_zenith, index, interval)
        wind = 1.0 if interval.wind_speed is None else interval.wind_speed
        air = 15.0 if temperature is None else temperature
        return Moment(self.panel.power_w(middle, sky, air, wind), temperature, known)

    def _sky(self, middle: float, cos_zenith: float, index: int, interval: Interval) -> Irradiance:
        mean_clear = self._mean_clear(index)
        if interval.ghi is None:
            ghi = self._last_clearness(index) * clear_sky_ghi(cos_zenith)
        elif mean_clear < _WEAK_SUN_W_M2:
            ghi = interval.ghi
        else:
            ghi = interval.ghi / mean_clear * clear_sky_ghi(cos_zenith)
        if not interval.ghi or interval.dhi is None:
            return split_ghi(ghi, cos_zenith, extraterrestrial(middle))
        dhi = min(ghi, ghi * interval.dhi / interval.ghi)
        dni = (ghi - dhi) / max(cos_zenith, 0.0523)
        return Irradiance(ghi, min(dni, extraterrestrial(middle)), dhi)

    def _mean_clear(self, index: int) -> float:
        if self._clear[0] != index:
            record = self.record
            start = record.start + index * record.interval_s
            cells = max(1, record.interval_s // CELL_S)
            step = record.interval_s / cells
            total = sum(
                clear_sky_ghi(sun_position(start + (i + 0.5) * step, record.latitude, record.longitude).cos_zenith)
                for i in range(cells)
            )
            self._clear = (index, total / cells)
        return self._clear[1]

    def _last_clearness(self, index: int) -> float:
        keep = self._clear
        for back in range(1, 1 + 3 * 86_400 // self.record.interval_s):
            ghi = self.record.interval(index - back).ghi
            if ghi is None:
                continue
            clear = self._mean_clear((index - back) % len(self.record))
            if clear >= 10 * _WEAK_SUN_W_M2:
                self._clear = keep
                return min(1.2, ghi / clear)
        self._clear = keep
        return _DEFAULT_CLEARNESS

    def _temperature_c(self, index: int) -> float | None:
        if self._temperature[0] != index:
            value = None
            for back in range(1 + 86_400 // self.record.interval_s):
                value = self.record.interval(index - back).temp_air
                if value is not None:
                    break
            self._temperature = (index, value)
        return self._temperature[1]
