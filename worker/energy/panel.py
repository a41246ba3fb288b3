"""The panel and its charge controller: from sky to watts on the battery's side."""

from __future__ import annotations

import math
from dataclasses import dataclass

from poco.sun import extraterrestrial, sun_position
from worker.energy.sun import Irradiance, clear_sky_ghi, split_ghi, tilted


@dataclass(frozen=True)
class Panel:
    """A fixed panel with a maximum-power-point controller.

    Direct-current power is PVWatts (Dobos 2014, NREL/TP-6A20-62641), cell temperature Faiman (2008).
    """

    peak_w: float
    latitude: float
    longitude: float
    tilt: float
    azimuth: float
    albedo: float = 0.2
    losses: float = 0.10  # soiling 2 %, shade 3 %, wiring 2 %, contacts 0.5 %, light-induced 1.5 %, rating 1 %
    controller_efficiency: float = 0.95
    temperature_coefficient: float = -0.004  # of power, per kelvin
    shares: tuple[float, ...] = ()  # learnt: of the clear-sky power, by sectors of the sun's azimuth from north

    def power_w(self, at: float, sky: Irradiance, temperature_c: float = 15.0, wind_m_s: float = 1.0) -> float:
        """Power after the charge controller, W, if all of it is taken."""
        sun = sun_position(at, self.latitude, self.longitude)
        if sun.cos_zenith <= 0.0 or sky.ghi <= 0.0:
            return 0.0
        plane = tilted(sky, sun, extraterrestrial(at), tilt=self.tilt, azimuth=self.azimuth, albedo=self.albedo)
        direct_current = pvwatts(
            plane, cell_temperature(plane, temperature_c, wind_m_s), self.peak_w, self.temperature_coefficient
        )
        return direct_current * (1.0 - self.losses) * self.controller_efficiency

    def clear_sky_w(self, at: float, temperature_c: float = 15.0) -> float:
        """Power under a cloudless sky, W: the yardstick of the forecast. What was learnt of this panel is in it."""
        sun = sun_position(at, self.latitude, self.longitude)
        ghi = clear_sky_ghi(sun.cos_zenith)
        if ghi <= 0.0:
            return 0.0
        power = self.power_w(at, split_ghi(ghi, sun.cos_zenith, extraterrestrial(at)), temperature_c)
        return power * self._share(sun.azimuth)

    def _share(self, azimuth: float) -> float:
        """Straight between the middles of the sectors."""
        if not self.shares:
            return 1.0
        whole = len(self.shares)
        place = azimuth / (2.0 * math.pi) * whole - 0.5
        left = math.floor(place)
        part = place - left
        return (1.0 - part) * self.shares[left % whole] + part * self.shares[(left + 1) % whole]


def cell_temperature(plane_w_m2: float, air_c: float, wind_m_s: float = 1.0) -> float:
    """Temperature of the cells, degrees C (Faiman 2008, u0 = 25, u1 = 6.84)."""
    return air_c + plane_w_m2 / (25.0 + 6.84 * wind_m_s)


def pvwatts(plane_w_m2: float, cell_c: float, peak_w: float, coefficient: float) -> float:
    """Direct-current power, W, of a panel rated `peak_w` at 1000 W/m^2 and 25 degrees C."""
    return max(0.0, peak_w * plane_w_m2 / 1000.0 * (1.0 + coefficient * (cell_c - 25.0)))
