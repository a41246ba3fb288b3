"""Which endpoints are asked after failures, and which have the block that is needed."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from chain.answers import FaultError, Kind
from chain.health import FIRST_WAIT, LONGEST_WAIT, Health, best_head, has, pause, usable

AWAY = FaultError(Kind.AWAY, "gone")
BUSY = FaultError(Kind.BUSY, "429", 7.0)
OTHER = FaultError(Kind.OTHER_CHAIN, "it is on chain 5")


def test_the_pause_after_a_failure_doubles_and_ends():
    one, now, waits = Health("a", checked=True), 100.0, []
    for _ in range(12):
        one = one.failed(AWAY, now)
        waits.append(one.retry_at - now)
    assert waits[:4] == [FIRST_WAIT, 2 * FIRST_WAIT, 4 * FIRST_WAIT, 8 * FIRST_WAIT]
    assert waits[-1] == LONGEST_WAIT
    assert not one.checked and one.answered() == replace(one, failures=0, retry_at=0.0, trouble="", kind=None)


def test_a_rate_limit_is_obeyed_for_as_long_as_it_says():
    busy = Health("a").failed(BUSY, 100.0)
    assert usable([busy], 106.9) == [] and pause([busy], 106.0) == 1.0
    assert usable([busy], 107.0) == [0]
    assert usable([busy, Health("b")], 101.0) == [1]


def test_the_only_endpoint_is_asked_again_though_it_failed():
    down = Health("a").failed(AWAY, 100.0).failed(AWAY, 100.0)
    assert usable([down], 100.1) == [0]
    later = Health("b").failed(AWAY, 100.0)
    assert usable([down, later], 100.1) == [1]


def test_one_on_another_chain_is_not_asked():
    refused = Health("a", head=10**9).failed(OTHER, 100.0)
    assert usable([refused], 101.0) == []
    assert best_head([refused, Health("b", head=7)]) == 7


def test_one_that_lags_or_lacks_the_block_is_not_read():
    ahead, near, behind = Health("a", head=100), Health("b", head=97), Health("c", head=90)
    known = [ahead, near, behind]
    assert [has(one, known, -1, 5) for one in known] == [True, True, False]
    assert [has(one, known, 98, 5) for one in known] == [True, False, False]
    assert has(behind, [behind], 90, 5) and not has(behind, [behind], 91, 5)


faults = st.sampled_from([AWAY, BUSY, OTHER, FaultError(Kind.BEHIND, "x"), FaultError(Kind.BROKEN, "x"), None])


@given(st.lists(st.tuples(st.integers(0, 2), faults, st.floats(0, 40)), max_size=30))
def test_whoever_is_asked_may_be_asked(steps):
    """After any history: nobody is asked before the pause it asked for is over, and somebody is, once all are."""
    known, now = [Health("a"), Health("b"), Health("c")], 0.0
    for number, fault, later in steps:
        one = known[number]
        known[number] = one.answered() if fault is None else one.failed(fault, now)
        now += later
        for chosen in usable(known, now):
            one = known[chosen]
            assert one.retry_at <= now or one.kind not in (Kind.BUSY, Kind.OTHER_CHAIN)
    assert usable(known, now + 10_000) == sorted(range(3), key=lambda n: (known[n].kind is Kind.OTHER_CHAIN, n))
