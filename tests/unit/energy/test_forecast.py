"""The forecast: follows the sky, knows how wrong it is, survives a restart."""

from __future__ import annotations

import json
import random

import pytest

from worker.energy.forecast import STEP_S, Forecaster
from worker.energy.panel import Panel

PANEL = Panel(30.0, 36.1, -79.95, 35.0, 180.0)
JUNE = 992_563_200  # 2001-06-15T00:00Z


def lived(days: int, index, forecaster: Forecaster | None = None) -> Forecaster:
    forecaster = forecaster or Forecaster(PANEL)
    for step in range(days * 96):
        at = JUNE + step * STEP_S
        forecaster.observe(at, index(step) * PANEL.clear_sky_w(at + STEP_S / 2))
    return forecaster


def test_a_sky_that_stays_is_forecast_as_it_is():
    noon = JUNE + 10 * 86_400 + 17 * 3600
    ahead = lived(10, lambda _: 0.7).forecast(noon, hours=2.0)
    clear = [PANEL.clear_sky_w(noon + (k + 0.5) * STEP_S) for k in range(8)]
    assert ahead.mean_w == pytest.approx([0.7 * w for w in clear], rel=0.05)
    assert all(low <= mean for low, mean in zip(ahead.low_w, ahead.mean_w, strict=True))


def test_the_last_quarter_hour_counts_now_and_the_last_days_count_tomorrow():
    forecaster = lived(20, lambda step: 0.2 if step >= 20 * 96 - 30 else 0.9)
    dusk = JUNE + 20 * 86_400 - 4 * 3600  # 15:00 local
    for step in range(8):
        forecaster.observe(dusk + step * STEP_S, 0.2 * PANEL.clear_sky_w(dusk + (step + 0.5) * STEP_S))
    at = dusk + 8 * STEP_S
    ahead = forecaster.forecast(at, hours=24.0)
    index = [
        w / c
        for k, w in enumerate(ahead.mean_w)
        if (c := PANEL.clear_sky_w((int(at // STEP_S) + k + 0.5) * STEP_S)) > 3.0
    ]
    assert index[0] < 0.3
    assert index[-1] > 0.4


def test_what_nine_in_ten_exceed_is_exceeded_by_about_nine_in_ten():
    rng = random.Random(1)  # noqa: S311
    weather = [rng.choice((0.2, 0.5, 0.8, 1.0)) for _ in range(60 * 24)]
    forecaster = lived(40, lambda step: weather[step // 4])
    below = asked = 0
    for step in range(40 * 96, 60 * 96):
        at = JUNE + step * STEP_S
        clear = PANEL.clear_sky_w(at + STEP_S / 2)
        if clear > 0.1 * PANEL.peak_w:
            asked += 1
            below += weather[step // 4] * clear < forecaster.forecast(at, hours=0.25).low_w[0] - 1e-9
        forecaster.observe(at, weather[step // 4] * clear)
    assert 0.03 < below / asked < 0.2


def test_unknown_teaches_nothing_and_a_restart_forgets_nothing():
    forecaster = lived(5, lambda _: 0.6)
    before = forecaster.snapshot()
    forecaster.observe(JUNE + 5 * 86_400 + 61_200, None)
    assert forecaster.snapshot() == before
    again = Forecaster(PANEL)
    again.restore(json.loads(json.dumps(before)))
    at = JUNE + 5 * 86_400 + 61_200
    assert again.forecast(at) == forecaster.forecast(at)
    with pytest.raises(ValueError, match="version"):
        again.restore({"version": 1})
