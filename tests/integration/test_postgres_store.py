"""The store on a real PostgreSQL: migrations, rows that one transaction at a time decides on, fencing, signals."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from sqlalchemy import Connection, create_engine, inspect, select, text, update

from chain.wallet import Wallet
from ops.console import ROOT
from ops.postgres import Postgres as Server
from poco.errors import BadInputError
from poco.states import Presence
from poco.wire import NotificationType, Poll
from scheduler import model as m
from scheduler import postgres as backend
from scheduler import schema, sharing, store
from scheduler import tables as t
from scheduler.engine import Engine, Wake
from scheduler.funds import Funds
from scheduler.lease import LeaseLostError, RowLease
from scheduler.presence import Roll
from scheduler.signals import Signals
from scheduler.store import Store

W, V = "0x" + "01" * 20, "0x" + "02" * 20
TERMS = m.TaskTerms("0x" + "11" * 32, "0x" + "33" * 20, False, 1, 50, 300, 2**40, 2**41)


@pytest.fixture
def url(postgres: Server, request: pytest.FixtureRequest) -> str:
    """An empty database."""
    return postgres.create(f"t{abs(hash(request.node.name))}")


@pytest.fixture
def database(url: str) -> Iterator[Store]:
    made = Store(backend.parse(url))
    yield made
    made.close()


def engine_on(database: Store) -> Engine:
    return Engine(database, Roll(30, 120), Funds(None, ""), Wallet(Account.create()))  # type: ignore[arg-type]


def together(*jobs: Callable[[], Any]) -> list[Any]:
    """Run all at once; what each returned or raised."""
    outcomes: list[Any] = [None] * len(jobs)

    def run(number: int) -> None:
        try:
            outcomes[number] = jobs[number]()
        except Exception as error:
            outcomes[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return outcomes


def check_tables(db: Connection) -> None:
    found = inspect(db)
    for table in t.metadata.sorted_tables:
        have = {c["name"]: c["nullable"] for c in found.get_columns(table.name)}
        assert have == {c.name: c.nullable for c in table.columns}, table.name


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_database_of_the_first_revision_is_brought_up_to_date(url: str, tmp_path: Path, kind: str) -> None:
    where = backend.parse(url) if kind == "postgresql" else tmp_path / "old.db"
    old = create_engine(where if kind == "postgresql" else f"sqlite:///{where}")
    wallet = {"wallet": W, "name": "a", "platforms": "[]", "cpus": 1, "memory_mb": 1, "disk_mb": 1, "energy": "{}"}
    wallet |= {"presence": "WAITING", "free_slots": 1, "last_seen": 7, "next_seq": 9, "registered": True}
    names = ", ".join(wallet)
    with old.begin() as db:
        schema.upgrade(db, "0001")
        db.execute(text(f"INSERT INTO workers ({names}) VALUES ({', '.join(f':{n}' for n in wallet)})"), wallet)  # noqa: S608
    old.dispose()
    database = Store(where)
    with database.read() as db:
        check_tables(db)
        row = db.execute(select(t.workers)).mappings().one()
        assert (row["wallet"], row["name"], row["registered"], row["faults"]) == (W, "a", True, 0)
        # numbers go on rising although this database knows only small ones
        assert row["next_seq"] > 10**12
    database.close()


def test_processes_that_open_it_at_once_migrate_it_once(url: str) -> None:
    opened = together(*[lambda: Store(backend.parse(url))] * 3)
    assert all(isinstance(one, Store) for one in opened), opened
    with opened[0].read() as db:
        check_tables(db)
    for one in opened:
        one.close()


def test_a_task_is_given_to_one_of_many_who_want_it(database: Store) -> None:
    first, second = engine_on(database), engine_on(database)
    ids = [TERMS.task(number).id for number in range(20)]
    with database.write() as db:
        store.add_tasks(db, [TERMS.task(number) for number in range(20)], 5)
    for task_id in ids:
        first.apply(task_id, m.Initialized())

    def claim(engine: Engine, wallet: str) -> set[str]:
        done = {task_id: engine.apply(task_id, m.Leased(wallet, 2)) for task_id in ids}
        return {task_id for task_id, effects in done.items() if any(isinstance(e, m.Authorize) for e in effects)}

    mine, theirs = together(lambda: claim(first, W), lambda: claim(second, V))
    assert not mine & theirs
    with database.read() as db:
        given = [task for task in store.tasks_by_id(db, ids) if task.replicates]
        assert {task.id for task in given} == mine | theirs
        assert all(len(task.replicates) == 1 for task in given)
        assert len(store.unacked(db, W)) == len(mine)


def test_a_deadlock_is_done_again(database: Store) -> None:
    with database.write() as db:
        store.add_tasks(db, [TERMS.task(0), TERMS.task(1)], 5)
    ids = [TERMS.task(0).id, TERMS.task(1).id]
    met = threading.Barrier(2)
    tries: list[int] = []

    def crossing(order: list[str]) -> str:
        def work(db: Connection) -> str:
            tries.append(1)
            store.lock_task(db, order[0])
            if len(tries) <= 2:
                met.wait(10)
            found = store.lock_task(db, order[1])
            assert found is not None
            return found.id

        return database.transact(work)

    assert together(lambda: crossing(ids), lambda: crossing(ids[::-1])) == ids[::-1]
    assert len(tries) == 3


def test_who_reads_a_number_has_read_every_lower_one(database: Store) -> None:
    done = threading.Event()

    def tell() -> None:
        for _ in range(30):
            with database.write() as db:
                store.add_notification(db, m.Notify(W, NotificationType.REVEAL, TERMS.task(0).id), 5)

    def listen() -> list[int]:
        seen: list[int] = []
        while True:
            last = done.is_set()
            with database.read() as db:
                seen += [one.seq for one in store.unacked(db, W, seen[-1] if seen else -1)]
            if last:
                return seen

    def all_tell() -> None:
        assert together(*[tell] * 4) == [None] * 4
        done.set()

    _, seen = together(all_tell, listen)
    assert len(seen) == 120
    assert seen == list(range(seen[0], seen[0] + 120))


def test_a_lease_goes_to_another_only_when_it_has_run_out_and_the_old_holder_writes_nothing(database: Store) -> None:
    first, second = RowLease(database, "first", 1.0), RowLease(database, "second", 30)
    epoch = first.acquire()
    assert epoch == 1
    assert second.acquire() is None
    assert first.renew(1, {"block": 5})
    assert second.look().state == {"block": 5}
    guarded = database.guarded(lambda db: first.require(db, 1))
    with guarded.write() as db:
        store.set_meta(db, "a", "1")
        assert first.renew(1, {})  # not in the way of its own writes
    time.sleep(1.1)
    assert not first.look().live
    assert second.acquire() == 2
    with pytest.raises(LeaseLostError), guarded.write() as db:
        store.set_meta(db, "a", "2")
    assert not first.renew(1, {})
    first.release(1)
    assert second.look().live
    with database.read() as db:
        assert store.get_meta(db, "a") == "1"
    second.release(2)
    assert first.acquire() == 3


LEADER = """
import sys, time
from scheduler import postgres, store
postgres.IDLE_SECONDS = 2
from scheduler.lease import RowLease
from scheduler.store import Store
database = Store(postgres.parse(sys.argv[1]))
lease = RowLease(database, "paused", 1.0)
assert lease.acquire() == 1
guarded = database.guarded(lambda db: lease.require(db, 1))
number = 0
while True:
    try:
        with guarded.write() as db:
            store.set_meta(db, "paused", str(number))
            print("inside", flush=True)
            time.sleep(0.3)
        number += 1
        lease.renew(1, {})
    except Exception as error:
        print(type(error).__name__, flush=True)
        time.sleep(0.1)
