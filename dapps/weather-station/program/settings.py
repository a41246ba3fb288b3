"""The arguments of a task: `--name value`, all with a default."""

import units

DEFAULTS = {
    "latitude": "",
    "longitude": "",
    "elevation": "0",
    "utc-offset": "0",
    "wind-height": "10",
    "pressure": "auto",
    "units": "metricwx",
    "columns": "",
    "station": "",
    "title": "",
}
_PLACES = (*units.VARIABLES, "time", "station")


class SettingsError(ValueError):
    """Arguments that cannot be understood."""


def parse(arguments):
    """Settings from a list of arguments.

    Returns:
        A dictionary: latitude and longitude in degrees (None: not known), elevation and wind_height in metres,
        utc_offset in seconds, pressure (auto, station or sea-level), units (of columns whose name says none), columns
        (canonical name: (column, unit)), station (which of several to report on; empty: the one with most samples),
        title.

    Raises:
        SettingsError: an unknown name or an impossible value.
    """
    given = dict(DEFAULTS)
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or name not in DEFAULTS:
            raise SettingsError(
                f"unknown argument '{word[:60]}'; known: " + ", ".join(f"--{known}" for known in DEFAULTS)
            )
        if not equals:
            if not rest:
                raise SettingsError(f"--{name} needs a value")
            value = rest.pop(0)
        given[name] = value
    if (given["latitude"] == "") != (given["longitude"] == ""):
        raise SettingsError("--latitude and --longitude are given together, or neither")
    return {
        "latitude": _number("latitude", given["latitude"], -90, 90) if given["latitude"] else None,
        "longitude": _number("longitude", given["longitude"], -180, 180) if given["longitude"] else None,
        "elevation": _number("elevation", given["elevation"], -430, 9000),
        "utc_offset": int(3600 * _number("utc-offset", given["utc-offset"], -12, 14)),
        "wind_height": _number("wind-height", given["wind-height"], 0.5, 200),
        "pressure": _choice("pressure", given["pressure"], ("auto", "station", "sea-level")),
        "units": _choice("units", given["units"], tuple(units.SYSTEMS)),
        "columns": _columns(given["columns"]),
        "station": given["station"][:40],
        "title": given["title"][:60],
    }


def _columns(text):
    """`temperature_c=T1:f,time=when` as {canonical name: (plain column, plain unit)}."""
    chosen = {}
    for part in filter(None, text.split(",")):
        name, equals, column = part.partition("=")
        column, _, unit = column.partition(":")
        name, unit = name.strip(), units.plain(unit)
        if not equals or name not in _PLACES or not column.strip():
            raise SettingsError(
                f"--columns is name=column[:unit],... with a name of {', '.join(_PLACES)}; not '{part[:60]}'"
            )
        if unit and (name not in units.UNITS or unit not in units.UNITS[name]):
            raise SettingsError(f"--columns: '{unit[:20]}' is no unit of {name}")
        chosen[name] = (column.strip(), unit)
    return chosen


def _choice(name, value, known):
    if value not in known:
        raise SettingsError(f"--{name} is one of {', '.join(known)}; not '{value[:30]}'")
    return value


def _number(name, text, least, most):
    digits = text.strip().removeprefix("-")
    if len(digits) > 12 or not digits.isascii() or not digits.replace(".", "", 1).isdigit():
        raise SettingsError(f"--{name}: '{text[:30]}' is not a number")
    value = float(text)
    if not least <= value <= most:
        raise SettingsError(f"--{name}: {text} is not within {least} to {most}")
    return value
