"""The engine after its clock showed too much for a while: nothing is left behind that an hour must heal."""

from __future__ import annotations

from pathlib import Path

import pytest
from eth_account import Account
from sqlalchemy import select, update

from chain.wallet import Wallet
from poco.ids import result_hash
from poco.states import Presence
from poco.wire import Poll
from scheduler import model as m
from scheduler import sending, store
from scheduler import tables as t
from scheduler.engine import Engine
from scheduler.funds import Funds
from scheduler.presence import Roll
from scheduler.store import Store

NOW = 1_000_000
HOUR = 3600
T = 60
A, B = (f"0x{n:040x}" for n in (10, 11))
DIGEST = "0x" + "ab" * 32


class Pool:
    """An engine on a database of its own, with a clock that may be set, and one task of trust 1."""

    def __init__(self, folder: Path) -> None:
        self.now = NOW
        self.database = Store(folder / "scheduler.db")
        self.roll = Roll(30, 120)
        wallet = Wallet(Account.create())
        self.engine = Engine(self.database, self.roll, Funds(None, ""), wallet, clock=lambda: float(self.now))  # type: ignore[arg-type]
        terms = m.TaskTerms("0x" + "11" * 32, "0x" + "33" * 20, False, 1, 5, T, NOW + 7 * T, NOW + 10 * T)
        self.task = terms.task(0)
        self.hash = result_hash(self.task.id, DIGEST)
        with self.database.write() as db:
            self.engine.add_tasks(db, [self.task])
        self.engine.tick()
        self.sent()

    def apply(self, *events: m.Event) -> None:
        for event in events:
            self.engine.apply(self.task.id, event)

    def jump(self, seconds: int) -> None:
        self.now += seconds
        self.engine.tick()

    def queued(self) -> list[str]:
        with self.database.read() as db:
            return list(db.scalars(select(t.outbox.c.kind).where(t.outbox.c.status == store.QUEUED)))

    def sent(self) -> None:
        """What is queued was mined."""
        with self.database.write() as db:
            db.execute(update(t.outbox).values(status=store.DONE))

    def known(self) -> m.Task:
        with self.database.read() as db:
            found = store.load_task(db, self.task.id)
        assert found is not None
        return found

    def row(self) -> tuple[bool, int | None]:
        with self.database.read() as db:
            found = db.execute(select(t.tasks.c.wanted, t.tasks.c.due_at)).one()
        return found.wanted, found.due_at


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    return Pool(tmp_path)


def test_a_claim_that_is_not_due_keeps_no_result_from_its_pay(pool: Pool) -> None:
    pool.apply(m.Initialized(), m.Leased(A, 2), m.Contributed(A, pool.hash))
    pool.apply(m.ConsensusReached(pool.hash, NOW + 2 * T), m.Revealed(A, DIGEST))
    pool.jump(HOUR)
    assert pool.queued() == ["claim"]
    pool.apply(m.Uploaded(A, "/ipfs/x"))
    assert pool.queued() == ["claim"]
    pool.jump(-HOUR)
    assert pool.queued() == ["finalize"]
    assert pool.known().sent is m.Tx.FINALIZE


def test_a_claim_that_is_due_stays(pool: Pool) -> None:
    pool.apply(m.Initialized())
    pool.jump(2 * HOUR)
    pool.jump(-HOUR)
    assert pool.queued() == ["claim"]


def test_a_task_is_given_out_again(pool: Pool) -> None:
    pool.apply(m.Initialized(), m.Leased(A, 2))
    pool.jump(HOUR)
    assert pool.row()[0] is False
    pool.jump(-HOUR)
    wanted, due_at = pool.row()
    assert wanted
    assert due_at is not None
    assert due_at <= NOW + 10 * T + 1
    assert all(max(r.since, r.leased_at) <= NOW for r in pool.known().replicates)


def test_what_was_put_off_goes_at_once(pool: Pool) -> None:
    pool.now += HOUR
    pool.apply(m.TransactionFailed(m.Tx.INITIALIZE))
    with pool.database.write() as db:
        store.queue_transactions(db, [m.Send(m.Tx.FINALIZE, pool.task.id)], pool.now)
    pool.engine.tick()
    pool.jump(-HOUR)
    assert pool.known().retry_at <= NOW
    assert pool.known().sent is m.Tx.INITIALIZE
    with pool.database.read() as db:
        assert [row["kind"] for row in sending.next_rows(db, NOW, 5)] == ["finalize"]


def test_another_process_that_leads_mends_it_too(pool: Pool) -> None:
    pool.apply(m.Initialized())
    pool.now += HOUR
    pool.engine.tick()
    pool.now -= HOUR
    other = pool.engine.on(pool.database)
    other.tick()
    assert pool.queued() == []
    assert pool.known().sent is None


def test_nobody_is_believed_alive_by_an_hour_that_never_was(pool: Pool) -> None:
    poll = Poll(presence=Presence.WAITING, free_slots=1, acked=0, wait_seconds=5)
    pool.now += HOUR
    for worker in (A, B):
        with pool.database.write() as db:
            store.ensure_worker(db, worker, pool.now)
        pool.roll.heard(worker, poll, pool.now, pool.now + 5)
    pool.engine.tick()
    pool.engine.flush()
    pool.jump(-HOUR)
    loaded = Roll(30, 120)
    with pool.database.read() as db:
        loaded.load(db, pool.now)
    for roll in (pool.roll, loaded):
        seen = roll.get(A)
        assert seen is not None
        assert roll.presence(seen, pool.now) is Presence.WAITING
        assert roll.presence(seen, pool.now + 200) is Presence.LOST
    pool.roll.heard(B, poll, pool.now + 1, pool.now + 6)
    pool.now += 40
    pool.roll.heard(B, poll, pool.now, pool.now + 5)
    pool.engine.flush()
    with pool.database.read() as db:
        written = db.scalar(select(t.workers.c.last_seen).where(t.workers.c.wallet == B))
    assert written == pool.now
