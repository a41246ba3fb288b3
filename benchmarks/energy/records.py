"""Site-years: from a folder of records, or from the two typical years that pvlib carries.

A folder may hold `*.npz` of irradiance (int16, missing = -32768; `ghi dni dhi` W/m2, `tair` 0.1 degrees C, `t0` Unix
seconds, `dt_s`, `lat`, `lon`), `*.npz` of panels (`<site>_pv _cs _T _t0 _lat _lon`: DC power of 1 Wp every 15 minutes,
the same under a clear sky, air temperature), and CSV files of the worker's own format.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.energy.contest import STEP_S, STEPS_PER_DAY, Floats, Site
from poco.errors import BadInputError
from worker.energy.panel import Panel
from worker.energy.record import Record, open_record
from worker.energy.replay import Replay

PACKAGED = ("pvlib:723170TYA.CSV", "pvlib:703165TY.csv")
_YEAR = 365 * STEPS_PER_DAY
_CONTROLLER = 0.95
_MISSING = -32768
_KNOWN_SHARE = 0.9  # a year with more gaps is no record of it


def load_sites(folder: Path | None, *, years: int | None = None) -> list[Site]:
    """All site-years, whole days each, at most `years` of a site.

    Raises:
        BadInputError: no records, or a broken one.
    """
    if folder is None:
        return [site for reference in PACKAGED for site in _years(_replayed(open_record(reference)), years)]
    if not folder.is_dir():
        raise BadInputError(f"{folder} is no folder", hint="give a folder of records", code="NO_RECORDS")
    sites: list[Site] = []
    for path in sorted([*folder.glob("*.npz"), *folder.glob("*.csv")]):
        for whole in _open(path):
            sites += _years(whole, years)
    if not sites:
        raise BadInputError(
            f"{folder} holds no record of at least 300 days",
            hint="the formats are described in docs/reference/energy.md",
            code="NO_RECORDS",
        )
    return sites


def _open(path: Path) -> Iterator[Site]:
    if path.suffix == ".csv":
        yield _replayed(open_record(str(path)))
        return
    with np.load(path) as file:
        data = {key: file[key] for key in file.files if file[key].dtype.kind in "fiu"}
    if "ghi" in data:
        yield _replayed(_irradiance(path.stem, data))
        return
    for key in sorted(data):
        name = key.removesuffix("_pv")
        if name == key:
            continue
        try:
            panel, clear, temperature = (data[f"{name}_{part}"].astype(float) for part in ("pv", "cs", "T"))
            start, latitude, longitude = (float(data[f"{name}_{part}"]) for part in ("t0", "lat", "lon"))
        except KeyError as error:
            raise BadInputError(f"{path.name} has {key} but no {error}", code="BAD_RECORD") from None
        yield Site(name, latitude, longitude, int(start), panel * _CONTROLLER, clear * _CONTROLLER, temperature)


def _irradiance(name: str, data: dict[str, np.ndarray]) -> Record:
    """Packed integers to a record, averaged to 15 minutes where they are finer."""
    interval_s = int(data["dt_s"])
    columns = {}
    fold = max(1, STEP_S // interval_s)
    for key, ours, scale in (("ghi", "ghi", 1.0), ("dni", "dni", 1.0), ("dhi", "dhi", 1.0), ("tair", "temp_air", 0.1)):
        if key not in data:
            continue
        values = np.where(data[key] == _MISSING, np.nan, data[key] * scale)
        values = values[: len(values) // fold * fold].reshape(-1, fold)
        known = np.isfinite(values)
        means = np.where(known, values, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
        means = np.where(known.sum(axis=1) * 2 >= fold, means, np.nan)
        columns[ours] = array("f", (np.maximum(means, 0.0) if key != "tair" else means).tolist())
    return Record(
        name, float(data["lat"]), float(data["lon"]), int(data["t0"]), interval_s * fold, columns, typical=False
    )


def _replayed(record: Record) -> Site:
    """A fixed panel under the record, facing the equator, tilted by the latitude; whole UTC days."""
    start = -(-record.start // 86_400) * 86_400
    steps = (record.end - start) // STEP_S // STEPS_PER_DAY * STEPS_PER_DAY
    azimuth = 180.0 if record.latitude >= 0.0 else 0.0
    panel = Panel(1.0, record.latitude, record.longitude, abs(record.latitude), azimuth)
    replay = Replay(record, panel)
    power, clear, temperature = np.zeros(steps), np.zeros(steps), np.full(steps, 15.0)
    for step in range(steps):
        at = start + step * STEP_S
        moments = [replay.at(at + part) for part in (150.0, 450.0, 750.0)]
        power[step] = sum(moment.panel_w for moment in moments) / 3.0
        clear[step] = panel.clear_sky_w(at + STEP_S / 2)
        felt = moments[1].temperature_c
        temperature[step] = felt if felt is not None else temperature[step - 1]
        if not any(moment.known for moment in moments):
            power[step] = np.nan
    return Site(record.name, record.latitude, record.longitude, start, power, clear, temperature)


def _years(whole: Site, years: int | None) -> Iterator[Site]:
    """Cuts a record into years; the gaps of a year are filled with the clear sky times what the days around gave."""
    count = len(whole) // _YEAR or (1 if len(whole) >= 300 * STEPS_PER_DAY else 0)
    good = 0
    for year in range(count):
        span = slice(year * _YEAR, min((year + 1) * _YEAR, len(whole)))
        panel, clear = whole.panel_w[span], whole.clear_w[span]
        if np.isfinite(panel).mean() < _KNOWN_SHARE or (years is not None and good == years):
            continue
        good += 1
        name = whole.name if count == 1 else f"{whole.name}-{year + 1}"
        yield Site(
            name,
            whole.latitude,
            whole.longitude,
            whole.start + span.start * STEP_S,
            _filled(panel, clear),
            clear,
            whole.temperature_c[span],
        )


def _filled(panel: Floats, clear: Floats) -> Floats:
    known = np.isfinite(panel)
    if known.all():
        return panel
    index = np.sum(panel[known]) / max(1e-9, float(np.sum(clear[known])))
    return np.where(known, panel, clear * index)
