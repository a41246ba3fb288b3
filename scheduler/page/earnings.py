"""What workers have earned: each completed task's pay, in the contracts' arithmetic, summed up by worker.

Counted once and kept up from the tasks' history by a thread of its own; where the chain took completed tasks back it is
counted anew.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, func, select

from poco.consensus import Share, pay
from poco.states import TaskStatus
from scheduler import tables as t
from scheduler.log import log
from scheduler.store import Store

#: Tasks that are looked at together, and a breath after them for those who serve workers, seconds.
TOGETHER, BREATH = 400, 0.005
#: How often it is brought up to date where somebody asks, seconds.
EVERY = 1.0
#: A count from the beginning is not repeated sooner than this, seconds.
ANEW_SECONDS = 60.0
#: Price and ratio of so many deals are remembered.
_DEALS = 5000


class Earnings:
    """nRLC by worker over all completed tasks of the pool.

    Args:
        patience: seconds between two counts from the beginning.
    """

    def __init__(self, database: Store, patience: float = ANEW_SECONDS) -> None:
        self._store = database
        self._patience = patience
        self._counted_anew = -math.inf
        self._lock = threading.Lock()
        self._busy = False
        self._looked = -EVERY
        self._sums: Counter[str] | None = None
        self._counted = 0
        self._last = 0
        #: completed tasks whose deal is not known yet
        self._pending: set[str] = set()
        self._terms: dict[str, tuple[int, int]] = {}

    def sums(self) -> Mapping[str, int] | None:
        """By wallet, a second old or so; None before the first count is done. Begins the next one in the background."""
        with self._lock:
            found = None if self._sums is None else dict(self._sums)
            due = not self._busy and time.monotonic() - self._looked >= EVERY
            self._busy |= due
        if due:
            threading.Thread(target=self._run, name="earnings", daemon=True).start()
        return found

    def _run(self) -> None:
        try:
            self.look()
        except Exception as error:  # a database that is away for a while
            log("earnings", level="warning", error=repr(error))
        finally:
            with self._lock:
                self._busy, self._looked = False, time.monotonic()

    def look(self) -> None:
        """Bring the sums up to date."""
        with self._store.read() as db:
            completed = db.scalar(select(func.count()).where(t.tasks.c.status == TaskStatus.COMPLETED.value)) or 0
            if self._sums is not None:
                sums, counted, last, pending = self._since(db)
                waits = time.monotonic() - self._counted_anew < self._patience
                if counted + len(pending) == completed or waits:
                    self._take(sums, counted, last, pending)
                    return
            last = db.scalar(select(func.max(t.history.c.id))) or 0
            sums, counted, pending = Counter[str](), 0, set[str]()
            for ids in _completed(db):
                counted += self._add(db, ids, sums, pending)
                time.sleep(BREATH)
        self._counted_anew = time.monotonic()
        self._take(sums, counted, last, pending)

    def _take(self, sums: Counter[str], counted: int, last: int, pending: set[str]) -> None:
        with self._lock:
            self._sums, self._counted, self._last, self._pending = sums, counted, last, pending

    def _since(self, db: Connection) -> tuple[Counter[str], int, int, set[str]]:
        """What was completed since the last look, added to what is known."""
        h = t.history.c
        query = select(h.id, h.task_id).where(h.id > self._last, h.worker.is_(None))
        rows = db.execute(query.where(h.status == TaskStatus.COMPLETED.value).order_by(h.id)).all()
        sums, counted, pending = Counter(self._sums), self._counted, set[str]()
        ids = sorted({row.task_id for row in rows} | self._pending)
        for start in range(0, len(ids), TOGETHER):
            counted += self._add(db, ids[start : start + TOGETHER], sums, pending)
        return sums, counted, rows[-1].id if rows else self._last, pending

    def _add(self, db: Connection, ids: Sequence[str], sums: Counter[str], pending: set[str]) -> int:
        """Add those tasks' pay; how many could be counted."""
        paid = rewards(db, ids, self._terms)
        for shares in paid.values():
            sums.update(shares)
        pending |= set(ids) - paid.keys()
        return len(paid)


def rewards(
    db: Connection, ids: Sequence[str], terms: dict[str, tuple[int, int]] | None = None
) -> dict[str, Mapping[str, int]]:
    """By task: what finalize pays each of its workers, nRLC; tasks whose deal is not known here are left out.

    Args:
        terms: (pool's price, scheduler's ratio) of deals looked up before; grows.
    """
    terms = {} if terms is None else terms
    c, r = t.tasks.c, t.replicates.c
    tasks = db.execute(select(c.id, c.deal_id, c.worker_stake, c.consensus).where(c.id.in_(ids))).all()
    unknown = {task.deal_id for task in tasks} - terms.keys()
    if unknown:
        if len(terms) > _DEALS:
            terms.clear()
            unknown = {task.deal_id for task in tasks}
        for deal in db.execute(select(t.deals.c.id, t.deals.c.body).where(t.deals.c.id.in_(unknown))):
            terms[deal.id] = _terms(deal.body)
    columns = select(r.task_id, r.worker, r.weight, r.result_hash, r.revealed)
    shares: dict[str, list[Any]] = {}
    for row in db.execute(columns.where(r.task_id.in_(ids), r.result_hash.is_not(None), r.rejected.is_(False))):
        shares.setdefault(row.task_id, []).append(row)
    found: dict[str, Mapping[str, int]] = {}
    for task in tasks:
        if task.deal_id in terms:
            price, ratio = terms[task.deal_id]
            given = [
                Share(one.worker, one.weight, bool(one.revealed and one.result_hash == task.consensus))
                for one in shares.get(task.id, ())
            ]
            accurate = any(share.accurate for share in given)
            found[task.id] = pay(price, task.worker_stake, ratio, given).workers if accurate else {}
    return found


def _terms(body: dict[str, Any]) -> tuple[int, int]:
    return int(body["workerpool"]["price"]), int(body["schedulerRewardRatio"])


def _completed(db: Connection) -> Iterator[list[str]]:
    c, after = t.tasks.c, ""
    while True:
        query = select(c.id).where(c.status == TaskStatus.COMPLETED.value, c.id > after)
        ids = list(db.scalars(query.order_by(c.id).limit(TOGETHER)))
        if not ids:
            return
        yield ids
        after = ids[-1]
