"""The engine on a real database: what it looks at when, whose word it takes, and what another process did meanwhile."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from eth_account import Account
from sqlalchemy import select

from chain.wallet import Wallet
from poco.errors import Cause
from poco.ids import result_hash
from poco.states import Presence
from poco.states import ReplicateStatus as R
from poco.wire import NotificationType, Poll, Verdict, WorkerInfo
from scheduler import engine as engines
from scheduler import model as m
from scheduler import store
from scheduler import tables as t
from scheduler.clock import TICK_SECONDS, Clock
from scheduler.engine import Engine
from scheduler.funds import Funds
from scheduler.postgres import StoreUnreachableError
from scheduler.presence import Roll
from scheduler.rules import START_SECONDS
from scheduler.store import Store

NOW = 1_000_000
T = 300
DIGEST = "0x" + "ab" * 32
A, B = (f"0x{n:040x}" for n in (10, 11))
INFO = WorkerInfo(name="pi", platforms=["linux/amd64", "linux/arm64"], cpus=4, memory_mb=900, disk_mb=5000)


class Pool:
    """An engine on a database of its own, with a clock that is set, and tasks of one deal, initialized."""

    def __init__(self, folder: Path) -> None:
        self.now = NOW
        self.database = Store(folder / "scheduler.db")
        self.engine = self.another()
        self.tasks: list[m.Task] = []

    def another(self) -> Engine:
        """A process on the same database."""
        wallet = Wallet(Account.create())
        return Engine(self.database, Roll(30, 120), Funds(None, ""), wallet, clock=lambda: float(self.now))  # type: ignore[arg-type]

    def deal(self, count: int, trust: int = 1) -> list[str]:
        terms = m.TaskTerms("0x" + "11" * 32, "0x" + "33" * 20, False, trust, 5, T, NOW + 7 * T, NOW + 10 * T)
        tasks = [terms.task(index) for index in range(count)]
        with self.database.write() as db:
            self.engine.add_tasks(db, tasks)
        ids = sorted(task.id for task in tasks)
        self.engine.apply_all([(task_id, m.Initialized()) for task_id in ids])
        return ids

    def told(self, worker: str) -> list[str]:
        with self.database.read() as db:
            return [one.type.value for one in store.unacked(db, worker)]

    def known(self, task_id: str) -> m.Task:
        with self.database.read() as db:
            found = store.load_task(db, task_id)
        assert found is not None
        return found


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    return Pool(tmp_path)


def test_what_waits_long_keeps_nobody_from_its_turn(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """More slow runs than one round looks at: a failed transaction behind them is tried again all the same."""
    monkeypatch.setattr(engines, "BATCH", 5)
    *slow, last = pool.deal(8)
    for task_id in slow:
        pool.engine.apply(task_id, m.Leased(A, 2))
        pool.engine.apply(task_id, m.Reported(A, R.STARTED))
    pool.now += START_SECONDS + T + 5  # another worker is wanted beside each, and none is there
    pool.engine.apply(last, m.Leased(B, 2))
    pool.now += START_SECONDS + 1  # and this one was never begun
    for _ in range(4):
        pool.engine.tick()
    replicate = pool.known(last).replicate(B)
    assert replicate is not None
    assert replicate.status is R.WORKER_LOST
    with pool.database.read() as db:
        assert store.due_tasks(db, pool.now, 100) == []
        assert all(db.scalars(select(t.tasks.c.wanted)))


def test_only_who_runs_a_task_says_that_its_app_has_no_image(pool: Pool) -> None:
    (task_id,) = pool.deal(1)
    pool.engine.roll.register(A, INFO, NOW)
    pool.engine.roll.register(B, INFO, NOW)
    lacking = m.Reported(B, R.FAILED, Cause.APP_IMAGE_PLATFORM_UNSUPPORTED)
    assert pool.engine.report(task_id, B, lacking) is Verdict.ABORT
    with pool.database.read() as db:
        assert db.execute(select(t.missing_images)).all() == []
    pool.engine.apply(task_id, m.Leased(B, 2))
    assert pool.engine.report(task_id, B, lacking) is Verdict.OK
    with pool.database.read() as db:
        known = {row.platform for row in db.execute(select(t.missing_images))}
    assert known == {"linux/amd64", "linux/arm64"}


def test_no_deadline_is_held_against_a_worker_before_the_chain_is_read(pool: Pool) -> None:
    """The scheduler was away over the deadline, and the worker has contributed meanwhile."""
    (task_id,) = pool.deal(1)
    pool.engine.apply(task_id, m.Leased(A, 2))
    pool.engine.apply(task_id, m.Reported(A, R.CONTRIBUTING))
    pool.now += 7 * T + 5
    read = threading.Event()
    clock = Clock(pool.engine, lambda: pool.engine, read.is_set)
    clock.start()
    try:
        time.sleep(3 * TICK_SECONDS)
        assert pool.told(A) == ["START"]
        agreed = result_hash(task_id, DIGEST)
        pool.engine.apply_all([(task_id, m.Contributed(A, agreed)), (task_id, m.ConsensusReached(agreed, NOW + 9 * T))])
        read.set()
        time.sleep(3 * TICK_SECONDS)
        assert pool.told(A) == ["START", "REVEAL"]
    finally:
        clock.stop()


def test_what_the_database_did_not_take_is_written_the_next_time(pool: Pool) -> None:
    """A sleep that was announced while the database was away survives a restart of the scheduler."""
    away = True

    def check(_db: object) -> None:
        if away:
            raise StoreUnreachableError("the database does not answer")

    engine = pool.engine
    engine.roll.register(A, INFO, NOW)
    with pool.database.write() as db:
        store.ensure_worker(db, A, NOW)
        store.add_notification(db, m.Notify(A, NotificationType.REVEAL, "0x" + "22" * 32), NOW)
        seq = store.unacked(db, A)[0].seq
    engine.roll.heard(A, Poll(presence=Presence.ASLEEP, resume_at=NOW + 9000, free_slots=0, acked=seq), NOW, NOW)
    engine.acknowledged(A, seq)
    engine.store = pool.database.guarded(check)
    with pytest.raises(StoreUnreachableError):
        engine.flush()
    away = False
    engine.flush()
    assert pool.told(A) == []
    later = Roll(30, 120)
    with pool.database.read() as db:
        later.load(db, NOW + 5000)
    seen = later.get(A)
    assert seen is not None
    assert later.presence(seen, NOW + 8000) is Presence.ASLEEP


def test_the_tasks_of_a_lost_worker_are_given_on_once_the_database_is_back(pool: Pool) -> None:
    """A full disk, just when the worker was taken for lost."""
    (task_id,) = pool.deal(1)
    away = False

    def check(_db: object) -> None:
        if away:
            raise StoreUnreachableError("the database does not answer")

    engine = pool.engine
    engine.roll.register(A, INFO, pool.now)
    engine.roll.heard(A, Poll(presence=Presence.WORKING, free_slots=0, acked=0), pool.now, pool.now)
    engine.apply(task_id, m.Leased(A, 2))
    engine.apply(task_id, m.Reported(A, R.STARTED))
    engine.tick()
    engine.store = pool.database.guarded(check)
    pool.now += 130
    away = True
    with suppress(StoreUnreachableError):
        engine.tick()
    away = False
    pool.now += 2
    engine.tick()
    replicate = pool.known(task_id).replicate(A)
    assert replicate is not None
    assert replicate.status is R.WORKER_LOST
