"""What the scheduler remembers, through SQLAlchemy Core.

All changes of one event go into one transaction with its effects.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Table, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from poco.errors import Cause
from poco.states import ReplicateStatus, TaskStatus
from poco.wire import Notification
from scheduler import tables as t
from scheduler.core import take, wants_worker
from scheduler.model import ClockSetBack, Notify, Recall, Replicate, Send, Task, Tx
from scheduler.postgres import Postgres, is_conflict
from scheduler.rules import due
from scheduler.sqlite import Sqlite

T = TypeVar("T")
#: How often a transaction is begun again that others were in the way of.
_TRIES = 6

#: Rows in one statement (SQLite bounds its parameters).
_CHUNK = 500
_ENDED = (TaskStatus.COMPLETED, TaskStatus.FAILED)
QUEUED, SENT, DONE, FAILED = "QUEUED", "SENT", "DONE", "FAILED"

_TASK_FIELDS = [f.name for f in fields(Task) if f.name != "replicates"]
_REPLICATE_FIELDS = [f.name for f in fields(Replicate)]


class Store:
    """The scheduler's database, created and migrated when opened.

    Args:
        where: a file (SQLite, for one process) or an address (PostgreSQL, for several).
    """

    def __init__(self, where: Path | URL) -> None:
        self._database: Sqlite | Postgres = Postgres(where) if isinstance(where, URL) else Sqlite(where)
        self._check: Callable[[Connection], None] | None = None
        with self.write() as db:
            # numbers go on rising even where an older copy of the database was put back
            db.execute(update(t.workers).where(t.workers.c.next_seq < _first_seq()).values(next_seq=_first_seq()))

    @property
    def shared(self) -> Postgres | None:
        """The database that other processes may write to at the same time; None for SQLite."""
        return self._database if isinstance(self._database, Postgres) else None

    def guarded(self, check: Callable[[Connection], None]) -> Store:
        """The same database, where each transaction that writes first calls `check`, which may raise."""
        other = copy(self)
        other._check = check
        return other

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction, all or nothing, durable when this returns.

        On SQLite it excludes all others that write. On PostgreSQL it does not: lock the rows you decide on.

        Raises:
            CommitError: the database did not take the changes.
            StoreUnreachableError: it does not answer.
        """
        with self._database.write() as connection:
            if self._check is not None:
                self._check(connection)
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent view that waits for nobody."""
        with self._database.read() as connection:
            yield connection

    def transact(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns, done in one transaction; done again where only another transaction was in its way."""
        for _ in range(_TRIES - 1):
            try:
                with self.write() as db:
                    return work(db)
            except DBAPIError as error:
                if not is_conflict(error):
                    raise
        with self.write() as db:
            return work(db)

    def close(self) -> None:
        self._database.close()


def _first_seq() -> int:
    return int(time.time()) * 1000


# --- tasks


def add_tasks(db: Connection, tasks: Sequence[Task], now: int) -> list[str]:
    """Store those tasks that are new; their ids."""
    added = []
    for start in range(0, len(tasks), _CHUNK):
        chunk = tasks[start : start + _CHUNK]
        ids = [task.id for task in chunk]
        known = set(db.scalars(select(t.tasks.c.id).where(t.tasks.c.id.in_(ids))))
        new = [task for task in chunk if task.id not in known]
        if new:
            db.execute(insert(t.tasks), [_task_row(task, now) for task in new])
            entered = {"worker": None, "cause": None, "at": now}
            db.execute(insert(t.history), [{"task_id": x.id, "status": x.status.value, **entered} for x in new])
        added += [task.id for task in new]
    return added


def load_task(db: Connection, task_id: str) -> Task | None:
    row = db.execute(select(t.tasks).where(t.tasks.c.id == task_id)).mappings().first()
    return None if row is None else load_tasks(db, [row])[0]


def tasks_by_id(db: Connection, ids: Iterable[str]) -> list[Task]:
    """Those of them that are known, with their replicates."""
    wanted = sorted(ids)
    found: list[Task] = []
    for start in range(0, len(wanted), _CHUNK):
        query = select(t.tasks).where(t.tasks.c.id.in_(wanted[start : start + _CHUNK]))
        found += load_tasks(db, db.execute(query).mappings())
    return found


def lock_task(db: Connection, task_id: str, *, wait: bool = True) -> Task | None:
    """A task that stays as it is until the end of this transaction, which writes; all who change one take it this way.

    Args:
        wait: for another transaction that holds it; None is the answer where it shall not.
    """
    query = select(t.tasks).where(t.tasks.c.id == task_id).with_for_update(skip_locked=not wait)
    row = db.execute(query).mappings().first()
    return None if row is None else load_tasks(db, [row])[0]


