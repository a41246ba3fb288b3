"""The index of open tasks finds what looking at each of them finds."""

from __future__ import annotations

import time
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from poco.errors import Cause
from poco.params import Needs
from poco.states import Presence
from poco.states import ReplicateStatus as R
from poco.tags import GPU, GREEN
from scheduler import matcher
from scheduler import model as m
from scheduler.core import step, wants_worker
from scheduler.matcher import Candidate, Terms
from scheduler.openings import Openings

WALLETS = ["0x" + f"{n:02x}" * 20 for n in range(1, 6)]
APPS = ["0x" + "aa" * 20, "0x" + "bb" * 20]
TAGS = ["0x" + "00" * 32, GPU, GREEN, "0x" + "00" * 31 + "40"]
NOW = 1000


@st.composite
def tasks(draw: st.DrawFn, number: int) -> m.Task:
    run = draw(st.sampled_from([60, 300]))
    deadline = NOW + draw(st.integers(-1, 5)) * 60
    needs = Needs(draw(st.sampled_from([0, 256])), draw(st.sampled_from([0, 50])), draw(st.sampled_from([0, 2])))
    terms = m.TaskTerms(
        deal_id=f"0x{number:064x}",
        app=draw(st.sampled_from(APPS)),
        callback=False,
        trust=draw(st.sampled_from([1, 4, 20])),
        worker_stake=draw(st.sampled_from([0, 50])),
        run_seconds=run,
        contribution_deadline=deadline,
        final_deadline=deadline + 10 * run,
        tag=draw(st.sampled_from(TAGS)),
        needs=needs,
    )
    task = step(terms.task(0), m.Initialized(), 0)[0]
    for wallet in draw(st.lists(st.sampled_from(WALLETS), max_size=3, unique=True)):
        at = NOW - draw(st.sampled_from([1, 15, 200]))
        task = step(task, m.Leased(wallet, 2), at)[0]
        after = draw(st.sampled_from(["", "declined", "failed", "broken", "computing", "contributed"]))
        if after == "declined":
            task = step(task, m.Reported(wallet, R.DECLINED, Cause.ENERGY), at)[0]
        elif after == "failed":
            task = step(task, m.Reported(wallet, R.FAILED, Cause.INTERNAL_ERROR), at)[0]
        elif after == "broken":
            task = step(task, m.Reported(wallet, R.FAILED, Cause.APP_IMAGE_PLATFORM_UNSUPPORTED), at)[0]
        elif after == "computing":
            task = step(task, m.Reported(wallet, R.COMPUTING), at)[0]
        elif after == "contributed":
            task = step(task, m.Contributed(wallet, f"0x{draw(st.integers(0, 1)):064x}"), at)[0]
    return replace(task, exhausted=draw(st.booleans()))


candidates = st.builds(
    Candidate,
    wallet=st.sampled_from(WALLETS),
    platforms=st.sampled_from([("linux/amd64",), ("linux/arm64", "linux/arm/v7")]),
    presence=st.sampled_from([Presence.WAITING] * 6 + [Presence.BUSY]),
    free_slots=st.integers(1, 2),
    stake=st.sampled_from([None, 0, 100, 100, 100]),
    given=st.integers(0, 1),
    green=st.booleans(),
    memory_mb=st.sampled_from([128, 512]),
    disk_mb=st.sampled_from([0, 100]),
    cpus=st.sampled_from([1, 4]),
    features=st.sampled_from([(), ("gpu",)]),
    gas_lacking=st.sampled_from([0, 0, 7]),
    run_seconds=st.sampled_from([None, 100]),
    kin=st.frozensets(st.sampled_from(WALLETS), max_size=2),
    held_until=st.sampled_from([0, 0, 0, NOW + 1]),
)


@st.composite
def pools(draw: st.DrawFn) -> list[m.Task]:
    return [draw(tasks(number)) for number in range(draw(st.integers(0, 12)))]


@settings(max_examples=300, deadline=None)
@given(pools(), st.lists(candidates, min_size=1, max_size=4), st.data())
def test_the_index_chooses_as_looking_at_all_would(given_tasks, workers, data) -> None:
    openings = Openings()
    for task in given_tasks:
        openings.update(replace(task, exhausted=not task.exhausted), NOW)  # what it was before
    for task in given_tasks:
        openings.update(task, NOW)
    gone = data.draw(
        st.sets(st.sampled_from([t.id for t in given_tasks]), max_size=3) if given_tasks else st.just(set())
    )
    for task_id in gone:
        openings.discard(task_id)
    left = [task for task in given_tasks if task.id not in gone and wants_worker(task, NOW)]
    assert len(openings) == len(left)
    barred = {(APPS[0], "linux/amd64")} if data.draw(st.booleans()) else set()
    some = [Terms.of(task) for task in left if task.trust > 1 and not task.replicates]
    short = dict.fromkeys(some[:1], "too few workers") if data.draw(st.booleans()) else {}
    for worker in workers:
        by_index = openings.choose(worker, barred, NOW, short)
        by_looking = matcher.choose(worker, left, barred, NOW, short)
        assert by_index == by_looking
    for task in left:
        openings.discard(task.id)
    assert len(openings) == 0
    assert not list(openings.queues())


def test_many_workers_and_many_tasks_cost_little() -> None:
    """10,000 open tasks of 100 kinds, 5,000 waiting workers: one round takes seconds of one core."""
    openings = Openings()
    for number in range(10_000):
        terms = m.TaskTerms(
            f"0x{number:064x}", f"0x{number % 100:040x}", False, 1, 50, 300, 5000 + number, 9000 + number
        )
        openings.update(step(terms.task(0), m.Initialized(), 0)[0], NOW)
    began = time.process_time()
    for number in range(5000):
        worker = Candidate(f"0x{number:040x}", ("linux/arm64",), Presence.WAITING, 1, 100)
        task = openings.choose(worker, (), NOW).task
        assert task is not None
        assert task.contribution_deadline == 5000 + number, "the earliest deadline first"
        openings.discard(task.id)
    fits = time.process_time() - began
    poor = Candidate(WALLETS[0], ("linux/arm64",), Presence.WAITING, 1, 0)
    began = time.process_time()
    for _ in range(500):
        assert "(5000 tasks)" in openings.choose(poor, (), NOW).reason
    idle = (time.process_time() - began) * 10
    assert fits < 5, fits
    assert idle < 20, idle
