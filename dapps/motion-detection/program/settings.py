"""The arguments of a task: `--name value`, all with a default that fits most cameras."""

DEFAULTS = {
    "region": "0,0,100,100",
    "sensitivity": "50",
    "min-area": "0.08",
    "absorb": "240",
    "gap": "1.0",
    "pictures": "20",
    "start": "0",
    "frames": "0",
}


class SettingsError(ValueError):
    """Arguments that cannot be understood."""


def parse(arguments):
    """Settings from a list of arguments.

    Returns:
        A dictionary: region (four percentages), sensitivity (1..100), min_area_ppm (millionths of the picture), absorb
        (frames), gap_ms, pictures, start and frames (which part of the footage; frames 0: to its end).

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
    region = [_number("region", part, 100, 0, 10_000) for part in given["region"].split(",")]
    if len(region) != 4 or region[0] >= region[2] or region[1] >= region[3]:
        raise SettingsError("--region is left,top,right,bottom in percent of the picture, e.g. 0,40,100,100")
    return {
        "region": region,
        "sensitivity": _number("sensitivity", given["sensitivity"], 1, 1, 100),
        "min_area_ppm": _number("min-area", given["min-area"], 10_000, 0, 1_000_000),
        "absorb": _number("absorb", given["absorb"], 1, 20, 100_000),
        "gap_ms": _number("gap", given["gap"], 1000, 0, 3_600_000),
        "pictures": _number("pictures", given["pictures"], 1, 0, 200),
        "start": _number("start", given["start"], 1, 0, 10_000_000),
        "frames": _number("frames", given["frames"], 1, 0, 10_000_000),
    }


def kernel_settings(settings):
    """The kernel's settings: sensitivity 50 is the measured optimum, 100 sees half as large differences, 1 twice."""
    scale = 150 - settings["sensitivity"] if settings["sensitivity"] <= 50 else 200 - 2 * settings["sensitivity"]
    scale = max(40, scale)
    return {
        "luma": max(3, 8 * scale // 100),
        "chroma": max(3, 6 * scale // 100),
        "noise": 2,
        "neighbour": 8,
        "absorb": settings["absorb"],
        "shadow": 128,
    }


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
