"""Who gets which task, and the reason where somebody gets none."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poco.errors import Cause
from poco.states import Presence
from poco.states import ReplicateStatus as R
from poco.tags import GREEN
from scheduler import model as m
from scheduler.core import step
from scheduler.matcher import Candidate, choose, could_still, obstacle

ME, OTHER = "0x" + "01" * 20, "0x" + "02" * 20
APP = "0x" + "33" * 20
T = 300
WORKER = Candidate(ME, ("linux/arm/v7",), Presence.WAITING, free_slots=1, stake=100)


def task(number: int = 0, *, deadline: int = 7 * T, trust: int = 1, app: str = APP) -> m.Task:
    made = m.TaskTerms("0x" + f"{number:02x}" * 32, app, False, trust, 50, T, deadline, deadline + 3 * T).task(0)
    return step(made, m.Initialized(), 0)[0]


def failed(cause: Cause, status: R = R.FAILED) -> m.Task:
    leased = step(task(), m.Leased(ME, 2), 0)[0]
    return step(leased, m.Reported(ME, status, cause), 0)[0]


def test_the_earliest_contribution_deadline_comes_first() -> None:
    tasks = [task(1, deadline=3000), task(2, deadline=2000), task(3, deadline=2500)]
    choice = choose(WORKER, tasks, (), 0)
    assert choice.task == tasks[1]
    assert choice.reason == ""


def test_a_green_task_waits_for_a_worker_that_is_net_positive() -> None:
    green = replace(task(1), tag=GREEN)
    assert "energy ledger" in choose(WORKER, [green], (), 0).reason
    assert choose(WORKER, [green, task(2)], (), 0).task == task(2)
    assert choose(replace(WORKER, green=True), [green], (), 0).task == green


def test_who_cannot_pay_for_its_gas_gets_nothing_and_is_told_the_sum() -> None:
    choice = choose(replace(WORKER, gas_lacking=123_456), [task()], (), 0)
    assert choice.task is None and "123456 wei" in choice.reason and ME in choice.reason


def test_what_the_battery_can_surely_bear_comes_before_the_deadline() -> None:
    short = replace(task(1, deadline=3000), run_seconds=60)
    sooner = task(2, deadline=2000)
    assert choose(WORKER, [short, sooner], (), 0).task == sooner
    assert choose(replace(WORKER, run_seconds=T - 1), [short, sooner], (), 0).task == short
    assert choose(replace(WORKER, run_seconds=T), [short, sooner], (), 0).task == sooner


def test_no_task_no_reason_to_worry() -> None:
    assert choose(WORKER, [], (), 0).reason == "no task waits for a worker"


@pytest.mark.parametrize(
    ("presence", "said"),
    [
        (Presence.ASLEEP, "asleep until 77"),
        (Presence.BUSY, "takes no new work"),
        (Presence.DRAINING, "draining"),
        (Presence.UNKNOWN, "nothing was heard"),
        (Presence.LOST, "lost"),
    ],
)
def test_only_the_willing_are_asked(presence: Presence, said: str) -> None:
    choice = choose(replace(WORKER, presence=presence, resume_at=77), [task()], (), 0)
    assert choice.task is None
    assert said in choice.reason


def test_slots_that_were_given_but_not_yet_counted_are_taken() -> None:
    assert choose(replace(WORKER, free_slots=2, given=1), [task()], (), 0).task is not None
    assert choose(replace(WORKER, free_slots=2, given=2), [task()], (), 0).reason == "no free slot"


def test_a_platform_without_image_is_barred_for_that_app_alone() -> None:
    barred = {(APP, "linux/arm/v7")}
    assert f"app {APP} has no image for linux/arm/v7 (1 task)" in choose(WORKER, [task()], barred, 0).reason
    assert choose(WORKER, [task(app=OTHER)], barred, 0).task is not None
    both = replace(WORKER, platforms=("linux/arm/v7", "linux/arm64"))
    assert choose(both, [task()], barred, 0).task is not None


def test_where_nobody_is_left_the_bar_is_lifted_so_that_all_agree_that_there_is_no_image() -> None:
    barred = {(APP, "linux/arm/v7")}
    lonely = step(task(trust=4), m.Leased(OTHER, 2), 0)[0]
    lonely = step(lonely, m.Reported(OTHER, R.FAILED, Cause.APP_IMAGE_PLATFORM_UNSUPPORTED), 0)[0]
    assert "has no image" in obstacle(WORKER, lonely, barred, 0)
    assert not could_still(WORKER, lonely, barred)
    left = step(lonely, m.Exhausted(), 0)[0]
    assert left.error is None
    assert obstacle(WORKER, left, barred, 0) == ""
    both = step(step(left, m.Leased(ME, 2), 0)[0], m.Reported(ME, R.FAILED, Cause.APP_IMAGE_PLATFORM_UNSUPPORTED), 0)[0]
    done, effects = step(both, m.Exhausted(), 0)
    assert done.error is Cause.APP_IMAGE_PLATFORM_UNSUPPORTED
    assert {effect.worker for effect in effects if isinstance(effect, m.Notify)} == {ME, OTHER}


def test_the_missing_stake_is_said_as_a_sum() -> None:
    assert "deposit 0.00000002 RLC" in choose(replace(WORKER, stake=30), [task()], (), 0).reason
    assert "stake is not known" in choose(replace(WORKER, stake=None), [task()], (), 0).reason


def test_who_tried_is_not_asked_again_unless_it_was_not_its_fault() -> None:
    assert obstacle(WORKER, failed(Cause.APP_IMAGE_DOWNLOAD_FAILED), (), 100) == "it has tried"
    mild = failed(Cause.WORKER_STOPPED)
    assert "it may try again after 10" in obstacle(WORKER, mild, (), 5)
    assert obstacle(WORKER, mild, (), 10) == ""


def test_enough_are_at_it_or_too_little_time_is_left() -> None:
    busy = step(task(), m.Leased(OTHER, 2), 0)[0]
    assert "enough workers" in obstacle(WORKER, busy, (), 0)
    assert obstacle(WORKER, task(), (), 6 * T) == ""
    assert "too little time" in obstacle(WORKER, task(), (), 6 * T + 1)


def test_reasons_are_counted() -> None:
    poor = replace(WORKER, stake=0)
    assert "(3 tasks)" in choose(poor, [task(n) for n in range(1, 4)], (), 0).reason


def test_who_could_still_do_it_some_day() -> None:
    assert could_still(replace(WORKER, presence=Presence.BUSY, free_slots=0), task(), ())
    assert could_still(replace(WORKER, presence=Presence.ASLEEP, resume_at=100), task(), ())
    assert could_still(WORKER, failed(Cause.ENERGY, R.DECLINED), ())
    assert not could_still(replace(WORKER, presence=Presence.ASLEEP, resume_at=6 * T + 1), task(), ())
    assert not could_still(replace(WORKER, presence=Presence.LOST), task(), ())
    assert not could_still(replace(WORKER, stake=49), task(), ())
    assert not could_still(WORKER, failed(Cause.APP_COMPUTE_TIMEOUT), ())
    assert not could_still(WORKER, task(), {(APP, "linux/arm/v7")})


@given(
    st.lists(st.tuples(st.integers(400, 5000), st.sampled_from([APP, OTHER])), max_size=8),
    st.integers(0, 120),
    st.sampled_from(list(Presence)),
    st.integers(0, 3),
)
def test_what_is_chosen_can_be_done(offers: list[tuple[int, str]], stake: int, presence: Presence, given: int) -> None:
    worker = replace(WORKER, stake=stake, presence=presence, given=given, free_slots=2)
    tasks = [task(n + 1, deadline=deadline, app=app) for n, (deadline, app) in enumerate(offers)]
    barred = {(OTHER, "linux/arm/v7")}
    choice = choose(worker, tasks, barred, 100)
    possible = [t for t in tasks if not obstacle(worker, t, barred, 100)]
    willing = presence in {Presence.WAITING, Presence.WORKING} and given < 2
    if choice.task is None:
        assert choice.reason
        assert not (willing and possible)
    else:
        assert willing
        assert choice.task.contribution_deadline == min(t.contribution_deadline for t in possible)
        assert choice.task.app == APP
