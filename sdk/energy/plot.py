"""Pictures of a ledger as SVG: sun, load, battery, tasks and decisions over a day, a month or a year.

They follow the reader's light or dark scheme, need no script and no other file.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from xml.sax.saxutils import escape

from poco.energy import DAY_S, RECORDS_A_DAY, UNKNOWN
from sdk.energy.canvas import INNER, LEFT, RIGHT, WIDTH, Canvas, line, nice, path, steps, x_of
from sdk.energy.png import data_uri, ramp
from sdk.energy.series import ACTIONS, Day, Series

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
    top = nice(max(max(pair) for pair in watts))
    canvas.key([("sun", "sun"), ("kload", "load"), ("kbattery", "battery")])
    y = canvas.panel(170, "W", [(top * i / 4, f"{top * i / 4:g}") for i in range(5)], top)
    canvas.hours(170)
    sunny = [(x_of(i, RECORDS_A_DAY), y(w[0])) for i, w in enumerate(watts)]
    canvas.add(f'<path class="sun" d="{steps(sunny, y(0))}"/>')
    load = [(x_of(i, RECORDS_A_DAY), y(w[1])) for i, w in enumerate(watts)]
    canvas.add(f'<path class="load" d="{line(load)}"/>')
    canvas.down(170)
    capacity = series.profile.battery
    y = canvas.panel(110, "battery", [(f * capacity, f"{f:.0%}") for f in (0, 0.5, 1)], capacity)
    canvas.hours(110)
    stored = [
        (x_of(i + 1, RECORDS_A_DAY), y(r.stored_after))
        for i, r in enumerate(day.records)
        if r is not None and r.stored_after != UNKNOWN
    ]
    if stored:
        shape = f"{path(stored)}L{stored[-1][0]:.1f},{y(0):.1f}L{stored[0][0]:.1f},{y(0):.1f}Z"
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
    top = nice(max(max(day.harvested, day.consumed) for day in days))
    y = canvas.panel(130, "Wh a day", [(top * i / 2, f"{top * i / 2:g}") for i in range(3)], top)
    count = len(days)
    gap = 0.0 if kind == "year" else 1.5
    bars = "".join(
        f"M{x_of(i, count) + gap:.1f},{y(0):.1f}V{y(d.harvested):.1f}H{x_of(i + 1, count) - gap:.1f}V{y(0):.1f}Z"
        for i, d in enumerate(days)
        if d.known()
    )
    canvas.add(f'<path class="sun" d="{bars}"/>')
    canvas.add(f'<path class="load" d="{line([(x_of(i, count), y(d.consumed)) for i, d in enumerate(days)])}"/>')
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


class _Canvas(Canvas):
    """With what only the days of a ledger have."""

    def hours(self, height: float) -> None:
        for hour in range(0, 25, 3):
            self.add(f'<path class="l" d="M{x_of(hour, 24):.1f},{self._y:.1f}v{height}"/>')

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
        self.turned(label, height)
        self.down(height)

    def strip(self, label: str, spans: Sequence[tuple[int, int, str, str]]) -> None:
        """What was so from when to when, seconds of the day."""
        self.add(f'<text class="f" x="{LEFT - 8}" y="{self._y + 11:.1f}" text-anchor="end">{label}</text>')
        self.add(f'<path class="l" d="M{LEFT},{self._y + 14:.1f}H{WIDTH - RIGHT}"/>')
        for begin, end, css, words in spans:
            x, width = x_of(begin, DAY_S), max(1.0, INNER * (end - begin) / DAY_S)
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
                    x = x_of(number, len(days))
                    paths.setdefault(action, []).append(
                        f"M{x:.1f},{y:.1f}v{-tall:.1f}h{INNER / len(days) + 0.2:.1f}v{tall:.1f}Z"
                    )
                    y -= tall
        for action, parts in paths.items():
            self.add(f'<path class="{action}" d="{"".join(parts)}"/>')
        self.turned(label, height)
        self.down(height)

    def actions(self, used: set[str]) -> None:
        """What the colours of the decisions mean."""
        x = float(LEFT)
        for action in (a for a in ACTIONS if a in used):
            self.add(f'<rect class="{action}" x="{x:.0f}" y="{self._y + 18:.1f}" width="10" height="10" rx="2"/>')
            self.add(f'<text class="f" x="{x + 15:.0f}" y="{self._y + 27:.1f}">{action}</text>')
            x += 30 + 7 * len(action)


def _title(series: Series, when: str) -> tuple[str, str]:
    p = series.profile
    what = "simulated" if p.simulated else "measured"
    place = f"{p.latitude / 100:.1f} {p.longitude / 100:.1f}"
    return when, f"{series.worker} · {p.panel / 1000:g} Wp, {p.battery / 1000:g} Wh at {place} · {what}"


def _of(day: Day, slot: int, value: Callable[..., float | None]) -> float | None:
    record = day.records[slot]
    return None if record is None else value(record)


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
