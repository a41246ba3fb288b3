"""The replayed record: energy kept, gaps bridged and said, the same whatever the rhythm of reading."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poco.errors import BadInputError
from worker.energy import EnergyConfig, Load, create_power_source
from worker.energy.battery import Battery
from worker.energy.device import board
from worker.energy.panel import Panel
from worker.energy.record import open_record, read_csv
from worker.energy.replay import CELL_S, Replay
from worker.energy.simulated import SimulatedPower
from worker.energy.sun import Irradiance

T0 = 1_800_000_000.0
GREENSBORO = open_record("pvlib:723170TYA.CSV")
HEADING = "# latitude: 36.1\n# longitude: -79.95\n# interval_s: 3600\n"


def source(
    record=GREENSBORO, *, start="2001-06-21T12:00", speed=60.0, soc=0.6, name="pi-4b", wp=60.0
) -> SimulatedPower:
    panel = Panel(wp, record.latitude, record.longitude, 35.0, 180.0)
    return SimulatedPower(
        Replay(record, panel), Battery(256.0), board(name), start=record.instant(start), speed=speed, soc=soc
    )


@given(st.lists(st.floats(0.0, 500.0), min_size=1, max_size=8))
@settings(max_examples=50, deadline=None)
def test_the_rhythm_of_reading_changes_nothing(pauses):
    often, seldom = source(start="2001-03-01T06:00", soc=0.2), source(start="2001-03-01T06:00", soc=0.2)
    for one in (often, seldom):
        one.read(T0)
        one.set_load(Load.COMPUTING, T0)
    now = T0
    for pause in pauses:
        now += pause
        last = often.read(now)
    once = seldom.read(now)
    assert last.stored_wh == pytest.approx(once.stored_wh, abs=1e-6)
    assert last.consumed_wh == pytest.approx(once.consumed_wh, abs=1e-6)
    assert last.at == pytest.approx(once.at, abs=1e-3)


def test_a_year_balances_and_wraps():
    power = source(speed=1.0, start="2001-01-01T00:00")
    power.read(T0)
    first = power.read(T0).stored_wh
    last = power.read(T0 + 370 * 86_400.0)
    total = power.total
    assert total.harvested_wh - total.consumed_wh - total.lost_wh == pytest.approx(last.stored_wh - first, abs=1e-3)
    assert total.harvested_wh + total.curtailed_wh > 80_000.0
    assert total.lost_wh > 0.0
    assert last.harvested_wh == total.harvested_wh


def test_the_mean_of_an_interval_is_kept_when_it_is_cut_into_cells():
    flat = Panel(1000.0, 36.1, -79.95, 0.0, 180.0, losses=0.0, controller_efficiency=1.0, temperature_coefficient=0.0)
    replay = Replay(GREENSBORO, flat)
    for index in range(24 * 100, 24 * 110):
        interval = GREENSBORO.interval(index)
        cells = [replay.at(interval.start + k * CELL_S + 1).panel_w for k in range(12)]
        if interval.ghi > 50:  # where the sun is up all the hour
            assert sum(cells) / 12 == pytest.approx(interval.ghi, rel=0.05, abs=5.0)
    assert Irradiance(*GREENSBORO.interval(12)[1:4]).ghi > 0


def test_a_gap_in_the_record_is_unknown_to_the_reader_but_the_sun_shines():
    rows = [f"2017-06-01T{h:02d}:00-05:00,{g}" for h, g in ((9, 600), (10, 700), (11, ""), (12, ""), (13, 800))]
    record = read_csv(io.StringIO(HEADING + "time,ghi\n" + "\n".join(rows) + "\n"), "gap.csv")
    power = source(record, start="2017-06-01T09:00-05:00", speed=1.0)
    before = power.read(T0)
    assert before.harvest_w > 10.0
    inside = power.read(T0 + 2.5 * 3600)
    assert inside.harvest_w is None
    assert inside.available_w is None
    assert inside.harvested_wh is None
    assert inside.stored_wh is not None
    assert power.read(T0 + 3.9 * 3600).stored_wh > inside.stored_wh
    after = power.read(T0 + 4.5 * 3600)
    seen = after.harvested_wh
    assert 0.0 < seen < power.total.harvested_wh


def test_low_battery_cuts_the_load_and_recovers():
    power = source(start="2001-09-20T19:00", soc=0.15)
    power.set_load(Load.COMPUTING, T0)
    night = power.read(T0 + 6 * 60)
    assert night.load_w == board("pi-4b").standby_w
    assert night.battery_soc < 0.11
    assert power.total.brown_outs == 1
    later = max((power.read(T0 + 6 * 60 + k * 30) for k in range(60)), key=lambda r: r.load_w)
    assert later.load_w > 7.0


def test_time_that_runs_backwards_stands_still():
    power = source()
    power.read(T0)
    later = power.read(T0 + 100)
    assert power.read(T0 + 50) == later


def test_a_snapshot_of_another_record_is_refused():
    power = source()
    power.read(T0)
    other = create_power_source(EnergyConfig(record="pvlib:703165TY.csv"))
    with pytest.raises(BadInputError, match="another irradiance record"):
        other.restore(power.snapshot())


def test_yaml_dates_are_taken_as_text():
    import datetime

    config = EnergyConfig.model_validate({"start": datetime.datetime(2001, 6, 21, 12)})
    assert create_power_source(config).read(T0).harvest_w > 20.0
