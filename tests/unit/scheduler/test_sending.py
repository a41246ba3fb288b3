"""Which outbox rows go next, which share a transaction, and the leases of nonces in the scheduler's database."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from chain.book import Ended, Prepared
from scheduler import model as m
from scheduler import sending, store
from scheduler import tables as t
from scheduler.core import step
from scheduler.reorgs import last_common
from scheduler.store import Store

NOW = 1000


def terms(deal: str, contribution: int = 5000, final: int = 9000) -> m.TaskTerms:
    return m.TaskTerms(
        deal_id="0x" + deal * 64,
        app="0x" + "11" * 20,
        callback=False,
        trust=1,
        worker_stake=0,
        run_seconds=300,
        contribution_deadline=contribution,
        final_deadline=final,
    )


@pytest.fixture
def database(tmp_path: Path) -> Store:
    return Store(tmp_path / "scheduler.db")


def put(database: Store, of: m.TaskTerms, count: int) -> list[m.Task]:
    tasks = [of.task(index) for index in range(count)]
    with database.write() as db:
        store.add_tasks(db, tasks, NOW)
        store.queue_transactions(db, [m.Send(m.Tx.INITIALIZE, task.id) for task in tasks], NOW)
    return tasks


def indexes(rows: list[dict[str, object]]) -> list[object]:
    return [row["index"] for row in rows]


def initialize(database: Store, tasks: list[m.Task]) -> None:
    with database.write() as db:
        for task in tasks:
            store.save_task(db, task, step(task, m.Initialized(), NOW)[0], NOW)
            number = db.scalar(select(t.outbox.c.id).where(t.outbox.c.task_id == task.id))
            sending.set_rows(db, [number], NOW, status=store.DONE)


def test_what_pays_comes_first_and_oldest_first(database: Store) -> None:
    tasks = put(database, terms("a"), 3)
    with database.write() as db:
        for kind, task in ((m.Tx.CLAIM, tasks[0]), (m.Tx.FINALIZE, tasks[1]), (m.Tx.FINALIZE, tasks[2])):
            store.queue_transactions(db, [m.Send(kind, task.id, "/ipfs/x")], NOW)
    with database.read() as db:
        found = sending.next_rows(db, NOW, 10)
        assert [(row["kind"], row["task_id"]) for row in found] == [
            ("finalize", tasks[1].id),
            ("finalize", tasks[2].id),
            ("claim", tasks[0].id),
        ]
        assert sending.next_rows(db, NOW - 1, 10) == []


def test_only_so_many_tasks_of_a_deal_are_initialized_ahead(database: Store) -> None:
    tasks = put(database, terms("a"), 100)
    with database.read() as db:
        rows = sending.next_tasks(db, NOW, ahead=20, limit=10)
    assert indexes(rows) == list(range(10))
    initialize(database, tasks[:10])
    with database.read() as db:
        assert indexes(sending.next_tasks(db, NOW, ahead=20, limit=10)) == list(range(10, 20))
    initialize(database, tasks[10:15])
    with database.read() as db:
        assert sending.next_tasks(db, NOW, ahead=20, limit=10) == []
        assert len(sending.next_tasks(db, NOW, ahead=40, limit=10)) == 10


def test_one_deals_backlog_holds_up_no_other(database: Store) -> None:
    first = put(database, terms("a"), 50)
    initialize(database, first[:20])
    put(database, terms("b", contribution=6000), 2)
    put(database, terms("c", contribution=5500), 1)
    with database.read() as db:
        rows = sending.next_tasks(db, NOW, ahead=20, limit=10)
    assert [row["deal_id"][2] for row in rows] == ["c", "b", "b"]


def test_nothing_is_initialized_that_nobody_could_finish(database: Store) -> None:
    put(database, terms("a"), 2)
    with database.read() as db:
        assert sending.next_tasks(db, 4700, ahead=20, limit=10) == []
        assert sending.next_tasks(db, 9000, ahead=20, limit=10) == []
        assert indexes(sending.next_tasks(db, 9001, ahead=20, limit=10)) == [0, 1]


def prepared(name: str, nonce: int = 3) -> Prepared:
    """A legacy transaction in all that a lease needs of it."""
    import rlp

    return Prepared(f"0x{name}", rlp.encode([nonce.to_bytes(1, "big"), b"\x07", b"\x01", b"", b"", name.encode()]))


def test_a_lease_is_kept_with_its_rows_and_all_its_hashes(database: Store) -> None:
    put(database, terms("a"), 2)
    book = sending.StoreBook(lambda: database)
    book.bind("s", [1, 2])
    book.keep("s", prepared("aa"), NOW)
    book.keep("s", prepared("bb"), NOW + 60)
    (lease,) = book.open()
    assert (lease.step, lease.nonce) == ("s", 3)
    assert [(a.tx_hash, a.at) for a in lease.attempts] == [("0xaa", NOW), ("0xbb", NOW + 60)]
    with database.read() as db:
        assert [row["tx_hash"] for row in sending.rows_of(db, "s")] == ["0xaa", "0xaa"]
        assert sending.orphans(db) == []
    book.end(lease, Ended("MINED", "0xaa", 12, 34))
    assert book.open() == []
    with database.read() as db:
        assert sending.orphans(db) == ["s"]
        assert sending.ended_as(db, "s") == ("MINED", "0xaa")
        states = {row.hash: (row.state, row.block, row.cost_wei) for row in db.execute(select(t.transactions))}
    assert states == {"0xaa": ("MINED", 12, "34"), "0xbb": ("GONE", None, None)}
    # after a reorganisation the very same bytes may be signed for another step
    book.keep("again", prepared("aa"), NOW + 90)
    assert [lease.step for lease in book.open()] == ["again"]


def test_the_last_common_block_is_found_wherever_it_is() -> None:
    known = [(number, f"0x{number}") for number in range(40, 0, -2)]
    for fork in range(42):
        asked: list[int] = []

        def same(number: int, _: str, fork: int = fork, asked: list[int] = asked) -> bool:
            asked.append(number)
            return number <= fork

        expected = max((number for number, _ in known if number <= fork), default=None)
        assert last_common(known, same) == expected
        assert len(asked) <= 6
    assert last_common([], lambda *_: True) is None
