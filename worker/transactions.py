"""The worker's leases of nonces lie in its journal; a step that was sent is brought to its end before anything else."""

from __future__ import annotations

import time
from typing import Any

from chain.book import Ended
from chain.nonces import Attempt, Lease
from chain.transactions import PendingError, Prepared, Receipt, RevertedError, Sender, TakenError
from worker.journal import Journal, SentTransaction

#: Without these a stake is lost: they may cost up to the emergency cap.
_URGENT = frozenset({"reveal"})
WAIT_SECONDS = 120


class JournalBook:
    """`chain.book.Book` in the journal's table of transactions; a step is `<task>/<what>`."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def open(self) -> list[Lease]:
        found: dict[tuple[str, int], list[SentTransaction]] = {}
        for sent in self._journal.open_transactions():
            nonce = Prepared(sent.tx_hash, sent.raw).nonce
            found.setdefault((f"{sent.task_id}/{sent.step}", nonce), []).append(sent)
        return [
            Lease(step, nonce, tuple(Attempt(one.tx_hash, one.raw, one.at) for one in attempts))
            for (step, nonce), attempts in found.items()
        ]

    def keep(self, step: str, prepared: Prepared, now: int) -> None:
        task_id, _, what = step.rpartition("/")
        self._journal.transaction_prepared(task_id, what, prepared.tx_hash, prepared.raw, now)

    def end(self, lease: Lease, ended: Ended) -> None:
        for attempt in lease.attempts:
            if attempt.tx_hash != ended.tx_hash:
                self._journal.transaction_ended(attempt.tx_hash, "GONE")
        if ended.tx_hash is not None:
            self._journal.transaction_ended(ended.tx_hash, ended.state, ended.block, ended.cost_wei)


class Steps:
    """Sends what a task's steps need, each once in effect."""

    def __init__(self, sender: Sender, journal: Journal) -> None:
        self._sender = sender
        self._journal = journal

    def send(self, task_id: str, step: str, call: Any) -> Receipt:
        """Sign, keep, send and wait.

        Raises:
            RevertedError, FeesTooHighError, ChainUnreachableError: as `Sender.transact`.
            PendingError: sent, not mined yet; or its nonce went to another: `recover`, then look at the chain.
        """
        try:
            return self._sender.transact(call, step=f"{task_id}/{step}", urgent=step in _URGENT, timeout=WAIT_SECONDS)
        except TakenError:
            raise PendingError("", 0) from None

    def recover(self, task_id: str, step: str) -> str | None:
        """Bring what was sent for a step to its end; returns the transaction that was mined, if one was.

        Raises:
            PendingError, ChainUnreachableError: not known yet.
        """
        lease = self._sender.lease_of(f"{task_id}/{step}")
        if lease is not None:
            try:
                return self._sender.wait(lease, WAIT_SECONDS, urgent=step in _URGENT).tx_hash
            except (RevertedError, TakenError):
                return None
        return self._still_mined(task_id, step)

    def _still_mined(self, task_id: str, step: str) -> str | None:
        """The transaction that was mined; sent again where the chain has taken its block back."""
        sent = next((one for one in self._journal.sent(task_id, step) if one.state == "MINED"), None)
        if sent is None or self._sender.receipt(sent.tx_hash) is not None:
            return sent.tx_hash if sent is not None else None
        attempt = Attempt(sent.tx_hash, sent.raw, int(time.time()))
        lease = Lease(f"{task_id}/{step}", Prepared(sent.tx_hash, sent.raw).nonce, (attempt,))
        self._journal.transaction_ended(sent.tx_hash, "OPEN")
        try:
            return self._sender.wait(lease, WAIT_SECONDS, urgent=step in _URGENT).tx_hash
        except (RevertedError, TakenError):
            return None
