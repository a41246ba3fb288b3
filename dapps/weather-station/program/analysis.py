"""From readings to flags, aggregates, a forecast, plots and `summary.json`."""

import hashlib
import json
import math
import os
import sys

import aggregates
import flags
import forecast
import quality
import records
import report
from drawing import HOUR, moment
from units import VARIABLES

FORMAT = "weather-station/1"
_TABLES = {"minutes": aggregates.SHORT, "hours": aggregates.HOURLY, "days": aggregates.DAILY}
_FORECAST = (
    "variable",
    "lead_hours",
    "method",
    "now",
    "value",
    "low",
    "high",
    "skill",
    "rmse",
    "rmse_persistence",
    "scored",
)


def run(path, settings, out):
    """Analyse a file of readings and write the result.

    Args:
        path: the readings.
        settings: what `settings.parse` returns.
        out: folder to write into.

    Raises:
        RecordsError: the readings cannot be used.
    """
    collector = records.read(path, settings)
    stations = [collector.stations[name] for name in sorted(collector.stations)]
    shown = _shown(stations, settings)
    site = aggregates.Site(settings, collector.sea_level)
    quality.control(stations, collector.sea_level, site.night if site.latitude is not None else None)
    hours, days = _aggregate(stations, shown, site, out)
    columns, first = _columns(hours)
    predicted = forecast.forecast(columns, first)
    tendency = forecast.tendency(columns["sea_level_hpa"])
    _write_flags(stations, out)
    _write_forecast(predicted, out)
    title = settings["title"] or f"Weather station {shown.name}".removesuffix(" station")
    with open(os.path.join(out, "report.svg"), "w", encoding="utf-8", newline="\n") as file:
        file.write(report.page(title, shown, hours, days, predicted, tendency, site))
    summary = {
        "format": FORMAT,
        "input": {
            "kind": collector.kind, "rows": collector.rows, "broken_rows": collector.bad_rows,
            "unreadable_cells": collector.bad_cells, "truncated": collector.truncated,
            "pressure": "sea-level" if collector.sea_level else "station",
        },
        "settings": {key: value for key, value in settings.items() if key != "columns"},
        "stations": [_describe(station) for station in stations],
        "shown": shown.name,
        "period": _period(hours, days),
        "tendency": {"hpa_3h": _round(tendency[0], 1), "words": tendency[1]},
        "forecast": [{key: _round(entry[key], 3) for key in _FORECAST} for entry in predicted],
        "files": {name: _sha256(os.path.join(out, name)) for name in _names()},
    }  # fmt: skip
    _save(out, "summary.json", json.dumps(summary, indent=1, allow_nan=False).encode() + b"\n")
    # summary.json names the sha256 of every other file: its digest is the digest of all.
    _save(out, "computed.json", json.dumps({"deterministic-output-path": "/iexec_out/summary.json"}).encode())
    flagged = sum(entry["flagged"] for one in summary["stations"] for entry in one["quality"].values())
    print(f"{collector.samples} samples of {len(stations)} stations, {flagged} values flagged", file=sys.stderr)


def _names():
    return ("minutes.csv", "hours.csv", "days.csv", "flags.csv", "forecast.csv", "report.svg")


def _shown(stations, settings):
    """The station that the plots and the forecast are of."""
    if settings["station"]:
        for station in stations:
            if station.name == settings["station"]:
                return station
        there = ", ".join(station.name for station in stations)
        raise records.RecordsError(f"there is no station '{settings['station']}'; there are: {there[:200]}")
    return max(stations, key=lambda station: len(station.times))


def _aggregate(stations, shown, site, out):
    """Write the tables of all stations; returns the hours and days of one as (end, row)."""
    kept = {"hours": [], "days": [], "minutes": None}
    files = {name: open(os.path.join(out, f"{name}.csv"), "w", encoding="utf-8", newline="\n") for name in _TABLES}  # noqa: SIM115
    try:
        for name, columns in _TABLES.items():
            first = "date" if name == "days" else "time"
            files[name].write(",".join([first, "station", "samples", *(column for column, _ in columns)]) + "\n")
        forms = {name: [(column, f".{decimals}f") for column, decimals in columns] for name, columns in _TABLES.items()}
        for station in stations:
            keep, cell = station is shown, _cell(station.name)

            def write(name, end, row, keep=keep, cell=cell):
                if name == "days":
                    when = f"{moment(end - 1, site.utc_offset):%Y-%m-%d}"
                else:
                    when = f"{moment(end, 0):%Y-%m-%dT%H:%M:%SZ}"
                values = [_format(row[column], form) for column, form in forms[name]]
                files[name].write(f"{when},{cell},{row['samples']},{','.join(values)}\n")
                if keep and kept[name] is not None:
                    kept[name].append((end, row))

            aggregates.run(station, site, write)
    finally:
        for file in files.values():
            file.close()
    return kept["hours"], kept["days"]