def load_tasks(db: Connection, rows: Any) -> list[Task]:
    """Tasks of rows of `tasks`, with their replicates."""
    rows = list(rows)
    found: dict[str, list[Replicate]] = {row["id"]: [] for row in rows}
    for start in range(0, len(rows), _CHUNK):
        ids = [row["id"] for row in rows[start : start + _CHUNK]]
        query = select(t.replicates).where(t.replicates.c.task_id.in_(ids)).order_by(t.replicates.c.position)
        for r in db.execute(query).mappings():
            found[r["task_id"]].append(_replicate(r))
    return [_task(row, tuple(found[row["id"]])) for row in rows]


def save_task(db: Connection, before: Task, after: Task, now: int) -> None:
    """Write what changed, with its history."""
    db.execute(update(t.tasks).where(t.tasks.c.id == after.id).values(**_task_row(after, now)))
    if before.status is not after.status:
        _remember(db, now, task_id=after.id, status=after.status, cause=after.error)
    known = {r.worker: r for r in before.replicates}
    for position, r in enumerate(after.replicates):
        old = known.get(r.worker)
        if old == r:
            continue
        row = {**_plain(asdict(r)), "task_id": after.id, "position": position}
        if old is None:
            db.execute(insert(t.replicates).values(**row))
        else:
            where = (t.replicates.c.task_id == after.id) & (t.replicates.c.worker == r.worker)
            db.execute(update(t.replicates).where(where).values(**row))
        if old is None or old.status is not r.status or old.attempt != r.attempt:
            _remember(db, now, task_id=after.id, worker=r.worker, status=r.status, cause=r.cause)


def due_tasks(db: Connection, now: int, limit: int) -> list[str]:
    query = select(t.tasks.c.id).where(t.tasks.c.due_at <= now).order_by(t.tasks.c.due_at).limit(limit)
    return list(db.scalars(query))


def misjudged(db: Connection, now: int) -> list[str]:
    """Tasks that were looked at when the clock showed more than `now`: what they want, or when, is not kept so."""
    query = select(t.tasks).where(t.tasks.c.status.not_in(_ENDED)).order_by(t.tasks.c.id)
    rows = db.execute(query).mappings().all()
    found = []
    for row, task in zip(rows, load_tasks(db, rows), strict=True):
        kept, when = row["due_at"], due(task, now)
        late = when is not None and (kept is None or kept > when)
        unwanted = wants_worker(task, now) and not row["wanted"]
        looked_at_soon = kept is not None and kept <= now
        if ((late or unwanted) and not looked_at_soon) or take(task, ClockSetBack(), now)[0] != task:
            found.append(task.id)
    return found


def tasks_of_worker(db: Connection, worker: str) -> list[tuple[str, Replicate]]:
    """(task id, replicate) of that worker in every task that has not ended."""
    query = (
        select(t.replicates)
        .join(t.tasks, t.tasks.c.id == t.replicates.c.task_id)
        .where(t.replicates.c.worker == worker, t.tasks.c.status.not_in(_ENDED))
    )
    return [(row["task_id"], _replicate(row)) for row in db.execute(query).mappings()]


def _task_row(task: Task, now: int) -> dict[str, Any]:
    row = {name: getattr(task, name) for name in _TASK_FIELDS}
    return {**_plain(row), "wanted": wants_worker(task, now), "due_at": due(task, now)}


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {k: v.value if isinstance(v, TaskStatus | ReplicateStatus | Cause | Tx) else v for k, v in row.items()}


def _task(row: Any, replicates: tuple[Replicate, ...]) -> Task:
    values = {name: row[name] for name in _TASK_FIELDS}
    values["status"] = TaskStatus(values["status"])
    values["error"] = Cause(values["error"]) if values["error"] else None
    values["sent"] = Tx(values["sent"]) if values["sent"] else None
    return Task(**values, replicates=replicates)


def _replicate(row: Any) -> Replicate:
    values = {name: row[name] for name in _REPLICATE_FIELDS}
    values["status"] = ReplicateStatus(values["status"])
    for name in ("cause", "asked"):
        values[name] = Cause(values[name]) if values[name] else None
    return Replicate(**values)


def _remember(db: Connection, now: int, **row: Any) -> None:
    db.execute(insert(t.history).values(**_plain(row), at=now))


# --- notifications


