"""Sends the pool owner's transactions, each at most once in effect.

What is to be sent lies in the store. A signed transaction is written down before it leaves; after a restart the same
bytes are sent again or their receipt is found. What the chain already shows as done is not sent at all.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from sqlalchemy import select

from chain.client import Chain, ChainUnreachableError
from chain.transactions import PendingError, Prepared, RevertedError, Sender
from poco.errors import BadInputError, PewError
from poco.hexes import to_bytes
from poco.result import on_chain_link
from poco.states import ChainTaskStatus as C
from scheduler import model as m
from scheduler import store
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
#: What depends on the time of the block that will hold it: a node cannot tell beforehand.
_TIMED = frozenset({Tx.FINALIZE, Tx.REOPEN, Tx.CLAIM})
RECEIPT_SECONDS = 60
AGAIN_SECONDS = 5


class Outbox(threading.Thread):
    """The one sender of this wallet in this process."""

    def __init__(self, engine: Engine, chain: Chain, sender: Sender) -> None:
        super().__init__(name="outbox", daemon=True)
        self._engine = engine
        self._chain = chain
        self._sender = sender
        self._stopping = threading.Event()
        #: why nothing can be sent now; empty where it can
        self.trouble = ""

    def run(self) -> None:
        while not self._stopping.is_set():
            self._engine.work_to_send.clear()
            try:
                busy = self.send_next()
            except Exception as error:  # the store is not to be had just now
                log("outbox_failed", level="error", error=repr(error))
                self._stopping.wait(1)
                continue
            if not busy:
                self._engine.work_to_send.wait(0.5)

    def stop(self) -> None:
        self._stopping.set()
        self._engine.work_to_send.set()
        self.join(30)

    def send_next(self) -> bool:
        """Deal with one transaction; False where none is ready."""
        with self._engine.store.read() as db:
            row = store.next_transaction(db, self._engine.now())
        if row is None:
            return False
        try:
            self._deal_with(row)
            self.trouble = ""
        except ChainUnreachableError as error:
            self.trouble = error.message
            self._later(row, error.message)
        except PewError as error:
            self.trouble = str(error)
            log("transaction_waits", level="warning", task=row["task_id"], kind=row["kind"], error=str(error))
            self._later(row, str(error))
        except Exception as error:  # one bad row must not stop the others
            self.trouble = repr(error)
            log("outbox_failed", level="error", task=row["task_id"], kind=row["kind"], error=repr(error))
            self._later(row, repr(error))
        return True

    def _deal_with(self, row: dict[str, Any]) -> None:
        kind = Tx(row["kind"])
        if row["raw"] is not None and self._resume(row, kind):
            return
        if self._done(kind, row["task_id"]):
            self._finish(row, "the chain shows it done")
            return
        call = self._call(row, kind)
        started = time.monotonic()

        def journal(prepared: Prepared) -> None:
            self._set(row, status=store.SENT, tx_hash=prepared.tx_hash, raw=prepared.raw)

        try:
            receipt = self._sender.transact(
                call, preview=kind not in _TIMED, on_prepared=journal, timeout=RECEIPT_SECONDS
            )
        except RevertedError as error:
            self._refused(row, kind, error)
            return
        except PendingError as error:
            self._set(row, not_before=self._engine.now() + AGAIN_SECONDS, error=str(error))
            return
        seconds = round(time.monotonic() - started, 3)
        log("transaction", task=row["task_id"], kind=kind.value, tx=receipt.tx_hash, gas=receipt.gas_used, s=seconds)
        self._finish(row, None)

    def _resume(self, row: dict[str, Any], kind: Tx) -> bool:
        """Find the receipt of what was sent before; False where it must be prepared anew."""
        prepared = Prepared(row["tx_hash"], bytes(row["raw"]))
        try:
            if self._sender.receipt(prepared.tx_hash) is not None:
                self._finish(row, None)
                return True
            if not self._sender.known(prepared.tx_hash):
                self._sender.broadcast(prepared)
            self._sender.wait(prepared.tx_hash, RECEIPT_SECONDS)
            self._finish(row, None)
        except RevertedError as error:
            self._refused(row, kind, error)
        except PendingError as error:
            self._set(row, not_before=self._engine.now() + AGAIN_SECONDS, error=str(error))
        except ChainUnreachableError:
            raise
        except PewError as error:
            # its nonce was used by another transaction: it can never be mined
            log("transaction_dropped", level="warning", task=row["task_id"], kind=kind.value, error=str(error))
            self._set(row, status=store.QUEUED, tx_hash=None, raw=None)
            return False
        return True

    def _done(self, kind: Tx, task_id: str) -> bool:
        return self._chain.task(task_id).status in _DONE[kind]

    def _call(self, row: dict[str, Any], kind: Tx) -> Any:
        functions = self._chain.hub.functions
        task = to_bytes(row["task_id"], 32)
        match kind:
            case Tx.INITIALIZE:
                with self._engine.store.read() as db:
                    found = store.load_task(db, row["task_id"])
                if found is None:
                    raise BadInputError(f"task {row['task_id']} is not known")
                return functions.initialize(to_bytes(found.deal_id, 32), found.index)
            case Tx.FINALIZE:
                with self._engine.store.read() as db:
                    callback = db.scalar(select(t.results.c.callback_data).where(t.results.c.task_id == row["task_id"]))
                cid = str(row["location"]).removeprefix("/ipfs/")
                return functions.finalize(task, on_chain_link(cid), callback or b"")
            case Tx.REOPEN:
                return functions.reopen(task)
            case Tx.CLAIM:
                return functions.claim(task)

    def _refused(self, row: dict[str, Any], kind: Tx, error: RevertedError) -> None:
        if self._done(kind, row["task_id"]):
            self._finish(row, "the chain shows it done")
            return
        log("transaction_refused", level="warning", task=row["task_id"], kind=kind.value, error=str(error))
        with self._engine.store.write() as db:
            store.set_transaction(
                db, row["id"], self._engine.now(), status=store.FAILED, error=str(error), tx_hash=error.tx_hash
            )
            effects = self._engine.apply_in(db, row["task_id"], m.TransactionFailed(kind))
        self._engine.announce(effects)

    def _finish(self, row: dict[str, Any], note: str | None) -> None:
        self._set(row, status=store.DONE, error=note)

    def _later(self, row: dict[str, Any], error: str) -> None:
        self._set(row, not_before=self._engine.now() + AGAIN_SECONDS, error=error)

    def _set(self, row: dict[str, Any], **values: Any) -> None:
        with self._engine.store.write() as db:
            store.set_transaction(db, row["id"], self._engine.now(), **values)
