"""A task that its worker no longer names is lost; not before it had the time to, nor while its start lies unread."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from poco.states import Presence, TaskStatus
from poco.states import ReplicateStatus as R
from poco.wire import NotificationType, Poll, WorkerInfo
from scheduler import forgotten, store
from scheduler import model as m
from scheduler.forgotten import UNNAMED_SECONDS
from scheduler.presence import Roll
from scheduler.store import Store

W = "0x" + "01" * 20
INFO = WorkerInfo(name="pi", platforms=["linux/arm/v7"], cpus=4, memory_mb=900, disk_mb=5000)
TERMS = m.TaskTerms("0x" + "11" * 32, "0x" + "33" * 20, False, 1, 50, 300, 2100, 3000)
TASK = replace(
    TERMS.task(0),
    status=TaskStatus.RUNNING,
    replicates=(m.Replicate(W, R.COMPUTING, 2, 100, 100),),
)
LATER = 100 + UNNAMED_SECONDS + 1


@pytest.fixture
def database(tmp_path: Path) -> Store:
    made = Store(tmp_path / "db")
    with made.write() as db:
        store.add_tasks(db, [TERMS.task(0)], 5)
        store.save_task(db, TERMS.task(0), TASK, 100)
    return made


def found(database: Store, roll: Roll, now: int = LATER + 1) -> list[tuple[str, str]]:
    with database.read() as db:
        return forgotten.find(db, roll, now)


def polled(at: int, running: list[str]) -> Roll:
    roll = Roll(30, 120)
    roll.register(W, INFO, 1)
    roll.heard(W, Poll(presence=Presence.WAITING, free_slots=1, acked=0, running=running), at, at)
    return roll


def test_a_task_that_is_not_named_is_found(database: Store) -> None:
    assert found(database, polled(LATER, [])) == [(W, TASK.id)]
    assert found(database, polled(LATER, [TASK.id])) == []


def test_a_poll_from_before_says_nothing(database: Store) -> None:
    roll = polled(LATER - 1, [])
    roll.hung_up(W, LATER + 50, 1)  # still heard of, but it has named nothing since
    assert found(database, roll, LATER + 60) == []


def test_who_was_never_heard_of_is_left_to_the_clock(database: Store) -> None:
    assert found(database, Roll(30, 120)) == []


def test_what_it_was_not_told_yet_it_cannot_name(database: Store) -> None:
    with database.write() as db:
        store.add_notification(db, m.Notify(W, NotificationType.ABORT, TASK.id, {"cause": "TASK_OVER"}), 100)
    assert found(database, polled(LATER, [])) == []


@pytest.mark.parametrize("status", [R.CREATED, R.CONTRIBUTED, R.WORKER_LOST, R.COMPLETED])
def test_only_what_is_at_work_can_be_forgotten(database: Store, status: R) -> None:
    after = replace(TASK, replicates=(replace(TASK.replicates[0], status=status),))
    with database.write() as db:
        store.save_task(db, TASK, after, 100)
    assert found(database, polled(LATER, [])) == []
