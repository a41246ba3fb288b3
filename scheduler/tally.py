"""What a process has seen happen since it started: counters for `GET /metrics`.

Each change of a task is committed by one process and counted there, so that sums over the schedulers of a pool are
right; what falls to zero at a restart is what Prometheus expects of a counter. No label is a worker, a task or a deal.
"""

from __future__ import annotations

import bisect
import threading
from collections import Counter

from sqlalchemy import Connection, select

from chain.outcomes import Receipt
from poco.deadlines import FINAL_RATIO
from poco.errors import Cause
from poco.states import ReplicateStatus, TaskStatus
from scheduler import tables as t
from scheduler.exposition import counter, histogram
from scheduler.model import Task, Tx

#: Upper bounds of the classes of tasks' times, seconds.
TASK_BOUNDS = (5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, 86_400)
#: Deals whose prices are still to be read; more are not counted as rewards.
MOST_DEALS = 10_000
_PAID = ("workers", "pool", "app", "dataset")
_TIMES = "From a task's deal until its consensus, and until it was completed"
_TIMED = {TaskStatus.CONSENSUS_REACHED: "consensus", TaskStatus.COMPLETED: "completed"}


class Tally:
    """Thread-safe; one in a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: tasks by the status that they moved to; replicates likewise; causes of failed replicates
        self.moves: Counter[str] = Counter()
        self.replicates: Counter[str] = Counter()
        self.causes: Counter[str] = Counter()
        #: from a task's deal on: how many by class of `TASK_BOUNDS`, and the sum of seconds
        self.classes = {kind: [0] * (len(TASK_BOUNDS) + 1) for kind in _TIMED.values()}
        self.seconds = dict.fromkeys(_TIMED.values(), 0)
        #: transactions by (kind, mined or refused), their gas and what it cost, by kind
        self.transactions: Counter[tuple[str, str]] = Counter()
        self.gas: Counter[str] = Counter()
        self.wei: Counter[str] = Counter()
        #: nRLC by whom they went to; tasks completed of deals whose price is not read yet
        self.rewards: Counter[str] = Counter()
        self._unpriced: Counter[str] = Counter()

    def changed(self, before: Task, after: Task, now: int) -> None:
        """A change of a task was committed."""
        was = {r.worker: r.status for r in before.replicates}
        with self._lock:
            for replicate in after.replicates:
                if was.get(replicate.worker) is not replicate.status:
                    self.replicates[replicate.status.value] += 1
                    if replicate.cause is not None:
                        self.causes[replicate.cause.value] += 1
            if before.status is after.status:
                return
            self.moves[after.status.value] += 1
            kind = _TIMED.get(after.status)
            if kind is not None:
                took = max(now - (after.final_deadline - FINAL_RATIO * after.run_seconds), 0)
                self.classes[kind][bisect.bisect_left(TASK_BOUNDS, took)] += 1
                self.seconds[kind] += took
            if after.status is TaskStatus.COMPLETED and len(self._unpriced) < MOST_DEALS:
                self._unpriced[after.deal_id] += 1

    def mined(self, kind: str, receipt: Receipt) -> None:
        """A transaction of the pool's wallet is on chain."""
        with self._lock:
            self.transactions[kind, "mined"] += 1
            self.gas[kind] += receipt.gas_used
            self.wei[kind] += receipt.cost_wei

    def refused(self, kind: str) -> None:
        """The contracts refused a transaction."""
        with self._lock:
            self.transactions[kind, "refused"] += 1

    def price(self, db: Connection) -> None:
        """Turn completed tasks into rewards, by their deals' prices; deals that the market does not know yet wait."""
        with self._lock:
            waiting = list(self._unpriced)[:500]
        if not waiting:
            return
        query = select(t.deals.c.id, t.deals.c.body).where(t.deals.c.id.in_(waiting))
        bodies = {row.id: row.body for row in db.execute(query)}
        with self._lock:
            for deal, body in bodies.items():
                tasks = self._unpriced.pop(deal, 0)
                price = int(body["workerpool"]["price"])
                workers = price * (100 - int(body["schedulerRewardRatio"])) // 100
                parts = {"workers": workers, "pool": price - workers}
                parts |= {kind: int(body[kind]["price"]) for kind in ("app", "dataset")}
                for whom, amount in parts.items():
                    self.rewards[whom] += tasks * amount

    def text(self) -> str:
        """All series."""
        with self._lock:
            moved = [({"to": status.value}, self.moves[status.value]) for status in TaskStatus]
            runs = [({"to": status.value}, self.replicates[status.value]) for status in ReplicateStatus]
            causes = [({"cause": cause.value}, self.causes[cause.value]) for cause in Cause]
            kinds = [kind.value for kind in Tx]
            sent = [
                ({"kind": kind, "ended": ended}, self.transactions[kind, ended])
                for kind in kinds
                for ended in ("mined", "refused")
            ]
            gas = [({"kind": kind}, self.gas[kind]) for kind in kinds]
            wei = [({"kind": kind}, self.wei[kind]) for kind in kinds]
            paid = [({"to": whom}, self.rewards[whom]) for whom in _PAID]
            times = {kind: (self.classes[kind], float(self.seconds[kind])) for kind in self.classes}
            return "".join(
                (
                    counter("pew_task_moves_total", "Moves of tasks, by the status they came to", moved),
                    counter("pew_replicate_moves_total", "Moves of workers' runs of tasks, by status", runs),
                    counter("pew_replicate_causes_total", "Why runs ended without a result", causes),
                    histogram("pew_task_seconds", _TIMES, "until", TASK_BOUNDS, times),
                    counter("pew_transactions_total", "Transactions of the pool's wallet, by how they ended", sent),
                    counter("pew_gas_used_total", "Gas that they used", gas),
                    counter("pew_gas_paid_wei_total", "What they cost, wei", wei),
                    counter("pew_rewards_nrlc_total", "Prices of completed tasks by whom they went to, nRLC", paid),
                )
            )
