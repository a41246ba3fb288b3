"""The charge counter against a battery whose charge is known."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.energy.battery import Battery, BatteryState, advance
from worker.energy.charge import ChargeCounter, Flowing

T0 = 1_800_000_000.0
BATTERY = Battery(128.0)


def counter() -> ChargeCounter:
    return ChargeCounter(BATTERY, max_load_w=8.0, max_harvest_w=60.0)


class Pack:
    """A modelled battery, and what meters would show of it."""

    def __init__(self, stored_wh: float) -> None:
        self.at, self.state = T0, BatteryState(stored_wh)

    def live(self, seconds: float, panel_w: float, load_w: float) -> Flowing:
        """Let it live with constant powers; what flows at the end."""
        self.state, flow = advance(
            BATTERY, self.state, seconds, panel_w=panel_w, load_w=load_w, cut_load_w=0.05, temperature_c=20.0
        )
        self.at += seconds
        watts = (flow.harvested_wh - flow.consumed_wh) / flow.hours
        return Flowing(watts, BATTERY.voltage(self.state.stored_wh, watts))


@given(st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_days_of_counting_stay_close_to_the_truth(seed):
    """Two days of readings every 100 s with noise of 1 %: within 4 % of the capacity."""
    rng = random.Random(seed)  # noqa: S311
    pack, count = Pack(rng.uniform(40.0, 90.0)), counter()
    count.told(pack.at, pack.state.stored_wh / BATTERY.capacity_wh, Flowing(0.0, 13.2))
    for _ in range(48):
        panel_w, load_w = rng.choice((0.0, 0.0, 10.0, 30.0)), rng.choice((0.06, 3.0, 7.0))
        for _ in range(36):
            now = pack.live(100.0, panel_w, load_w)
            count.count(pack.at, Flowing(now.battery_w * rng.uniform(0.99, 1.01), now.battery_v))
        if pack.state.cut:
            return
    assert count.stored_wh == pytest.approx(pack.state.stored_wh, abs=0.04 * BATTERY.capacity_wh)


def test_a_full_battery_sets_the_count_right():
    count = counter()
    count.told(T0, 0.7, Flowing(2.0, 13.4))
    for minute in range(1, 20):
        count.count(T0 + 60 * minute, Flowing(2.0, 13.9))
    assert count.stored_wh == BATTERY.capacity_wh


def test_charging_hard_is_not_full():
    count = counter()
    count.told(T0, 0.7, Flowing(30.0, 13.4))
    for minute in range(1, 20):
        count.count(T0 + 60 * minute, Flowing(30.0, 14.2))
    assert count.stored_wh < BATTERY.capacity_wh


def test_an_empty_battery_sets_the_count_right():
    count = counter()
    count.told(T0, 0.6, Flowing(-3.0, 12.4))
    count.count(T0 + 10, Flowing(-3.0, 11.9))
    assert count.stored_wh <= 0.05 * BATTERY.capacity_wh


@pytest.mark.parametrize("soc", [0.03, 0.1, 0.4, 0.9, 1.0])
def test_the_first_guess_is_the_voltage(soc):
    count = counter()
    count.count(T0, Flowing(-3.0, BATTERY.voltage(soc * BATTERY.capacity_wh, -3.0)))
    assert count.stored_wh == pytest.approx(soc * BATTERY.capacity_wh, abs=0.03 * BATTERY.capacity_wh)


def test_without_voltage_or_power_nothing_is_known():
    count = counter()
    count.count(T0, Flowing(None, None))
    assert count.stored_wh is None
    count.count(T0 + 5, Flowing(-3.0, None))
    assert count.stored_wh is None


def test_a_short_silence_is_bridged_a_long_one_is_not():
    count = counter()
    count.told(T0, 0.5, Flowing(-6.0, 13.1))
    count.count(T0 + 300, Flowing(None, None))
    assert count.stored_wh == 64.0
    count.count(T0 + 600, Flowing(-6.0, 13.1))
    assert count.stored_wh == pytest.approx(64.0 - 1.0 / 0.97, abs=0.02)
    count.count(T0 + 2000, Flowing(None, None))
    assert count.stored_wh is None


def test_after_a_night_the_voltage_speaks_within_what_is_possible():
    count = counter()
    count.told(T0, 0.5, Flowing(-0.1, 13.1))
    same = counter()
    same.restore(count.snapshot())
    same.count(T0 + 3600, Flowing(-0.1, BATTERY.voltage(BATTERY.capacity_wh)))
    assert same.stored_wh == pytest.approx(64.0 + 60.0 * 0.97, abs=0.1)  # full is out of reach in an hour
    low = counter()
    low.restore(count.snapshot())
    low.count(T0 + 3600, Flowing(-0.1, BATTERY.voltage(0.2 * 128.0)))
    assert low.stored_wh == pytest.approx(64.0 - 8.0 / 0.97, abs=0.1)
    assert low.stored_wh > 0.2 * 128.0


@given(st.lists(st.tuples(st.floats(0, 4000), st.none() | st.floats(-200, 200), st.none() | st.floats(0, 16))))
@settings(max_examples=100, deadline=None)
def test_it_is_always_between_empty_and_full_or_unknown(looks):
    count, at = counter(), T0
    for pause, watts, volts in looks:
        at += pause
        count.count(at, Flowing(watts, volts))
        assert count.stored_wh is None or 0.0 <= count.stored_wh <= BATTERY.capacity_wh


def test_a_clock_that_is_set_back_counts_nothing():
    count = counter()
    count.told(T0, 0.5, Flowing(-6.0, 13.1))
    count.count(T0 - 3600, Flowing(-6.0, 13.1))
    assert count.stored_wh == 64.0
