"""A small SVG plotter: panels with a time axis, lines, bands, bars, a wind rose; in the reader's light or dark."""

import math
from datetime import UTC, datetime

import arithmetic

HOUR, DAY = 3600, 86400
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
STYLE = """
:root{--bg:#f6f7f9;--card:#ffffff;--ink:#1b2733;--soft:#66727f;--grid:#e4e8ed;--warm:#e4572e;--dew:#2a9d8f;--press:#7b5ea7;
--wind:#3a86c8;--gust:#9cc4e4;--rain:#2f6fde;--sun:#f2a413;--et:#7cb342;--good:#cfd8dc;--bad:#d7263d;--band:.16}
@media (prefers-color-scheme:dark){:root{--bg:#0f151b;--card:#18212a;--ink:#e6edf3;--soft:#93a1af;--grid:#27333f;
--warm:#ff7d55;--dew:#4fd1c0;--press:#b79ae0;--wind:#6db3ee;--gust:#37618a;--rain:#6c9dff;--sun:#ffc145;--et:#a5d66a;
--good:#2d3a46;--bad:#ff5a6e;--band:.22}}
text{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;fill:var(--ink);font-size:12px}
.soft{fill:var(--soft)}.small{font-size:11px}.title{font-size:14px;font-weight:600}.head{font-size:26px;font-weight:700}
.big{font-size:24px;font-weight:650}.tight{font-size:20px}.end{text-anchor:end}.mid{text-anchor:middle}
.card{fill:var(--card)}.grid{stroke:var(--grid);stroke-width:1;fill:none}.line{fill:none;stroke-width:1.7;
stroke-linejoin:round;stroke-linecap:round}
""".strip()


def escape(text):
    """Text for XML."""
    text = "".join(c if c.isprintable() else " " for c in text)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def text(x, y, content, kind=""):
    """A text element."""
    shown = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{shown}>{escape(content)}</text>'


def moment(when, utc_offset):
    """The station's own time of a Unix time."""
    return datetime.fromtimestamp(when + utc_offset, UTC)


def nice_ticks(low, high, count=5):
    """Round numbers that span low..high."""
    raw = max(high - low, 1e-9) / count
    size = float(f"1e{math.floor(_log10(raw))}")
    step = next(size * factor for factor in (1.0, 2.0, 2.5, 5.0, 10.0) if size * factor >= raw * 0.999)
    first = math.floor(low / step)
    ticks = [first * step]
    while ticks[-1] < high - step * 1e-6:
        first += 1
        ticks.append(first * step)
    return ticks


def _log10(value):
    return arithmetic.log(value) / 2.302585092994046 + 1e-12


def number(value):
    """A tick's label."""
    rounded = round(value, 3)
    return f"{rounded:.0f}" if rounded == math.floor(rounded) else f"{rounded:g}"


