"""The gate: monotone in charge, no flapping, never below the reserve, always with a reason and an end."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from worker.energy.battery import Battery
from worker.energy.device import BOARDS, Load
from worker.energy.forecast import STEP_S, Forecast
from worker.energy.gate import decide
from worker.energy.plan import longest_run_s, lowest_ahead
from worker.energy.situation import (
    Action,
    GateConfig,
    GateState,
    Mode,
    Offer,
    OpenStake,
    RunningTask,
    Situation,
    floor_wh,
)
from worker.energy.source import PowerReading

NOW = 1_800_000_000
BATTERY = Battery(256.0)
DEVICE = BOARDS["pi-4b"]
CONFIG = GateConfig()
PRICED = GateConfig(full_nrlc_per_wh=10.0, empty_nrlc_per_wh=200.0)
RANK = {Action.SLEEP: 0, Action.DRAIN: 1, Action.PAUSE: 2, Action.DECLINE: 3, Action.RUN: 4}


def reading(soc: float | None, at: float = 1e9) -> PowerReading:
    return PowerReading(at=at, battery_soc=soc)


def situation(soc: float | None, **changes: object) -> Situation:
    return replace(Situation(NOW, reading(soc), BATTERY, DEVICE), **changes)


def forecast(mean_w: float, low_w: float, hours: int = 48) -> Forecast:
    steps = hours * 3600 // STEP_S
    return Forecast(1e9, STEP_S, (mean_w,) * steps, (low_w,) * steps)


offers = st.builds(
    Offer,
    task_id=st.just("0x01"),
    seconds=st.floats(1.0, 20_000.0),
    reward_nrlc=st.integers(0, 5000),
    gas_nrlc=st.integers(0, 2000),
    contribution_deadline=st.one_of(st.none(), st.integers(NOW, NOW + 100_000)),
    reveal_s=st.floats(0.0, 10_000.0),
)
running = st.builds(RunningTask, task_id=st.just("0x02"), seconds_left=st.floats(0.0, 20_000.0))
stakes = st.builds(OpenStake, task_id=st.just("0x03"), seconds_left=st.floats(0.0, 50_000.0))
forecasts = st.one_of(
    st.none(), st.tuples(st.floats(0.0, 50.0), st.floats(0.0, 1.0)).map(lambda p: forecast(p[0], p[0] * p[1]))
)
states = st.builds(GateState, mode=st.sampled_from(list(Mode)), since=st.floats(0.9e9, 1e9))
situations = st.builds(
    Situation,
    now=st.just(NOW),
    reading=st.builds(reading, st.one_of(st.none(), st.floats(0.0, 1.0))),
    battery=st.just(BATTERY),
    device=st.sampled_from(sorted(BOARDS.values(), key=lambda d: d.name)),
    speed=st.sampled_from([1.0, 60.0]),
    offer=st.one_of(st.none(), offers),
    running=st.one_of(st.just(()), running.map(lambda r: (r,))),
    stakes=st.one_of(st.just(()), stakes.map(lambda s: (s,))),
    forecast=forecasts,
    draining=st.booleans(),
)
configs = st.sampled_from([CONFIG, PRICED, GateConfig(start_above=0.8, continue_above=0.5, dwell_s=0)])


@given(states, situations, configs)
@settings(max_examples=500, deadline=None)
def test_every_decision_says_why_and_what_ends_it(state, situation, config):
    decision = decide(state, situation, config)
    assert decision.reason
    assert decision.until
    assert decision.resume_at is None or decision.resume_at > situation.now
    if decision.action is Action.SLEEP:
        assert decision.resume_at is not None
    assert decide(state, situation, config) == decision


@given(states, situations, configs, st.floats(0.0, 1.0), st.floats(0.0, 1.0))
@settings(max_examples=800, deadline=None)
def test_more_charge_never_gives_a_lesser_action(state, situation, config, one, other):
    low, high = sorted((one, other))
    at = situation.reading.at
    lesser = decide(state, replace(situation, reading=reading(low, at)), config)
    greater = decide(state, replace(situation, reading=reading(high, at)), config)
    assert RANK[lesser.action] <= RANK[greater.action], (lesser, greater)


@given(st.lists(st.tuples(st.floats(1.0, 4000.0), st.floats(0.0, 1.0)), min_size=2, max_size=60), configs)
@settings(max_examples=300, deadline=None)
def test_it_rises_at_most_once_in_a_dwell(steps, config):
    state, at, last_change = GateState(), 1e9, None
    order = [Mode.ASLEEP, Mode.PAUSED, Mode.RESERVED, Mode.WILLING]
    for pause, soc in steps:
        at += pause
        new = decide(state, situation(soc, reading=reading(soc, at)), config).state
        if new.mode is not state.mode:
            if last_change is not None and order.index(new.mode) > order.index(state.mode):
                assert at - last_change >= config.dwell_s
            assert new.since == at
            last_change = at
        state = new


@given(states, situations, configs)
@settings(max_examples=800, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
def test_accepted_work_never_eats_the_reserve(state, situation, config):
    assume(situation.offer is not None and situation.soc is not None)
    decision = decide(state, replace(situation, forecast=None), config)
    if decision.action is not Action.RUN:
        return
    offer, speed = situation.offer, situation.speed
    compute_s = (offer.seconds + sum(t.seconds_left for t in situation.running)) * config.overrun * speed
    need = situation.device.power_w(Load.COMPUTING) * compute_s / 3600.0
    need += situation.device.power_w(Load.IDLE) * offer.reveal_s * speed / 3600.0
    left = situation.soc * BATTERY.capacity_wh - need / BATTERY.discharge_efficiency
    assert left >= floor_wh(BATTERY, config) - 1e-6


@given(states, situations, configs)
@settings(max_examples=500, deadline=None)
def test_it_sleeps_with_a_stake_open_only_if_the_reveal_cannot_be_reached(state, situation, config):
    assume(situation.soc is not None)
    situation = replace(situation, stakes=(OpenStake("0x03", 600.0),), forecast=None)
    decision = decide(state, situation, config)
    need = situation.device.power_w(Load.IDLE) * 600.0 * situation.speed / 3600.0 / BATTERY.discharge_efficiency
    left = situation.soc * BATTERY.capacity_wh - need
    if decision.action is Action.SLEEP:
        assert left <= BATTERY.cutoff_soc * BATTERY.capacity_wh + 1e-6
        assert "reveal" in decision.reason


def test_an_unknown_charge_takes_no_new_work_and_does_not_sleep():
    for offer in (None, Offer("0x01", 60, 10**9)):
        decision = decide(GateState(), situation(None, offer=offer), CONFIG)
        assert decision.action is Action.DECLINE
        assert "unknown" in decision.reason
    known_by_energy = PowerReading(at=1e9, stored_wh=200.0, capacity_wh=256.0)
    assert decide(GateState(), situation(None, reading=known_by_energy), CONFIG).action is Action.RUN


def test_thresholds_have_hysteresis():
    def act(state, soc, at):
        return decide(state, situation(soc, reading=reading(soc, at)), CONFIG)

    down = act(GateState(), 0.36, 1e9)
    assert down.action is Action.RUN  # willing until hysteresis below the threshold
    down = act(down.state, 0.34, 1e9 + 10)
    assert down.action is Action.DECLINE
    again = act(down.state, 0.41, 1e9 + 20)
    assert again.action is Action.DECLINE  # the dwell is not over
    again = act(again.state, 0.41, 1e9 + 10 + CONFIG.dwell_s)
    assert again.action is Action.RUN
    asleep = act(again.state, 0.15, 2e9)
    assert asleep.action is Action.SLEEP
    assert act(asleep.state, 0.25, 3e9).action is Action.SLEEP
    assert act(asleep.state, 0.31, 3e9).action is Action.DECLINE


def test_sleep_ends_when_the_sun_is_expected_to_have_filled_the_battery():
    sun = forecast(20.0, 5.0)
    decision = decide(GateState(), situation(0.10, forecast=sun), CONFIG)
    hours = (decision.resume_at - NOW) / 3600.0
    assert hours == pytest.approx(0.2 * 256.0 / 0.97 / 20.0, abs=0.5)
    fast = decide(GateState(), situation(0.10, forecast=sun, speed=60.0), CONFIG)
    assert fast.resume_at - NOW == pytest.approx((decision.resume_at - NOW) / 60.0, abs=1)
    dark = decide(GateState(), situation(0.10), CONFIG)
    assert dark.resume_at - NOW == CONFIG.max_sleep_s


def test_a_stake_keeps_it_up_even_below_the_sleep_threshold():
    stake = (OpenStake("0x03", 600.0, 50),)
    decision = decide(GateState(), situation(0.15, stakes=stake), CONFIG)
    assert decision.action is Action.DRAIN
    assert "reveal" in decision.until
    hopeless = decide(GateState(), situation(0.101, stakes=(OpenStake("0x03", 36_000.0),)), CONFIG)
    assert hopeless.action is Action.SLEEP
    assert "lacking" in hopeless.reason


def test_what_runs_is_paused_only_if_it_would_eat_the_reserve():
    short = (RunningTask("0x02", 60.0),)
    long = (RunningTask("0x02", 20_000.0),)
    assert decide(GateState(), situation(0.2, running=short), CONFIG).action is Action.DECLINE
    paused = decide(GateState(), situation(0.2, running=long), CONFIG)
    assert paused.action is Action.PAUSE
    assert "reserve" in paused.reason


@pytest.mark.parametrize(
    ("offer", "changes", "word"),
    [
        (Offer("0x01", 60, reward_nrlc=10, gas_nrlc=20), {}, "gas"),
        (Offer("0x01", 60, 10, contribution_deadline=NOW + 60), {}, "deadline"),
        (Offer("0x01", 100_000, 10), {}, "reserve"),
        (Offer("0x01", 60, 10, reveal_s=200_000), {}, "reserve"),
        (Offer("0x01", 60, 10), {"running": (RunningTask("0x02", 90_000.0),)}, "reserve"),
        (Offer("0x01", 60, 10), {"stakes": (OpenStake("0x03", 300_000.0),)}, "reserve"),
    ],
)
def test_an_offer_is_declined_for_a_reason_in_words(offer, changes, word):
    decision = decide(GateState(), situation(0.6, offer=offer, **changes), CONFIG)
    assert decision.action is Action.DECLINE
    assert word in decision.reason


def test_the_price_of_a_watt_hour_falls_with_charge_and_with_sun_to_come():
    offer = Offer("0x01", 3600, reward_nrlc=400)  # 4.1 Wh more than idling
    assert decide(GateState(), situation(0.5, offer=offer), PRICED).action is Action.DECLINE
    assert decide(GateState(), situation(0.95, offer=offer), PRICED).action is Action.RUN
    sunny = situation(0.5, offer=offer, forecast=forecast(20.0, 10.0))
    assert decide(GateState(), sunny, PRICED).action is Action.RUN


def test_low_sun_counts_for_a_task_but_a_cloud_does_not_break_it():
    offer = Offer("0x01", 40_000, 10)
    assert decide(GateState(), situation(0.5, offer=offer), CONFIG).action is Action.DECLINE
    assert decide(GateState(), situation(0.5, offer=offer, forecast=forecast(20.0, 9.0)), CONFIG).action is Action.RUN
    assert (
        decide(GateState(), situation(0.5, offer=offer, forecast=forecast(20.0, 0.0)), CONFIG).action is Action.DECLINE
    )


@pytest.mark.parametrize(
    "bad",
    [
        {"start_above": 0.2, "continue_above": 0.5},
        {"sleep_below": 0.3, "continue_above": 0.25},
        {"wake_above": 0.17},
        {"full_nrlc_per_wh": 2.0},
        {"overrun": 0.5},
        {"start_at": 0.4},
    ],
)
def test_thresholds_that_contradict_each_other_are_refused(bad):
    with pytest.raises(ValidationError):
        GateConfig(**bad)


def test_the_operator_can_drain_and_what_runs_is_finished():
    assert decide(GateState(), situation(0.9, draining=True), CONFIG).action is Action.DRAIN
    runs = (RunningTask("0x02", 60.0),)
    assert decide(GateState(), situation(0.9, draining=True, running=runs), CONFIG).action is Action.DECLINE


def test_a_sleep_that_pays_is_slept_to_its_end_then_it_listens_before_the_next():
    eager = GateConfig(listen_s=0)
    asleep = decide(GateState(), situation(0.6, reading=reading(0.6, 9e8), rest_s=3600.0, speed=60.0), eager)
    assert asleep.action is Action.SLEEP
    assert asleep.resume_at == NOW + 60
    half = situation(0.6, reading=reading(0.6, 9e8 + 1800.0), speed=60.0, offer=Offer("0x01", 1.0, 10**9))
    assert decide(asleep.state, half, CONFIG).action is Action.SLEEP
    assert decide(asleep.state, half, CONFIG).resume_at == NOW + 30
    woken = situation(0.6, reading=reading(0.6, 9e8 + 3601.0), rest_s=900.0)
    assert decide(asleep.state, woken, CONFIG).action is Action.RUN
    later = decide(asleep.state, situation(0.6, reading=reading(0.6, 9e8 + 3660.0), rest_s=900.0), CONFIG)
    assert later.action is Action.SLEEP
    assert later.resume_at == NOW + 840
    for busy in ({"running": (RunningTask("0x02", 60.0),)}, {"stakes": (OpenStake("0x03", 60.0),)}):
        assert decide(GateState(), situation(0.6, rest_s=900.0, **busy), CONFIG).action is Action.RUN


@pytest.mark.parametrize("soc", [0.3, 0.5, 0.7])
def test_the_longest_run_that_is_announced_is_what_would_be_accepted(soc: float) -> None:
    config, now = GateConfig(), situation(soc)
    stored, floor = soc * BATTERY.capacity_wh, floor_wh(BATTERY, config)
    longest = longest_run_s(stored, floor, now, config)
    assert longest is not None
    assert longest == 0 or lowest_ahead(stored, Offer("", float(longest), 0), now, config)[0] >= floor
    beyond = Offer("", longest * 1.2 + 120.0, 0)
    assert lowest_ahead(stored, beyond, now, config)[0] < floor


def test_a_sleep_with_a_stake_open_ends_before_a_reveal_could_be_missed() -> None:
    """However empty the battery, and whatever the sun: consensus may come while the device sleeps."""
    empty = situation(0.10, stakes=(OpenStake("0x01", 600.0), OpenStake("0x02", 3600.0)))
    decision = decide(GateState(Mode.ASLEEP), empty, GateConfig())
    assert decision.action is Action.SLEEP
    assert decision.resume_at is not None
    assert empty.now < decision.resume_at <= empty.now + 0.6 * 600
    assert "time to look for a reveal" in decision.until
    at_rest = decide(GateState(Mode.ASLEEP), replace(empty, stakes=()), GateConfig())
    assert at_rest.resume_at is not None and at_rest.resume_at > decision.resume_at


def test_a_task_that_does_not_pay_is_declined_with_the_sum() -> None:
    offer = Offer("0x01", 60.0, 100_000_000, 140_000_000)
    decision = decide(GateState(Mode.WILLING), situation(0.9, offer=offer), GateConfig())
    assert decision.action is Action.DECLINE
    assert decision.reason == ("it does not pay: reward 0.1 RLC - gas 0.14 RLC = -0.04 RLC, at least 0 RLC are asked")
