"""The store on a real SQLite file."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import inspect, select

from poco.errors import Cause
from poco.states import ReplicateStatus, TaskStatus
from poco.wire import NotificationType
from scheduler import model as m
from scheduler import store
from scheduler import tables as t
from scheduler.core import step
from scheduler.store import Store

W, V = "0x" + "01" * 20, "0x" + "02" * 20
TERMS = m.TaskTerms("0x" + "11" * 32, "0x" + "33" * 20, False, 1, 50, 300, 2100, 3000)


@pytest.fixture
def database(tmp_path: Path) -> Store:
    return Store(tmp_path / "scheduler.db")


def test_the_migrations_make_the_tables_of_the_code(database: Store) -> None:
    with database.read() as db:
        found = inspect(db)
        for table in t.metadata.sorted_tables:
            have = {c["name"]: c["nullable"] for c in found.get_columns(table.name)}
            assert have == {c.name: c.nullable for c in table.columns}, table.name
        assert db.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert db.exec_driver_sql("PRAGMA synchronous").scalar() == 2


def test_a_second_open_migrates_nothing_and_loses_nothing(tmp_path: Path) -> None:
    first = Store(tmp_path / "db")
    with first.write() as db:
        store.add_tasks(db, [TERMS.task(0)], 5)
    first.close()
    with Store(tmp_path / "db").read() as db:
        assert store.load_task(db, TERMS.task(0).id) == TERMS.task(0)


def test_a_task_is_added_once_and_its_history_is_kept(database: Store) -> None:
    task = TERMS.task(0)
    with database.write() as db:
        assert store.add_tasks(db, [task], 5) == [task.id]
        assert store.add_tasks(db, [task], 6) == []
        after = step(step(task, m.Initialized(), 7)[0], m.Leased(W, 2), 7)[0]
        store.save_task(db, task, after, 7)
        store.save_task(db, after, after, 8)
        assert store.load_task(db, task.id) == after
        rows = [(r.worker, r.status, r.at) for r in db.execute(select(t.history).order_by(t.history.c.id))]
    assert rows == [(None, "RECEIVED", 5), (None, "INITIALIZED", 7), (W, "CREATED", 7)]


def test_what_fails_midway_leaves_nothing(database: Store) -> None:
    with pytest.raises(RuntimeError), database.write() as db:
        store.add_tasks(db, [TERMS.task(0)], 5)
        store.queue_transactions(db, [m.Send(m.Tx.INITIALIZE, TERMS.task(0).id)], 5)
        raise RuntimeError
    with database.read() as db:
        assert store.load_task(db, TERMS.task(0).id) is None
        assert db.execute(select(t.outbox)).first() is None


texts = st.none() | st.sampled_from(["0x" + "aa" * 32, "0x" + "bb" * 32])
replicates = st.builds(
    m.Replicate,
    worker=st.sampled_from([W, V]),
    status=st.sampled_from(list(ReplicateStatus)),
    weight=st.integers(2, 2**40),
    leased_at=st.integers(0, 2**40),
    since=st.integers(0, 2**40),
    attempt=st.integers(1, 9),
    cause=st.none() | st.sampled_from(list(Cause)),
    result_hash=texts,
    rejected=st.booleans(),
    revealed=st.booleans(),
    computed=st.booleans(),
    asked=st.none() | st.sampled_from(list(Cause)),
    uploads=st.integers(0, 9),
    told_reveal=st.booleans(),
    closed=st.booleans(),
)
changes = st.fixed_dictionaries(
    {
        "status": st.sampled_from(list(TaskStatus)),
        "consensus": texts,
        "digest": texts,
        "uploader": st.none() | st.just(W),
        "location": st.none() | st.just("/ipfs/x"),
        "exhausted": st.booleans(),
        "error": st.none() | st.sampled_from(list(Cause)),
        "sent": st.none() | st.sampled_from(list(m.Tx)),
        "retry_at": st.integers(0, 2**40),
        "replicates": st.lists(replicates, max_size=2, unique_by=lambda r: r.worker).map(tuple),
    }
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes, changes)
def test_what_is_saved_is_loaded(database: Store, first: dict[str, object], second: dict[str, object]) -> None:
    task = TERMS.task(0)
    one = replace(task, **first)
    two = replace(one, **second)
    new = {r.worker: r for r in two.replicates}  # replicates change and are added, their order stays
    kept = tuple(new.pop(r.worker, r) for r in one.replicates)
    two = replace(two, replicates=(*kept, *new.values()))
    with database.write() as db:
        for table in (t.tasks, t.replicates, t.history):
            db.execute(table.delete())
        store.add_tasks(db, [task], 0)
        store.save_task(db, task, one, 1)
        assert store.load_task(db, task.id) == one
        store.save_task(db, one, two, 2)
        loaded = store.load_task(db, task.id)
    assert loaded == two


def test_notifications_are_numbered_kept_and_forgotten_when_acknowledged(database: Store) -> None:
    with database.write() as db:
        for kind in (NotificationType.REVEAL, NotificationType.UPLOAD):
            store.add_notification(db, m.Notify(W, kind, TERMS.task(0).id), 100)
        store.add_notification(db, m.Notify(V, NotificationType.COMPLETE, TERMS.task(0).id), 100)
        first, second = store.unacked(db, W)
        assert (first.type, second.type) == (NotificationType.REVEAL, NotificationType.UPLOAD)
        assert second.seq == first.seq + 1
        store.acknowledge(db, {W: first.seq})
        assert store.unacked(db, W) == [second]
        assert len(store.unacked(db, V)) == 1
        store.acknowledge(db, {W: second.seq})
        store.add_notification(db, m.Notify(W, NotificationType.ABORT, TERMS.task(0).id), 100)
        assert store.unacked(db, W)[0].seq == second.seq + 1


def test_numbers_rise_even_where_the_store_was_lost(tmp_path: Path) -> None:
    seqs = []
    for name, now in (("a", 1000), ("b", 2000)):
        with Store(tmp_path / name).write() as db:
            store.add_notification(db, m.Notify(W, NotificationType.REVEAL, TERMS.task(0).id), now)
            seqs.append(store.unacked(db, W)[0].seq)
    assert seqs[0] < seqs[1]


def test_writers_wait_for_each_other_and_readers_for_nobody(database: Store) -> None:
    task = TERMS.task(0)
    with database.write() as db:
        store.add_tasks(db, [task], 0)

    def count() -> None:
        for _ in range(25):
            with database.write() as db:
                before = store.load_task(db, task.id)
                assert before is not None
                store.save_task(db, before, replace(before, tx_failures=before.tx_failures + 1), 1)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    with database.write(), database.read() as db:
        assert store.load_task(db, task.id) is not None
    for thread in threads:
        thread.join()
    with database.read() as db:
        done = store.load_task(db, task.id)
        assert done is not None
        assert done.tx_failures == 100


def test_loops_find_what_they_look_for(database: Store) -> None:
    with database.write() as db:
        for index in range(3):
            task = TERMS.task(index)
            store.add_tasks(db, [task], 0)
            if index:
                store.save_task(db, task, step(task, m.Initialized(), 0)[0], 0)
        wanted = select(t.tasks.c.index).where(t.tasks.c.wanted)
        assert set(db.scalars(wanted)) == {1, 2}
        assert store.due_tasks(db, 0, 10) == [TERMS.task(0).id]
        assert len(store.due_tasks(db, 10_000, 10)) == 3
        assert store.count_by_status(db) == {"RECEIVED": 1, "INITIALIZED": 2}


def test_a_bag_of_ten_thousand_tasks(database: Store) -> None:
    bag = [TERMS.task(index) for index in range(10_000)]
    with database.write() as db:
        assert len(store.add_tasks(db, bag, 0)) == 10_000
        assert store.add_tasks(db, bag, 0) == []
        assert store.count_by_status(db) == {"RECEIVED": 10_000}
        assert store.load_task(db, bag[9_999].id) == bag[9_999]
