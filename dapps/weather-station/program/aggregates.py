"""Minutes, hours and days from the samples no check objects to.

A period is named by its end, as samples are; a day by its date at the station. A mean or a sum is given where at
least two thirds of the period's samples are good (WMO-No. 8, volume III, chapter 1), wind directions as the direction
of the mean vector.
"""

import math
from functools import lru_cache

import formulas
from arithmetic import PI, atan2, radians, sincos

MINUTE, HOUR, DAY = 60, 3600, 86400
#: Below this a vane does not follow the wind, m/s.
CALM = 0.3
_MEANS = ("temperature_c", "humidity_pct", "pressure_hpa", "wind_ms", "irradiance_wm2")
#: Columns of the rows, with their decimals.
SHORT = (
    ("temperature_c", 2), ("humidity_pct", 1), ("pressure_hpa", 2), ("sea_level_hpa", 2), ("dew_point_c", 2),
    ("wet_bulb_c", 2), ("heat_index_c", 2), ("wind_chill_c", 2), ("wind_ms", 2), ("wind_vector_ms", 2),
    ("wind_dir_deg", 0), ("gust_ms", 2), ("rain_mm", 3), ("rain_rate_mm_h", 2), ("irradiance_wm2", 1),
)  # fmt: skip
HOURLY = (*SHORT, ("et0_mm", 3))
DAILY = (
    ("temperature_c", 2), ("temperature_min_c", 2), ("temperature_max_c", 2), ("humidity_pct", 1),
    ("humidity_min_pct", 1), ("humidity_max_pct", 1), ("pressure_hpa", 2), ("sea_level_hpa", 2), ("dew_point_c", 2),
    ("wet_bulb_c", 2), ("heat_index_max_c", 2), ("wind_chill_min_c", 2), ("wind_ms", 2), ("wind_vector_ms", 2),
    ("wind_dir_deg", 0), ("gust_ms", 2), ("rain_mm", 3), ("rain_rate_mm_h", 2), ("irradiance_wm2", 1),
    ("radiation_mj_m2", 2), ("et0_mm", 2),
)  # fmt: skip


class Bucket:
    """What is known of a period: count, sum, least and most of each variable."""

    __slots__ = ("east", "end", "gust", "means", "north", "rain", "rains", "rate", "samples", "vectors")

    def __init__(self, end):
        self.end = end
        self.samples = self.vectors = self.rains = 0
        self.east = self.north = self.rain = 0.0
        self.gust = self.rate = None
        self.means = [[0, 0.0, math.inf, -math.inf] for _ in _MEANS]

    def merge(self, other):
        """Take over what a shorter period knows."""
        self.samples += other.samples
        self.vectors += other.vectors
        self.east += other.east
        self.north += other.north
        self.rains += other.rains
        self.rain += other.rain
        if other.gust is not None and (self.gust is None or other.gust > self.gust):
            self.gust = other.gust
        if other.rate is not None and (self.rate is None or other.rate > self.rate):
            self.rate = other.rate
        for mine, theirs in zip(self.means, other.means):
            if theirs[0]:
                mine[0] += theirs[0]
                mine[1] += theirs[1]
                if theirs[2] < mine[2]:
                    mine[2] = theirs[2]
                if theirs[3] > mine[3]:
                    mine[3] = theirs[3]

    def row(self, needed, site):
        """The period's quantities by column; None where too few samples are good."""
        row = {"samples": self.samples}
        for name, (count, total, _, _) in zip(_MEANS, self.means):
            row[name] = total / count if count >= needed else None
        row["gust_ms"] = self.gust
        row["rain_mm"] = self.rain if self.rains >= needed else None
        row["rain_rate_mm_h"] = self.rate if self.rains >= needed else None
        row["wind_vector_ms"] = row["wind_dir_deg"] = None
        if self.vectors >= needed:
            east, north = self.east / self.vectors, self.north / self.vectors
            row["wind_vector_ms"] = speed = math.sqrt(east * east + north * north)
            if speed >= CALM:
                direction = (atan2(-east, -north) * (180.0 / PI)) % 360.0
                row["wind_dir_deg"] = direction if direction >= 0.5 else 360.0  # north is 360, 0 means calm
        site.derive(row)
        return row

    def extremes(self, name, needed):
        """(least, most) of a variable."""
        count, _, least, most = self.means[_MEANS.index(name)]
        return (least, most) if count >= needed else (None, None)