class Panel:
    """A card with a plot: x is Unix time, y a quantity.

    Args:
        box: x, y, width, height of the card.
        span: first and last Unix time.
        values: the numbers that must fit (None is skipped).
    """

    def __init__(self, box, title, unit, span, values, utc_offset, floor=None, least_range=1.0, zero=False):
        self.x, self.y, self.width, self.height = box
        self.left, self.right = self.x + 52, self.x + self.width - 20
        self.top, self.bottom = self.y + 42, self.y + self.height - 30
        self.span, self.utc_offset = span, utc_offset
        known = [value for value in values if value is not None] or [0.0, 1.0]
        low, high = min(known), max(known)
        if zero:
            low = 0.0
        if high - low < least_range:
            high, low = (
                (low + least_range, low) if zero else ((low + high + least_range) / 2, (low + high - least_range) / 2)
            )
        self.ticks = nice_ticks(low if floor is None else max(low, floor), high, 5)
        self.low, self.high = self.ticks[0], self.ticks[-1]
        self.parts = [
            f'<rect class="card" x="{self.x}" y="{self.y}" width="{self.width}" height="{self.height}" rx="12"/>',
            text(self.x + 18, self.y + 25, title, "title"),
            text(self.right, self.y + 25, unit, "soft small end"),
        ]
        for tick in self.ticks:
            y = self.at(tick)
            self.parts.append(f'<path class="grid" d="M{self.left:.1f} {y:.1f}H{self.right:.1f}"/>')
            self.parts.append(text(self.left - 8, y + 4, number(tick), "soft small end"))
        self._time_axis()

    def when(self, time):
        """Horizontal place of a Unix time."""
        first, last = self.span
        return self.left + (self.right - self.left) * (time - first) / max(1, last - first)

    def at(self, value):
        """Vertical place of a value."""
        share = (value - self.low) / (self.high - self.low)
        return self.bottom - (self.bottom - self.top) * max(-0.02, min(1.02, share))

    def _time_axis(self):
        first, last = self.span
        last_x = -1e9
        for time, label in time_ticks(first, last, self.utc_offset):
            x = self.when(time)
            self.parts.append(f'<path class="grid" d="M{x:.1f} {self.top:.1f}V{self.bottom:.1f}"/>')
            if x - last_x > 46 and x < self.right - 30:
                self.parts.append(text(x + 3, self.bottom + 17, label, "soft small"))
                last_x = x

    def legend(self, entries):
        """Names with their colours, right of the title."""
        x = self.right - 70
        for name, color in reversed(entries):
            x -= 6.6 * len(name) + 26
            self.parts.append(
                f'<rect x="{x:.1f}" y="{self.y + 16}" width="14" height="4" rx="2" fill="var(--{color})"/>'
            )
            self.parts.append(text(x + 19, self.y + 22, name, "soft small"))

    def line(self, points, color, extra=""):
        """A line through (time, value); it breaks where a value is None."""
        commands, pen = [], "M"
        for time, value in points:
            if value is None:
                pen = "M"
            else:
                commands.append(f"{pen}{self.when(time):.1f} {self.at(value):.1f}")
                pen = "L"
        self.parts.append(f'<path class="line" stroke="var(--{color})"{extra} d="{"".join(commands)}"/>')

    def band(self, points, color):
        """The area between (time, low, high)."""
        run = []
        for point in [*points, (0, None, None)]:
            if point[1] is not None:
                run.append(point)
                continue
            if len(run) > 1:
                upper = "L".join(f"{self.when(t):.1f} {self.at(high):.1f}" for t, _, high in run)
                lower = "L".join(f"{self.when(t):.1f} {self.at(low):.1f}" for t, low, _ in reversed(run))
                style = f'style="fill:var(--{color});fill-opacity:var(--band)"'
                self.parts.append(f'<path d="M{upper}L{lower}Z" {style}/>')
            run = []

    def bars(self, points, length, color):
        """Bars of (end, value) that stand for `length` seconds before the end."""
        width = max(1.0, (self.when(length) - self.when(0)) * 0.86)
        for time, value in points:
            if value:
                y = self.at(value)
                x, height = self.when(time - length) + 0.07 * width, max(0.8, self.bottom - y)
                radius = 2 if width > 6 else 0
                self.parts.append(
                    f'<rect x="{x:.1f}" y="{self.bottom - height:.1f}" width="{width:.1f}" height="{height:.1f}" '
                    f'rx="{radius}" fill="var(--{color})"/>'
                )

    def svg(self):
        """The panel's elements."""
        return "\n".join(self.parts)


