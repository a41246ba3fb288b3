"""Quantities that follow from measured ones. Units: degC, %, hPa, m/s, m, MJ/m2; None never goes in."""

import math
from functools import lru_cache

from arithmetic import PI, acos, exp, log, power, radians, sincos

KELVIN = 273.15


def saturation_pressure(temperature):
    """Saturation vapour pressure over water in hPa (WMO-No. 8, volume I, annex 4.B)."""
    return 6.112 * exp(17.62 * temperature / (243.12 + temperature))


def dew_point(temperature, humidity):
    """Dew point, by the inverse of the same formula; None for air without vapour."""
    if humidity <= 0.0:
        return None
    x = log(humidity / 100.0) + 17.62 * temperature / (243.12 + temperature)
    return 243.12 * x / (17.62 - x)


def wet_bulb(temperature, humidity, pressure):
    """Temperature of a ventilated wet thermometer.

    Solves the psychrometer formula of WMO-No. 8 (volume I, annex 4.B), e = ew(tw) - 0.000653 (1 + 0.000944 tw) p (t -
    tw), by Newton's method from above, which converges from there and takes the same steps everywhere.
    """
    vapour = humidity / 100.0 * saturation_pressure(temperature)
    wet = temperature
    for _ in range(6):
        full = saturation_pressure(wet)
        factor = 0.000653 * (1.0 + 0.000944 * wet) * pressure
        slope = full * 17.62 * 243.12 / ((243.12 + wet) * (243.12 + wet)) + factor
        wet -= (full - factor * (temperature - wet) - vapour) / slope
    return wet


def heat_index(temperature, humidity):
    """Apparent temperature of warm air; None below 80 F, where it is not defined.

    Rothfusz's regression with its two adjustments, and Steadman's simple formula below it, as the U.S. National Weather
    Service computes it (Technical Attachment SR 90-23).
    """
    t, h = 1.8 * temperature + 32.0, humidity
    if t < 80.0:
        return None
    simple = 0.5 * (t + 61.0 + (t - 68.0) * 1.2 + h * 0.094)
    if 0.5 * (simple + t) < 80.0:
        return (simple - 32.0) / 1.8
    index = (
        -42.379 + 2.04901523 * t + 10.14333127 * h - 0.22475541 * t * h - 6.83783e-3 * t * t - 5.481717e-2 * h * h
        + 1.22874e-3 * t * t * h + 8.5282e-4 * t * h * h - 1.99e-6 * t * t * h * h
    )  # fmt: skip
    if h < 13.0 and 80.0 <= t <= 112.0:
        index -= (13.0 - h) / 4.0 * math.sqrt((17.0 - abs(t - 95.0)) / 17.0)
    elif h > 85.0 and 80.0 <= t <= 87.0:
        index += (h - 85.0) / 10.0 * ((87.0 - t) / 5.0)
    return (index - 32.0) / 1.8


def wind_chill(temperature, wind):
    """Wind chill of the wind at 10 m; None above 50 F or below 3 mph (U.S. and Canadian weather services, 2001)."""
    if temperature > 10.0 or wind <= 1.34112:
        return None
    v = power(3.6 * wind, 0.16)
    return 13.12 + 0.6215 * temperature - 11.37 * v + 0.3965 * temperature * v


def sea_level_pressure(pressure, temperature, humidity, elevation):
    """Pressure reduced to sea level (WMO-No. 8, volume I, chapter 3: hypsometric, 6.5 K/km, vapour by 0.12 K/hPa)."""
    vapour = humidity / 100.0 * saturation_pressure(temperature)
    mean = temperature + KELVIN + 0.00325 * elevation + 0.12 * vapour
    return pressure * exp(0.0341632 * elevation / mean)


def standard_pressure(elevation):
    """Pressure of the standard atmosphere in hPa (FAO-56, equation 7)."""
    return 1013.0 * power((293.0 - 0.0065 * elevation) / 293.0, 5.26)


def wind_at_two_metres(wind, height):
    """Wind speed at 2 m from that at another height above short grass (FAO-56, equation 47)."""
    return wind if height == 2.0 else wind * 4.87 / log(67.8 * height - 5.42)


