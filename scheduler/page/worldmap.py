"""Where the fleet stands: an equirectangular map without tiles, dots by presence, drawn around the workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from poco.states import Presence
from scheduler.page.fleet import Row
from scheduler.page.formats import PRESENCE

#: Units of land.svg in a degree, and its size.
UNIT, WHOLE = 10, (3600, 1800)
#: Width over height of what is drawn; the least width in degrees, where coasts so coarse still look like some.
RATIO, LEAST = 2.6, 36.0
#: More dots than this are drawn by coarser cells.
MOST = 400
_STEPS = (1, 2, 5, 10, 20, 30)


@dataclass(frozen=True, slots=True)
class Dot:
    """Workers of one presence in one place."""

    latitude: float
    longitude: float
    presence: Presence
    names: tuple[str, ...]


def dots(rows: Sequence[Row]) -> list[Dot]:
    """The places of those who tell one; where there are too many, by cells of a tenth of a degree, then of degrees."""
    placed = [(row, row.seen.site) for row in rows if row.seen.site is not None]
    found: dict[tuple[float, float, Presence], list[str]] = {}
    for cell in (0.01, 0.1, 1.0, 3.0, 10.0):
        found = {}
        for row, site in placed:
            key = (round(site[0] / cell) * cell, round(site[1] / cell) * cell, row.presence)
            found.setdefault(key, []).append(row.name)
        if len(found) <= MOST:
            break
    return [Dot(lat, lon, presence, tuple(names)) for (lat, lon, presence), names in found.items()]


def draw(rows: Sequence[Row], land: str) -> Markup | None:
    """The map as inline SVG; None where nobody says where it stands.

    Args:
        land: the address of land.svg.
    """
    found = dots(rows)
    if not found:
        return None
    west, north, width, height = _window(found)
    size = width / 960
    parts = [f'<image href="{escape(land)}" x="0" y="0" width="{WHOLE[0]}" height="{WHOLE[1]}"/>']
    parts.append(_graticule(west, north, width, height, size))
    here = Counter(dot.presence for dot in found for _ in dot.names)
    order = [Presence.LOST, Presence.UNKNOWN, Presence.ASLEEP]
    found.sort(key=lambda dot: (dot.presence not in order, -len(dot.names)))
    for dot in found:
        x, y = (dot.longitude + 180) * UNIT, (90 - dot.latitude) * UNIT
        radius = (6 + 2.2 * min(len(dot.names) - 1, 40) ** 0.5) * size
        named = ", ".join(dot.names[:5]) + (f" and {len(dot.names) - 5} more" if len(dot.names) > 5 else "")
        title = f"<title>{escape(named)}: {PRESENCE[dot.presence][1]}</title>"
        parts.append(
            f'<circle class="dot {dot.presence.value.lower()}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.2f}" '
            f'stroke-width="{1.6 * size:.3f}">{title}</circle>'
        )
    said = ", ".join(f"{here[p]} {PRESENCE[p][1]}" for p in PRESENCE if here[p])
    return Markup(  # noqa: S704  (numbers, our own words, and escaped text)
        f'<svg class="map" viewBox="{west:.1f} {north:.1f} {width:.1f} {height:.1f}" role="img" '
        'aria-labelledby="map-title" aria-describedby="map-desc"><title id="map-title">Where the workers stand</title>'
        f'<desc id="map-desc">{sum(here.values())} workers that say where they stand: {said}. The table below names '
        f"them.</desc>{''.join(parts)}</svg>"
    )


def _window(found: Sequence[Dot]) -> tuple[float, float, float, float]:
    """West, north, width, height in units of land.svg."""
    lats, lons = [d.latitude for d in found], [d.longitude for d in found]
    width = max((max(lons) - min(lons)) * 1.25, (max(lats) - min(lats)) * 1.25 * RATIO, LEAST)
    width = min(width, 360.0)
    height = min(width / RATIO, 180.0)
    west = min(max((max(lons) + min(lons)) / 2 - width / 2, -180.0), 180.0 - width)
    north = max(min((max(lats) + min(lats)) / 2 + height / 2, 90.0), -90.0 + height)
    return (west + 180) * UNIT, (90 - north) * UNIT, width * UNIT, height * UNIT


def _graticule(west: float, north: float, width: float, height: float, size: float) -> str:
    step = UNIT * next((s for s in _STEPS if width / (s * UNIT) <= 13), _STEPS[-1])
    path = "".join(
        f"M{x} {north:.1f}v{height:.1f}" for x in range(0, WHOLE[0] + 1, step) if west < x < west + width
    ) + "".join(f"M{west:.1f} {y}h{width:.1f}" for y in range(0, WHOLE[1] + 1, step) if north < y < north + height)
    return f'<path class="grid" d="{path}" stroke-width="{0.8 * size:.3f}"/>'