def time_ticks(first, last, utc_offset):
    """(Unix time, label) of a time axis: hours, days, weeks or months, whichever gives a handful."""
    length = last - first
    if length > 75 * DAY:
        day = moment(first, utc_offset)
        year, month, every = day.year, day.month, 1 + int(length // (400 * DAY))
        while True:
            month += every
            year, month = year + (month - 1) // 12, (month - 1) % 12 + 1
            start = int(datetime(year, month, 1, tzinfo=UTC).timestamp()) - utc_offset
            if start >= last:
                return
            yield start, f"{_MONTHS[month - 1]} {year}" if month <= every else _MONTHS[month - 1]
    step = next(size for size in (HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY) if length / size <= 12)
    start = -(-(first + utc_offset) // step) * step - utc_offset
    while start < last:
        day = moment(start, utc_offset)
        midnight = day.hour == 0 and day.minute == 0
        yield start, f"{day.day} {_MONTHS[day.month - 1]}" if midnight else f"{day.hour:02}:{day.minute:02}"
        start += step


def rose(box, title, winds):
    """A wind rose: how often the wind came from each of 16 directions, in classes of speed.

    Args:
        winds: (speed in m/s, direction in degrees).
    """
    x, y, width, height = box
    limits, shades = (2.0, 4.0, 6.0, 9.0, math.inf), (0.3, 0.48, 0.66, 0.83, 1.0)
    names = ("0-2", "2-4", "4-6", "6-9", "9+")
    counts = [[0] * len(limits) for _ in range(16)]
    total = 0
    for speed, direction in winds:
        if speed is None:
            continue
        total += 1
        if direction is not None:
            kind = next(index for index, limit in enumerate(limits) if speed < limit)
            counts[int((direction + 11.25) // 22.5) % 16][kind] += 1
    parts = [f'<rect class="card" x="{x}" y="{y}" width="{width}" height="{height}" rx="12"/>',
             text(x + 18, y + 25, title, "title"),
             text(x + width - 20, y + 25, "share of hours, m/s", "soft small end")]  # fmt: skip
    middle_x, middle_y, radius = x + width / 2, y + height / 2 + 6, min(width, height) / 2 - 64
    most = max(1, *(sum(row) for row in counts))
    ticks = [tick for tick in nice_ticks(0.0, 100.0 * most / max(1, total), 3) if tick]
    outer = ticks[-1] * max(1, total) / 100.0
    for tick in ticks:
        r = radius * tick / ticks[-1]
        parts.append(f'<circle class="grid" cx="{middle_x:.1f}" cy="{middle_y:.1f}" r="{r:.1f}"/>')
    for sector, row in enumerate(counts):
        inner = 0.0
        for kind, count in enumerate(row):
            if count:
                edge = inner + count * radius / outer
                shape = _sector(middle_x, middle_y, inner, edge, 22.5 * sector - 9.5, 22.5 * sector + 9.5)
                parts.append(f'<path d="{shape}" style="fill:var(--wind);fill-opacity:{shades[kind]}"/>')
                inner = edge
    for tick in ticks:
        r = radius * tick / ticks[-1]
        sine, cosine = arithmetic.sincos(arithmetic.radians(33.75))
        parts.append(text(middle_x + r * sine, middle_y - r * cosine, f"{number(tick)} %", "soft small mid"))
    for angle, name in ((0, "N"), (90, "E"), (180, "S"), (270, "W")):
        sine, cosine = arithmetic.sincos(arithmetic.radians(float(angle)))
        parts.append(text(middle_x + (radius + 15) * sine, middle_y - (radius + 15) * cosine + 4, name, "title mid"))
    start = middle_x - 135
    for kind, name in enumerate(names):
        style = f'style="fill:var(--wind);fill-opacity:{shades[kind]}"'
        parts.append(f'<rect x="{start + 56 * kind:.1f}" y="{y + height - 27}" width="12" height="12" rx="3" {style}/>')
        parts.append(text(start + 56 * kind + 17, y + height - 17, name, "soft small"))
    return "\n".join(parts)


def _sector(x, y, inner, outer, first, last):
    points = []
    for r, angle in ((inner, first), (outer, first), (outer, last), (inner, last)):
        sine, cosine = arithmetic.sincos(arithmetic.radians(angle))
        points.append((x + r * sine, y - r * cosine))
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = points
    return (
        f"M{ax:.1f} {ay:.1f}L{bx:.1f} {by:.1f}A{outer:.1f} {outer:.1f} 0 0 1 {cx:.1f} {cy:.1f}"
        f"L{dx:.1f} {dy:.1f}A{inner:.1f} {inner:.1f} 0 0 0 {ax:.1f} {ay:.1f}Z"
    )


def carpet(box, title, unit, columns):
    """A picture of many days: a column for each, midnight at the bottom, hot and cold in colours.

    Args:
        columns: (label or empty, 24 values or None) per day, at most some hundred.
    """
    x, y, width, height = box
    known = sorted(value for _, column in columns for value in column if value is not None)
    parts = [f'<rect class="card" x="{x}" y="{y}" width="{width}" height="{height}" rx="12"/>',
             text(x + 18, y + 25, title, "title")]  # fmt: skip
    if not known:
        return "\n".join(parts)
    low, high = known[len(known) // 100], known[-1 - len(known) // 100]
    left, top, right, bottom = x + 52, y + 42, x + width - 20, y + height - 30
    wide, tall = (right - left) / max(1, len(columns)), (bottom - top) / 24.0
    for day, (label, column) in enumerate(columns):
        for hour, value in enumerate(column):
            if value is not None:
                parts.append(
                    f'<rect x="{left + day * wide:.1f}" y="{bottom - (hour + 1) * tall:.1f}" width="{wide + 0.3:.1f}" '
                    f'height="{tall + 0.3:.1f}" fill="{heat((value - low) / max(high - low, 1e-9))}"/>'
                )
        if label:
            parts.append(text(left + day * wide + 2, bottom + 17, label, "soft small"))
    for hour in (0, 6, 12, 18, 24):
        parts.append(text(left - 8, bottom - hour * tall + 4, f"{hour:02}", "soft small end"))
    for step in range(24):
        place = right - 150 + 4 * step
        parts.append(f'<rect x="{place}" y="{y + 15}" width="4.4" height="8" fill="{heat(step / 23.0)}"/>')
    parts.append(text(right - 156, y + 23, number(round(low, 1)), "soft small end"))
    parts.append(text(right - 48, y + 23, f"{number(round(high, 1))} {unit}", "soft small"))
    return "\n".join(parts)


_HEAT = ((49, 54, 149), (69, 117, 180), (116, 173, 209), (171, 217, 233), (254, 224, 144), (253, 174, 97),
         (244, 109, 67),         (200, 40, 40))  # fmt: skip


def heat(share):
    """A colour from cold to hot."""
    place = max(0.0, min(1.0, share)) * (len(_HEAT) - 1)
    index = min(len(_HEAT) - 2, int(place))
    part = place - index
    return "#" + "".join(f"{int(a + (b - a) * part + 0.5):02x}" for a, b in zip(_HEAT[index], _HEAT[index + 1]))