class Site:
    """Where the station is, and what follows from it."""

    def __init__(self, settings, sea_level):
        self.elevation, self.sea_level = settings["elevation"], sea_level
        self.latitude, self.longitude = settings["latitude"], settings["longitude"]
        self.height, self.utc_offset = settings["wind_height"], settings["utc_offset"]
        self.standard = formulas.standard_pressure(self.elevation)
        self._bright = 0.7

    def night(self, when):
        """Whether the sun is more than 6 degrees below the horizon; for sites whose coordinates are known."""
        return formulas.sun_height(self.latitude, self.longitude, when) < -0.105

    def derive(self, row):
        """Add to a row what follows from its means."""
        t, h, p, wind = (row[name] for name in ("temperature_c", "humidity_pct", "pressure_hpa", "wind_ms"))
        row["sea_level_hpa"] = None
        if p is not None:
            factor = _reduction(*_rounded(15.0 if t is None else t, 60.0 if h is None else h), self.elevation)
            if self.sea_level:
                row["sea_level_hpa"], row["pressure_hpa"] = p, p / factor
            elif t is not None or self.elevation < 50:
                row["sea_level_hpa"] = p * factor
            p = row["pressure_hpa"]
        row["dew_point_c"] = row["wet_bulb_c"] = row["heat_index_c"] = row["wind_chill_c"] = None
        if t is not None:
            if h is not None and h > 0.0:
                place = _rounded(t, min(h, 100.0))
                row["dew_point_c"] = min(t, _dew_point(*place))
                row["wet_bulb_c"] = _wet_bulb(*place, math.floor((self.standard if p is None else p) / 5.0 + 0.5) * 5.0)
                row["heat_index_c"] = formulas.heat_index(t, h)
            if wind is not None:
                row["wind_chill_c"] = formulas.wind_chill(t, wind)

    def evaporation(self, row, end):
        """Reference evapotranspiration of an hour in mm, or None."""
        names = ("temperature_c", "humidity_pct", "wind_ms", "irradiance_wm2")
        t, h, wind, light = (row[name] for name in names)
        if self.latitude is None or None in (t, h, wind, light):
            return None
        above = formulas.extraterrestrial_hour(self.latitude, self.longitude, end - 1800)
        clear = (0.75 + 2e-5 * self.elevation) * above
        light = max(0.0, light) * 0.0036
        if clear > 0.5:
            self._bright = min(1.0, max(0.25, light / clear))
        return formulas.evapotranspiration_hour(
            t, h, formulas.wind_at_two_metres(wind, self.height), light, row["pressure_hpa"] or self.standard,
            clear > 0.0, self._bright,
        )  # fmt: skip

    def evaporation_of_day(self, bucket, row, needed, noon):
        """Reference evapotranspiration of a day in mm, or None."""
        least, most = bucket.extremes("temperature_c", needed)
        dry, damp = bucket.extremes("humidity_pct", needed)
        wind, light = row["wind_ms"], row["irradiance_wm2"]
        if self.latitude is None or None in (least, dry, wind, light):
            return None
        return formulas.evapotranspiration_day(
            least, most, (dry, damp), formulas.wind_at_two_metres(wind, self.height), max(0.0, light) * 0.0864,
            row["pressure_hpa"] or self.standard, self.elevation, self.latitude, formulas.day_of_year(noon),
        )  # fmt: skip


def _rounded(temperature, humidity):
    """Temperature and humidity in steps as small as the formulas' uncertainty, so that results can be looked up."""
    return math.floor(temperature * 100.0 + 0.5) / 100.0, math.floor(humidity * 10.0 + 0.5) / 10.0


_dew_point = lru_cache(4096)(formulas.dew_point)
_wet_bulb = lru_cache(4096)(formulas.wet_bulb)


@lru_cache(4096)
def _reduction(temperature, humidity, elevation):
    return formulas.sea_level_pressure(1.0, temperature, humidity, elevation)


@lru_cache(4096)
def _from(direction):
    """(east, north) of the unit vector of wind that comes from a direction in thousandths of a degree."""
    sine, cosine = sincos(radians(direction / 1000.0))
    return -sine, -cosine


