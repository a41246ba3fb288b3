"""The planner: dear when empty, cheap before a sunny noon, unknown weather teaches nothing."""

from __future__ import annotations

import json
import math
import time

import pytest

from worker.energy import EnergyConfig, GateConfig, Load, Market, Offer, create_gate, create_power_source
from worker.energy.battery import Battery
from worker.energy.device import Device, board
from worker.energy.panel import Panel
from worker.energy.planner import Planner

BATTERY = Battery(128.0)
DEVICE = board("pi-4b")
PANEL = Panel(30.0, 36.1, -79.95, 35.0, 180.0)
MARKET = Market(task_nrlc_per_h=1000.0, sensing_nrlc_per_h=200.0)
LOW = GateConfig(market=MARKET, start_above=0.2, continue_above=0.2, sleep_below=0.12, wake_above=0.2)
MARCH = 984_700_800.0  # 2001-03-16T00:00Z
HOUR = 3600.0


def planned(index: float, days: int = 12, *, device: Device = DEVICE, temperature_c: float = 15.0) -> Planner:
    """A planner that has lived `days` days of one clear-sky index and has its plan for the next."""
    planner = Planner(BATTERY, device, MARKET, PANEL.clear_sky_w, PANEL.longitude)
    for step in range(days * 96):
        at = MARCH + step * 900.0
        planner.observe(at, 900.0, index * PANEL.clear_sky_w(at + 450.0), temperature_c)
    at = MARCH + days * 86_400.0
    while not planner.ready:
        planner.work(at)
    return planner


@pytest.fixture(scope="module")
def sunny() -> Planner:
    return planned(0.95)


@pytest.fixture(scope="module")
def dull() -> Planner:
    return planned(0.2)


def morning(days: int = 12) -> float:
    return MARCH + days * 86_400.0 + 14 * HOUR  # 09:00 local


def test_it_asks_more_the_emptier_the_battery_and_the_duller_the_days(sunny, dull):
    asks = [dull.ask_nrlc(morning(), soc * 128.0, HOUR) for soc in (0.15, 0.3, 0.6, 0.95)]
    assert asks[0] > asks[-1]
    for soc in (0.3, 0.6, 0.9):
        assert sunny.ask_nrlc(morning(), soc * 128.0, HOUR) < dull.ask_nrlc(morning(), soc * 128.0, HOUR)
    assert sunny.ask_nrlc(morning(), 125.0, HOUR) < 500.0
    assert all(math.isfinite(ask) and ask >= 0.0 for ask in asks)


def test_it_sleeps_in_dull_days_with_little_charge_and_never_on_a_full_battery_in_the_sun(sunny, dull):
    assert dull.rest_s(morning() - 6 * HOUR, 0.2 * 128.0)
    assert not sunny.rest_s(morning(), 128.0)


def test_cold_days_cannot_charge_and_make_energy_dear(sunny):
    cold = planned(0.95, temperature_c=-5.0)
    assert cold.ask_nrlc(morning(), 64.0, HOUR) > sunny.ask_nrlc(morning(), 64.0, HOUR)


def test_before_the_plan_it_neither_asks_nor_sleeps():
    planner = Planner(BATTERY, DEVICE, MARKET, PANEL.clear_sky_w, PANEL.longitude)
    planner.work(MARCH)
    assert not planner.ready
    assert planner.ask_nrlc(MARCH, 64.0, HOUR) is None
    assert not planner.rest_s(MARCH, 64.0)


def test_a_restart_remembers_the_weather(dull):
    again = Planner(BATTERY, DEVICE, MARKET, PANEL.clear_sky_w, PANEL.longitude)
    again.restore(json.loads(json.dumps(dull.snapshot())))
    while not again.ready:
        again.work(morning())
    assert again.expected_index(morning()) == pytest.approx(dull.expected_index(morning()), abs=0.02)
    assert again.ask_nrlc(morning(), 64.0, HOUR) == pytest.approx(dull.ask_nrlc(morning(), 64.0, HOUR), rel=0.1)
    with pytest.raises(ValueError, match="version"):
        again.restore({"version": 0})


def test_unknown_harvest_teaches_nothing():
    planner = Planner(BATTERY, DEVICE, MARKET, PANEL.clear_sky_w, PANEL.longitude)
    for step in range(5 * 96):
        planner.observe(MARCH + step * 900.0, 900.0, None, None)
    assert planner.snapshot()["season"]["days"] == 0


def test_the_gate_uses_the_plan_once_it_stands():
    config = EnergyConfig(gate=LOW, speed=600.0, start="2001-04-10T06:00")
    power = create_power_source(config)
    gate = create_gate(config, power)
    now, slowest = 1_800_000_000.0, 0.0
    power.set_load(Load.IDLE, now)
    for _ in range(48 * 25):
        now += 1.0
        gate.observe(power.read(now))
    reading = power.read(now)
    cheap = gate.decide(int(now), reading, offer=Offer("0x01", seconds=6.0, reward_nrlc=1, reveal_s=1.0))
    assert "worth" in cheap.reason
    dear = gate.decide(int(now), reading, offer=Offer("0x01", seconds=6.0, reward_nrlc=10**6, reveal_s=1.0))
    assert dear.action == "run", dear.reason
    for _ in range(20):
        began = time.perf_counter()
        gate.decide(int(now), reading, offer=Offer("0x01", seconds=6.0, reward_nrlc=500, reveal_s=1.0))
        slowest = max(slowest, time.perf_counter() - began)
    assert slowest < 0.1
