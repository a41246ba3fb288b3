"""Anemometer and rain gauge on gpiozero's mock pins."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from gpiozero import Device
from gpiozero.pins.mock import MockFactory
from hypothesis import given
from hypothesis import strategies as st

from poco.errors import BadInputError
from worker.i2c import DeviceError
from worker.sensors import config as c
from worker.sensors.pulses import Anemometer, RainGauge, most_within


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def pins() -> Iterator[MockFactory]:
    before, Device.pin_factory = Device.pin_factory, MockFactory()
    yield Device.pin_factory
    Device.pin_factory.reset()
    Device.pin_factory = before


def close_contact(pins: MockFactory, number: int, clock: Clock, at: float) -> None:
    clock.now = at
    pin = pins.pin(number)
    pin.drive_low()
    pin.drive_high()


def test_mean_and_gust(pins: MockFactory) -> None:
    """Two contacts a second for a minute, ten a second for three of them."""
    clock = Clock()
    sensor = Anemometer(c.Anemometer(pin=5, ms_per_hz=1.0), clock)
    assert sensor.read(0.0) == {"wind_ms": None, "gust_ms": None}, "no time has passed: unknown, not calm"
    instants = [100.0 + i / 2 for i in range(1, 41)] + [121.0 + i / 10 for i in range(30)]
    instants += [124.0 + i / 2 for i in range(1, 72)]
    for at in instants:
        close_contact(pins, 5, clock, at)
    clock.now = 160.0
    reading = sensor.read(0.0)
    assert reading["wind_ms"] == round(len(instants) / 60.0, 2)
    assert reading["gust_ms"] == pytest.approx(10.0, abs=0.4)
    clock.now = 220.0
    assert sensor.read(0.0) == {"wind_ms": 0.0, "gust_ms": 0.0}, "calm is zero, for it was measured"


def test_bounces_do_not_count(pins: MockFactory) -> None:
    clock = Clock()
    sensor = RainGauge(c.RainGauge(pin=6, mm_per_tip=0.5, bounce_ms=100), clock)
    assert sensor.read(0.0)["rain_mm"] is None, "nothing was counted before"
    for at in (110.0, 110.01, 110.03, 130.0, 130.09, 131.0):
        close_contact(pins, 6, clock, at)
    clock.now = 160.0
    assert sensor.read(0.0)["rain_mm"] == 1.5
    clock.now = 170.0
    assert sensor.read(0.0)["rain_mm"] == 0.0


@given(st.lists(st.floats(0, 100, allow_nan=False), max_size=60), st.floats(0.5, 10))
def test_the_densest_span(instants: list[float], seconds: float) -> None:
    instants = sorted(instants)
    brute = max((sum(1 for i in instants if s <= i < s + seconds) for s in instants), default=0)
    assert abs(most_within(instants, seconds) - brute) <= sum(
        1 for a in instants for b in instants if b > a and abs(b - a - seconds) < 1e-9
    )


def test_a_pin_used_twice(pins: MockFactory) -> None:
    first, second = RainGauge(c.RainGauge(pin=6)), Anemometer(c.Anemometer(pin=6))
    first.read(0.0)
    with pytest.raises(BadInputError, match="GPIO 6 is used twice"):
        second.check()
    first.close()
    assert "can be read" in second.check()


def test_a_pin_the_board_has_not(pins: MockFactory) -> None:
    with pytest.raises(BadInputError, match="GPIO 53") as caught:
        RainGauge(c.RainGauge(pin=53)).check()
    assert "pinout" in caught.value.hint


def test_a_pin_that_another_program_holds(pins: MockFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*_: object, **__: object) -> None:
        raise RuntimeError("'GPIO busy'")

    monkeypatch.setattr(MockFactory, "pin", busy)
    with pytest.raises(DeviceError, match="GPIO busy") as caught:
        RainGauge(c.RainGauge(pin=6)).check()
    assert "gpioinfo" in caught.value.hint


def test_a_machine_without_pins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Device, "pin_factory", None)
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "lgpio")
    with pytest.raises((DeviceError, BadInputError)) as caught:
        Anemometer(c.Anemometer()).check()
    assert caught.value.hint
