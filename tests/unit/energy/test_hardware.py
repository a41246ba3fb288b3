"""Power meters and alarms against chips that behave as their data sheets say: right values, and every fault said."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from poco.errors import BadInputError, PewError
from tests.unit.energy.chips import PiJuiceChip, WittyPiChip, ina219, ina226
from tests.unit.sensors.fake_i2c import Bus
from worker.energy import EnergyConfig, create_gate, create_power_source
from worker.energy.battery import Battery
from worker.energy.device import board
from worker.energy.hardware import ALARM_EXAMPLES, METER_EXAMPLES, AlarmConfig, HardwareConfig, MeterConfig
from worker.energy.hardware.ina import Ina, InaConfig
from worker.energy.hardware.measures import Measures
from worker.energy.hardware.pijuice import PiJuice, PiJuiceConfig
from worker.energy.hardware.rtc import Rtc, RtcConfig
from worker.energy.hardware.source import HardwarePower
from worker.energy.hardware.wittypi import WittyPi, WittyPiConfig
from worker.i2c import DeviceError, open_bus

T0 = 1_800_000_000.0
PLACED = {"source": "hardware", "latitude": 48.0, "longitude": 11.0}


def ina(chip, *, driver="ina226", measures="panel", **more):
    bus = Bus()
    bus.devices[0x40] = chip
    return Ina(InaConfig(driver=driver, measures=measures, **more), bus), bus


def witty(chip, **more):
    bus = Bus()
    bus.devices[8] = chip
    return WittyPi(WittyPiConfig(driver="witty-pi-4", **more), bus), bus


def pijuice(chip):
    bus = Bus()
    bus.devices[0x14] = chip
    return PiJuice(PiJuiceConfig(driver="pijuice"), bus), bus


# INA219, INA226


@pytest.mark.parametrize(("driver", "make"), [("ina226", ina226), ("ina219", ina219)])
def test_ina_measures_volts_and_watts(driver, make):
    meter, _ = ina(make(13.2, 0.75), driver=driver)
    assert "13.2" in meter.check()
    seen = meter.measure()
    assert seen.battery_v == pytest.approx(13.2, abs=4e-3)
    assert seen.harvest_w == pytest.approx(9.9, rel=2e-3)
    assert seen.load_w is None
    assert seen.battery_w is None


@given(st.floats(0, 26), st.floats(-3, 3))
@settings(max_examples=60, deadline=None)
def test_ina219_reads_what_flows_within_its_resolution(volts, amperes):
    meter, _ = ina(ina219(volts, amperes), driver="ina219", measures="battery")
    meter.check()
    step = 26 * 10e-6 / 0.1 + 3 * 4e-3  # a bit of the shunt at full voltage, a bit of the bus at full current
    assert meter.measure().battery_w == pytest.approx(volts * amperes, abs=step)


def test_wires_the_other_way_round():
    meter, _ = ina(ina226(12.0, -0.5), measures="load", invert=True)
    assert meter.measure().load_w == pytest.approx(6.0, rel=1e-3)


def test_ina_that_lost_its_supply_is_set_up_again():
    chip = ina226(13.0, 0.5)
    meter, _ = ina(chip)
    meter.check()
    chip.brown_out()
    assert meter.measure().harvest_w == pytest.approx(6.5, rel=1e-3)
    assert chip.words[0] == 0x4727


def test_a_shunt_at_its_end_is_unknown_not_its_end_value():
    meter, _ = ina(ina226(13.0, 5.0))
    with pytest.raises(DeviceError, match=r"more current than 0\.8 A"):
        meter.measure()


def test_another_chip_or_none():
    meter, bus = ina(ina219(13.0, 0.1))
    with pytest.raises(DeviceError, match="no INA226") as caught:
        meter.check()
    assert "ina219" in caught.value.hint
    bus.devices.clear()
    with pytest.raises(DeviceError, match="nothing answers as INA226 of the panel at address 0x40 of I2C bus 1"):
        meter.measure()
    bus.stuck = True
    with pytest.raises(DeviceError, match="does not move"):
        meter.measure()


# Witty Pi 4


def test_witty_pi_measures_what_the_board_draws():
    meter, _ = witty(WittyPiChip())
    assert meter.check() == "Witty Pi 4, 13.20 V in, no low-voltage cut-off, last action by the startup alarm"
    seen = meter.measure()
    assert seen.load_w == pytest.approx(5.1 * 0.5 / 0.9)
    assert (seen.battery_v, seen.temperature_c) == (13.2, 21.5)


def test_witty_pi_on_usb_knows_nothing_of_the_battery():
    chip = WittyPiChip()
    chip.bytes[7] = 0
    seen = witty(chip)[0].measure()
    assert seen == Measures(temperature_c=21.5)


@pytest.mark.parametrize("degrees", [-30.0, -0.125, 0.0, 0.125, 80.0])
def test_witty_pi_below_zero(degrees):
    chip = WittyPiChip()
    chip.temperature_c = degrees
    assert witty(chip)[0].measure().temperature_c == degrees


def test_witty_pi_wakes_over_the_end_of_a_month():
    chip = WittyPiChip(clock=datetime(2026, 1, 31, 23, 59, 30))
    witty(chip)[0].wake_in(3600)
    assert chip.alarm() == (1, 0, 59, 30)
    assert chip.bytes[55] & 0x40 == 0


def test_witty_pi_cut_off_is_set_and_kept():
    chip = WittyPiChip()
    assert "cut-off at 12.0 V" in witty(chip, low_voltage_v=12.0, recovery_voltage_v=12.8)[0].check()
    assert (chip.bytes[19], chip.bytes[22]) == (120, 128)
    l3v7 = WittyPiChip(firmware=0x37)
    witty(l3v7, low_voltage_v=3.2, recovery_voltage_v=3.5)[0].check()
    assert (l3v7.bytes[19], l3v7.bytes[22]) == (32, 255)
    with pytest.raises(ValidationError):
        WittyPiConfig(driver="witty-pi-4", low_voltage_v=12.0, recovery_voltage_v=11.0)


def test_witty_pi_faults():
    with pytest.raises(DeviceError, match="no Witty Pi 4"):
        witty(WittyPiChip(firmware=0x22))[0].check()
    chip = WittyPiChip()
    chip.write = lambda *_: None
    with pytest.raises(DeviceError, match="did not keep") as caught:
        witty(chip)[0].wake_in(600)
    assert "daemon" in caught.value.hint
    chip = WittyPiChip()
    chip.bytes[2] = 255
    with pytest.raises(DeviceError, match="nonsense"):
        witty(chip)[0].measure()
    restless = WittyPiChip()
    count = iter(range(1000))
    read = restless.read
    restless.read = lambda register, length: [next(count) % 100] if register == 2 else read(register, length)
    with pytest.raises(DeviceError, match="other values at every read"):
        witty(restless)[0].measure()
    unset = WittyPiChip()
    read_set = unset.read
    unset.read = lambda register, length: [0xFF] if register == 58 else read_set(register, length)
    with pytest.raises(DeviceError, match="shows no time"):
        witty(unset)[0].wake_in(600)


# PiJuice


def test_pijuice_measures():
    meter, _ = pijuice(PiJuiceChip())
    assert meter.check() == "3.90 V, charge 80%"
    seen = meter.measure()
    assert (seen.battery_soc, seen.battery_v, seen.temperature_c) == (0.8, 3.9, 25.0)
    assert seen.battery_w == pytest.approx(0.4 * 3.9)
    assert seen.load_w == pytest.approx(5.1 * 0.6 / 0.9)


def test_pijuice_estimates_that_cannot_be_are_unknown():
    seen = pijuice(PiJuiceChip(ma=26_601, io_ma=-300))[0].measure()
    assert seen.battery_w is None
    assert seen.load_w is None
    assert seen.battery_soc == 0.8


def test_pijuice_check_bytes_and_no_battery():
    chip = PiJuiceChip()
    meter, _ = pijuice(chip)
    chip.wrong = 2
    assert meter.measure().battery_soc == 0.8
    chip.wrong = 3
    with pytest.raises(DeviceError, match="wrong check byte"):
        meter.measure()
    chip.values[0x40] = [0x0C]
    assert meter.measure() == Measures()
    with pytest.raises(DeviceError, match="no battery"):
        meter.check()


# the kernel's clock


def test_the_kernels_alarm(tmp_path):
    clock = tmp_path / "rtc0"
    clock.mkdir()
    (clock / "since_epoch").write_text("1000\n")
    (clock / "wakealarm").write_text("")
    Rtc(RtcConfig(driver="rtc"), tmp_path).wake_in(600.4)
    assert (clock / "wakealarm").read_text() == "1600"
    (clock / "wakealarm").unlink()
    with pytest.raises(DeviceError, match="has no alarm"):
        Rtc(RtcConfig(driver="rtc"), tmp_path).check()
    with pytest.raises(DeviceError, match="no clock"):
        Rtc(RtcConfig(driver="rtc", clock="rtc7"), tmp_path / "nowhere").wake_in(600)


# together


class Fixed:
    """A meter that shows what it is told, or fails."""

    def __init__(self, name, seen):
        self.name, self.seen = name, seen

    def check(self):
        return self.name

    def measure(self):
        if self.seen is None:
            raise DeviceError(f"nothing answers as {self.name}", "look")
        return self.seen


def power(*meters, **more):
    return HardwarePower(meters, Battery(100.0), board("pi-4b"), panel_wp=60.0, **more)


def test_of_three_flows_two_give_the_third():
    reading = power(Fixed("a", Measures(harvest_w=10.0, battery_v=13.3)), Fixed("b", Measures(load_w=4.0))).read(T0)
    assert (reading.harvest_w, reading.load_w) == (10.0, 4.0)
    counted = power(Fixed("a", Measures(battery_w=-3.0, load_w=4.0, battery_v=13.2)))
    assert counted.read(T0).harvest_w == 1.0
    assert power(Fixed("a", Measures(battery_w=6.0, harvest_w=10.0))).read(T0).load_w == 4.0


def test_a_mains_charger_is_no_sun():
    mains = Fixed("mains", Measures(mains_w=8.0))
    source = power(Fixed("a", Measures(battery_w=6.0, load_w=4.0)), mains)
    reading = source.read(T0)
    assert (reading.harvest_w, reading.mains_w) == (2.0, 8.0)
    mains.seen = None
    assert source.read(T0 + 1).harvest_w is None
    assert ina(ina226(13.0, 0.5), measures="mains")[0].measure().mains_w == pytest.approx(6.5, rel=0.01)


def test_the_first_meter_that_knows_is_believed_and_a_dead_one_is_unknown():
    first, second = Fixed("first", Measures(load_w=5.0)), Fixed("second", Measures(load_w=7.0, battery_soc=0.5))
    source = power(first, second)
    reading = source.read(T0)
    assert (reading.load_w, reading.battery_soc, reading.stored_wh) == (5.0, 0.5, 50.0)
    assert reading.harvest_w is None
    first.seen = None
    assert source.read(T0 + 1).load_w == 7.0
    assert source.trouble == "nothing answers as first"
    second.seen = None
    reading = source.read(T0 + 2000)
    assert (reading.load_w, reading.battery_soc) == (None, None)
    first.seen = Measures(load_w=5.0)
    source.read(T0 + 2001)
    assert source.trouble == "nothing answers as second"


def test_a_full_battery_hides_what_the_panel_could_give():
    assert power(Fixed("a", Measures(harvest_w=10.0, battery_v=13.4))).read(T0).available_w == 10.0
    assert power(Fixed("a", Measures(harvest_w=10.0, battery_v=13.9))).read(T0).available_w is None


def test_sleep_sets_the_alarm_before_it_switches_off(tmp_path):
    chip = WittyPiChip()
    alarm, _ = witty(chip)
    order = tmp_path / "off"
    meter = Fixed("a", Measures(battery_soc=0.3))
    assert power(meter, alarm=alarm, shutdown=("touch", str(order))).sleep(7200.0)
    assert chip.alarm() == (1, 1, 59, 30)
    assert order.exists()
    assert not power(meter).sleep(7200.0)
    assert not power(meter, alarm=alarm, shutdown=("touch", str(order))).sleep(299.0)
    with pytest.raises(PewError, match="failed"):
        power(meter, alarm=alarm, shutdown=("false",)).sleep(600.0)
    with pytest.raises(PewError, match="cannot switch"):
        power(meter, alarm=alarm, shutdown=("no-such-command",)).sleep(600.0)
    order.unlink()
    alarm, bus = witty(chip)
    bus.devices.clear()
    with pytest.raises(DeviceError):
        power(meter, alarm=alarm, shutdown=("touch", str(order))).sleep(600.0)
    assert not order.exists()


# configuration


def test_every_example_is_the_default():
    for text in METER_EXAMPLES:
        (one,) = yaml.safe_load(text)
        model = TypeAdapter(MeterConfig).validate_python(one)
        required = {name for name, field in type(model).model_fields.items() if field.is_required()}
        assert model == TypeAdapter(MeterConfig).validate_python({name: one[name] for name in required})
    for text in ALARM_EXAMPLES:
        model = TypeAdapter(AlarmConfig).validate_python(yaml.safe_load(text))
        assert model == type(model)(driver=model.driver)


@pytest.mark.parametrize(
    "wrong",
    [
        {"meters": []},
        {"meters": [{"driver": "ina3221"}]},
        {"meters": [{"driver": "ina226", "measures": "panel", "address": 0x08}]},
        {"meters": [{"driver": "ina226", "measures": "panel", "shunt_ohm": 0}]},
        {"meters": [{"driver": "pijuice"}], "alarm": {"driver": "cron"}},
    ],
)
def test_wrong_settings(wrong):
    with pytest.raises(ValidationError):
        HardwareConfig.model_validate(wrong)


def test_a_bus_that_is_not_there():
    assert not Path("/dev/i2c-250").exists()
    with pytest.raises(BadInputError, match="no I2C bus") as caught:
        open_bus(250)
    assert "raspi-config" in caught.value.hint


def test_the_reference_shows_every_driver_as_it_is():
    page = (Path(__file__).parents[3] / "docs" / "reference" / "hardware.md").read_text()
    for text in (*METER_EXAMPLES, ALARM_EXAMPLES[1]):
        assert text in page
    example = yaml.safe_load(page.split("```yaml\n")[1].split("```")[0])["energy"]
    config = EnergyConfig.model_validate(example)
    assert config.hardware is not None
    assert [meter.driver for meter in config.hardware.meters] == ["ina226", "witty-pi-4"]


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"source": "hardware", "hardware": {"meters": [{"driver": "pijuice"}]}}, "latitude"),
        (PLACED, "names no meters"),
        (
            {
                "source": "hardware",
                "latitude": 48.0,
                "longitude": 11.0,
                "hardware": {"meters": [{"driver": "pijuice"}]},
            },
            "I2C",
        ),
        ({"source": "solar"}, "unknown power source"),
    ],
)
def test_settings_that_cannot_work_say_what_is_missing(section, said):
    config = EnergyConfig.model_validate(section)
    with pytest.raises(BadInputError, match=said) as caught:
        create_gate(config, create_power_source(config) if "hardware" not in section or said == "I2C" else power())
    assert caught.value.hint
