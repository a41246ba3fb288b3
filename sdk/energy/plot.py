"""Pictures of a ledger as SVG: sun, load, battery, tasks and decisions over a day, a month or a year.

They follow the reader's light or dark scheme, need no script and no other file.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from xml.sax.saxutils import escape

from poco.energy import DAY_S, RECORDS_A_DAY, UNKNOWN
from sdk.energy.png import data_uri, ramp
from sdk.energy.series import ACTIONS, Day, Series

WIDTH, LEFT, RIGHT = 960, 64, 20
INNER = WIDTH - LEFT - RIGHT
_STYLE = """
:root{--ground:#fbfaf7;--ink:#2b2a27;--faint:#8a867d;--grid:#e6e2d9;--sun:#e8a200;--load:#3a6db5;--battery:#3f9a63;
--decline:#c9b48a;--pause:#dd8a33;--sleep:#7c819b;--drain:#c2452d}
@media(prefers-color-scheme:dark){:root{--ground:#15171c;--ink:#e9e6df;--faint:#8d8f98;--grid:#2b2f38;--sun:#ffc53d;
--load:#4c8df5;--battery:#63c98a;--decline:#7d6f52;--pause:#e39a4d;--sleep:#50556b;--drain:#e0614a}}
.g{fill:var(--ground)}text{fill:var(--ink);font:12px system-ui,sans-serif}.h{font-size:17px;font-weight:600}
.f{fill:var(--faint)}.l{stroke:var(--grid);fill:none}.sun{fill:var(--sun)}.load{fill:none;stroke:var(--load);
stroke-width:1.8;stroke-linejoin:round}.band{fill:var(--battery);opacity:.85}.task,.kload{fill:var(--load)}
.kbattery,.run{fill:var(--battery)}.decline{fill:var(--decline)}.pause{fill:var(--pause)}.sleep{fill:var(--sleep)}
.drain{fill:var(--drain)}image{image-rendering:pixelated}
"""
_SUN = ramp([(28, 30, 46), (92, 56, 92), (214, 108, 66), (248, 190, 72), (255, 244, 190)])
_BATTERY = ramp([(150, 32, 46), (226, 120, 60), (240, 214, 120), (112, 184, 116), (32, 116, 92)])
_WORK = ramp([(28, 30, 46), (44, 74, 132), (92, 156, 236), (205, 232, 255)])


def draw(series: Series, kind: str, date: str | None = None) -> str:
    """The SVG of a `day`, `month` or `year`; BadInputError where the ledger has nothing of it."""
    days = series.span(kind, date)
    return _day(series, days[0]) if kind == "day" else _days(series, days, kind)


def _day(series: Series, day: Day) -> str:
    canvas = _Canvas(_title(series, day.label))
    watts = [(0.0, 0.0) if r is None else (r.harvested / 250, r.consumed / 250) for r in day.records]
    top = _nice(max(max(pair) for pair in watts))
    canvas.key([("sun", "sun"), ("kload", "load"), ("kbattery", "battery")])
    y = canvas.panel(170, "W", [(top * i / 4, f"{top * i / 4:g}") for i in range(5)], top)
    canvas.hours(170)
    steps = [(_x(i, RECORDS_A_DAY), y(w[0])) for i, w in enumerate(watts)]
    canvas.add(f'<path class="sun" d="{_steps(steps, y(0))}"/>')
    load = [(_x(i, RECORDS_A_DAY), y(w[1])) for i, w in enumerate(watts)]
    canvas.add(f'<path class="load" d="{_line(load)}"/>')
    canvas.down(170)
    capacity = series.profile.battery
    y = canvas.panel(110, "battery", [(f * capacity, f"{f:.0%}") for f in (0, 0.5, 1)], capacity)
    canvas.hours(110)
    stored = [
        (_x(i + 1, RECORDS_A_DAY), y(r.stored_after))
        for i, r in enumerate(day.records)
        if r is not None and r.stored_after != UNKNOWN
    ]
    if stored:
        shape = f"{_points(stored)}L{stored[-1][0]:.1f},{y(0):.1f}L{stored[0][0]:.1f},{y(0):.1f}Z"
        canvas.add(f'<path class="band" d="{shape}"/>')
    canvas.down(110)
    canvas.strip("tasks", [(a, b, "task", f"computes {_clock(a)} to {_clock(b)}") for a, b in day.tasks])
    canvas.strip("gate", [(a, b, act, f"{_clock(a)} {act}: {why}") for a, b, act, why in day.decisions])
    canvas.actions({act for _, _, act, _ in day.decisions})
    canvas.axis([(h / 24, f"{h}") for h in range(0, 25, 3)], "hour, local solar time")
    return canvas.svg()


def _days(series: Series, days: Sequence[Day], kind: str) -> str:
    canvas = _Canvas(_title(series, f"{days[0].label} to {days[-1].label}"))
    canvas.key([("sun", "sun"), ("kload", "load")])
    top = _nice(max(max(day.harvested, day.consumed) for day in days))
    y = canvas.panel(130, "Wh a day", [(top * i / 2, f"{top * i / 2:g}") for i in range(3)], top)
    count = len(days)
    gap = 0.0 if kind == "year" else 1.5
    bars = "".join(
        f"M{_x(i, count) + gap:.1f},{y(0):.1f}V{y(d.harvested):.1f}H{_x(i + 1, count) - gap:.1f}V{y(0):.1f}Z"
        for i, d in enumerate(days)
        if d.known()
    )
    canvas.add(f'<path class="sun" d="{bars}"/>')
    canvas.add(f'<path class="load" d="{_line([(_x(i, count), y(d.consumed)) for i, d in enumerate(days)])}"/>')
    canvas.down(130)
    peak = max((r.harvested for d in days for r in d.known()), default=0) or 1
    most = max((r.consumed for d in days for r in d.known()), default=0) or 1
    capacity = series.profile.battery
    height = 132 if kind == "year" else 110
    canvas.carpet("sun", height, days, _SUN, lambda d, i: _of(d, i, lambda r: (r.harvested / peak) ** 0.7))
    canvas.carpet("load", height, days, _WORK, lambda d, i: _of(d, i, lambda r: r.consumed / most))
    canvas.carpet(
        "battery",
        height,
        days,
        _BATTERY,
        lambda d, i: _of(d, i, lambda r: None if r.stored_after == UNKNOWN else min(1.0, r.stored_after / capacity)),
    )
    canvas.shares("gate", days)
    canvas.actions({act for d in days for _, _, act, _ in d.decisions})
    canvas.axis(_dates(days, kind), "hours from midnight at the bottom up, local solar time")
    return canvas.svg()


class _Canvas:
    """Panels from the top down."""

    def __init__(self, title: tuple[str, str]) -> None:
        self._parts = [
            f'<text class="h" x="{LEFT}" y="30">{escape(title[0])}</text>',
            f'<text class="f" x="{LEFT}" y="48">{escape(title[1])}</text>',
        ]
        self._y = 66.0

    def add(self, text: str) -> None:
        self._parts.append(text)

    def down(self, height: float) -> None:
        self._y += height + 14

    def key(self, names: Sequence[tuple[str, str]]) -> None:
        x = float(WIDTH - RIGHT)
        for css, name in reversed(names):
            self.add(f'<text class="f" x="{x:.0f}" y="30" text-anchor="end">{name}</text>')
            x -= 7 * len(name) + 14
            self.add(f'<rect class="{css}" x="{x:.0f}" y="21" width="10" height="10" rx="2"/>')
            x -= 12

    def panel(
        self, height: float, label: str, ticks: Sequence[tuple[float, str]], top: float
    ) -> Callable[[float], float]:
        """Grid and labels; returns the y of a value."""
        base = self._y + height

        def y(value: float) -> float:
            return base - height * value / top

        for value, text in ticks:
            self.add(f'<path class="l" d="M{LEFT},{y(value):.1f}H{WIDTH - RIGHT}"/>')
            self.add(f'<text class="f" x="{LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{text}</text>')
        self._turned(label, height)
        return y

    def hours(self, height: float) -> None:
        for hour in range(0, 25, 3):
            self.add(f'<path class="l" d="M{_x(hour, 24):.1f},{self._y:.1f}v{height}"/>')

    def carpet(
        self,
        label: str,
        height: float,
        days: Sequence[Day],
        palette: list[tuple[int, int, int]],
        value: Callable[[Day, int], float | None],
    ) -> None:
        """A picture: a column for each day, half hours from the bottom up; what is unknown is left open."""
        rows = []
        for slot in reversed(range(0, RECORDS_A_DAY, 2)):
            cells = [value(day, slot) for day in days]
            steps = len(palette) - 2
            rows.append(bytes(0 if c is None else 1 + round(max(0.0, min(1.0, c)) * steps) for c in cells))
        uri = data_uri(rows, palette)
        place = f'x="{LEFT}" y="{self._y:.1f}" width="{INNER}" height="{height}" preserveAspectRatio="none"'
        self.add(f'<image {place} href="{uri}"/>')
        for hour in (0, 12, 24):
            y = self._y + height * (1 - hour / 24)
            self.add(f'<text class="f" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{hour}</text>')
        self._turned(label, height)
        self.down(height)

    def strip(self, label: str, spans: Sequence[tuple[int, int, str, str]]) -> None:
        """What was so from when to when, seconds of the day."""
        self.add(f'<text class="f" x="{LEFT - 8}" y="{self._y + 11:.1f}" text-anchor="end">{label}</text>')
        self.add(f'<path class="l" d="M{LEFT},{self._y + 14:.1f}H{WIDTH - RIGHT}"/>')
        for begin, end, css, words in spans:
            x, width = _x(begin, DAY_S), max(1.0, INNER * (end - begin) / DAY_S)
            self.add(
                f'<rect class="{css}" x="{x:.1f}" y="{self._y:.1f}" width="{width:.1f}" height="14">'
                f"<title>{escape(words)}</title></rect>"
            )
        self.down(8)

    def shares(self, label: str, days: Sequence[Day]) -> None:
        """How much of each day which decision held."""
        height = 46.0
        paths: dict[str, list[str]] = {}
        for number, day in enumerate(days):
            y = self._y + height
            for action in ACTIONS:
                seconds = sum(end - begin for begin, end, act, _ in day.decisions if act == action)
                if seconds:
                    tall = height * seconds / DAY_S
                    x = _x(number, len(days))
                    paths.setdefault(action, []).append(
                        f"M{x:.1f},{y:.1f}v{-tall:.1f}h{INNER / len(days) + 0.2:.1f}v{tall:.1f}Z"
                    )
                    y -= tall
        for action, parts in paths.items():
            self.add(f'<path class="{action}" d="{"".join(parts)}"/>')
        self._turned(label, height)
        self.down(height)

    def actions(self, used: set[str]) -> None:
        """What the colours of the decisions mean."""
        x = float(LEFT)
        for action in (a for a in ACTIONS if a in used):
            self.add(f'<rect class="{action}" x="{x:.0f}" y="{self._y + 18:.1f}" width="10" height="10" rx="2"/>')
            self.add(f'<text class="f" x="{x + 15:.0f}" y="{self._y + 27:.1f}">{action}</text>')
            x += 30 + 7 * len(action)

    def axis(self, ticks: Sequence[tuple[float, str]], label: str) -> None:
        for part, text in ticks:
            x, y = LEFT + INNER * part, self._y + 6
            self.add(f'<text class="f" x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{text}</text>')
        self.add(f'<text class="f" x="{WIDTH - RIGHT}" y="{self._y + 27:.1f}" text-anchor="end">{label}</text>')
        self._y += 40

    def _turned(self, label: str, height: float) -> None:
        y = self._y + height / 2
        self.add(f'<text class="f" transform="translate(18,{y:.1f}) rotate(-90)" text-anchor="middle">{label}</text>')

    def svg(self) -> str:
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self._y:.0f}" role="img">'
        ground = f'<rect class="g" width="{WIDTH}" height="{self._y:.0f}"/>'
        return f"{head}<style>{_STYLE}</style>{ground}{''.join(self._parts)}</svg>\n"


def _title(series: Series, when: str) -> tuple[str, str]:
    p = series.profile
    what = "simulated" if p.simulated else "measured"
    place = f"{p.latitude / 100:.1f} {p.longitude / 100:.1f}"
    return when, f"{series.worker} · {p.panel / 1000:g} Wp, {p.battery / 1000:g} Wh at {place} · {what}"


def _of(day: Day, slot: int, value: Callable[..., float | None]) -> float | None:
    record = day.records[slot]
    return None if record is None else value(record)


def _x(place: float, whole: float) -> float:
    return LEFT + INNER * place / whole


def _points(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _line(points: Sequence[tuple[float, float]]) -> str:
    """A stepped line over cells of one width."""
    width = INNER / len(points)
    return f"M{points[0][0]:.1f},{points[0][1]:.1f}" + "".join(f"V{y:.1f}h{width:.2f}" for _, y in points)


def _steps(points: Sequence[tuple[float, float]], base: float) -> str:
    return f"M{points[0][0]:.1f},{base:.1f}" + _line(points).replace("M", "L", 1) + f"V{base:.1f}Z"


def _nice(value: float) -> float:
    """A round number that is not below."""
    if value <= 0:
        return 1.0
    unit = 10 ** (len(str(int(value))) - 1) if value >= 1 else 0.1
    return next(step * unit for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * unit >= value)


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02d}:{seconds % 3600 // 60:02d}"


def _dates(days: Sequence[Day], kind: str) -> list[tuple[float, str]]:
    ticks = []
    for number, day in enumerate(days):
        moment = time.gmtime(day.number * DAY_S)
        if kind == "year" and moment.tm_mday == 1:
            ticks.append(((number + 15) / len(days), time.strftime("%b", moment)))
        elif kind == "month" and moment.tm_mday % 5 == 1 and moment.tm_mday < 31:
            ticks.append(((number + 0.5) / len(days), str(moment.tm_mday)))
    return [tick for tick in ticks if tick[0] <= 1]
