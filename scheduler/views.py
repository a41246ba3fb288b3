"""What people and other programs see: `/status`, `/tasks/<id>`."""

from __future__ import annotations

import threading
import time
from typing import Any

from sqlalchemy import func, select

from chain.client import Chain
from poco.errors import PewError
from poco.states import FINAL_REPLICATE
from poco.wire import PROTOCOL
from scheduler import store
from scheduler import tables as t
from scheduler.engine import Engine
from scheduler.orderbook import OrderBook
from scheduler.presence import Seen
from scheduler.replica import Replica
from scheduler.standing import Standing

MONEY_SECONDS = 2


class Views:
    """Reads only; nothing secret is in what it returns."""

    def __init__(self, engine: Engine, chain: Chain, replica: Replica, book: OrderBook, standing: Standing) -> None:
        self._engine = engine
        self._chain = chain
        self._replica = replica
        self._book = book
        self._standing = standing
        self._lock = threading.Lock()
        self._money: tuple[float, dict[str, Any]] = (0.0, {})

    def status(self, pool: str) -> dict[str, Any]:
        """The pool at a glance."""
        with self._engine.store.read() as db:
            counts = store.count_by_status(db)
            o = t.outbox.c
            waiting = db.scalar(select(func.count()).where(o.status.in_((store.QUEUED, store.SENT)))) or 0
            failed = db.execute(
                select(t.outbox).where(o.error.is_not(None), o.status != store.DONE).order_by(o.id.desc()).limit(10)
            ).mappings()
            errors = [
                {"task": r["task_id"], "kind": r["kind"], "status": r["status"], "error": r["error"]} for r in failed
            ]
            running: dict[str, list[dict[str, str]]] = {}
            busy = t.replicates.c.status.not_in([s.value for s in FINAL_REPLICATE])
            for r in db.execute(select(t.replicates).where(busy)).mappings():
                running.setdefault(r["worker"], []).append({"task": r["task_id"], "status": r["status"]})
        return {
            "protocol": PROTOCOL,
            "time": self._engine.now(),
            "workerpool": pool,
            "scheduler": self._engine.wallet.address,
            "replica": self._replica.status(),
            "chain": {
                "id": self._chain.deployment.chain_id,
                "hub": self._chain.deployment.hub,
                "block": self._replica.block,
                "endpoints": self._chain.endpoints.status(),
                "caught_up": self._replica.caught_up,
                "trouble": self._replica.trouble,
            },
            "tasks": counts,
            "workers": [self._worker(seen, running.get(seen.wallet, [])) for seen in self._engine.roll.all()],
            "outbox": {"waiting": waiting, "trouble": self._replica.sending_trouble, "errors": errors},
            "money": self.money(),
            "orders": self._standing.rows,
        }

    def task(self, task_id: str) -> dict[str, Any] | None:
        """A task with its replicates, as `iexec task debug` reads it (dates in milliseconds)."""
        with self._engine.store.read() as db:
            task = store.load_task(db, task_id)
            if task is None:
                return None
            h = t.history.c
            updates = list(db.execute(select(t.history).where(h.task_id == task_id).order_by(h.id)).mappings())
            said = {
                r["worker"]: r for r in db.execute(select(t.reports).where(t.reports.c.task_id == task_id)).mappings()
            }
        names = {seen.wallet: seen.name for seen in self._engine.roll.all()}
        return {
            "chainTaskId": task.id,
            "chainDealId": task.deal_id,
            "taskIndex": task.index,
            "currentStatus": task.status.value,
            "dateStatusList": [_update(u) for u in updates if u["worker"] is None],
            "contributionDeadline": task.contribution_deadline,
            "finalDeadline": task.final_deadline,
            "consensus": task.consensus,
            "resultDigest": task.digest,
            "resultLocation": task.location,
            "cause": task.error.value if task.error else None,
            "replicates": [
                {
                    "walletAddress": r.worker,
                    "name": names.get(r.worker, ""),
                    "currentStatus": r.status.value,
                    "attempt": r.attempt,
                    "cause": r.cause.value if r.cause else None,
                    "appExitCode": said[r.worker]["exit_code"] if r.worker in said else None,
                    "reason": said[r.worker]["reason"] if r.worker in said else "",
                    "statusUpdateList": [_update(u) for u in updates if u["worker"] == r.worker],
                }
                for r in task.replicates
            ],
        }

    def _worker(self, seen: Seen, running: list[dict[str, str]]) -> dict[str, Any]:
        return {
            "wallet": seen.wallet,
            "name": seen.name,
            "platforms": list(seen.platforms),
            "cpus": seen.cpus,
            "memory_mb": seen.memory_mb,
            "disk_mb": seen.disk_mb,
            "presence": self._engine.roll.presence(seen, self._engine.clock()).value,
            "resume_at": seen.resume_at,
            "free_slots": seen.free_slots,
            "last_seen": seen.last_seen,
            "energy": seen.energy,
            "tasks": running,
            "no_work_because": seen.reason,
        }

    def money(self) -> dict[str, Any]:
        """The scheduler's account, at most `MONEY_SECONDS` old; `trouble` where the chain does not say."""
        with self._lock:
            read_at, money = self._money
        if time.monotonic() - read_at < MONEY_SECONDS and money:
            return money
        try:
            owner = self._engine.wallet.address
            account = self._chain.account(owner)
            needed = self._book.standing_stake()
            money = {
                "stake_nrlc": account.stake,
                "locked_nrlc": account.locked,
                "native_wei": self._chain.native_balance(owner),
                "standing_orders_need_nrlc": needed,
                "missing_nrlc": max(needed - account.stake, 0),
            }
        except PewError as error:
            return {"trouble": error.message}
        with self._lock:
            self._money = (time.monotonic(), money)
        return money


def _update(row: Any) -> dict[str, Any]:
    return {"status": row["status"], "date": row["at"] * 1000, "cause": row["cause"]}