def run(station, site, write):
    """Aggregate a station.

    Args:
        station: a checked `records.Station`.
        site: its `Site`.
        write: called with ("minutes", "hours" or "days", end in Unix seconds, row) for each period that has samples.
    """
    interval = max(1, station.interval)
    needed = {length: max(1, math.ceil(2 * length / interval / 3)) for length in (MINUTE, HOUR, DAY)}
    hour = day = None
    heat = chill = None
    for minute in _minutes(station, interval):
        end = -(-minute.end // HOUR) * HOUR
        if hour is None or end != hour.end:
            if hour is not None:
                heat, chill = _close_hour(hour, needed, site, write, heat, chill)
                day.merge(hour)
            hour = Bucket(end)
        date = -(-(minute.end + site.utc_offset) // DAY) * DAY - site.utc_offset
        if day is None or date != day.end:
            if day is not None:
                _close_day(day, needed, site, write, heat, chill)
            heat = chill = None
            day = Bucket(date)
        write("minutes", minute.end, minute.row(needed[MINUTE], site))
        hour.merge(minute)
    if hour is not None:
        heat, chill = _close_hour(hour, needed, site, write, heat, chill)
        day.merge(hour)
        _close_day(day, needed, site, write, heat, chill)


def _close_hour(bucket, needed, site, write, heat, chill):
    row = bucket.row(needed[HOUR], site)
    row["et0_mm"] = site.evaporation(row, bucket.end)
    write("hours", bucket.end, row)
    if row["heat_index_c"] is not None:
        heat = row["heat_index_c"] if heat is None else max(heat, row["heat_index_c"])
    if row["wind_chill_c"] is not None:
        chill = row["wind_chill_c"] if chill is None else min(chill, row["wind_chill_c"])
    return heat, chill


def _close_day(bucket, needed, site, write, heat, chill):
    row = bucket.row(needed[DAY], site)
    row["temperature_min_c"], row["temperature_max_c"] = bucket.extremes("temperature_c", needed[DAY])
    row["humidity_min_pct"], row["humidity_max_pct"] = bucket.extremes("humidity_pct", needed[DAY])
    row["heat_index_max_c"], row["wind_chill_min_c"] = heat, chill
    light = row["irradiance_wm2"]
    row["radiation_mj_m2"] = None if light is None else max(0.0, light) * 0.0864
    row["et0_mm"] = site.evaporation_of_day(bucket, row, needed[DAY], bucket.end - DAY // 2)
    write("days", bucket.end, row)


def _minutes(station, interval):
    """Buckets of the minutes that have samples."""
    columns = [station.values[name] for name in _MEANS]
    marks = [station.marks[name] for name in _MEANS]
    gusts, rains, directions = (station.values[name] for name in ("gust_ms", "rain_mm", "wind_dir_deg"))
    gust_marks, rain_marks, direction_marks = (station.marks[name] for name in ("gust_ms", "rain_mm", "wind_dir_deg"))
    bucket = None
    for index, when in enumerate(station.times):
        end = -(-when // MINUTE) * MINUTE
        if bucket is None or end != bucket.end:
            if bucket is not None:
                yield bucket
            bucket = Bucket(end)
        bucket.samples += 1
        for stat, column, mark in zip(bucket.means, columns, marks):
            if not mark[index]:
                value = column[index] / 1000.0
                stat[0] += 1
                stat[1] += value
                if value < stat[2]:
                    stat[2] = value
                if value > stat[3]:
                    stat[3] = value
        wind = columns[3][index] / 1000.0
        if not marks[3][index]:
            gust = wind
            if not direction_marks[index]:
                east, north = _from(directions[index])
                bucket.east += wind * east
                bucket.north += wind * north
                bucket.vectors += 1
            elif wind < CALM:
                bucket.vectors += 1
        else:
            gust = None
        if not gust_marks[index]:
            gust = gusts[index] / 1000.0
        if gust is not None and (bucket.gust is None or gust > bucket.gust):
            bucket.gust = gust
        if not rain_marks[index]:
            fallen = rains[index] / 1000.0
            bucket.rains += 1
            bucket.rain += fallen
            rate = fallen * 3600.0 / interval
            if bucket.rate is None or rate > bucket.rate:
                bucket.rate = rate
    if bucket is not None:
        yield bucket
