"""The tables of moves, walked whole."""

import pytest

from poco.states import (
    FINAL_REPLICATE,
    PENDING_REPLICATE,
    WORKER_MOVES,
    ReplicateStatus,
    worker_may_report,
)


def reachable(moves, start):
    seen, todo = set(), [start]
    while todo:
        state = todo.pop()
        if state not in seen:
            seen.add(state)
            todo.extend(moves[state])
    return seen


def test_the_table_is_complete():
    assert set(WORKER_MOVES) == set(ReplicateStatus)


@pytest.mark.parametrize("state", ReplicateStatus)
def test_every_replicate_can_end(state):
    assert reachable(WORKER_MOVES, state) & FINAL_REPLICATE


def test_nobody_reports_what_only_the_scheduler_says():
    said = set().union(*WORKER_MOVES.values())
    assert not said & {
        ReplicateStatus.CREATED,
        ReplicateStatus.WORKER_LOST,
        ReplicateStatus.RESULT_UPLOAD_REQUESTED,
    }


def test_what_is_pending_has_not_ended():
    assert not FINAL_REPLICATE & PENDING_REPLICATE


def test_no_state_moves_to_itself():
    for state in ReplicateStatus:
        assert not worker_may_report(state, state)
