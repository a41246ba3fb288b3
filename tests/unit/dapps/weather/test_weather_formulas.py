"""Formulas: the same bits everywhere, FAO-56's worked examples, MetPy on a real record."""

from __future__ import annotations

import csv
import importlib.util
import math
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

#: What arithmetic.py gives, to the last bit.
BITS = {
    ("exp", 1.2345): "0x1.b7e47790da685p+1", ("log", 1013.25): "0x1.baf0532a2973fp+2",
    ("power", 18.7): "0x1.9902ba51ceb3bp+0",
}  # fmt: skip


@given(st.floats(-699, 699))
def test_exp(weather, x):
    assert weather.arithmetic.exp(x) == pytest.approx(math.exp(x), rel=1e-15)


@given(st.floats(1e-300, 1e300))
def test_log(weather, x):
    assert weather.arithmetic.log(x) == pytest.approx(math.log(x), rel=1e-15, abs=1e-15)


@given(st.floats(-10_000, 10_000))
def test_sine_and_cosine(weather, x):
    assert weather.arithmetic.sincos(x) == pytest.approx((math.sin(x), math.cos(x)), abs=1e-14)


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_angles(weather, y, x):
    if x or y:
        expected = math.atan2(y, x)
        got = weather.arithmetic.atan2(y, x)
        assert got == pytest.approx(expected, abs=1e-14) or abs(got - expected) == pytest.approx(2 * math.pi)
    share = max(-1.0, min(1.0, x / 1e6))
    assert weather.arithmetic.acos(share) == pytest.approx(math.acos(share), abs=1e-7)


def test_impossible_arguments(weather):
    with pytest.raises(ValueError, match="log"):
        weather.arithmetic.log(0.0)
    with pytest.raises(OverflowError):
        weather.arithmetic.exp(701.0)
    assert weather.arithmetic.exp(-701.0) == 0.0
    assert (weather.arithmetic.power(0.0, 2.0), weather.arithmetic.power(0.0, 0.0)) == (0.0, 1.0)


def test_the_bits_are_fixed(weather):
    a = weather.arithmetic
    got = {("exp", 1.2345): a.exp(1.2345), ("log", 1013.25): a.log(1013.25), ("power", 18.7): a.power(18.7, 0.16)}
    assert {key: value.hex() for key, value in got.items()} == BITS


def test_no_function_of_the_c_library_that_rounds_differently(weather):
    for name, module in vars(weather).items():
        source = Path(module.__file__).read_text()
        for function in ("exp", "log", "log10", "pow", "sin", "cos", "tan", "atan2", "atan", "acos", "hypot", "dist"):
            assert f"math.{function}(" not in source, name
        powers = re.findall(r"[\w)\]] ?\*\* ?[\w(]+", source)
        assert set(powers) <= {"4**3", "2**31"}, name


@given(st.integers(-2_000_000_000, 4_000_000_000))
def test_day_of_the_year(weather, when):
    assert weather.formulas.day_of_year(when) == datetime.fromtimestamp(when, UTC).timetuple().tm_yday


def test_worked_examples_of_fao_56(weather):
    f = weather.formulas
    assert f.extraterrestrial_day(-20, 246) == pytest.approx(32.2, abs=0.05)  # example 8
    assert f.standard_pressure(1800) == pytest.approx(818, abs=1)  # example 2
    assert f.wind_at_two_metres(3.2, 10) == pytest.approx(2.4, abs=0.05)  # example 14
    uccle = f.evapotranspiration_day(12.3, 21.5, (63, 84), 2.078, 22.07, 1001, 100, 50.8, 187)
    assert uccle == pytest.approx(3.88, abs=0.02)  # example 18: 3.9
    above = f.extraterrestrial_hour(16.22, -16.25, int(datetime(2001, 10, 1, 15, 30, tzinfo=UTC).timestamp()))
    assert above == pytest.approx(3.543, abs=0.01)  # example 19
    bright = 2.45 / (0.75 * above)
    assert f.evapotranspiration_hour(38, 52, 3.3, 2.45, 1013, True, bright) == pytest.approx(0.63, abs=0.01)
    assert f.evapotranspiration_hour(28, 90, 1.9, 0, 1013, False, 0.8) == pytest.approx(0.0, abs=0.01)


