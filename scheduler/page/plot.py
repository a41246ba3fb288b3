"""A day as an SVG plot: power from the sun and into the board, the battery's charge, and what was decided.

Its colours are the page's (classes of page.css), so that it is light or dark as the page is. All text that comes from a
worker is escaped.
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

from poco.energy import DAY_S, RECORD_S, RECORDS_A_DAY
from scheduler.page.day import Day, Slot

WIDTH, LEFT, RIGHT = 960, 52, 24
INNER = WIDTH - LEFT - RIGHT
_POWER, _CHARGE, _STRIP = 178, 104, 18
_QUARTERS_A_HOUR = 3600 // RECORD_S


def draw(day: Day, describe: str) -> Markup:
    """The plot as inline SVG.

    Args:
        describe: the day in a sentence, for those who do not see it.
    """
    watts = [
        tuple(None if e is None else e * _QUARTERS_A_HOUR for e in (slot.harvested, slot.consumed))
        for slot in day.slots
    ]
    top = nice(max((w for pair in watts for w in pair if w is not None), default=1.0))
    y0 = 30.0
    y1 = y0 + _POWER + 36
    y2 = y1 + _CHARGE + 14
    parts = [_key(), *_hours(y2 + _STRIP, (y0, y2))]
    parts += _axis(y0, _POWER, [(top * i / 4, f"{top * i / 4:g}") for i in range(5)], top, "power, W")
    sun = [None if w[0] is None else _y(w[0], top, y0, _POWER) for w in watts]
    load = [None if w[1] is None else _y(w[1], top, y0, _POWER) for w in watts]
    parts += [f'<path class="sun" d="{shape}"/>' for shape in _areas(sun, y0 + _POWER)]
    parts.append(f'<path class="load" d="{_stairs(load)}"/>')
    parts += _axis(y1, _CHARGE, [(0, "0"), (0.5, "50"), (1, "100")], 1, "battery, %")
    charge = [None if s.soc is None else _y(s.soc, 1, y1, _CHARGE) for s in day.slots]
    parts += [f'<path class="charge" d="{shape}"/>' for shape in _curves(charge, y1 + _CHARGE)]
    parts += _decisions(day, y2)
    height = y2 + _STRIP + 40
    head = (
        f'<svg class="plot" viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-labelledby="plot-title" '
        'aria-describedby="plot-desc"><title id="plot-title">Sun, load and battery over the day</title>'
        f'<desc id="plot-desc">{escape(describe)}</desc>'
    )
    return Markup(head + "".join(parts) + "</svg>")  # noqa: S704  (numbers, our own words, and escaped text)


def nice(value: float) -> float:
    """A round number that is not below."""
    if value <= 0.4:
        return 0.4
    unit = 10.0 ** (len(str(int(value))) - 1) if value >= 1 else 0.1
    return next(step * unit for step in (1, 1.2, 1.6, 2, 4, 6, 8, 10) if step * unit >= value)


def _x(place: float) -> float:
    return LEFT + INNER * place / RECORDS_A_DAY


def _y(value: float, top: float, y: float, height: float) -> float:
    return y + height - height * min(value / top, 1.0)


def _key() -> str:
    found, x = "", float(WIDTH - RIGHT)
    for css, name in (("charge", "battery"), ("load", "load"), ("sun", "sun")):
        x -= 7.2 * len(name)
        found += f'<text class="faint" x="{x:.0f}" y="16">{name}</text><rect class="key {css}" x="{x - 15:.0f}" y="7" '
        found += 'width="10" height="10" rx="2"/>'
        x -= 34
    return found


def _axis(y: float, height: float, ticks: Sequence[tuple[float, str]], top: float, label: str) -> list[str]:
    parts = [f'<text class="faint" x="{LEFT - 44}" y="{y - 10:.0f}">{label}</text>']
    for value, text in ticks:
        at = _y(value, top, y, height)
        parts.append(f'<path class="grid" d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text class="faint" x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{text}</text>')
    return parts


def _hours(y: float, span: tuple[float, float]) -> list[str]:
    parts = []
    for hour in range(0, 25, 3):
        x = LEFT + INNER * hour / 24
        parts.append(f'<path class="grid" d="M{x:.1f} {span[0]:.0f}V{span[1]:.0f}"/>')
        parts.append(f'<text class="faint" x="{x:.1f}" y="{y + 17:.0f}" text-anchor="middle">{hour:02d}:00</text>')
    parts.append(f'<text class="faint" x="{WIDTH - RIGHT}" y="{y + 34:.0f}" text-anchor="end">UTC</text>')
    return parts


def _runs(points: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    """Stretches of what is known: a gap is left open."""
    runs: list[list[tuple[int, float]]] = [[]]
    for number, y in enumerate(points):
        if y is not None:
            runs[-1].append((number, y))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _areas(points: Sequence[float | None], base: float) -> list[str]:
    return [
        f"M{_x(run[0][0]):.1f} {base:.1f}"
        + "".join(f"V{y:.1f}H{_x(n + 1):.1f}" for n, y in run)
        + f"V{base:.1f}Z"
        for run in _runs(points)
    ]  # fmt: skip


def _stairs(points: Sequence[float | None]) -> str:
    return "".join(
        f"M{_x(run[0][0]):.1f} {run[0][1]:.1f}" + "".join(f"V{y:.1f}H{_x(n + 1):.1f}" for n, y in run)
        for run in _runs(points)
    )


def _curves(points: Sequence[float | None], base: float) -> list[str]:
    """What is in the battery at the end of each quarter hour."""
    shapes = []
    for run in _runs(points):
        line = "L".join(f"{_x(n + 1):.1f} {y:.1f}" for n, y in run)
        first = f"{_x(run[0][0]):.1f}"
        shapes.append(f"M{first} {base:.1f}L{first} {run[0][1]:.1f}L{line}V{base:.1f}Z")
    return shapes


def _decisions(day: Day, y: float) -> list[str]:
    parts = []
    for one in day.decisions():
        x0, x1 = _x((one.start % DAY_S) / RECORD_S), _x((one.end - 1) % DAY_S / RECORD_S + 1 / RECORD_S)
        css = one.action if one.action in _KNOWN else "run"
        width = max(x1 - x0 - 0.8, 0.8)
        parts.append(
            f'<rect class="deed {css}" x="{x0:.1f}" y="{y:.1f}" width="{width:.1f}" height="{_STRIP}">'
            f"<title>{escape(one.deed)}{': ' if one.reason else ''}{escape(one.reason)}</title></rect>"
        )
        room = (x1 - x0) / 7
        if room > len(one.deed):
            parts.append(
                f'<text class="on {css}" x="{(x0 + x1) / 2:.1f}" y="{y + 13:.1f}" text-anchor="middle">'
                f"{escape(one.deed)}</text>"
            )
    return parts


_KNOWN = frozenset({"run", "decline", "pause", "sleep", "drain"})


def in_words(day: Day) -> str:
    """The day in a sentence."""
    harvested, consumed, charge = day.total("harvested"), day.total("consumed"), day.charge
    parts = []
    if harvested is not None:
        parts.append(f"{harvested:.1f} Wh from the sun")
    if consumed is not None:
        parts.append(f"{consumed:.1f} Wh into the board")
    if charge is not None:
        parts.append(f"the battery between {charge[0]:.0%} and {charge[1]:.0%}")
    peak = max((s for s in day.slots if s.harvested), key=_harvest, default=None)
    if peak is not None:
        hour, minute = divmod(peak.at % DAY_S // 60, 60)
        parts.append(f"most sun at {hour:02d}:{minute:02d} UTC")
    return (", ".join(parts) + ".") if parts else "Nothing was told of this day."


def _harvest(slot: Slot) -> float:
    return slot.harvested or 0.0
