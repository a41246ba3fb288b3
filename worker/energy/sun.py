"""What the sun gives: pure functions on plain floats. Where it stands is `poco.sun`.

Tilts and azimuths are degrees (0 = flat, 0 = north, 180 = south), irradiances W/m^2.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from poco.sun import SunPosition


class Irradiance(NamedTuple):
    """Horizontal irradiances in W/m^2."""

    ghi: float  # global, on the horizontal
    dni: float  # direct, on a plane that faces the sun
    dhi: float  # diffuse, on the horizontal


def clear_sky_ghi(cos_zenith: float) -> float:
    """Global horizontal irradiance of a cloudless sky (Haurwitz 1945, 1946), W/m^2."""
    if cos_zenith <= 0.0:
        return 0.0
    return 1098.0 * cos_zenith * math.exp(-0.059 / cos_zenith)


def split_ghi(ghi: float, cos_zenith: float, extra: float) -> Irradiance:
    """Split global irradiance into direct and diffuse (Erbs, Klein and Duffie 1982).

    The direct part is 0 where the sun is lower than 3 degrees: the division by cos(zenith) means nothing there.
    """
    clearness = min(1.0, max(0.0, ghi / (extra * max(cos_zenith, 0.065))))
    if clearness <= 0.22:
        fraction = 1.0 - 0.09 * clearness
    elif clearness <= 0.8:
        k = clearness
        fraction = 0.9511 - 0.1604 * k + 4.388 * k**2 - 16.638 * k**3 + 12.336 * k**4
    else:
        fraction = 0.165
    dhi = fraction * ghi
    dni = (ghi - dhi) / cos_zenith if cos_zenith > 0.0523 else 0.0
    return Irradiance(ghi, max(0.0, dni), dhi)


def tilted(
    sky: Irradiance, sun: SunPosition, extra: float, *, tilt: float, azimuth: float, albedo: float = 0.2
) -> float:
    """Irradiance on a tilted plane: direct + Hay-Davies sky diffuse (1980) + isotropic ground reflection, W/m^2."""
    tilt_rad = math.radians(tilt)
    cos_tilt = math.cos(tilt_rad)
    sin_zenith = math.sqrt(max(0.0, 1.0 - sun.cos_zenith * sun.cos_zenith))
    cos_incidence = cos_tilt * sun.cos_zenith + math.sin(tilt_rad) * sin_zenith * math.cos(
        sun.azimuth - math.radians(azimuth)
    )
    cos_incidence = min(1.0, max(0.0, cos_incidence))
    anisotropy = min(1.0, max(0.0, sky.dni / extra))
    ratio = cos_incidence / max(sun.cos_zenith, 0.01745)
    diffuse = sky.dhi * (anisotropy * ratio + (1.0 - anisotropy) * 0.5 * (1.0 + cos_tilt))
    ground = sky.ghi * albedo * 0.5 * (1.0 - cos_tilt)
    return max(0.0, sky.dni * cos_incidence + diffuse + ground)
