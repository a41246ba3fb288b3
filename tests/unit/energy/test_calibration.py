"""What is wrong with a panel and a battery is found out from their meter alone."""

from __future__ import annotations

import json
import math

import pytest

from poco.sun import sun_position
from worker.energy.battery import Battery, BatteryState, advance
from worker.energy.calibration import SECTORS, CapacityMeter, PanelShape
from worker.energy.learnt import Learnt
from worker.energy.panel import Panel
from worker.energy.record import open_record
from worker.energy.replay import Replay
from worker.energy.source import PowerReading

RECORD = open_record("pvlib:723170TYA.CSV")
RATED = Panel(60.0, RECORD.latitude, RECORD.longitude, 35.0, 180.0)
SKY = Replay(RECORD, RATED)
START = RECORD.instant("2001-06-01T00:00")
SOUTH = 180 // (360 // SECTORS)


def azimuth(at: float) -> float:
    return math.degrees(sun_position(at, RECORD.latitude, RECORD.longitude).azimuth)


def watched(days, factor, hidden=lambda _: False, watchers=None):
    """The shares that a panel shows whose power is `factor(azimuth)` of the rated one's."""
    shape = watchers or PanelShape(RATED.clear_sky_w, 60.0, RECORD.latitude, RECORD.longitude)
    for step in range(int(days * 96)):
        at = START + step * 900.0
        given = SKY.at(at).panel_w * factor(azimuth(at))
        if hidden(at):
            shape.observe(PowerReading(at, harvest_w=min(given, 5.0), available_w=None))
        else:
            shape.observe(PowerReading(at, harvest_w=given, available_w=given))
    return shape


HEALTHY = watched(60, lambda _: 1.0)


def test_a_panel_that_gives_less_than_it_is_rated():
    tired = watched(60, lambda _: 0.7).shares
    for ours, healthy in zip(tired, HEALTHY.shares, strict=True):
        assert ours == pytest.approx(0.7 * healthy, rel=0.01)
    assert HEALTHY.shares[SOUTH] == pytest.approx(1.0, abs=0.15)


def test_a_tree_in_the_east():
    shares = watched(60, lambda degrees: 0.4 if degrees < 120 else 1.0).shares
    for sector in range(6, 12):
        middle = (sector + 0.5) * 360 / SECTORS
        expected = 0.4 if middle < 120 else 1.0
        assert shares[sector] == pytest.approx(expected * HEALTHY.shares[sector], rel=0.05)


def test_a_full_battery_does_not_look_like_shade():
    shares = watched(60, lambda _: 1.0, hidden=lambda at: azimuth(at) > 180.0).shares
    east = shares[SOUTH - 3]
    assert east == pytest.approx(HEALTHY.shares[SOUTH - 3], rel=0.01)
    assert shares[SOUTH + 2] >= 0.8 * HEALTHY.shares[SOUTH + 2]


def test_little_is_known_at_first_and_a_snapshot_keeps_it():
    assert watched(5, lambda _: 1.0).shares is None
    again = PanelShape(RATED.clear_sky_w, 60.0, RECORD.latitude, RECORD.longitude)
    again.restore(json.loads(json.dumps(HEALTHY.snapshot())))
    assert again.shares == HEALTHY.shares


def test_unknown_is_not_shade():
    shape = PanelShape(RATED.clear_sky_w, 60.0, RECORD.latitude, RECORD.longitude)
    for step in range(30 * 96):
        shape.observe(PowerReading(START + step * 900.0))
    assert shape.shares is None


def test_the_learnt_panel_expects_what_it_saw():
    learnt = Learnt(RATED, Battery(256.0))
    watched(60, lambda degrees: 0.4 if degrees < 120 else 1.0, watchers=learnt)
    noon = next(START + s for s in range(0, 86_400, 300) if abs(azimuth(START + s) - 190.0) < 3.0)
    morning = next(START + s for s in range(0, 86_400, 300) if abs(azimuth(START + s) - 97.0) < 1.0)
    assert learnt.panel.clear_sky_w(morning) < 0.55 * RATED.clear_sky_w(morning)
    assert learnt.panel.clear_sky_w(noon) == pytest.approx(RATED.clear_sky_w(noon), rel=0.15)
    assert learnt.panel.power_w is not None


@pytest.mark.parametrize("true_wh", [90.0, 128.0])
def test_the_capacity_is_measured_between_full_and_nearly_empty(true_wh):
    rated, true = Battery(128.0), Battery(true_wh)
    meter, state, at = CapacityMeter(rated), BatteryState(true_wh), START
    for _ in range(140):
        for load_w, seconds in ((3.0, 600.0), (7.0, 600.0)):
            state, _ = advance(true, state, seconds, panel_w=0.0, load_w=load_w, cut_load_w=0.05, temperature_c=20.0)
            at += seconds
            soc = 1.0 if at == START + 600 else state.stored_wh / true_wh
            volts = true.voltage(state.stored_wh, -load_w)
            meter.observe(PowerReading(at, harvest_w=0.0, load_w=load_w, battery_v=volts, battery_soc=soc))
            if state.cut:
                break
    assert meter.capacity_wh == pytest.approx(true_wh, rel=0.06)


def test_a_gap_measures_nothing():
    meter = CapacityMeter(Battery(128.0))
    meter.observe(PowerReading(START, harvest_w=0.0, load_w=5.0, battery_v=13.6, battery_soc=1.0))
    meter.observe(PowerReading(START + 600, harvest_w=0.0, load_w=5.0, battery_v=13.2, battery_soc=0.99))
    meter.observe(PowerReading(START + 9000, harvest_w=0.0, load_w=5.0, battery_v=11.0, battery_soc=0.05))
    assert meter.capacity_wh is None


def test_without_a_measurement_age_tells():
    learnt = Learnt(RATED, Battery(256.0))
    learnt.observe(PowerReading(START, battery_soc=0.5))
    learnt.observe(PowerReading(START + 2 * 365.25 * 86_400, battery_soc=0.5))
    assert learnt.battery.capacity_wh == pytest.approx(256.0 * 0.97, rel=1e-6)
    again = Learnt(RATED, Battery(256.0))
    again.restore(json.loads(json.dumps(learnt.snapshot())))
    assert again.battery == learnt.battery
