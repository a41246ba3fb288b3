"""Names and units in which loggers write the eight variables, and how they become the canonical ones.

Values are kept as integers in thousandths of the canonical unit: exact, small, and the same on every architecture.
"""

import re

#: The canonical columns, in the order in which everything is written.
VARIABLES = (
    "temperature_c", "humidity_pct", "pressure_hpa", "wind_ms", "wind_dir_deg", "gust_ms", "rain_mm", "irradiance_wm2",
)  # fmt: skip
#: A value that is missing, and the largest that is kept, in thousandths.
MISSING, LARGEST = -(2**31), 2_000_000_000
#: Numbers by which loggers say that there is none (Campbell: 7999 and 6999; NOAA: 9s).
SENTINELS = frozenset(
    [-99999.0, -9999.9, -9999.0, -999.9, -999.0, -7999.0, 7999.0, -6999.0, 6999.0, 9999.0, 9999.9, 99999.0]
)

# unit: (factor, offset) of value * factor + offset
_TEMPERATURE = {"c": (1.0, 0.0), "f": (5.0 / 9.0, -160.0 / 9.0), "k": (1.0, -273.15)}
_PRESSURE = {"hpa": (1.0, 0.0), "mbar": (1.0, 0.0), "mb": (1.0, 0.0), "pa": (0.01, 0.0), "kpa": (10.0, 0.0),
             "inhg": (33.86389, 0.0), "mmhg": (1.333224, 0.0)}  # fmt: skip
_SPEED = {"ms": (1.0, 0.0), "mps": (1.0, 0.0), "kmh": (1 / 3.6, 0.0), "kph": (1 / 3.6, 0.0), "mph": (0.44704, 0.0),
          "kn": (0.514444, 0.0), "knot": (0.514444, 0.0), "knots": (0.514444, 0.0), "kt": (0.514444, 0.0),
          "kts": (0.514444, 0.0)}  # fmt: skip
_DIRECTION = {"deg": (1.0, 0.0), "degfromn": (1.0, 0.0), "degrees": (1.0, 0.0), "degreecompass": (1.0, 0.0)}
_DEPTH = {"mm": (1.0, 0.0), "cm": (10.0, 0.0), "in": (25.4, 0.0), "inch": (25.4, 0.0)}
_SHARE = {"pct": (1.0, 0.0), "percent": (1.0, 0.0), "fraction": (100.0, 0.0)}
_FLUX = {"wm2": (1.0, 0.0), "wpm2": (1.0, 0.0), "kwm2": (1000.0, 0.0), "wattpermetersquared": (1.0, 0.0)}
UNITS = {
    "temperature_c": _TEMPERATURE, "humidity_pct": _SHARE, "pressure_hpa": _PRESSURE, "wind_ms": _SPEED,
    "wind_dir_deg": _DIRECTION, "gust_ms": _SPEED, "rain_mm": _DEPTH, "irradiance_wm2": _FLUX,
}  # fmt: skip

#: What a column is in where its name does not say, by system; WeeWX numbers them 1, 16 and 17.
SYSTEMS = {
    "us": ("f", "pct", "inhg", "mph", "deg", "mph", "in", "wm2"),
    "metric": ("c", "pct", "hpa", "kmh", "deg", "kmh", "cm", "wm2"),
    "metricwx": ("c", "pct", "hpa", "ms", "deg", "ms", "mm", "wm2"),
}
WEEWX_SYSTEMS = {1: "us", 16: "metric", 17: "metricwx"}

# names without their unit, lower case, letters and digits only; the first that a file has is taken
ALIASES = {
    "temperature_c": ("temperature", "outtemp", "airtemperature", "airtemp", "temp", "temperatureout", "tempout", "ta",
                      "drybulb", "t"),
    "humidity_pct": ("humidity", "outhumidity", "relativehumidity", "relhumidity", "rh", "rhum", "humid", "hum",
                     "humidityout"),
    "pressure_hpa": ("pressure", "stationpressure", "abspressure", "airpressure", "baromabs", "press", "p"),
    "wind_ms": ("wind", "windspeed", "windspd", "avgwindspeed", "wspd", "ws"),
    "wind_dir_deg": ("winddir", "winddirection", "avgwinddirection", "wdir", "wd"),
    "gust_ms": ("gust", "windgust", "gustspeed", "peakwindspeed", "maxwindspeed"),
    "rain_mm": ("rain", "precipitation", "precip", "rainfall"),
    "irradiance_wm2": ("irradiance", "radiation", "solarradiation", "solar", "ghi", "globalhoriz",
                       "globalhorizontal"),
}  # fmt: skip
#: Names of a pressure that is reduced to sea level already.
SEA_LEVEL = ("sealevelpressure", "sealevel", "barometer", "slp", "mslp", "pressuremsl", "baromrel", "relpressure")
TIME = ("time", "datetime", "timestamp", "date", "utc", "timeutc", "datetimeutc", "timehour")
STATION = ("station", "stationid", "site", "origin", "id")

_BRACKET = re.compile(r"[\[(]([^\])]*)[\])]\s*$")
_NOTE = re.compile(r"@[^\[(]*|\((?:tracker|platform)\)", re.IGNORECASE)
_ALL_UNITS = {unit for table in UNITS.values() for unit in table}


def plain(name):
    """A name with letters and digits only, in lower case."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def split_unit(name):
    """A column's plain name and its plain unit, which is empty where the name tells none.

    `Air Temperature [deg C]`, `outTemp_F`, `temperature_c` and `Wind Speed @ 3m [m/s]` are understood.
    """
    name = _NOTE.sub(" ", name).strip().replace("%", "pct").replace("²", "2").replace("/h]", "h]")
    bracket = _BRACKET.search(name)
    if bracket:
        unit = plain(bracket.group(1))
        unit = unit.removeprefix("deg") if unit in {"degc", "degf", "degk"} else unit
        return plain(name[: bracket.start()]), unit
    head, _, tail = name.rpartition("_")
    if head and plain(tail) in _ALL_UNITS:
        return plain(head), plain(tail)
    return plain(name), ""


def conversion(variable, unit, system):
    """(factor, offset) that turns a value into the canonical unit; None where the unit is not the variable's."""
    return UNITS[variable].get(unit or SYSTEMS[system][VARIABLES.index(variable)])