"""


def test_a_leader_that_was_paused_inside_a_transaction_comes_back_and_writes_nothing(database: Store, url: str) -> None:
    leader = subprocess.Popen([sys.executable, "-c", LEADER, url], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert leader.stdout is not None
        for _ in range(2):
            assert leader.stdout.readline() == "inside\n"
        leader.send_signal(signal.SIGSTOP)
        other = RowLease(database, "other", 30)
        end = time.monotonic() + 20
        while (epoch := other.acquire()) is None and time.monotonic() < end:
            time.sleep(0.1)
        assert epoch == 2
        with database.read() as db:
            before = store.get_meta(db, "paused")
        leader.send_signal(signal.SIGCONT)
        said = {leader.stdout.readline().strip() for _ in range(4)}
        assert "LeaseLostError" in said
        with database.read() as db:
            assert store.get_meta(db, "paused") == before == "0"
    finally:
        leader.kill()
        leader.wait()


def test_what_one_process_commits_the_others_hear(database: Store) -> None:
    heard: list[Wake] = []
    missed = threading.Event()
    listener = Signals(database.shared, "a", heard.append, missed.set)  # type: ignore[arg-type]
    teller = Signals(database.shared, "b", heard.append, lambda: None)  # type: ignore[arg-type]
    for one in (listener, teller):
        one.start()
    try:
        assert missed.wait(10)
        workers, tasks = (frozenset(f"0x{n:0{size}x}" for n in range(200)) for size in (40, 64))
        teller.tell(Wake(workers=workers, tasks=tasks, lease=True))
        teller.tell(Wake(send=True))
        end = time.monotonic() + 10
        whole = Wake()
        while whole != Wake(workers, tasks, lease=True, send=True) and time.monotonic() < end:
            time.sleep(0.02)
            for one_heard in list(heard):
                whole |= one_heard
        assert whole == Wake(workers, tasks, lease=True, send=True)
        # a listener whose connection is ended listens again, and says that it may have missed something
        missed.clear()
        with database.write() as db:
            db.execute(text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"))
        assert missed.wait(10)
    finally:
        for one in (listener, teller):
            one.stop()


def test_presence_passes_from_process_to_process(database: Store) -> None:
    here, there = Roll(30, 120), Roll(30, 120)
    with database.write() as db:
        store.ensure_worker(db, W, 5)
        db.execute(update(t.workers).values(last_seen=1000, presence="ASLEEP", resume_at=5000, name="solar"))
    with database.read() as db:
        here.merge(db, 1001)
        there.load(db, 1001)
    seen = here.get(W)
    assert seen is not None
    assert (seen.said.value, seen.resume_at, seen.name, seen.last_seen) == ("ASLEEP", 5000, "solar", 1000)
    there.heard(W, Poll(presence=Presence.ASLEEP, resume_at=5000, free_slots=0, acked=0), 1010, 1010)
    with database.write() as db:
        db.execute(update(t.workers).values(last_seen=1020))
        there.flush(db, 1011)  # what was heard later elsewhere stays
        assert db.scalar(select(t.workers.c.last_seen)) == 1020


def test_a_password_is_in_no_error(postgres: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    postgres.create("guarded")
    address = postgres.loopback("guarded")
    file = tmp_path / "password"
    file.write_text("Wr0ngWr0ng\n")
    with pytest.raises(BadInputError) as refused:
        Store(backend.with_password(backend.parse(address), file))
    assert "authentication" in refused.value.message
    assert "Wr0ng" not in str(refused.value) + capsys.readouterr().err
    file.write_text(postgres.password + "\n")
    Store(backend.with_password(backend.parse(address), file)).close()
    for bad in (address.replace("pew@", "pew:Secr3t@"), address + "?password=Secr3t", "mysql://h/Secr3t", "Secr3t"):
        with pytest.raises(BadInputError) as refused:
            backend.parse(bad)
        assert "Secr3t" not in str(refused.value)
    with pytest.raises(BadInputError, match="cannot be read"):
        backend.with_password(backend.parse(address), tmp_path / "none")


def test_schedulers_that_share_nothing_else_than_the_database_are_refused(database: Store, tmp_path: Path) -> None:
    sharing.require_same(database, "pool a", tmp_path / "files")
    sharing.require_same(database, "pool a", tmp_path / "files")
    with pytest.raises(BadInputError, match="another folder"):
        sharing.require_same(database, "pool a", tmp_path / "mine")
    with pytest.raises(BadInputError, match="another pool"):
        sharing.require_same(database, "pool b", tmp_path / "files")
