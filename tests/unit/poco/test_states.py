"""The tables of moves, walked whole."""

import itertools

import pytest

from poco.states import (
    CHAIN_MOVES,
    FINAL_REPLICATE,
    FINAL_TASK,
    PENDING_REPLICATE,
    STAKED_REPLICATE,
    TASK_MOVES,
    WORKER_MOVES,
    ReplicateStatus,
    TaskStatus,
    task_may_move,
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


def test_tables_are_complete():
    assert set(TASK_MOVES) == set(TaskStatus)
    assert set(WORKER_MOVES) == set(ReplicateStatus)


@pytest.mark.parametrize("state", TaskStatus)
def test_every_task_can_end(state):
    assert reachable(TASK_MOVES, state) & FINAL_TASK
    assert (not TASK_MOVES[state]) == (state in FINAL_TASK)


@pytest.mark.parametrize("state", ReplicateStatus)
def test_every_replicate_can_end(state):
    assert reachable(WORKER_MOVES, state) & FINAL_REPLICATE


def test_all_states_are_reached_from_the_first():
    assert reachable(TASK_MOVES, TaskStatus.RECEIVED) == set(TaskStatus)
    by_scheduler = {ReplicateStatus.WORKER_LOST, ReplicateStatus.RESULT_UPLOAD_REQUESTED}
    full = {s: set(m) for s, m in WORKER_MOVES.items()}
    for new, olds in CHAIN_MOVES.items():
        for old in olds:
            full[old].add(new)
    full[ReplicateStatus.REVEALED] |= by_scheduler
    assert reachable(full, ReplicateStatus.CREATED) == set(ReplicateStatus)


def test_nobody_reports_what_only_the_scheduler_says():
    said = set().union(*WORKER_MOVES.values())
    assert not said & {
        ReplicateStatus.CREATED,
        ReplicateStatus.WORKER_LOST,
        ReplicateStatus.RESULT_UPLOAD_REQUESTED,
    }


def test_groups_do_not_overlap():
    for a, b in itertools.combinations((FINAL_REPLICATE, PENDING_REPLICATE, STAKED_REPLICATE), 2):
        assert not a & b


def test_no_state_moves_to_itself():
    for state in TaskStatus:
        assert not task_may_move(state, state)
    for state in ReplicateStatus:
        assert not worker_may_report(state, state)
