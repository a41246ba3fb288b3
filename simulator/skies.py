"""The weather of a site, shared by all workers that stand under the same sky."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace

from poco.sun import sun_position
from simulator.scenario import DEFAULT_RECORD, Machine, Site
from worker.energy.panel import Panel
from worker.energy.record import Record, open_record
from worker.energy.replay import CELL_S, Moment, Replay
from worker.energy.sun import clear_sky_ghi

_DAY_S = 86_400
_SAMPLES = 12
_WEAK_SUN_W_M2 = 20.0
_MAX_INDEX = 1.2
_KEPT_INSTANTS = 50_000


class SharedReplay(Replay):
    """A replay that many read: each cell is computed once."""

    def __init__(self, record: Record, panel: Panel) -> None:
        super().__init__(record, panel)
        self._cells: dict[int, Moment] = {}

    def at(self, at: float) -> Moment:
        cell = int((self.record.start + (at - self.record.start) % self._span) // CELL_S)
        moment = self._cells.get(cell)
        if moment is None:
            moment = self._cells[cell] = super().at(at)
        return moment

    def dark_seconds(self, at: float, most: float) -> float:
        """How long from `at` on the panel gives nothing, at most so long."""
        end = at
        while end < at + most and self.at(end).panel_w <= 0.0:
            end = (end // CELL_S + 1) * CELL_S
        return min(most, max(0.0, end - at))


@dataclass(frozen=True)
class Sky:
    """What stands above some workers, and what they know of their panel. `clear` is the forecasts' common memory."""

    replay: SharedReplay
    panel: Panel
    start: float
    clear: dict[int, float]
    clear_at: dict[float, float]

    def clear_sky_w(self, at: float) -> float:
        """The panel's clear-sky power, computed once for all who ask for the same instant."""
        found = self.clear_at.get(at)
        if found is None:
            if len(self.clear_at) > _KEPT_INSTANTS:
                self.clear_at.clear()
            found = self.clear_at[at] = self.panel.clear_sky_w(at)
        return found


def begin_of(site: Site, start: str) -> float:
    """The instant (Unix seconds) that `start` means at a site.

    Raises:
        BadInputError: no such record, or a start outside of it.
    """
    record = open_record(site.record)
    return record.instant(start) + (0 if site.longitude is None else _solar_shift(record, site.longitude))


def skies_of(site: Site, machine: Machine, begins: float) -> list[Sky]:
    """The site's skies from that instant on; sky 0 has the record's days where they are.

    Raises:
        BadInputError: no such record.
    """
    record = open_record(site.record)
    if site.latitude is not None and site.longitude is not None:
        record = moved(record, site.latitude, site.longitude)
    tilt = abs(record.latitude) if site.tilt is None else site.tilt
    facing = (180.0 if record.latitude >= 0.0 else 0.0) if site.azimuth is None else site.azimuth
    panel = Panel(
        machine.panel_wp,
        record.latitude,
        record.longitude,
        tilt,
        facing,
        controller_efficiency=machine.controller_efficiency,
    )
    clear: dict[int, float] = {}
    clear_at: dict[float, float] = {}
    found = []
    for number in range(site.skies):
        step = -(-number // 2) * (1 if number % 2 else -1)
        half = max(1, site.skies // 2)
        days = round(site.spread_days * step / half)
        shifted = record if days == 0 else replace(record, start=record.start - days * _DAY_S)
        found.append(Sky(SharedReplay(shifted, panel), panel, begins, clear, clear_at))
    return found


def moved(record: Record, latitude: float, longitude: float) -> Record:
    """The record's clouds over another place: its clear-sky index at the same local solar time, times that place's
    clear sky. Temperature and wind are the record's."""
    shift = _solar_shift(record, longitude)
    values = []
    for number in range(len(record)):
        ghi = record.interval(number).ghi
        here = _mean_clear(record.start + number * record.interval_s, record, record.latitude, record.longitude)
        start = record.start + shift + number * record.interval_s
        there = _mean_clear(start, record, latitude, longitude)
        index = min(_MAX_INDEX, ghi / here) if ghi is not None and here >= _WEAK_SUN_W_M2 else None
        values.append(float("nan") if ghi is None else there * (0.5 if index is None else index))
    columns = {name: column for name, column in record.columns.items() if name in ("temp_air", "wind_speed")}
    columns["ghi"] = array("f", values)
    name = f"{record.name} at {latitude:g},{longitude:g}"
    start = record.start + shift
    return replace(record, name=name, latitude=latitude, longitude=longitude, start=start, columns=columns)


def _solar_shift(record: Record, longitude: float) -> int:
    """Seconds by which the other place's local solar time is behind, in whole intervals."""
    seconds = (record.longitude - longitude) / 360.0 * _DAY_S
    return round(seconds / record.interval_s) * record.interval_s


def _mean_clear(start: float, record: Record, latitude: float, longitude: float) -> float:
    samples = max(1, min(_SAMPLES, record.interval_s // CELL_S))
    step = record.interval_s / samples
    instants = (start + (i + 0.5) * step for i in range(samples))
    return sum(clear_sky_ghi(sun_position(at, latitude, longitude).cos_zenith) for at in instants) / samples


def parse_site(text: str) -> Site:
    """`--site`: a record (`pvlib:<file>` or a path), a place `latitude,longitude`, or `latitude,longitude=record`."""
    place, equals, record = text.partition("=")
    parts = place.split(",")
    try:
        latitude, longitude = (float(part) for part in parts)
    except ValueError:
        return Site(record=text)
    return Site(latitude=latitude, longitude=longitude, record=record if equals else DEFAULT_RECORD)
