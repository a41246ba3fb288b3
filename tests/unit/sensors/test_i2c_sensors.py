"""BME280, BH1750 and the reference cell against chips that behave as their data sheets say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poco.errors import PewError
from tests.unit.sensors.fake_i2c import Ads1115Chip, Bh1750Chip, Bme280Chip, Bus, Ina219Chip
from worker.i2c import DeviceError
from worker.sensors import config as c
from worker.sensors.bme280 import Bme280, Calibration
from worker.sensors.light import Bh1750, ReferenceCell
from worker.sensors.vane import OHMS, WindVane


def bme280(chip: Bme280Chip | None, address: int = 0x76) -> tuple[Bme280, Bus]:
    bus = Bus()
    if chip is not None:
        bus.devices[address] = chip
    return Bme280(c.Bme280(), bus.opener(), pause=lambda _: None), bus


def test_the_worked_example_of_the_data_sheet() -> None:
    """BST-BMP280-DS001, section 3.12: 25.08 C and 100653.27 Pa."""
    sensor, _ = bme280(Bme280Chip())
    reading = sensor.read(0.0)
    assert reading["temperature_c"] == 25.08
    assert reading["pressure_hpa"] == 1006.53
    words = Calibration(Bme280Chip.T, Bme280Chip.P, (0,) * 6)
    celsius, fine = words.temperature(519888)
    assert (round(celsius, 2), round(fine)) == (25.08, 128422)
    assert words.pressure(415148, fine) == pytest.approx(100653.27, abs=0.01)


def integer_humidity(adc: int, fine: int, h: tuple[int, ...]) -> float:
    """The 32-bit integer formula of BST-BME280-DS002, section 4.2.3: percent."""
    h1, h2, h3, h4, h5, h6 = h
    v = fine - 76800
    v = (((adc << 14) - (h4 << 20) - (h5 * v) + 16384) >> 15) * (
        ((((((v * h6) >> 10) * (((v * h3) >> 11) + 32768)) >> 10) + 2097152) * h2 + 8192) >> 14
    )
    v -= ((((v >> 15) * (v >> 15)) >> 7) * h1) >> 4
    return min(max(v, 0), 419430400) / 4096 / 1024


words = st.tuples(
    st.integers(60, 90), st.integers(340, 380), st.integers(0, 5), st.integers(280, 360), st.integers(-80, 80),
    st.integers(20, 40),
)  # fmt: skip


@given(st.integers(0x4000, 0xA000), st.integers(400_000, 620_000), words)
def test_humidity_agrees_with_the_integer_formula(adc: int, adc_t: int, h: tuple[int, ...]) -> None:
    chip = Calibration(Bme280Chip.T, Bme280Chip.P, h)
    _, fine = chip.temperature(adc_t)
    assert chip.humidity(adc, fine) == pytest.approx(integer_humidity(adc, round(fine), h), abs=0.05)


@given(st.tuples(*(st.integers(low, high) for low, high in (
    (0, 255), (-32768, 32767), (0, 255), (-2048, 2047), (-2048, 2047), (-128, 127)))))  # fmt: skip
def test_humidity_words_share_a_register(h: tuple[int, ...]) -> None:
    """dig_H4 and dig_H5 are signed 12-bit numbers that share 0xE5 (table 16)."""
    chip = Bme280Chip(h=h)
    assert Calibration.parse(chip.read(0x88, 26), chip.read(0xE1, 7)) == Calibration(chip.T, chip.P, h)


def test_a_measurement_is_forced_and_waited_for() -> None:
    chip = Bme280Chip(busy_reads=3)
    sensor, bus = bme280(chip)
    first = sensor.read(0.0)
    chip.adc = (chip.adc[0], chip.adc[1] + 2000, chip.adc[2])
    second = sensor.read(60.0)
    assert (second["temperature_c"] or 0) > (first["temperature_c"] or 0)
    assert first["humidity_pct"] is not None and 0 < first["humidity_pct"] < 100
    assert chip.memory[0xF5] == 0, "the filter is off"
    sensor.close()
    assert bus.closed == 1


def test_a_value_that_was_not_measured_is_unknown() -> None:
    sensor, _ = bme280(Bme280Chip(adc_t=0x80000))
    assert not sensor.read(0.0), "without temperature nothing can be computed"
    sensor, _ = bme280(Bme280Chip(adc_h=0x8000, adc_p=0x80000))
    reading = sensor.read(0.0)
    assert reading["temperature_c"] == 25.08 and reading["humidity_pct"] is None and reading["pressure_hpa"] is None


@pytest.mark.parametrize(("chip_id", "name"), [(0x58, "BMP280"), (0x61, "BME680"), (0xFF, "none of Bosch's")])
def test_another_chip_is_named(chip_id: int, name: str) -> None:
    sensor, bus = bme280(Bme280Chip(chip_id=chip_id))
    with pytest.raises(DeviceError, match=name) as caught:
        sensor.check()
    assert "0x77" in caught.value.hint and bus.closed == 1


def test_nobody_answers() -> None:
    sensor, _ = bme280(None)
    with pytest.raises(DeviceError, match="nothing answers as BME280 at address 0x76") as caught:
        sensor.check()
    assert "i2cdetect" in caught.value.hint


def test_a_stuck_bus_and_its_recovery() -> None:
    sensor, bus = bme280(Bme280Chip())
    bus.stuck = True
    with pytest.raises(DeviceError, match="does not move") as caught:
        sensor.read(0.0)
    assert "disconnect" in caught.value.hint
    bus.stuck = False
    assert sensor.read(0.0)["temperature_c"] == 25.08


def test_a_chip_that_never_ends_its_measurement() -> None:
    sensor, _ = bme280(Bme280Chip(busy_reads=10**6))
    with pytest.raises(DeviceError, match="does not end"):
        sensor.read(0.0)


def test_a_machine_without_the_bus() -> None:
    sensor = Bme280(c.Bme280(bus=250))
    with pytest.raises(PewError, match="i2c-250") as caught:
        sensor.check()
    assert caught.value.hint


@given(st.floats(0, 121_000))
def test_the_light_meter_reaches_full_sun(lux: float) -> None:
    bus = Bus()
    bus.devices[0x23] = chip = Bh1750Chip(lux)
    sensor = Bh1750(c.Bh1750(lux_per_wm2=100.0), bus.opener(), pause=lambda _: None)
    assert sensor.read(0.0)["irradiance_wm2"] == pytest.approx(lux / 100.0, abs=0.07)
    assert not chip.on, "it is switched off between readings"


def test_light_beyond_the_range_is_unknown() -> None:
    bus = Bus()
    bus.devices[0x23] = Bh1750Chip(200_000)
    assert Bh1750(c.Bh1750(), bus.opener(), pause=lambda _: None).read(0.0)["irradiance_wm2"] is None


def test_the_reference_cell() -> None:
    bus = Bus()
    bus.devices[0x40] = chip = Ina219Chip(0.5 * 0.12 * 0.1)
    cell = ReferenceCell(c.ReferenceCell(shunt_ohms=0.1, amperes_at_1000=0.12), bus.opener())
    assert cell.read(0.0)["irradiance_wm2"] == pytest.approx(500.0, abs=1)
    chip.volts = -0.00002
    assert cell.read(0.0)["irradiance_wm2"] == 0.0, "an offset at night is no light"
    chip.volts = 0.4
    assert cell.read(0.0)["irradiance_wm2"] is None, "beyond its range"
    assert "beyond" in cell.check()
    bus.stuck = True
    with pytest.raises(DeviceError):
        cell.read(0.0)


@pytest.mark.parametrize("degrees", OHMS)
@pytest.mark.parametrize("error", [-0.01, 0.0, 0.01])
def test_the_vane_tells_its_sixteen_directions(degrees: float, error: float) -> None:
    """Each within 1 % of its resistance, on input 2, mounted 90 degrees off."""
    ohms = OHMS[degrees] * (1 + error)
    bus = Bus()
    bus.devices[0x48] = Ads1115Chip({2: 3.3 * ohms / (ohms + 10_000)}, busy_reads=2)
    vane = WindVane(c.WindVane(input=2, north_deg=90), bus.opener(), pause=lambda _: None)
    assert vane.read(0.0)["wind_dir_deg"] == (degrees + 90) % 360


def test_a_vane_without_its_wire_is_unknown() -> None:
    bus = Bus()
    bus.devices[0x48] = chip = Ads1115Chip({0: 3.3})
    vane = WindVane(c.WindVane(), bus.opener(), pause=lambda _: None)
    assert vane.read(0.0)["wind_dir_deg"] is None
    with pytest.raises(DeviceError, match="no direction has") as caught:
        vane.check()
    assert "wires" in caught.value.hint
    chip.busy_reads = 10**6
    with pytest.raises(DeviceError, match="does not end"):
        vane.read(0.0)
