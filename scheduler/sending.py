"""What the outbox reads and writes: which rows are next, which share a transaction, and the leases of nonces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Select, and_, case, delete, func, insert, or_, select, update

from chain.book import Ended, Prepared
from chain.nonces import Attempt, Lease
from poco.states import TaskStatus
from scheduler import store
from scheduler import tables as t
from scheduler.model import Tx
from scheduler.store import Store

#: What pays comes before what begins.
_URGENCY = {Tx.FINALIZE.value: 0, Tx.REOPEN.value: 1, Tx.CLAIM.value: 2, Tx.INITIALIZE.value: 3}
_OPEN = "OPEN"


class StoreBook:
    """`chain.book.Book` in the scheduler's database; with the first transaction of a step its rows become SENT."""

    def __init__(self, database: Callable[[], Store]) -> None:
        self._database = database
        #: rows of steps that are just being sent
        self._rows: dict[str, Sequence[int]] = {}

    def bind(self, step: str, rows: Sequence[int]) -> None:
        """Say which outbox rows a step is about to be sent for."""
        self._rows = {step: rows}

    def open(self) -> list[Lease]:
        x = t.transactions.c
        query = select(t.transactions).where(x.state == _OPEN).order_by(x.nonce, x.sent_at)
        found: dict[tuple[str, int], list[Attempt]] = {}
        with self._database().read() as db:
            for row in db.execute(query):
                found.setdefault((row.step, row.nonce), []).append(Attempt(row.hash, bytes(row.raw), row.sent_at))
        return [Lease(step, nonce, tuple(attempts)) for (step, nonce), attempts in found.items()]

    def keep(self, step: str, prepared: Prepared, now: int) -> None:
        row = {"hash": prepared.tx_hash, "step": step, "nonce": prepared.nonce, "raw": prepared.raw}
        numbers = self._rows.get(step, ())
        sent = {"status": store.SENT, "step": step, "tx_hash": prepared.tx_hash, "error": None, "updated_at": now}

        def work(db: Connection) -> None:
            # after a reorganisation the same bytes may be signed again
            db.execute(delete(t.transactions).where(t.transactions.c.hash == prepared.tx_hash))
            db.execute(insert(t.transactions).values(**row, sent_at=now, state=_OPEN))
            if numbers:
                db.execute(update(t.outbox).where(t.outbox.c.id.in_(numbers)).values(**sent))

        self._database().transact(work)
        self._rows = {}

    def end(self, lease: Lease, ended: Ended) -> None:
        x = t.transactions.c
        mine = and_(x.step == lease.step, x.nonce == lease.nonce)
        cost = None if ended.cost_wei is None else str(ended.cost_wei)

        def work(db: Connection) -> None:
            db.execute(update(t.transactions).where(mine, x.state == _OPEN).values(state="GONE"))
            if ended.tx_hash is not None:
                mined = update(t.transactions).where(x.hash == ended.tx_hash)
                db.execute(mined.values(state=ended.state, block=ended.block, cost_wei=cost))

        self._database().transact(work)


def rows_of(db: Connection, step: str) -> list[dict[str, Any]]:
    """The outbox rows that a step was sent for, with the deadlines of their tasks."""
    o = t.outbox.c
    query = _with_task().where(o.step == step, o.status == store.SENT).order_by(o.id)
    return [dict(row) for row in db.execute(query).mappings()]


def orphans(db: Connection) -> list[str]:
    """Steps of rows that are SENT, whose lease has ended: the process died between the two."""
    o, x = t.outbox.c, t.transactions.c
    open_steps = select(x.step).where(x.state == _OPEN)
    query = select(o.step).distinct().where(o.status == store.SENT, o.step.not_in(open_steps))
    return [step for step in db.scalars(query) if step is not None]


def ended_as(db: Connection, step: str) -> tuple[str, str | None]:
    """(state, hash of what was mined) of a step whose lease has ended."""
    x = t.transactions.c
    mined = select(x.state, x.hash).where(x.step == step, x.state.in_(("MINED", "REVERTED")))
    row = db.execute(mined).first()
    return ("GONE", None) if row is None else (row.state, row.hash)


def next_rows(db: Connection, now: int, limit: int) -> list[dict[str, Any]]:
    """The most urgent rows that pay or give back, oldest first; each with the deadlines of its task."""
    o = t.outbox.c
    ready = _ready(now).where(o.kind != Tx.INITIALIZE.value)
    query = ready.order_by(case(_URGENCY, value=o.kind), o.id).limit(limit)
    return [dict(row) for row in db.execute(query).mappings()]


def next_tasks(db: Connection, now: int, ahead: int, limit: int) -> list[dict[str, Any]]:
    """Rows of tasks to initialize together, the earliest contribution deadline first.

    A deal has room while fewer than `ahead` of its tasks are initialized and wait for a worker; it is filled up again
    when half of that, or a whole transaction, is free. No task is initialized that nobody could finish in time; what
    was never initialized is, past its final deadline, initialized and claimed at once: such rows come alone.
    """
    o, task = t.outbox.c, t.tasks.c
    initialize = o.kind == Tx.INITIALIZE.value
    useful = or_(now + task.run_seconds < task.contribution_deadline, now > task.final_deadline)
    first = func.min(task.contribution_deadline)
    waiting = (
        select(task.deal_id, func.min(task.final_deadline).label("final"))
        .join(t.outbox, o.task_id == task.id)
        .where(initialize, o.status == store.QUEUED, o.not_before <= now, useful)
        .group_by(task.deal_id)
        .order_by(first, task.deal_id)
    )
    found: list[dict[str, Any]] = []
    for deal in db.execute(waiting).all():
        over = now > deal.final
        if found and (len(found) >= limit or over != (now > found[0]["final_deadline"])):
            break
        free = limit if over else ahead - _ahead_of(db, deal.deal_id)
        if free < min(limit, ahead // 2):
            continue
        query = _ready(now).where(initialize, task.deal_id == deal.deal_id, useful).order_by(o.alone, task.index)
        rows = db.execute(query.limit(min(free, limit - len(found)))).mappings()
        found += [dict(row) for row in rows]
    return found


def _ahead_of(db: Connection, deal_id: str) -> int:
    """Tasks of a deal that are initialized and want a worker, or will be when the watcher has seen what was sent."""
    o, task = t.outbox.c, t.tasks.c
    mine = task.deal_id == deal_id
    queued = select(o.task_id).where(o.kind == Tx.INITIALIZE.value, o.status == store.QUEUED)
    begun = and_(task.status == TaskStatus.RECEIVED.value, task.sent == Tx.INITIALIZE.value, task.id.not_in(queued))
    count = select(func.count()).select_from(t.tasks).where(mine, or_(task.wanted, begun))
    return int(db.scalar(count) or 0)


def _ready(now: int) -> Select[Any]:
    return _with_task().where(t.outbox.c.status == store.QUEUED, t.outbox.c.not_before <= now)


def _with_task() -> Select[Any]:
    names = ("deal_id", "index", "run_seconds", "contribution_deadline", "final_deadline")
    columns = [t.tasks.c[name] for name in names]
    return select(t.outbox, *columns).join(t.tasks, t.outbox.c.task_id == t.tasks.c.id)


def set_rows(db: Connection, numbers: Sequence[int], now: int, **values: Any) -> None:
    """Change outbox rows."""
    db.execute(update(t.outbox).where(t.outbox.c.id.in_(numbers)).values(**values, updated_at=now))
