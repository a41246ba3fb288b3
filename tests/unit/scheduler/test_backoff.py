"""Who is of no use again and again: what counts, how long the pause, how it decays."""

from __future__ import annotations

import pytest

from poco.errors import Cause
from poco.ids import result_hash
from poco.states import ReplicateStatus as R
from scheduler import backoff
from scheduler import model as m
from scheduler.core import step
from tests.unit.scheduler.explore import DIGESTS, A, B, T, task


def run(state: m.Task, *events: m.Event, now: int = 0) -> m.Task:
    for event in events:
        state = step(state, event, now)[0]
    return state


@pytest.mark.parametrize(
    ("event", "mark"),
    [
        (m.Reported(A, R.DECLINED, Cause.ENERGY), backoff.DECLINED),
        (m.Reported(A, R.FAILED, Cause.INTERNAL_ERROR), backoff.FAILED),
        (m.Reported(A, R.FAILED, Cause.APP_COMPUTE_TIMEOUT), backoff.FAILED / 2),
        (m.Reported(A, R.FAILED, Cause.APP_COMPUTE_FAILED), None),
        (m.Reported(A, R.FAILED, Cause.APP_IMAGE_PLATFORM_UNSUPPORTED), None),
        (m.Reported(A, R.STARTED), None),
        (m.WorkerLost(A), backoff.LOST),
    ],
)
def test_what_counts(event: m.Event, mark: float | None) -> None:
    before = run(task(1), m.Initialized(), m.Leased(A, 2))
    assert backoff.marks(before, run(before, event)) == ({} if mark is None else {A: mark})


def test_who_is_outvoted_or_does_not_reveal_pays_most_and_who_is_paid_is_forgiven() -> None:
    state = run(task(4), m.Initialized(), m.Leased(A, 2), m.Leased(B, 2))
    mine, other = (result_hash(state.id, digest) for digest in DIGESTS)
    voted = run(state, m.Contributed(A, mine), m.Contributed(B, other), m.ConsensusReached(mine, 2 * T))
    revealed = run(voted, m.Revealed(A, DIGESTS[0]))
    assert backoff.marks(revealed, run(revealed, m.Finalized("/ipfs/x"))) == {A: 0.0, B: backoff.REJECTED}
    assert backoff.marks(voted, run(voted, m.Reopened(), now=2 * T + 1))[A] == backoff.REJECTED


def test_the_pause_doubles_and_decays() -> None:
    assert backoff.until(1.5, 100) == 100, "a fault now and then is forgiven"
    assert backoff.until(2.5, 100) == 120
    assert backoff.until(3.5, 100) == 140
    assert backoff.until(1e9, 100) == 100 + backoff.LONGEST_PAUSE_SECONDS
    assert backoff.decayed(4, 0, backoff.HALF_LIFE_SECONDS) == 2
    assert backoff.after_mark(4, 0, 1, backoff.HALF_LIFE_SECONDS) == 3
    assert backoff.after_mark(4, 0, 0, 0) == 2, "halved by a task that was paid"
    assert backoff.decayed(4, 100, 0) == 4, "a clock that goes back changes nothing"
