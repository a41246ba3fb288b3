"""The battery as a count of energy: conservation, bounds, cut-off, cold."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poco.errors import BadInputError
from worker.energy.battery import Battery, BatteryState, Flow, advance
from worker.energy.device import BOARDS, CONVERTER_EFFICIENCY, Load, board

BATTERY = Battery(256.0)
OFF_W = 0.06


def run(state, hours, *, panel_w=0.0, load_w=3.0, temperature_c=20.0, battery=BATTERY):
    return advance(
        battery,
        state,
        hours * 3600.0,
        panel_w=panel_w,
        load_w=load_w,
        cut_load_w=OFF_W,
        temperature_c=temperature_c,
    )


@given(
    soc=st.floats(0.0, 1.0),
    cut=st.booleans(),
    panel_w=st.floats(0.0, 200.0),
    load_w=st.floats(0.1, 20.0),
    hours=st.floats(0.0, 400.0),
    temperature=st.one_of(st.none(), st.floats(-30.0, 40.0)),
    share=st.floats(0.0, 1.0),
)
@settings(max_examples=400, deadline=None)
def test_energy_is_conserved_within_bounds_and_a_span_may_be_cut_anywhere(
    *, soc, cut, panel_w, load_w, hours, temperature, share
):
    start = BatteryState(soc * BATTERY.capacity_wh, cut)
    kwargs = {"panel_w": panel_w, "load_w": load_w, "temperature_c": temperature}
    end, flow = run(start, hours, **kwargs)
    assert 0.0 <= end.stored_wh <= BATTERY.capacity_wh
    assert flow.hours == pytest.approx(hours, abs=1e-9)
    assert flow.lost_wh >= -1e-9
    assert flow.harvested_wh + flow.curtailed_wh == pytest.approx(panel_w * hours, abs=1e-6)
    change = end.stored_wh - start.stored_wh
    assert flow.harvested_wh - flow.consumed_wh - flow.lost_wh == pytest.approx(change, abs=1e-6)
    middle, first = run(start, hours * share, **kwargs)
    again, second = run(middle, hours * (1.0 - share), **kwargs)
    both: Flow = first + second
    assert again.stored_wh == pytest.approx(end.stored_wh, abs=1e-6)
    assert both.consumed_wh == pytest.approx(flow.consumed_wh, abs=1e-6)


def test_nothing_is_charged_below_freezing_but_the_panel_still_feeds_the_load():
    start = BatteryState(100.0)
    end, flow = run(start, 2.0, panel_w=40.0, load_w=3.0, temperature_c=-0.1)
    assert end.stored_wh < start.stored_wh  # self-discharge only
    assert end.stored_wh > 99.9
    assert flow.harvested_wh == pytest.approx(6.0)
    assert flow.curtailed_wh == pytest.approx(74.0)
    warm, _ = run(start, 2.0, panel_w=40.0, load_w=3.0, temperature_c=0.0)
    assert warm.stored_wh > 165.0


def test_cut_off_opens_once_and_recovers_only_above_the_recovery_threshold():
    state, flow = run(BatteryState(30.0), 10.0, load_w=7.0)
    assert state.cut
    assert flow.brown_outs == 1
    assert state.stored_wh == pytest.approx(25.6 - OFF_W / 0.97 * (10.0 - 4.4 * 0.97 / 7.0), abs=0.02)
    some_sun, _ = run(state, 1.0, panel_w=10.0, load_w=7.0)
    assert some_sun.cut
    enough, _ = run(some_sun, 3.0, panel_w=10.0, load_w=3.0)
    assert not enough.cut
    assert enough.stored_wh > 0.2 * BATTERY.capacity_wh


def test_self_discharge_is_three_percent_a_month():
    state, flow = run(BatteryState(200.0), 720.0, load_w=0.0)
    assert state.stored_wh == pytest.approx(194.0, abs=1e-6)
    assert flow.lost_wh == pytest.approx(6.0, abs=1e-6)


def test_a_full_battery_curtails_and_hides_the_harvest():
    state, flow = run(BatteryState(256.0), 1.0, panel_w=50.0, load_w=3.0)
    assert state.stored_wh == 256.0
    assert flow.harvested_wh < 3.02
    assert flow.curtailed_wh > 46.0


def test_charging_is_limited_by_the_c_rate():
    _, flow = run(BatteryState(100.0), 0.1, panel_w=500.0, load_w=0.0)
    assert flow.harvested_wh == pytest.approx(12.8)


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.floats(-60.0, 60.0))
def test_voltage_rises_with_charge_and_with_charging(one, other, net_w):
    low, high = sorted((one, other))
    assert BATTERY.voltage(low * 256.0) <= BATTERY.voltage(high * 256.0)
    assert math.copysign(1.0, BATTERY.voltage(128.0, net_w) - BATTERY.voltage(128.0)) == math.copysign(1.0, net_w) or (
        abs(net_w) < 1e-9
    )
    assert 10.0 <= BATTERY.voltage(low * 256.0) <= 13.8


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_every_board_draws_more_the_more_it_does(name):
    device = board(name)
    powers = [device.power_w(load) for load in (Load.OFF, Load.ASLEEP, Load.IDLE, Load.SENSING, Load.COMPUTING)]
    assert powers == sorted(powers)
    assert device.power_w(Load.COMPUTING) == pytest.approx(device.computing_w / CONVERTER_EFFICIENCY)


def test_an_unknown_board_is_answered_with_the_known():
    with pytest.raises(BadInputError) as caught:
        board("pi-9")
    assert "pi-zero-2w" in caught.value.hint
