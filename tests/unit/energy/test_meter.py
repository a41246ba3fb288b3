"""The meter: energies measured once, quarter hours aligned, gaps said."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.energy.meter import RECORD_S, Meter
from worker.energy.source import PowerReading

T0 = 1_800_000_000.0  # a multiple of 900


def counters(at, harvested, consumed, stored=None):
    return PowerReading(at=at, harvested_wh=harvested, consumed_wh=consumed, stored_wh=stored)


@given(st.lists(st.tuples(st.floats(0.1, 5000.0), st.floats(0.0, 50.0), st.floats(0.0, 50.0)), max_size=40))
@settings(max_examples=200)
def test_records_add_up_to_the_totals(steps):
    meter, records = Meter(), []
    at, harvested, consumed = T0, 0.0, 0.0
    records += meter.record(counters(at, 0.0, 0.0, 100.0))
    for pause, more, less in steps:
        at, harvested, consumed = at + pause, harvested + more, consumed + less
        records += meter.record(counters(at, harvested, consumed, 100.0))
    closing = at + 2 * RECORD_S
    records += meter.record(counters(closing, harvested, consumed, 100.0))
    assert meter.totals.harvested_wh == pytest.approx(harvested, abs=1e-6)
    assert sum(r.harvested_wh for r in records) == pytest.approx(harvested, abs=1e-6)
    assert sum(r.consumed_wh for r in records) == pytest.approx(consumed, abs=1e-6)
    assert all(r.end - r.start == RECORD_S and r.start % RECORD_S == 0 for r in records)
    assert all(a.end == b.start for a, b in itertools.pairwise(records))
    assert all(r.harvest_unknown_s == 0.0 for r in records)


def test_powers_are_integrated_by_trapezia_and_long_gaps_are_unknown():
    meter = Meter(max_gap_s=300.0)
    meter.record(PowerReading(at=T0, harvest_w=10.0, load_w=3.0))
    meter.record(PowerReading(at=T0 + 300, harvest_w=20.0, load_w=3.0))
    assert meter.totals.harvested_wh == pytest.approx(15.0 / 12)
    records = meter.record(PowerReading(at=T0 + 900, harvest_w=20.0, load_w=3.0))
    assert meter.totals.harvested_wh == pytest.approx(15.0 / 12)
    assert meter.totals.harvest_unknown_s == 600.0
    assert records[0].harvest_unknown_s == 600.0
    assert records[0].stored_wh is None


def test_one_channel_may_be_unknown_while_the_other_is_measured():
    meter = Meter()
    meter.record(PowerReading(at=T0, harvest_w=None, load_w=3.6))
    meter.record(PowerReading(at=T0 + 100, harvest_w=None, load_w=3.6))
    assert meter.totals.consumed_wh == pytest.approx(0.1)
    assert meter.totals.load_unknown_s == 0.0
    assert meter.totals.harvest_unknown_s == 100.0
    assert meter.totals.harvested_wh == 0.0


def test_a_counter_that_was_reset_is_not_a_negative_energy():
    meter = Meter()
    meter.record(counters(T0, 100.0, 50.0))
    meter.record(counters(T0 + 10, 1.0, 51.0))
    assert meter.totals.harvested_wh == 0.0
    assert meter.totals.harvest_unknown_s == 10.0
    assert meter.totals.consumed_wh == pytest.approx(1.0)


def test_an_older_reading_is_ignored_and_stored_energy_is_read_at_the_edge():
    meter = Meter()
    meter.record(counters(T0 + 600, 0.0, 0.0, stored=100.0))
    assert meter.record(counters(T0 + 500, 5.0, 5.0, stored=50.0)) == []
    (record,) = meter.record(counters(T0 + 1200, 6.0, 3.0, stored=106.0))
    assert (record.start, record.end) == (T0, T0 + 900)
    assert record.stored_wh == pytest.approx(103.0)
    assert record.harvested_wh == pytest.approx(3.0)


def test_a_restart_goes_on_where_it_was():
    meter = Meter()
    meter.record(counters(T0, 0.0, 0.0))
    meter.record(counters(T0 + 400, 4.0, 2.0))
    again = Meter()
    again.restore(json.loads(json.dumps(meter.snapshot())))
    (record,) = again.record(counters(T0 + 900, 9.0, 4.5))
    assert record.harvested_wh == pytest.approx(9.0)
    assert again.totals.consumed_wh == pytest.approx(4.5)
    with pytest.raises(ValueError, match="version"):
        again.restore({"version": 0})


def test_what_counters_gained_over_a_gap_was_harvested_as_the_sun_stood():
    def sun(at):
        return 1.0 if 3600 <= at - T0 < 7200 else 0.0

    meter = Meter(sun=sun)
    meter.record(counters(T0, 0.0, 0.0, 100.0))
    records = meter.record(counters(T0 + 4 * 3600, 40.0, 8.0, 132.0))
    assert sum(r.harvested_wh for r in records) == pytest.approx(40.0)
    assert [r.harvested_wh > 0 for r in records] == [False] * 3 + [True] * 5 + [False] * 8  # its edges see the sun
    assert all(r.consumed_wh == pytest.approx(0.5) for r in records)
    assert [r.stored_wh for r in records] == [None] * 15 + [132.0]


def test_what_comes_from_the_mains_is_counted_apart():
    meter = Meter()
    meter.record(PowerReading(at=T0, harvest_w=0.0, load_w=3.0, mains_w=36.0))
    meter.record(PowerReading(at=T0 + 300, harvest_w=0.0, load_w=3.0, mains_w=36.0))
    [record] = meter.record(PowerReading(at=T0 + 900, harvest_w=0.0, load_w=3.0))
    assert (record.harvested_wh, record.charged_wh) == (0.0, pytest.approx(3.0))


@pytest.mark.parametrize("jump", [-301.0, -86_400.0, 40 * 86_400.0])
def test_a_clock_that_was_set_starts_the_meter_anew(jump):
    meter = Meter()
    meter.record(PowerReading(at=T0 + 100, harvest_w=6.0, load_w=3.0))
    meter.record(PowerReading(at=T0 + 400, harvest_w=6.0, load_w=3.0))
    before = meter.totals
    at = T0 + 400 + jump
    assert meter.record(PowerReading(at=at, harvest_w=6.0, load_w=3.0)) == []
    assert meter.totals.harvested_wh == before.harvested_wh
    start = at // RECORD_S * RECORD_S
    done = [r for n in range(1, 5) for r in meter.record(PowerReading(at=at + 300 * n, harvest_w=6.0, load_w=3.0))]
    assert done[0].start == start
    assert done[0].harvested_wh == pytest.approx(6.0 * (start + RECORD_S - at) / 3600)
