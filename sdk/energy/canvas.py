"""A plain drawing board for pictures as SVG: panels from the top down, with axes and keys.

They follow the reader's light or dark scheme, need no script and no other file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT = 960, 64, 20
INNER = WIDTH - LEFT - RIGHT
STYLE = """
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


class Canvas:
    """Panels from the top down.

    Args:
        title: the heading and the line below it.
    """

    def __init__(self, title: tuple[str, str]) -> None:
        self._parts = [
            f'<text class="h" x="{LEFT}" y="30">{escape(title[0])}</text>',
            f'<text class="f" x="{LEFT}" y="48">{escape(title[1])}</text>',
        ]
        self._y = 66.0

    def add(self, text: str) -> None:
        """A piece of SVG."""
        self._parts.append(text)

    def down(self, height: float) -> None:
        """Leave a panel of that height behind."""
        self._y += height + 14

    def key(self, names: Sequence[tuple[str, str]]) -> None:
        """What the colours mean: (class, name), at the upper right."""
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
        self.turned(label, height)
        return y

    def axis(self, ticks: Sequence[tuple[float, str]], label: str) -> None:
        """Marks along the bottom: (share of the width, text)."""
        for part, text in ticks:
            x, y = LEFT + INNER * part, self._y + 6
            self.add(f'<text class="f" x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{text}</text>')
        self.add(f'<text class="f" x="{WIDTH - RIGHT}" y="{self._y + 27:.1f}" text-anchor="end">{label}</text>')
        self._y += 40

    def turned(self, label: str, height: float) -> None:
        """A panel's name, upright at the left."""
        y = self._y + height / 2
        self.add(f'<text class="f" transform="translate(18,{y:.1f}) rotate(-90)" text-anchor="middle">{label}</text>')

    def svg(self) -> str:
        """The picture."""
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self._y:.0f}" role="img">'
        ground = f'<rect class="g" width="{WIDTH}" height="{self._y:.0f}"/>'
        return f"{head}<style>{STYLE}</style>{ground}{''.join(self._parts)}</svg>\n"


def x_of(place: float, whole: float) -> float:
    """The x of a place on an axis that is `whole` long."""
    return LEFT + INNER * place / whole


def path(points: Sequence[tuple[float, float]]) -> str:
    """A line through points."""
    return "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in points)


def line(points: Sequence[tuple[float, float]]) -> str:
    """A stepped line over cells of one width."""
    width = INNER / len(points)
    return f"M{points[0][0]:.1f},{points[0][1]:.1f}" + "".join(f"V{y:.1f}h{width:.2f}" for _, y in points)


def steps(points: Sequence[tuple[float, float]], base: float) -> str:
    """The area under a stepped line."""
    return f"M{points[0][0]:.1f},{base:.1f}" + line(points).replace("M", "L", 1) + f"V{base:.1f}Z"


def nice(value: float) -> float:
    """A round number that is not below."""
    if value <= 0:
        return 1.0
    unit = 10 ** (len(str(int(value))) - 1) if value >= 1 else 0.1
    return next(step * unit for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * unit >= value)
