"""Sends the pool owner's transactions, each at most once in effect; several are on their way at a time.

What is to be sent lies in the store as rows, one a task. Rows of one kind that may share a transaction do (a step). The
step, its nonce and the signed bytes are written down before they leave; after a restart the lease is looked at again:
sent again, replaced at a higher fee, or found mined. What the chain already shows as done is not sent at all.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import select

from chain.client import Chain, ChainUnreachableError
from chain.fees import FeePolicy
from chain.nonces import Lease
from chain.transactions import GAS_LIMITS, Receipt, RevertedError, Sender, TakenError
from chain.wallet import Wallet
from poco.errors import PewError
from poco.hexes import to_bytes
from poco.result import on_chain_link
from poco.states import ChainTaskStatus as C
from scheduler import model as m
from scheduler import sending, store
from scheduler import tables as t
from scheduler.engine import Engine
from scheduler.log import log
from scheduler.model import Tx

#: States of a task on chain in which a transaction has nothing left to do.
_DONE: dict[Tx, frozenset[C]] = {
    Tx.INITIALIZE: frozenset({C.ACTIVE, C.REVEALING, C.COMPLETED, C.FAILED}),
    Tx.FINALIZE: frozenset({C.COMPLETED}),
    Tx.REOPEN: frozenset({C.ACTIVE}),
    Tx.CLAIM: frozenset({C.COMPLETED, C.FAILED}),
}
#: What several tasks may share.
_SHARED = frozenset({Tx.INITIALIZE, Tx.CLAIM})
AGAIN_SECONDS = 5
#: So many transactions are on their way at once: nodes hold sixteen of one wallet for certain.
IN_FLIGHT = 16
#: Tasks in one transaction; fewer where half a block does not hold so many.
TOGETHER = 50
#: Tasks of a deal that are initialized and wait for a worker, at least; twice the fleet's slots where that is more.
AHEAD = 64
#: So long before its deadline a transaction may cost more than the cap: the pool's stake is lost without it.
URGENT_SECONDS = 300


class Outbox(threading.Thread):
    """The one sender of this wallet."""

    def __init__(self, engine: Engine, chain: Chain, wallet: Wallet, fees: FeePolicy) -> None:
        super().__init__(name="outbox", daemon=True)
        self._engine = engine
        self._chain = chain
        self._book = sending.StoreBook(lambda: engine.store)
        self._sender = Sender(chain, wallet, fees, book=self._book, clock=engine.clock)
        self._stopping = threading.Event()
        self._looked: dict[str, tuple[float, float]] = {}
        self._began: dict[str, float] = {}
        #: why nothing can be sent now; empty where it can
        self.trouble = ""

    def run(self) -> None:
        while not self._stopping.is_set():
            self._engine.work_to_send.clear()
            try:
                busy = self.turn()
            except ChainUnreachableError as error:
                self.trouble = error.message
                self._stopping.wait(1)
                continue
            except Exception as error:  # the store is not to be had just now
                log("outbox_failed", level="error", error=repr(error))
                self._stopping.wait(1)
                continue
            if not busy:
                self._engine.work_to_send.wait(0.1 if self._looked else 0.5)

    def stop(self) -> None:
        self._stopping.set()
        self._engine.work_to_send.set()
        self.join(30)

    def turn(self) -> bool:
        """Look at what is on its way, then send what is ready; False where there was nothing to do."""
        leases = self._book.open()
        moved = [self._guard(lambda one=lease: self._follow(one), lease.step) for lease in leases]  # type: ignore[misc]
        with self._engine.store.read() as db:
            orphans = sending.orphans(db)
        for step in orphans:
            self._settle(step)
        began = len(leases) - sum(moved) < IN_FLIGHT and self._begin()
        if not self.trouble and self._sender.shared:
            self.trouble = self._sender.shared
        return began or any(moved) or bool(orphans)

    # --- what is on its way

    def _follow(self, lease: Lease) -> bool:
        """Look at a lease when it is its time; whether it has ended."""
        at, pause = self._looked.get(lease.step, (0.0, 0.05))
        if time.monotonic() < at:
            return False
        self._looked[lease.step] = (time.monotonic() + pause, min(pause * 1.5, 2.0))
        rows = self._rows_of(lease.step)
        try:
            receipt = self._sender.look(lease, urgent=any(self._urgent(row) for row in rows))
        except RevertedError as error:
            self._refused(rows, error)
        except TakenError as error:
            log("nonce_taken", level="error", step=lease.step, error=error.message)
            self._again(rows, error.message)
        else:
            self.trouble = ""
            if receipt is None:
                return False
            self._mined(lease, rows, receipt)
        self._forget(lease.step)
        return True

    def _mined(self, lease: Lease, rows: list[dict[str, Any]], receipt: Receipt) -> None:
        seconds = round(time.monotonic() - self._began.get(lease.step, time.monotonic()), 3)
        kind = lease.step.partition("-")[0]
        self._engine.tally.mined(kind, receipt)
        task = rows[0]["task_id"] if len(rows) == 1 else None
        sent = {"tx": receipt.tx_hash, "attempts": len(lease.attempts), "s": seconds}
        log("transaction", level="info", kind=kind, task=task, tasks=len(rows), gas=receipt.gas_used, **sent)
        self._set(rows, status=store.DONE, tx_hash=receipt.tx_hash, error=None)

    def _settle(self, step: str) -> None:
        """Rows of a lease that had ended when the process did."""
        rows = self._rows_of(step)
        with self._engine.store.read() as db:
            state, tx_hash = sending.ended_as(db, step)
        if state == "MINED":
            self._set(rows, status=store.DONE, tx_hash=tx_hash)
        else:
            self._again(rows, f"its transaction was {state.lower()}")

    def _forget(self, step: str) -> None:
        self._looked.pop(step, None)
        self._began.pop(step, None)

    # --- what is to be sent

    def _begin(self) -> bool:
        now = self._engine.now()
        with self._engine.store.read() as db:
            rows = sending.next_rows(db, now, TOGETHER) or sending.next_tasks(db, now, self._ahead(), self._room())
        if not rows:
            return False
        kind = Tx(rows[0]["kind"])
        together = [row for row in rows if row["kind"] == kind.value and not row["alone"]]
        if kind not in _SHARED or rows[0]["alone"] or len(together) < 2:
            together = rows[:1]
        self._guard(lambda: self._send(kind, together[: self._room()]), "", together)
        return True

    def _send(self, kind: Tx, rows: list[dict[str, Any]]) -> bool:
        timed = kind is not Tx.INITIALIZE or self._over(rows[0])
        if len(rows) == 1 or timed:
            done = [row for row in rows if self._done(kind, row["task_id"])]
            self._set(done, status=store.DONE, error="the chain shows it done")
            rows = [row for row in rows if row not in done]
            if not rows:
                return True
        call = self._call(kind, rows)
        step = f"{kind.value}-{rows[0]['id']}-{time.time_ns()}"
        self._book.bind(step, [row["id"] for row in rows])
        self._began[step] = time.monotonic()
        try:
            gas = None if len(rows) == 1 and not self._over(rows[0]) else self._gas(kind, rows)
            urgent = any(self._urgent(row) for row in rows)
            # what depends on the time of the block that will hold it, a node cannot tell beforehand
            self._sender.begin(call, step=step, preview=not timed, urgent=urgent, gas=gas)
        except RevertedError as error:
            self._forget(step)
            self._refused(rows, error)
            return True
        self.trouble = ""
        return True

    def _gas(self, kind: Tx, rows: list[dict[str, Any]]) -> int:
        """The limit for rows together: what a node estimates for one, or its limit, for each (an array takes less).

        Never more than half a block: a node refuses what no block can hold.
        """
        one = self._sender.estimate(self._call(kind, rows[:1]))
        each = GAS_LIMITS["claim"] + (GAS_LIMITS["initialize"] if kind is Tx.INITIALIZE else 0)
        return min(len(rows) * (each if one is None else int(one * 1.2)), self._half_block())

    def _room(self) -> int:
        """Tasks that one transaction may hold: half a block, at the limits of single ones."""
        return max(1, min(TOGETHER, self._half_block() // GAS_LIMITS["initialize"]))

    def _half_block(self) -> int:
        return self._chain.block_gas() // 2

    def _ahead(self) -> int:
        roll = self._engine.roll
        return max(AHEAD, 2 * sum(seen.free_slots + len(seen.running) for seen in roll.all()))

    def _call(self, kind: Tx, rows: list[dict[str, Any]]) -> Any:
        functions = self._chain.hub.functions
        tasks = [to_bytes(row["task_id"], 32) for row in rows]
        match kind:
            case Tx.INITIALIZE:
                deals = [to_bytes(row["deal_id"], 32) for row in rows]
                indexes = [row["index"] for row in rows]
                if self._over(rows[0]):
                    return functions.initializeAndClaimArray(deals, indexes)
                if len(rows) > 1:
                    return functions.initializeArray(deals, indexes)
                return functions.initialize(deals[0], indexes[0])
            case Tx.FINALIZE:
                with self._engine.store.read() as db:
                    known = select(t.results.c.callback_data).where(t.results.c.task_id == rows[0]["task_id"])
                    callback = db.scalar(known)
                cid = str(rows[0]["location"]).removeprefix("/ipfs/")
                return functions.finalize(tasks[0], on_chain_link(cid), callback or b"")
            case Tx.REOPEN:
                return functions.reopen(tasks[0])
            case Tx.CLAIM:
                return functions.claimArray(tasks) if len(tasks) > 1 else functions.claim(tasks[0])

    def _done(self, kind: Tx, task_id: str) -> bool:
        return self._chain.task(task_id).status in _DONE[kind]

    def _over(self, row: dict[str, Any]) -> bool:
        """Past its final deadline a task that was never initialized is only to be claimed."""
        return row["kind"] == Tx.INITIALIZE.value and self._engine.now() > int(row["final_deadline"])

    def _urgent(self, row: dict[str, Any]) -> bool:
        """Whether the pool's stake is lost soon without it."""
        ends = {Tx.FINALIZE.value: row["final_deadline"], Tx.REOPEN.value: row["contribution_deadline"]}
        deadline = ends.get(row["kind"])
        return deadline is not None and self._engine.now() > deadline - URGENT_SECONDS

    # --- what the contracts refuse, and what fails

    def _refused(self, rows: list[dict[str, Any]], error: RevertedError) -> None:
        """Rows together go again one by one; of one alone the task is told, unless the chain shows it done."""
        if len(rows) > 1:
            log("transaction_refused", level="warning", tasks=len(rows), kind=rows[0]["kind"], error=str(error))
            self._set(rows, status=store.QUEUED, step=None, alone=True, tx_hash=None)
            return
        for row in rows:
            kind = Tx(row["kind"])
            if self._done(kind, row["task_id"]):
                self._set(rows, status=store.DONE, error="the chain shows it done")
                return
            self._engine.tally.refused(kind.value)
            log("transaction_refused", level="warning", task=row["task_id"], kind=kind.value, error=str(error))
            failed = {"status": store.FAILED, "error": str(error), "tx_hash": error.tx_hash}
            with self._engine.store.write() as db:
                sending.set_rows(db, [row["id"]], self._engine.now(), **failed)
                effects = self._engine.apply_in(db, row["task_id"], m.TransactionFailed(kind))
            self._engine.announce(effects)

    def _again(self, rows: list[dict[str, Any]], why: str) -> None:
        """Prepared anew, after a look at whether the chain shows it done."""
        self._set(rows, status=store.QUEUED, step=None, alone=True, tx_hash=None, error=why)

    def _guard(self, work: Callable[[], bool], step: str, rows: list[dict[str, Any]] | None = None) -> bool:
        """One bad row must not stop the others: say what is wrong, and try again later."""
        try:
            return work()
        except ChainUnreachableError:
            raise
        except PewError as error:
            self.trouble = str(error)
            log("transaction_waits", level="warning", step=step, error=str(error))
        except Exception as error:  # a node may send anything
            self.trouble = repr(error)
            log("outbox_failed", level="error", step=step, error=repr(error))
        if step:
            self._looked[step] = (time.monotonic() + AGAIN_SECONDS, 2.0)
        self._set(rows or [], not_before=self._engine.now() + AGAIN_SECONDS, error=self.trouble)
        return False

    def _rows_of(self, step: str) -> list[dict[str, Any]]:
        with self._engine.store.read() as db:
            return sending.rows_of(db, step)

    def _set(self, rows: list[dict[str, Any]], **values: Any) -> None:
        if rows:
            numbers = [row["id"] for row in rows]
            self._engine.store.transact(lambda db: sending.set_rows(db, numbers, self._engine.now(), **values))