def _format(value, form):
    if value is None:
        return ""
    shown = format(value, form)
    return shown[1:] if shown[0] == "-" and not shown.strip("-0.") else shown


def _cell(name):
    """A station's name as a CSV cell; one that a spreadsheet could take for a formula is quoted with an apostrophe."""
    name = "".join(c if c.isprintable() else " " for c in name)
    name = f"'{name}" if name[:1] in {"=", "+", "-", "@"} else name
    return '"' + name.replace('"', '""') + '"' if any(c in name for c in ',"') else name


def _columns(hours):
    """Hourly lists without holes in time, by variable, and the first hour (Unix hours)."""
    first, last = hours[0][0] // HOUR, hours[-1][0] // HOUR
    names = ("temperature_c", "sea_level_hpa", "wind_ms", "humidity_pct")
    columns = {name: [None] * (last - first + 1) for name in names}
    for end, row in hours:
        for name in names:
            columns[name][end // HOUR - first] = row[name]
    return columns, first


def _write_flags(stations, out):
    letters = [flags.letters(mark) for mark in range(256)]
    with open(os.path.join(out, "flags.csv"), "w", encoding="utf-8", newline="\n") as file:
        file.write("time,station," + ",".join(VARIABLES) + "\n")
        for station in stations:
            cell = _cell(station.name)
            marks = [station.marks[name] for name in VARIABLES]
            day, date = None, ""
            for index, when in enumerate(station.times):
                if when // 86400 != day:
                    day = when // 86400
                    date = f"{moment(when, 0):%Y-%m-%d}"
                minute, second = divmod(when % 86400, 60)
                shown = ",".join([letters[mark[index]] for mark in marks])
                file.write(f"{date}T{minute // 60:02}:{minute % 60:02}:{second:02}Z,{cell},{shown}\n")


def _write_forecast(predicted, out):
    with open(os.path.join(out, "forecast.csv"), "w", encoding="utf-8", newline="\n") as file:
        file.write(",".join(_FORECAST) + "\n")
        for entry in predicted:
            cells = [entry[key] for key in _FORECAST]
            shown = [
                cell if isinstance(cell, str) else _format(cell, ".3f" if isinstance(cell, float) else "d")
                for cell in cells
            ]
            file.write(",".join(shown) + "\n")


def _describe(station):
    """What is said of a station in the summary."""
    found = {}
    for name in VARIABLES:
        counts = dict.fromkeys(flags.NAMES, 0)
        flagged = 0
        for mark in station.marks[name]:
            if mark:
                flagged += not mark & flags.SENTINEL
                for bit in counts:
                    if mark & bit:
                        counts[bit] += 1
        missing = counts.pop(flags.SENTINEL)
        found[name] = {
            "measured": len(station.times) - missing, "missing": missing, "sentinels": station.sentinels[name],
            "flagged": flagged, "by_check": {flags.NAMES[bit]: count for bit, count in counts.items() if count},
        }  # fmt: skip
    return {
        "name": station.name, "samples": len(station.times), "duplicates": station.duplicates,
        "interval_s": station.interval, "first": f"{moment(station.times[0], 0):%Y-%m-%dT%H:%M:%SZ}",
        "last": f"{moment(station.times[-1], 0):%Y-%m-%dT%H:%M:%SZ}", "quality": found,
    }  # fmt: skip


def _period(hours, days):
    """Extremes and sums of the whole period."""

    def over(rows, name, how):
        values = [row[name] for _, row in rows if row.get(name) is not None]
        return how(values) if values else None

    def mean(values):
        return math.fsum(values) / len(values)

    return {
        "hours": len(hours), "days": len(days),
        "temperature_min_c": _round(over(hours, "temperature_c", min), 2),
        "temperature_mean_c": _round(over(hours, "temperature_c", mean), 2),
        "temperature_max_c": _round(over(hours, "temperature_c", max), 2),
        "dew_point_mean_c": _round(over(hours, "dew_point_c", mean), 2),
        "humidity_mean_pct": _round(over(hours, "humidity_pct", mean), 1),
        "sea_level_min_hpa": _round(over(hours, "sea_level_hpa", min), 2),
        "sea_level_max_hpa": _round(over(hours, "sea_level_hpa", max), 2),
        "wind_mean_ms": _round(over(hours, "wind_ms", mean), 2),
        "gust_max_ms": _round(over(hours, "gust_ms", max), 2),
        "rain_mm": _round(over(hours, "rain_mm", math.fsum), 2),
        "rain_rate_max_mm_h": _round(over(hours, "rain_rate_mm_h", max), 2),
        "radiation_mj_m2": _round(over(days, "radiation_mj_m2", math.fsum), 1),
        "et0_mm": _round(over(days, "et0_mm", math.fsum), 1),
    }  # fmt: skip


def _round(value, decimals):
    return round(value, decimals) + 0.0 if isinstance(value, float) else value


def _sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _save(out, name, content):
    with open(os.path.join(out, name), "wb") as file:
        file.write(content)
