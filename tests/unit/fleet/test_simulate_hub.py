"""The simulator's contracts under any sequence of calls, and its clock."""

from __future__ import annotations

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from poco import deadlines
from poco.states import ChainTaskStatus
from simulator.clock import Clock
from simulator.hub import Hub, RevertedError
from simulator.scenario import TaskKind, Terms

TERMS = Terms(deposit_nrlc=1000, stake_ratio=30)
KINDS = (TaskKind(category="XS", reward_nrlc=1001), TaskKind(category="XS", trust=5, reward_nrlc=2003))
WORKERS = ("a", "b", "c", "d")
TASKS = ("one", "two", "three")
OVER = (ChainTaskStatus.COMPLETED, ChainTaskStatus.FAILED)

_call = st.tuples(
    st.sampled_from(("initialize", "contribute", "reveal", "finalize", "alone", "reopen", "claim", "wait")),
    st.sampled_from(TASKS),
    st.sampled_from(WORKERS),
    st.sampled_from(("good", "good", "good", "bad")),
    st.integers(0, 900),
)


def perform(hub: Hub, call: str, *, task: str, worker: str, result: str, now: int) -> None:
    match call:
        case "contribute":
            hub.contribute(task, worker, result, now)
        case "alone":
            hub.contribute_and_finalize(task, worker, result, now)
        case "reveal":
            hub.reveal(task, worker, now)
        case "initialize" | "finalize" | "reopen" | "claim":
            getattr(hub, call)(task, now)


@settings(max_examples=60, deadline=None)
@given(calls=st.lists(_call, max_size=60))
def test_whatever_is_called_no_nrlc_is_lost_and_nothing_ends_twice(calls):
    hub, now, ended, paid = Hub(TERMS), 1000, {}, 0
    for worker in WORKERS:
        hub.join(worker)
    for number, task in enumerate(TASKS):
        hub.open(task, KINDS[number % 2], deadlines.of_deal(now, 300))
    for call, task, worker, result, seconds in calls:
        now += seconds if call == "wait" else 1
        before = hub.finalized
        with contextlib.suppress(RevertedError):
            perform(hub, call, task=task, worker=worker, result=result, now=now)
        paid += hub.tasks[task].kind.reward_nrlc * (hub.finalized - before)
        for name, each in hub.tasks.items():
            assert ended.setdefault(name, each.status) is each.status or ended[name] not in OVER
            ended[name] = each.status
        accounts = hub.accounts.values()
        assert all(a.free >= 0 and a.locked >= 0 for a in accounts)
        assert sum(a.free + a.locked for a in accounts) + hub.scheduler == 4 * 1000 + paid
        assert paid == hub.paid and hub.finalized <= len(TASKS)
        staked = sum(t.stake * len(t.votes) for t in hub.tasks.values() if t.status not in OVER)
        assert sum(a.locked for a in accounts) == staked


@settings(max_examples=20, deadline=None)
@given(instants=st.lists(st.integers(0, 100), max_size=30), end=st.integers(0, 120))
def test_events_happen_in_order_and_none_after_the_end(instants, end):
    clock, seen = Clock(10.0), []
    for number, instant in enumerate(instants):
        clock.at(instant, lambda i, n: seen.append((clock.now, i, n)), instant, number)
    clock.run(float(end))
    due = [(max(10, instant), number) for number, instant in enumerate(instants) if max(10, instant) < end]
    assert [(now, number) for now, _, number in seen] == sorted(due)
    assert clock.happened == len(due)