def test_heat_index_and_wind_chill_against_the_tables_of_the_weather_service(weather):
    def fahrenheit(t):
        return (t - 32) / 1.8

    for t, h, expected in ((80, 40, 80), (90, 50, 95), (96, 65, 121), (100, 40, 109), (86, 90, 105)):
        assert weather.formulas.heat_index(fahrenheit(t), h) == pytest.approx(fahrenheit(expected), abs=0.45)
    for t, mph, expected in ((40, 5, 36), (0, 15, -19), (-20, 40, -57)):
        assert weather.formulas.wind_chill(fahrenheit(t), mph * 0.44704) == pytest.approx(fahrenheit(expected), abs=0.3)
    assert weather.formulas.heat_index(20, 50) is None and weather.formulas.wind_chill(15, 9) is None


@pytest.fixture(scope="module")
def record():
    """Every seventh hour of a year at Greensboro (TMY3, in the package pvlib): degC, %, hPa, m/s; and the elevation."""
    found = importlib.util.find_spec("pvlib")
    assert found and found.origin
    with (Path(found.origin).parent / "data" / "723170TYA.CSV").open() as file:
        elevation = float(file.readline().split(",")[-1])
        rows = list(csv.DictReader(file))[::7]
    names = ("Dry-bulb (C)", "RHum (%)", "Pressure (mbar)", "Wspd (m/s)")
    return elevation, [tuple(float(row[name]) for name in names) for row in rows]


def test_metpy_agrees_on_a_real_record(weather, record):
    """Tolerances: dew point 0.15 K, wet bulb 0.5 K, heat index 0.1 K, wind chill 0.05 K, sea level 0.8 hPa.

    MetPy's saturation pressure is another formula (Ambaum), its wet bulb the pseudoadiabatic one, its reduction dry.
    """
    import metpy.calc as metpy
    import numpy as np
    from metpy.units import units

    f, (elevation, rows) = weather.formulas, record
    t, h, p, wind = (np.array(column) for column in zip(*rows, strict=True))
    celsius, percent, hectopascal = t * units.degC, h * units.percent, p * units.hPa
    expected = metpy.dewpoint_from_relative_humidity(celsius, percent).m_as("degC")
    ours = np.array([f.dew_point(a, b) for a, b, _, _ in rows])
    assert np.max(np.abs(ours - expected)) < 0.15
    expected = metpy.wet_bulb_temperature(hectopascal[::120], celsius[::120], expected[::120] * units.degC).m_as("degC")
    ours = np.array([f.wet_bulb(a, b, c) for a, b, c, _ in rows[::120]])
    assert np.max(np.abs(ours - expected)) < 0.5
    for expected, ours in (
        (metpy.heat_index(celsius, percent), [f.heat_index(a, b) for a, b, _, _ in rows]),
        (metpy.windchill(celsius, wind * units("m/s")), [f.wind_chill(a, w) for a, _, _, w in rows]),
    ):
        masked = np.ma.getmaskarray(expected.m_as("degC"))
        assert [value is None for value in ours] == list(masked)
        there = [i for i, value in enumerate(ours) if value is not None]
        got = np.array([ours[i] for i in there])
        assert len(there) > 50 and np.max(np.abs(got - expected.m_as("degC")[there])) < 0.1
    dry = f.sea_level_pressure(1.0, 15.0, 0.0, elevation)
    height = metpy.pressure_to_height_std(1013.25 / dry * units.hPa).m_as("m")
    assert height == pytest.approx(elevation, abs=6.5)  # 0.8 hPa
    assert all(abs(f.sea_level_pressure(c, a, b, elevation) - c * dry) < 4.5 for a, b, c, _ in rows)
