"""How much a panel can give at most: the BSRN's limits of irradiance, turned to the panel's plane.

Long and Dutton, BSRN Global Network recommended QC tests V2.0 (2002): with S the irradiance outside the atmosphere and
u the cosine of the zenith angle, "physically possible" are global <= 1.5 S u^1.2 + 100, diffuse <= 0.95 S u^1.2 + 50,
direct <= S; "extremely rare" are 1.2 S u^1.2 + 50, 0.75 S u^1.2 + 30 and 0.95 S u^0.2 + 10 W/m^2. True readings pass,
also those that clouds' edges raise above a clear sky.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from poco.sun import extraterrestrial, sun_position

#: The declared place is rounded, a device's clock may be minutes off: the sun may stand so much better, radians.
MARGIN = math.radians(1.0)
#: Snow.
_ALBEDO = 0.9


class Plane(NamedTuple):
    """A panel's place and how it stands, degrees."""

    latitude: float
    longitude: float
    tilt: float
    azimuth: float


def elevation(at: float, plane: Plane) -> float:
    """Degrees of the sun's centre above the horizon, without refraction."""
    return math.degrees(math.asin(max(-1.0, min(1.0, sun_position(at, plane.latitude, plane.longitude).cos_zenith))))


def plane_limit(at: float, plane: Plane, *, rare: bool = False) -> float:
    """The most irradiance on a plane at an instant, W/m^2.

    Args:
        rare: the "extremely rare" limits in place of the "physically possible" ones.
    """
    sun = sun_position(at, plane.latitude, plane.longitude)
    zenith = math.acos(max(-1.0, min(1.0, sun.cos_zenith)))
    u = max(0.0, math.cos(max(0.0, zenith - MARGIN)))
    space = extraterrestrial(at)
    if rare:
        whole, diffuse, direct = (
            1.2 * space * math.pow(u, 1.2) + 50,
            0.75 * space * math.pow(u, 1.2) + 30,
            0.95 * space * math.pow(u, 0.2) + 10,
        )
    else:
        whole, diffuse, direct = 1.5 * space * math.pow(u, 1.2) + 100, 0.95 * space * math.pow(u, 1.2) + 50, space
    tilt = math.radians(plane.tilt)
    towards = math.cos(tilt) * sun.cos_zenith + math.sin(tilt) * math.sin(zenith) * math.cos(
        sun.azimuth - math.radians(plane.azimuth)
    )
    facing = max(0.0, math.cos(max(0.0, math.acos(max(-1.0, min(1.0, towards))) - MARGIN)))
    ground = whole * _ALBEDO * 0.5 * (1.0 - math.cos(tilt))
    if u == 0.0:
        return min(diffuse, whole) + ground
    # the best mix of direct and diffuse with u direct + diffuse <= whole lies at a corner
    beams = (min(direct, whole / u), min(direct, max(0.0, whole - diffuse) / u))
    return max(beam * facing + min(diffuse, max(0.0, whole - beam * u)) for beam in beams) + ground
