"""Pictures of a run as SVG: energy by day, what the workers did by hour, and how latencies and rewards are spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from poco.errors import BadInputError
from sdk.energy.canvas import Canvas, line, nice, path, steps, x_of

#: State of a worker and the colour that it has.
_STATES = (("computing", "task"), ("idle", "decline"), ("asleep", "sleep"), ("off", "drain"))


def write(result: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw everything into a folder; the files.

    Raises:
        BadInputError: it cannot be written there.
    """
    pictures = {"energy": energy(result), "workers": workers(result), "tasks": tasks(result)}
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in pictures.items():
            file = folder / f"{name}.svg"
            file.write_text(text, encoding="utf-8")
            written.append(file)
    except OSError as error:
        raise BadInputError(f"cannot write {folder}: {error.strerror}", hint="name another folder: --plots") from None
    return written


def energy(result: Mapping[str, Any]) -> str:
    """What the sun gave each day, what was used of it, and brown-outs."""
    days = [day for day in result["days_by_day"] if day["harvested_wh"] or day["consumed_wh"]]
    canvas = Canvas(_title(result, "Energy of the fleet by day"))
    canvas.key([("sun", "harvested"), ("decline", "not taken"), ("kload", "used")])
    top = nice(max([(d["harvested_wh"] + d["wasted_wh"]) / 1000 for d in days] or [1.0]))
    y = canvas.panel(220, "kWh a day", [(top * i / 4, f"{top * i / 4:g}") for i in range(5)], top)
    for css, values in (
        ("decline", [(d["harvested_wh"] + d["wasted_wh"]) / 1000 for d in days]),
        ("sun", [d["harvested_wh"] / 1000 for d in days]),
    ):
        if values:
            area = steps([(x_of(i, len(values)), y(v)) for i, v in enumerate(values)], y(0))
            canvas.add(f'<path class="{css}" d="{area}"/>')
    if days:
        used = [(x_of(i, len(days)), y(d["consumed_wh"] / 1000)) for i, d in enumerate(days)]
        canvas.add(f'<path class="load" d="{line(used)}"/>')
    canvas.down(220)
    canvas.axis(_day_marks(len(days)), "day")
    return canvas.svg()


def workers(result: Mapping[str, Any]) -> str:
    """Which share of the workers did what, and the mean charge, hour by hour."""
    hours = result["hours_by_hour"]
    canvas = Canvas(_title(result, "What the workers did"))
    canvas.key([(css, state) for state, css in _STATES])
    y = canvas.panel(200, "workers", [(f, f"{f:.0%}") for f in (0, 0.25, 0.5, 0.75, 1)], 1.0)
    whole = float(result["workers"])
    base = [0.0] * len(hours)
    for state, css in _STATES:
        above = [low + hour[state] / whole for low, hour in zip(base, hours, strict=True)]
        upper = [(x_of(i, len(hours)), y(v)) for i, v in enumerate(above)]
        lower = [(x_of(i, len(hours)), y(v)) for i, v in reversed(list(enumerate(base)))]
        canvas.add(f'<path class="{css}" d="{path([*upper, *lower])}Z"/>')
        base = above
    canvas.down(200)
    y = canvas.panel(90, "mean charge", [(f, f"{f:.0%}") for f in (0, 0.5, 1)], 1.0)
    charge = [(x_of(i, len(hours)), y(hour["soc"])) for i, hour in enumerate(hours)]
    canvas.add(f'<path class="band" d="{path([*charge, (charge[-1][0], y(0)), (charge[0][0], y(0))])}Z"/>')
    canvas.down(90)
    canvas.axis([(24 * day / len(hours), str(day)) for day in _marked(len(hours) // 24)], "day")
    return canvas.svg()


def tasks(result: Mapping[str, Any]) -> str:
    """Latencies from order to finalized, and what each worker earned, both in order."""
    canvas = Canvas(_title(result, "Latency of the tasks and rewards of the workers"))
    minutes = [seconds / 60 for seconds in result["latency_quantiles"]]
    _ordered(canvas, "minutes", minutes, "load", 170)
    canvas.axis([(k / 100, f"{k} %") for k in range(0, 100, 10)], "share of the tasks")
    rewards = sorted(nrlc / 1e9 for nrlc in result["rewards_by_worker"])
    _ordered(canvas, "RLC", rewards, "kbattery", 170)
    canvas.axis([(k / 100, f"{k} %") for k in range(0, 100, 10)], "share of the workers")
    return canvas.svg()


def _ordered(canvas: Canvas, label: str, values: Sequence[float], css: str, height: float) -> None:
    top = nice(max(values, default=1.0))
    y = canvas.panel(height, label, [(top * i / 4, f"{top * i / 4:g}") for i in range(5)], top)
    if values:
        points = [(x_of(i, len(values)), y(v)) for i, v in enumerate(values)]
        if css == "load":
            canvas.add(f'<path class="load" d="{line(points)}"/>')
        else:
            canvas.add(f'<path class="{css}" d="{steps(points, y(0))}"/>')
    canvas.down(height)


def _marked(days: int) -> list[int]:
    step = next(step for step in (1, 2, 5, 10, 30, 100, 365, 1000) if days / step <= 15)
    return list(range(0, days + 1, step))


def _day_marks(days: int) -> list[tuple[float, str]]:
    marks = _marked(days)
    return [(day / days, str(day)) for day, _ in pairwise([*marks, days])] if days else []


def _title(result: Mapping[str, Any], what: str) -> tuple[str, str]:
    machine, found = result["machine"], result["tasks"]
    parts = f"{machine['board']}, {machine['panel_wp']:g} Wp, {machine['battery_wh']:g} Wh"
    return what, (
        f"{result['workers']} workers ({parts}), {result['days']:g} days, seed {result['seed']} · "
        f"{found['finished']:,} of {found['ordered']:,} tasks finished · simulated"
    )
