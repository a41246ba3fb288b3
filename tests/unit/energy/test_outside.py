"""A weather service's forecast: read as it is written, trusted as far as it proves right, never needed."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.energy.forecast import STEP_S, Forecaster
from worker.energy.outside import OutsideForecast
from worker.energy.panel import Panel

PANEL = Panel(60.0, 48.0, 11.0, 35.0, 180.0)
NOON = datetime(2026, 6, 21, 11, tzinfo=UTC).timestamp()
DAY = 86_400.0


def written(path, hours, offset_s=0):
    """An answer of the service: irradiance by the instant at which its hour begins."""
    times = [datetime.fromtimestamp(start + 3600 + offset_s, UTC).strftime("%Y-%m-%dT%H:%M") for start in hours]
    body = {"utc_offset_seconds": offset_s, "hourly": {"time": times, "shortwave_radiation": list(hours.values())}}
    path.write_text(json.dumps(body))
    return path


@pytest.mark.parametrize("offset_s", [0, 7200, -18_000])
def test_the_mean_of_the_hour_before_in_its_time_zone(tmp_path, offset_s):
    outside = OutsideForecast(written(tmp_path / "f.json", {NOON: 450.0, NOON + 3600: None}, offset_s), PANEL)
    outside.refresh()
    assert outside.trouble == ""
    assert outside.index(NOON + 1800) == pytest.approx(0.5, abs=0.05)
    assert outside.index(NOON - 1) is None
    assert outside.index(NOON + 3600) is None


def test_by_night_there_is_nothing_to_tell(tmp_path):
    midnight = NOON + DAY / 2
    outside = OutsideForecast(written(tmp_path / "f.json", {midnight: 0.0}), PANEL)
    outside.refresh()
    assert outside.index(midnight) is None


@given(st.text(max_size=200) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
@settings(max_examples=100, deadline=None)
def test_any_other_file_is_said_and_ignored(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("f") / "f.json"
    path.write_text(text, encoding="utf-8", errors="replace")
    outside = OutsideForecast(path, PANEL)
    outside.refresh()
    assert "cannot be used" in outside.trouble
    assert outside.index(NOON) is None


def test_a_file_that_comes_later_and_changes(tmp_path):
    path = tmp_path / "f.json"
    outside = OutsideForecast(path, PANEL)
    outside.refresh()
    assert "cannot be used" in outside.trouble
    written(path, {NOON: 900.0})
    outside.refresh()
    assert outside.index(NOON) > 0.9
    written(path, {NOON: 90.0})
    os.utime(path, ns=(1, 1))
    outside.refresh()
    assert outside.index(NOON) < 0.2
    path.unlink()
    outside.refresh()
    assert outside.index(NOON) is None


def test_it_counts_for_what_is_hours_ahead_and_as_far_as_it_proves_right(tmp_path):
    """Days that are dark or bright by turns: the service knows which, and says it; a liar says the opposite."""

    def lived(said=None):
        start = NOON - DAY / 2
        outside = None
        if said is not None:
            hours = {start + 3600.0 * n: 900.0 * said[n // 24 % 2] for n in range(24 * 31)}
            outside = OutsideForecast(written(tmp_path / "f.json", hours), PANEL)
            outside.refresh()
        forecaster = Forecaster(PANEL, outside=outside)
        for step in range(30 * 96):
            at = start + step * STEP_S
            share = 0.2 if step // 96 % 2 else 0.9
            forecaster.observe(at, PANEL.clear_sky_w(at + STEP_S / 2) * share)
        return forecaster.forecast(start + 30 * DAY, 24.0).energy_wh(DAY)

    own, right, wrong = lived(), lived((0.9, 0.2)), lived((0.2, 0.9))
    clear = sum(PANEL.clear_sky_w(NOON + 29.5 * DAY + n * STEP_S) for n in range(96)) / 4
    truth = 0.9 * clear
    assert abs(right - truth) < 0.5 * abs(own - truth)
    assert abs(wrong - own) < 0.25 * abs(own - truth)


def test_a_restart_keeps_what_it_is_worth(tmp_path):
    one = Forecaster(PANEL)
    one._errors = [0.1, 0.01]
    again = Forecaster(PANEL)
    again.restore(json.loads(json.dumps(one.snapshot())))
    assert again.snapshot() == one.snapshot()