def ensure_worker(db: Connection, wallet: str, now: int) -> None:
    """A row for a wallet that may never have registered here."""
    if db.scalar(select(t.workers.c.wallet).where(t.workers.c.wallet == wallet)) is None:
        empty = {"platforms": [], "cpus": 0, "memory_mb": 0, "disk_mb": 0, "energy": {}, "free_slots": 0}
        # starting at the time, numbers go on rising even where an earlier store was lost
        row = {"wallet": wallet, "name": "", "presence": "UNKNOWN", "last_seen": 0, "next_seq": now * 1000, **empty}
        insert_new(db, t.workers, {**row, "registered": False})


def add_notification(db: Connection, notify: Notify, now: int) -> None:
    seq = take_seq(db, notify.worker, now)
    put_notification(db, notify, seq)


def take_seq(db: Connection, worker: str, now: int) -> int:
    """The number of the worker's next notification."""
    ensure_worker(db, worker, now)
    w = t.workers.c
    # its row is held until the commit: who reads a number has read, or will never see, every lower one
    following = update(t.workers).where(w.wallet == worker).values(next_seq=w.next_seq + 1).returning(w.next_seq)
    return int(db.execute(following).scalar_one()) - 1


def put_notification(db: Connection, notify: Notify, seq: int) -> None:
    """With a number that `take_seq` gave in this transaction."""
    row = {"worker": notify.worker, "seq": seq, "type": notify.type.value, "task_id": notify.task_id}
    db.execute(insert(t.notifications).values(**row, data=dict(notify.data)))


def unacked(db: Connection, worker: str, after: int = -1, limit: int = 100) -> list[Notification]:
    """What the worker has not acknowledged, beyond `after`."""
    n = t.notifications.c
    query = select(t.notifications).where(n.worker == worker, n.seq > after).order_by(n.seq).limit(limit)
    return [
        Notification(seq=r["seq"], type=r["type"], task_id=r["task_id"], data=r["data"])
        for r in db.execute(query).mappings()
    ]


def acknowledge(db: Connection, acked: Mapping[str, int]) -> None:
    """Forget what workers have durably taken over: wallet, highest sequence number."""
    n = t.notifications.c
    taken = delete(t.notifications).where(n.worker == bindparam("of"), n.seq <= bindparam("last"))
    if acked:
        db.execute(taken, [{"of": wallet, "last": seq} for wallet, seq in acked.items()])


def waiting_workers(db: Connection) -> set[str]:
    """Workers for whom a notification lies ready."""
    return set(db.scalars(select(t.notifications.c.worker).distinct()))


# --- outbox


def queue_transactions(db: Connection, sends: Sequence[Send], now: int) -> None:
    for start in range(0, len(sends), _CHUNK):
        same = {"status": QUEUED, "not_before": now, "created_at": now, "updated_at": now}
        chunk = sends[start : start + _CHUNK]
        rows = [{"task_id": x.task_id, "kind": x.kind.value, "location": x.location, **same} for x in chunk]
        db.execute(insert(t.outbox), rows)


def recall(db: Connection, effect: Recall) -> None:
    """Forget what waits to be sent; what was signed goes its way."""
    o = t.outbox.c
    db.execute(delete(t.outbox).where(o.task_id == effect.task_id, o.kind == effect.kind.value, o.status == QUEUED))


def send_now(db: Connection, now: int, soon: int) -> None:
    """Rows that wait for longer than until `soon` were put off by a clock that showed too much."""
    o = t.outbox.c
    db.execute(update(t.outbox).where(o.status == QUEUED, o.not_before > soon).values(not_before=now))


# --- numbers and counts


def get_meta(db: Connection, name: str) -> str | None:
    return db.scalar(select(t.meta.c.value).where(t.meta.c.name == name))


def set_meta(db: Connection, name: str, value: str) -> None:
    if db.execute(update(t.meta).where(t.meta.c.name == name).values(value=value)).rowcount == 0:
        db.execute(insert(t.meta).values(name=name, value=value))


def claim_meta(db: Connection, name: str, value: str) -> str:
    """What stands under that name: this value, unless another process was faster."""
    insert_new(db, t.meta, {"name": name, "value": value})
    return get_meta(db, name) or value


def insert_new(db: Connection, table: Table, row: dict[str, Any]) -> bool:
    """Insert a row unless there is one with its key, which another process may be writing just now."""
    try:
        with db.begin_nested():
            db.execute(insert(table).values(**row))
    except IntegrityError:
        return False
    return True


def count_by_status(db: Connection) -> dict[str, int]:
    rows = db.execute(select(t.tasks.c.status, func.count()).group_by(t.tasks.c.status))
    return {row[0]: row[1] for row in rows}
