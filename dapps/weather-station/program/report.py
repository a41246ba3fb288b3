"""report.svg: one page of plots of one station."""

import math

import drawing
import flags
from drawing import DAY, HOUR, Panel, moment, text
from units import VARIABLES

WIDTH, MARGIN, GAP = 1200, 28, 18
#: Above this many hours, lines are daily means with bands from least to most.
_HOURS_SHOWN = 24 * 32
_SHOWN = {
    "temperature_c": "temperature", "humidity_pct": "humidity", "pressure_hpa": "pressure", "wind_ms": "wind speed",
    "wind_dir_deg": "wind direction", "gust_ms": "gusts", "rain_mm": "rain", "irradiance_wm2": "irradiance",
}  # fmt: skip
_POINTS = ("N", "NE", "E", "SE", "S", "SW", "W", "NW")


def page(title, station, hours, days, forecasts, tendency, site):
    """The page as SVG.

    Args:
        station: the checked `records.Station`.
        hours, days: lists of (end, row) as `aggregates` makes them.
        forecasts: what `forecast.forecast` returns; tendency: what `forecast.tendency` returns.
        site: an `aggregates.Site`.
    """
    offset = site.utc_offset
    span = (hours[0][0] - HOUR, hours[-1][0])
    fine = len(hours) <= _HOURS_SHOWN
    full, half = WIDTH - 2 * MARGIN, (WIDTH - 2 * MARGIN - GAP) // 2
    parts, y = [_head(title, station, hours, offset)], 96
    parts.append(_tiles(y, full, station, hours, days, tendency))
    y += 104 + GAP
    columns = {name for _, row in hours for name, value in row.items() if value is not None}

    def panel(box, heading, unit, names, **more):
        values = [row.get(name) for _, row in (hours if fine else days) for name in names]
        return Panel(box, heading, unit, span, values, offset, **more)

    def series(plot, name, color, extra=""):
        plot.line([(end, row.get(name)) for end, row in (hours if fine else _middles(days))], color, extra)

    if "temperature_c" in columns:
        names = ["temperature_c", "dew_point_c"] + ([] if fine else ["temperature_min_c", "temperature_max_c"])
        plot = panel((MARGIN, y, full, 260), "Temperature and dew point", "°C", names, least_range=4.0)
        if not fine:
            rows = [(end, row["temperature_min_c"], row["temperature_max_c"]) for end, row in _middles(days)]
            plot.band(rows, "warm")
        series(plot, "dew_point_c", "dew")
        series(plot, "temperature_c", "warm")
        plot.legend([("temperature", "warm"), ("dew point", "dew")])
        parts.append(plot.svg())
        y += 260 + GAP
    if "temperature_c" in columns and len(days) >= 4:
        parts.append(
            drawing.carpet((MARGIN, y, full, 220), "Temperature by day and hour", "°C", _carpet(hours, offset))
        )
        y += 220 + GAP
    row_of_two = []
    if "sea_level_hpa" in columns or "pressure_hpa" in columns:
        name = "sea_level_hpa" if "sea_level_hpa" in columns else "pressure_hpa"

        def pressure(box):
            heading = "Pressure at sea level" if name == "sea_level_hpa" else "Pressure"
            plot = panel(box, heading, "hPa", [name], least_range=6.0)
            series(plot, name, "press")
            return plot.svg()

        row_of_two.append(("line", pressure))
    if any(entry["skill"] is not None for entry in forecasts):
        row_of_two.append(("line", lambda box: _forecast(box, hours, forecasts, offset)))
    if "wind_ms" in columns:

        def wind(box):
            plot = panel(box, "Wind", "m/s", ["wind_ms", "gust_ms"], zero=True, least_range=3.0)
            series(plot, "gust_ms", "gust")
            series(plot, "wind_ms", "wind")
            plot.legend([("strongest gust", "gust"), ("mean", "wind")])
            return plot.svg()

        row_of_two.append(("line", wind))
    if "wind_dir_deg" in columns:
        winds = [(row["wind_ms"], row["wind_dir_deg"]) for _, row in hours]
        row_of_two.append(("rose", lambda box: drawing.rose(box, "Where the wind came from", winds)))
    if "rain_mm" in columns:
        row_of_two.append(("bars", lambda box: _rain(box, hours, days, span, offset, fine)))
    if "irradiance_wm2" in columns:
        row_of_two.append(("bars", lambda box: _sun(box, hours, days, span, offset, fine)))
    for index in range(0, len(row_of_two), 2):
        pair = row_of_two[index : index + 2]
        height = 370 if any(kind == "rose" for kind, _ in pair) else 250
        for place, (_, draw) in enumerate(pair):
            width = half if len(pair) == 2 else full
            parts.append(draw((MARGIN + place * (half + GAP), y, width, height)))
        y += height + GAP
    parts.append(_quality((MARGIN, y, full, 60 + 26 * len(VARIABLES)), station, span))
    y += 60 + 26 * len(VARIABLES) + MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" role="img">\n'
        f"<title>{drawing.escape(title)}</title>\n<style>{drawing.STYLE}</style>\n"
        f'<rect width="{WIDTH}" height="{y}" style="fill:var(--bg)"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _middles(days):
    """Days at noon, where their means belong."""
    return [(end - DAY // 2, row) for end, row in days]


def _head(title, station, hours, offset):
    first, last = moment(hours[0][0] - HOUR, offset), moment(hours[-1][0], offset)
    period = f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M}"
    zone = "UTC" if not offset else f"UTC{offset / 3600:+g} h"
    every = f"{station.interval // 60} min" if station.interval >= 120 else f"{station.interval} s"
    return text(MARGIN, 48, title, "head") + text(
        MARGIN, 74, f"{period} {zone}  ·  {len(station.times)} samples, one every {every}", "soft"
    )


def _latest(hours, name):
    return next((row[name] for _, row in reversed(hours[-12:]) if row.get(name) is not None), None)


def _tiles(y, full, station, hours, days, tendency):
    """The figures one looks for first."""
    temperatures = [row["temperature_c"] for _, row in hours if row["temperature_c"] is not None]
    rain = math.fsum(row["rain_mm"] for _, row in hours if row["rain_mm"] is not None)
    gusts = [row["gust_ms"] for _, row in hours if row["gust_ms"] is not None]
    suns = [row["radiation_mj_m2"] for _, row in days if row["radiation_mj_m2"] is not None]
    evaporated = [row["et0_mm"] for _, row in days if row["et0_mm"] is not None]
    tiles = []

    def tile(name, value, form, unit, note, color):
        if value is not None:
            tiles.append((name, f"{value:{form}} {unit}", note, color))

    low, high = (min(temperatures), max(temperatures)) if temperatures else (None, None)
    spread = f"{low:.1f} to {high:.1f} °C" if temperatures else ""
    tile("temperature", _latest(hours, "temperature_c"), ".1f", "°C", spread, "warm")
    dew = _latest(hours, "dew_point_c")
    tile(
        "humidity",
        _latest(hours, "humidity_pct"),
        ".0f",
        "%",
        f"dew point {dew:.1f} °C" if dew is not None else "",
        "dew",
    )
    pressure = "sea_level_hpa" if _latest(hours, "sea_level_hpa") is not None else "pressure_hpa"
    change = f"{tendency[1]}, {tendency[0]:+.1f} hPa in 3 h" if tendency[0] is not None else ""
    tile("pressure", _latest(hours, pressure), ".1f", "hPa", change, "press")
    direction = _latest(hours, "wind_dir_deg")
    note = f"from {_POINTS[int((direction + 22.5) // 45) % 8]}" if direction is not None else ""
    if gusts:
        note = f"{note}, strongest {max(gusts):.1f} m/s".strip(", ")
    tile("wind", _latest(hours, "wind_ms"), ".1f", "m/s", note, "wind")
    if station.has("rain_mm"):
        wet = sum(1 for _, row in days if (row["rain_mm"] or 0.0) >= 1.0)
        tile("rain", rain, ".1f", "mm", f"{wet} of {len(days)} days with 1 mm", "rain")
    if suns:
        note = f"a day; ET₀ {math.fsum(evaporated):.0f} mm in all" if evaporated else "a day, on average"
        tile("sun", math.fsum(suns) / len(suns), ".1f", "MJ/m²", note, "sun")
    if not tiles:
        return ""
    parts, width = [], (full - GAP * (len(tiles) - 1)) / len(tiles)
    for index, (name, value, note, color) in enumerate(tiles):
        x = MARGIN + index * (width + GAP)
        parts.append(f'<rect class="card" x="{x:.1f}" y="{y}" width="{width:.1f}" height="104" rx="12"/>')
        parts.append(f'<rect x="{x + 16:.1f}" y="{y + 18}" width="4" height="68" rx="2" fill="var(--{color})"/>')
        parts.append(text(x + 30, y + 30, name, "soft"))
        parts.append(text(x + 30, y + 60, value, "big" if len(tiles) < 6 else "big tight"))
        if len(note) > width / 6.2 - 4 and ", " in note:
            head, _, tail = note.partition(", ")
            parts.append(text(x + 30, y + 77, head, "soft small") + text(x + 30, y + 91, tail, "soft small"))
        else:
            parts.append(text(x + 30, y + 82, note[: max(8, int(width / 5.6) - 6)], "soft small"))
    return "\n".join(parts)


def _carpet(hours, offset):
    """At most some 180 columns of 24 hourly temperatures; long records are thinned to every n-th day."""
    by_day = {}
    for end, row in hours:
        day, second = divmod(end - 1 + offset, DAY)
        by_day.setdefault(day, [None] * 24)[second // HOUR] = row["temperature_c"]
    first, last = min(by_day), max(by_day)
    step = 1 + (last - first) // 190
    columns, before, since = [], None, 99
    for day in range(first, last + 1, step):
        date = moment(day * DAY, 0)
        since += 1
        label = ""
        if (last - first > 75 and date.month != before and since * 1128 / (1 + (last - first) // step) > 40) or (
            last - first <= 75 and since * 1128 / (1 + last - first) > 56
        ):
            label = f"{date:%b}" if last - first > 75 else f"{date.day} {date:%b}"
            before, since = date.month, 0
        columns.append((label, by_day.get(day, [None] * 24)))
    return columns


def _forecast(box, hours, forecasts, offset):
    """The last day and the forecast temperature with the range that held 80 % of past errors."""
    name = next((e["variable"] for e in forecasts if e["skill"] is not None), "temperature_c")
    entries = [entry for entry in forecasts if entry["variable"] == name and entry["low"] is not None]
    now = hours[-1][0]
    past = [(end, row.get(name)) for end, row in hours[-24:]]
    ahead = [(now + entry["lead_hours"] * HOUR, entry) for entry in entries]
    values = [value for _, value in past] + [entry[key] for _, entry in ahead for key in ("low", "high")]
    unit = {"temperature_c": "°C", "sea_level_hpa": "hPa", "wind_ms": "m/s"}[name]
    color = {"temperature_c": "warm", "sea_level_hpa": "press", "wind_ms": "wind"}[name]
    skill = next((entry for entry in entries if entry["lead_hours"] == 6), entries[-1])
    better = 100.0 * (1.0 - skill["rmse"] / max(skill["rmse_persistence"], 1e-9))
    heading = f"Next 24 hours (+{skill['lead_hours']} h: {max(0.0, better):.0f} % less error than 'as now')"
    plot = Panel(box, heading, unit, (now - DAY, now + DAY), values, offset, least_range=4.0)
    start = (now, past[-1][1], past[-1][1])
    plot.band([start, *((time, entry["low"], entry["high"]) for time, entry in ahead)], color)
    x = plot.when(now)
    plot.parts.append(f'<path class="grid" style="stroke:var(--soft)" d="M{x:.1f} {plot.top}V{plot.bottom}"/>')
    plot.line(past, color)
    dashes = ' stroke-dasharray="2 5"'
    plot.line([(now, past[-1][1]), *((time, entry["value"]) for time, entry in ahead)], color, dashes)
    for time, entry in ahead:
        plot.parts.append(
            f'<circle cx="{plot.when(time):.1f}" cy="{plot.at(entry["value"]):.1f}" r="3.6" fill="var(--{color})"/>'
        )
    return plot.svg()


def _rain(box, hours, days, span, offset, fine):
    rows, length = (hours, HOUR) if fine else (days, DAY)
    points = [(end, row["rain_mm"]) for end, row in rows]
    heading = f"Rain per {'hour' if fine else 'day'}, and its sum"
    plot = Panel(box, heading, "mm", span, [value for _, value in points], offset, zero=True, least_range=2.0)
    plot.bars(points, length, "rain")
    total, sums = 0.0, []
    for end, value in points:
        total += value or 0.0
        sums.append((end, total))
    scale = plot.high / total if total else 0.0
    plot.line([(end, value * scale) for end, value in sums], "dew", ' stroke-dasharray="5 4"')
    if total:
        plot.legend([(f"sum, {total:.1f} mm in all", "dew")])
    return plot.svg()


def _sun(box, hours, days, span, offset, fine):
    if fine:
        points = [(end - HOUR // 2, row["irradiance_wm2"]) for end, row in hours]
        values = [value for _, value in points]
        plot = Panel(box, "Sunlight", "W/m²", span, values, offset, zero=True, least_range=100.0)
        plot.band([(time, 0.0 if value is not None else None, value) for time, value in points], "sun")
        plot.line(points, "sun")
        return plot.svg()
    points = [(end, row["radiation_mj_m2"]) for end, row in days]
    values = [value for _, value in points]
    plot = Panel(
        box, "Sunlight and evapotranspiration per day", "MJ/m², mm", span, values, offset, zero=True, least_range=5.0
    )
    plot.bars(points, DAY, "sun")
    plot.line([(end - DAY // 2, row["et0_mm"]) for end, row in days], "et")
    return plot.svg()


def _quality(box, station, span):
    """A strip per variable: measured, missing, and what the checks found."""
    x, y, width, height = box
    shades = 220
    left, right = x + 150, x + width - 110
    parts = [f'<rect class="card" x="{x}" y="{y}" width="{width}" height="{height}" rx="12"/>',
             text(x + 18, y + 25, "Quality of the samples", "title")]  # fmt: skip
    parts.append(f'<rect x="{right - 210}" y="{y + 16}" width="12" height="10" rx="2" fill="var(--good)"/>')
    parts.append(text(right - 193, y + 25, "measured", "soft small"))
    parts.append(f'<rect x="{right - 124}" y="{y + 16}" width="12" height="10" rx="2" fill="var(--bad)"/>')
    parts.append(text(right - 107, y + 25, "flagged by a check", "soft small"))
    first, last = span
    wide = (right - left) / shades
    for place, name in enumerate(VARIABLES):
        top = y + 44 + 26 * place
        known, bad = [0] * shades, [0] * shades
        counted = marked = 0
        for when, mark in zip(station.times, station.marks[name]):
            slot = min(shades - 1, max(0, (when - 1 - first) * shades // max(1, last - first)))
            if not mark & flags.SENTINEL:
                known[slot] += 1
                counted += 1
                if mark:
                    bad[slot] += 1
                    marked += 1
        parts.append(text(left - 12, top + 13, _SHOWN[name], "end" if counted else "soft end"))
        for start, end, kind in _runs(known, bad):
            color = "bad" if kind == 2 else "good"
            parts.append(
                f'<rect x="{left + start * wide:.1f}" y="{top}" width="{(end - start) * wide:.1f}" height="18" '
                f'fill="var(--{color})"/>'
            )
        note = f"{100.0 * marked / counted:.2f} %" if counted else "not measured"
        parts.append(text(right + 12, top + 13, note, "soft small"))
    return "\n".join(parts)


def _runs(known, bad):
    """(first, end, 1: measured or 2: flagged) of equal neighbours; places with nothing are left out."""
    kinds = [2 if wrong else 1 if there else 0 for there, wrong in zip(known, bad)]
    start = 0
    for index in range(1, len(kinds) + 1):
        if index == len(kinds) or kinds[index] != kinds[start]:
            if kinds[start]:
                yield start, index, kinds[start]
            start = index