def day_of_year(when):
    """Day of the year of a Unix time, 1 to 366."""
    days = when // 86400 + 719468  # days since 0000-03-01
    era, day = divmod(days, 146097)
    year = (day - day // 1460 + day // 36524 - day // 146096) // 365
    since_march = day - (365 * year + year // 4 - year // 100)
    year += 400 * era
    leap = 1 if (year % 4 == 0 and year % 100 != 0) or year % 400 == 0 else 0
    return since_march - 305 if since_march >= 306 else since_march + 60 + leap


def declination(day):
    """(declination in radians, inverse relative distance of the sun) of a day of the year (FAO-56, (23) and (24))."""
    angle = 2.0 * PI * day / 365.0
    return 0.409 * sincos(angle - 1.39)[0], 1.0 + 0.033 * sincos(angle)[1]


def extraterrestrial_day(latitude, day):
    """Radiation on top of the atmosphere during a day in MJ/m2 (FAO-56, equations 21 and 25)."""
    (sine, cosine), (delta, distance) = sincos(radians(latitude)), declination(day)
    down, across = sincos(delta)
    angle = acos(-sine * down / max(cosine * across, 1e-9))
    return 24.0 * 60.0 / PI * 0.0820 * distance * (angle * sine * down + cosine * across * sincos(angle)[0])


@lru_cache(512)
def _sun_of_day(latitude, day):
    """(constant, amplitude) of the sine of the sun's height, equation of time in hours, inverse relative distance."""
    b = 2.0 * PI * (day - 81) / 364.0
    (sine, cosine), (twice, _) = sincos(b), sincos(2.0 * b)
    delta, distance = declination(day)
    (up, side), (down, across) = sincos(radians(latitude)), sincos(delta)
    return up * down, side * across, 0.1645 * twice - 0.1255 * cosine - 0.025 * sine, distance


def sun_height(latitude, longitude, when):
    """Sine of the sun's height at a Unix time, longitude counted to the east (FAO-56, equations 28 to 33)."""
    constant, amplitude, equation, _ = _sun_of_day(latitude, day_of_year(when))
    angle = PI / 12.0 * (when % 86400 / 3600.0 + longitude / 15.0 + equation - 12.0)
    return constant + amplitude * sincos(angle)[1]


def extraterrestrial_hour(latitude, longitude, middle):
    """Radiation on top of the atmosphere in the hour around a Unix time, MJ/m2 (FAO-56, (28), by trapezoids)."""
    heights = [max(0.0, sun_height(latitude, longitude, middle + 600 * step)) for step in range(-3, 4)]
    mean = (math.fsum(heights) - 0.5 * (heights[0] + heights[-1])) / 6.0
    return 60.0 * 0.0820 * _sun_of_day(latitude, day_of_year(middle))[3] * mean


def evapotranspiration_day(least, most, humidity, wind, radiation, pressure, elevation, latitude, day):
    """Reference evapotranspiration of a day in mm (FAO-56 Penman-Monteith, equation 6; soil heat flux 0).

    Args:
        least, most: temperatures of the day in degC; humidity: (least, most) in %; wind: mean at 2 m in m/s;
        radiation: global, in MJ/m2; pressure: mean at the station in hPa; elevation in m; latitude in degrees.
    """
    mean = 0.5 * (least + most)
    slope = _slope(mean)[0]
    low, high = _slope(least)[1], _slope(most)[1]
    vapour = 0.5 * (low * humidity[1] + high * humidity[0]) / 100.0
    clear = (0.75 + 2e-5 * elevation) * extraterrestrial_day(latitude, day)
    share = min(1.0, max(0.25, radiation / clear)) if clear > 0.1 else 0.5
    fourth = 0.5 * (_fourth(least) + _fourth(most))
    lost = 4.903e-9 * fourth * (0.34 - 0.14 * math.sqrt(vapour)) * (1.35 * share - 0.35)
    gamma = 0.665e-3 * pressure / 10.0
    dry = gamma * 900.0 / (mean + 273.0) * wind * (0.5 * (low + high) - vapour)
    return max(0.0, (0.408 * slope * (0.77 * radiation - lost) + dry) / (slope + gamma * (1.0 + 0.34 * wind)))


def evapotranspiration_hour(temperature, humidity, wind, radiation, pressure, daylight, bright):
    """Reference evapotranspiration of an hour in mm (FAO-56 Penman-Monteith, equation 53).

    Args:
        temperature, humidity: means of the hour; wind: mean at 2 m; radiation: global in MJ/m2; pressure in hPa;
        daylight: whether the sun is up; bright: radiation over that below a clear sky, 0.25 to 1, at night that of
        the last hours of daylight (FAO-56, example 19).
    """
    slope, full = _slope(temperature)
    vapour = full * humidity / 100.0
    lost = 2.043e-10 * _fourth(temperature) * (0.34 - 0.14 * math.sqrt(vapour)) * (1.35 * bright - 0.35)
    net = 0.77 * radiation - lost
    ground = (0.1 if daylight else 0.5) * net
    gamma = 0.665e-3 * pressure / 10.0
    dry = gamma * 37.0 / (temperature + 273.0) * wind * (full - vapour)
    return max(0.0, (0.408 * slope * (net - ground) + dry) / (slope + gamma * (1.0 + 0.34 * wind)))


def _slope(temperature):
    """Slope of the saturation vapour pressure in kPa/K, and that pressure in kPa (FAO-56, equations 11 and 13)."""
    pressure = 0.6108 * exp(17.27 * temperature / (temperature + 237.3))
    return 4098.0 * pressure / ((temperature + 237.3) * (temperature + 237.3)), pressure


def _fourth(temperature):
    kelvin = temperature + 273.16
    return kelvin * kelvin * (kelvin * kelvin)
