"""Quality control of all stations: each alone, then against each other."""

import arithmetic
import checks
import flags
import neighbours
from units import MISSING

HOUR = neighbours.HOUR
#: The smallest lasting error that is looked for against neighbours, as the scale of the search, in the variable's unit
#: (of wind: of the logarithm), and the part of the difference's squares that it must explain.
SEARCH = {
    "temperature_c": (0.25, 0.65), "humidity_pct": (1.5, 0.65), "pressure_hpa": (0.15, 0.65), "wind_ms": (0.1, 0.5),
}  # fmt: skip


def control(stations, sea_level, night=None):
    """Mark the samples of a list of stations.

    Args:
        stations: `records.Station`s.
        sea_level: whether their pressure is reduced to sea level.
        night: a function of Unix seconds that tells whether the sun is well below the horizon, or None.
    """
    for station in stations:
        checks.ranges(station, sea_level)
        checks.consistency(station, night)
    for name in checks.SMOOTH:
        having = [station for station in stations if station.has(name)]
        for station in having:
            checks.steps(station, name)
        beside = {station.name: _beside(station, name, having) for station in having}
        for station in having:
            near = [(other, _differ(station, name, other)) for other in beside[station.name]]
            checks.persistence(station, name, near)
            checks.spikes(station, name, beside[station.name])
        if len(having) > 1:
            _against_each_other(having, name)
    for station in stations:
        if station.has("gust_ms"):
            checks.spikes(station, "gust_ms", [])


def _beside(station, name, having):
    """What each neighbour lets expect at a station's instants; None where it has nothing within half an interval."""
    result = []
    here = _saturation(_celsius(station)) if name == "humidity_pct" and len(having) > 1 else []
    for other in having:
        if other is station:
            continue
        known, times, reach = flags.good(other, name), other.times, max(station.interval, 60) // 2
        there = _saturation(_celsius(other)) if here else []
        column, at = [None] * len(station.times), 0
        for index, when in enumerate(station.times):
            while at + 1 < len(times) and abs(times[at + 1] - when) <= abs(times[at] - when):
                at += 1
            if abs(times[at] - when) <= reach:
                value = known[at]
                if here and value is not None and here[index] is not None and there[at] is not None:
                    value = min(100_000.0, value * there[at] / here[index])
                column[index] = value
        result.append(column)
    return result


def _celsius(station):
    return [None if value is None else value / 1000.0 for value in flags.good(station, "temperature_c")]


def _differ(station, name, other):
    """How far a neighbour usually differs, apart from a constant."""
    values = [a - b for a, b in zip(flags.good(station, name), other) if a is not None and b is not None]
    if not values:
        return 0.0
    middle = sorted(values)[len(values) // 2]
    return checks.mad([value - middle for value in values])


def _against_each_other(having, name):
    start = min(station.times[0] for station in having) // HOUR
    hours = max(station.times[-1] for station in having) // HOUR - start + 1
    if hours > 24 * 366 * 6:
        return  # samples strewn over decades: no series to compare
    columns = [neighbours.hourly(station, name, start, hours) for station in having]
    if name == "wind_ms":  # errors of an anemometer grow with the speed; so does the scatter between places
        columns = [[None if value is None else arithmetic.log(1.0 + value) for value in column] for column in columns]
    heat = []
    if name == "humidity_pct":
        heat = [_saturation(neighbours.hourly(station, "temperature_c", start, hours)) for station in having]
    for place, station in enumerate(having):
        others = [column for other, column in enumerate(columns) if other != place]
        if heat:
            near = [column for other, column in enumerate(heat) if other != place]
            others = [_same_vapour(other, there, heat[place]) for other, there in zip(others, near)]
        floor, explained = SEARCH[name]
        pairs = [neighbours.difference(columns[place], other, floor) for other in others]
        for shape, first, end in neighbours.stretches(pairs, floor, explained, columns[place], others):
            bit = flags.DRIFT if shape == neighbours.DRIFT else flags.LEVEL
            _mark(station, name, (start + first) * HOUR, (start + end) * HOUR, bit)


def _saturation(temperatures):
    """Saturation vapour pressure, up to a constant factor (Magnus, WMO-No. 8 volume I annex 4.B)."""
    return [None if t is None else arithmetic.exp(17.62 * t / (243.12 + t)) for t in temperatures]


def _same_vapour(humidity, there, here):
    """The relative humidity that air with a neighbour's vapour has at this station's temperature.

    Vapour varies less from place to place than temperature, so this tells more than the neighbour's relative humidity.
    """
    return [
        h if h is None or s is None or own is None else min(100.0, h * s / own)
        for h, s, own in zip(humidity, there, here)
    ]


def _mark(station, name, begin, end, bit):
    marks, values = station.marks[name], station.values[name]
    for index, when in enumerate(station.times):
        if begin <= when < end and values[index] != MISSING:
            marks[index] |= bit
