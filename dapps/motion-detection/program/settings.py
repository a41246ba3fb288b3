"""The arguments of a task: `--name value`, all with a default that fits most cameras."""

import re

DEFAULTS = {
    "region": "0,0,100,100",
    "sensitivity": "50",
    "min-area": "0.08",
    "absorb": "400",
    "gap": "1.0",
    "pictures": "20",
    "masks": "no",
    "schedule": "always",
    "starts-at": "",
    "start": "0",
    "frames": "0",
}


MAX_CORNERS = 50
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WEEK = 7 * 1440
_STRETCH = re.compile(
    rf"(?:({'|'.join(_DAYS)})(?:-({'|'.join(_DAYS)}))? )?([0-9]{{1,2}}:[0-9]{{2}})-([0-9]{{1,2}}:[0-9]{{2}})"
)


class SettingsError(ValueError):
    """Arguments that cannot be understood."""


def parse(arguments):
    """Settings from a list of arguments.

    Returns:
        A dictionary: region (polygons of x, y in 1/10000 of the picture), sensitivity (1..100), min_area_ppm
        (millionths of the picture), absorb (frames), gap_ms, pictures, masks, schedule (first minute of the week, from
        Monday 0:00, and length of each stretch; empty: always), starts_at (the text, and seconds since Monday 0:00; or
        None), start and frames (which part of the footage; frames 0: to its end).

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
    starts_at = _instant(given["starts-at"]) if given["starts-at"] else None
    schedule = _schedule(given["schedule"])
    if schedule and starts_at is None:
        raise SettingsError("--schedule needs --starts-at, the camera's time at the first frame")
    if given["masks"] not in ("yes", "no"):
        raise SettingsError("--masks is yes or no")
    return {
        "region": [_polygon(part) for part in given["region"].split(";")],
        "sensitivity": _number("sensitivity", given["sensitivity"], 1, 1, 100),
        "min_area_ppm": _number("min-area", given["min-area"], 10_000, 0, 1_000_000),
        "absorb": _number("absorb", given["absorb"], 1, 20, 100_000),
        "gap_ms": _number("gap", given["gap"], 1000, 0, 3_600_000),
        "pictures": _number("pictures", given["pictures"], 1, 0, 200),
        "masks": given["masks"] == "yes",
        "schedule": schedule,
        "starts_at": starts_at,
        "start": _number("start", given["start"], 1, 0, 10_000_000),
        "frames": _number("frames", given["frames"], 1, 0, 10_000_000),
    }


def kernel_settings(settings):
    """The kernel's settings: sensitivity 50 is the measured optimum, 100 sees half as large differences, 1 twice."""
    scale = 150 - settings["sensitivity"] if settings["sensitivity"] <= 50 else 200 - 2 * settings["sensitivity"]
    scale = max(40, scale)
    return {
        "luma": max(2, 3 * scale // 100),
        "chroma": max(2, 5 * scale // 100),
        "noise": 2 if scale < 80 else 3 if scale < 130 else 4,
        "neighbour": 8,
        "absorb": settings["absorb"],
        "shadow": 115,
    }


def watched(settings, second):
    """Whether the schedule has it watched, so many seconds after the first frame."""
    if not settings["schedule"]:
        return True
    minute = (settings["starts_at"]["week_second"] + second) // 60 % _WEEK
    return any((minute - begin) % _WEEK < length for begin, length in settings["schedule"])


def _polygon(text):
    """Corners, as (x, y) in 1/10000 of the picture; four numbers are a rectangle."""
    numbers = [_number("region", part, 100, 0, 10_000) for part in text.split(",")]
    if len(numbers) == 4:
        left, top, right, bottom = numbers
        if left < right and top < bottom:
            return [(left, top), (right, top), (right, bottom), (left, bottom)]
    elif len(numbers) >= 6 and len(numbers) % 2 == 0 and len(numbers) <= 2 * MAX_CORNERS:
        return list(zip(numbers[::2], numbers[1::2], strict=True))
    raise SettingsError(
        "--region is left,top,right,bottom in percent of the picture, e.g. 0,40,100,100, or the corners of polygons: "
        f"x,y,x,y,x,y;... (at most {MAX_CORNERS} each)"
    )


def _schedule(text):
    """(first minute of the week, length in minutes) of each stretch."""
    if text.strip() == "always":
        return []
    found = []
    for part in text.split(","):
        match = _STRETCH.fullmatch(part.strip().lower())
        if not match or len(found) > 100:
            raise SettingsError(
                f"--schedule: '{part.strip()[:40]}' is not understood; e.g. 'mon-fri 18:00-07:00, sat 00:00-24:00'"
            )
        first, last, begin, end = match[1], match[2], _minute(match[3]), _minute(match[4])
        days = range(7)
        if first:
            day, until = _DAYS.index(first), _DAYS.index(last or first)
            days = [(day + n) % 7 for n in range((until - day) % 7 + 1)]
        length = end - begin if end > begin else end - begin + 1440  # past midnight
        found += [[day * 1440 + begin, length] for day in days]
    return found


def _minute(text):
    hours, minutes = (int(part) for part in text.split(":"))
    if hours * 60 + minutes > 1440 or minutes > 59:
        raise SettingsError(f"--schedule: there is no {text} o'clock")
    return hours * 60 + minutes


def _instant(text):
    """A date and time without a zone; its place in the week."""
    import datetime  # seldom needed

    try:
        at = datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S")
    except ValueError:
        raise SettingsError(f"--starts-at: '{text[:30]}' is not a time such as 2026-07-01T17:59:30") from None
    return {"text": text, "week_second": at.weekday() * 86400 + at.hour * 3600 + at.minute * 60 + at.second}


def _number(name, text, scale, least, most):
    """A decimal number times `scale` as an integer."""
    whole, _, part = text.strip().partition(".")
    digits = len(str(scale)) - 1
    if not (whole or part) or not (whole + part).isascii() or not (whole + part or "x").isdigit():
        raise SettingsError(f"--{name}: '{text[:30]}' is not a number")
    if len(part) > digits or len(whole) > 10:
        raise SettingsError(f"--{name}: '{text[:30]}' has too many digits")
    value = int(whole or "0") * scale + int((part + "0" * digits)[:digits] or "0")
    if not least <= value <= most:
        raise SettingsError(f"--{name}: {text} is not within {least / scale:g} to {most / scale:g}")
    return value
