"""The core makes the moves of the tables, all of them and no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from poco.states import ReplicateStatus, TaskStatus
from scheduler import model as m
from scheduler import transitions as tr
from tests.unit.scheduler.explore import A, walk

DOCS = Path(__file__).resolve().parents[3] / "docs" / "reference" / "scheduler.md"
Moves = dict[tuple[str, str], set[str]]


@pytest.fixture(scope="module")
def found() -> tuple[Moves, Moves]:
    """What the core does: moves of tasks, and of A's replicate."""
    tasks: Moves = {}
    replicates: Moves = {}

    def note(moves: Moves, before: str, event: str, after: str) -> None:
        if before != after:
            moves.setdefault((before, event), set()).add(after)

    def status(task: m.Task) -> str:
        replicate = task.replicate(A)
        return tr.NOBODY if replicate is None else replicate.status.value

    for state, event, _, told, after in walk():
        kind = type(event).__name__
        note(tasks, state.status.value, kind, told.status.value)
        note(tasks, told.status.value, tr.RULES, after.status.value)
        name = f"reports {event.status.value}" if isinstance(event, m.Reported) else kind
        if getattr(event, "worker", A) in {A, None}:
            note(replicates, status(state), name, status(told))
        note(replicates, status(told), tr.RULES, status(after))
    return tasks, replicates


#: The deal has gone from the chain: it takes eight failures to conclude that, more than the walk goes.
GONE = {("RECEIVED", "rules"): {"FAILED"}}


def test_tasks_move_as_the_table_says(found: tuple[Moves, Moves]) -> None:
    assert found[0] | GONE == tr.moves(tr.TASK_ROWS)


def test_replicates_move_as_the_table_says(found: tuple[Moves, Moves]) -> None:
    assert found[1] == tr.moves(tr.REPLICATE_ROWS)


@pytest.mark.parametrize("state", TaskStatus)
def test_every_event_moves_a_task_or_is_a_named_no_op(state: TaskStatus) -> None:
    for event in tr.TASK_EVENTS:
        assert (state.value, event) in tr.moves(tr.TASK_ROWS) or tr.why_not(tr.TASK_NOOPS, state.value, event), event


@pytest.mark.parametrize("state", [tr.NOBODY, *(status.value for status in ReplicateStatus)])
def test_every_event_moves_a_replicate_or_is_a_named_no_op(state: str) -> None:
    for event in tr.REPLICATE_EVENTS:
        assert (state, event) in tr.moves(tr.REPLICATE_ROWS) or tr.why_not(tr.REPLICATE_NOOPS, state, event), event


def test_the_tables_know_every_event() -> None:
    kinds = {kind.__name__ for kind in m.Event.__args__}
    assert kinds == set(tr.TASK_EVENTS)
    for rows, noops, events in (
        (tr.TASK_ROWS, tr.TASK_NOOPS, tr.TASK_EVENTS),
        (tr.REPLICATE_ROWS, tr.REPLICATE_NOOPS, tr.REPLICATE_EVENTS),
    ):
        assert {row.event for row in rows} - {tr.RULES} <= set(events)
        assert {event for noop in noops for event in noop.events} <= set(events)


def test_the_reference_shows_the_tables() -> None:
    text = DOCS.read_text()
    shown = text.partition("<!-- transitions -->\n")[2].partition("\n<!-- /transitions -->")[0]
    assert shown == "\n".join(tr.document()), "write scheduler.transitions.document() between the marks"
