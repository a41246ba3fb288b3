"""Where the sun is: pure functions of instants and places, on plain floats.

Instants are Unix seconds (UTC), latitudes and longitudes degrees (north and east positive).
"""

from __future__ import annotations

import math
from typing import NamedTuple

SOLAR_CONSTANT_W_M2 = 1366.1
_J2000_UNIX = 946_728_000.0  # 2000-01-01T12:00:00Z
_DAY_S = 86_400.0
_YEAR_DAYS = 365.2425


class SunPosition(NamedTuple):
    """The sun seen from a place, without refraction."""

    cos_zenith: float  # below 0 at night
    azimuth: float  # radians from north, clockwise, 0 to 2 pi


def sun_position(at: float, latitude: float, longitude: float) -> SunPosition:
    """Position of the sun by the PSA+ algorithm (Blanco et al. 2020, Solar Energy 212, 339-341).

    Within 0.01 degrees of the NREL SPA between 2000 and 2050.
    """
    days = (at - _J2000_UNIX) / _DAY_S
    omega = 2.267127827 - 9.300339267e-4 * days
    mean_longitude = 4.895036035 + 1.720279602e-2 * days
    anomaly = 6.239468336 + 1.720200135e-2 * days
    ecliptic_longitude = (
        mean_longitude
        + 3.338320972e-2 * math.sin(anomaly)
        + 3.497596876e-4 * math.sin(2.0 * anomaly)
        - 1.544353226e-4
        - 8.689729360e-6 * math.sin(omega)
    )
    obliquity = 4.090904909e-1 - 6.213605399e-9 * days + 4.418094944e-5 * math.cos(omega)
    sin_longitude = math.sin(ecliptic_longitude)
    right_ascension = math.atan2(math.cos(obliquity) * sin_longitude, math.cos(ecliptic_longitude))
    declination = math.asin(math.sin(obliquity) * sin_longitude)
    sidereal_hours = 6.697096103 + 6.570984737e-2 * days + (at % _DAY_S) / 3600.0
    hour_angle = math.radians(sidereal_hours * 15.0 + longitude) - right_ascension
    phi = math.radians(latitude)
    cos_zenith = math.cos(phi) * math.cos(hour_angle) * math.cos(declination) + math.sin(declination) * math.sin(phi)
    azimuth = math.atan2(
        -math.sin(hour_angle), math.tan(declination) * math.cos(phi) - math.sin(phi) * math.cos(hour_angle)
    )
    # parallax: the observer stands on the surface, not at the centre of the Earth
    sin_zenith = math.sqrt(max(0.0, 1.0 - cos_zenith * cos_zenith))
    cos_zenith -= sin_zenith * sin_zenith * (6371.01 / 149_597_890.0)
    return SunPosition(cos_zenith, azimuth % (2.0 * math.pi))


def extraterrestrial(at: float) -> float:
    """Irradiance outside the atmosphere on a plane that faces the sun (Spencer 1971), W/m^2."""
    angle = 2.0 * math.pi * (((at - _J2000_UNIX) / _DAY_S + 0.5) % _YEAR_DAYS) / _YEAR_DAYS
    return SOLAR_CONSTANT_W_M2 * (
        1.00011
        + 0.034221 * math.cos(angle)
        + 0.00128 * math.sin(angle)
        + 0.000719 * math.cos(2.0 * angle)
        + 7.7e-5 * math.sin(2.0 * angle)
    )
