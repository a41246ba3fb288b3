"""Keeps the order book true to the chain: volumes that deals have used, orders closed, deposits behind them; and deals.

Reading is repeated rather than remembered: the last blocks are read again at every look, and what a log touches is
asked of the hub anew. A deal that is known and has no log any more was taken back, also while nobody looked; where the
chain has another block than it had below those that are read again, reading starts further back.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from sqlalchemy import delete, select, update

from chain.client import Chain
from chain.model import Deal, Event
from poco.errors import PewError
from poco.orders import RequestOrder, WorkerpoolOrder
from scheduler import funds, store
from scheduler import tables as t
from scheduler.log import log
from scheduler.orderbook import CANCELED, FILLED, OPEN, UNFUNDED, OrderBook
from scheduler.store import Store

EVENTS = ("OrdersMatched", "ClosedAppOrder", "ClosedDatasetOrder", "ClosedWorkerpoolOrder", "ClosedRequestOrder")
#: Blocks that are read at once, and again at every look.
RANGE, AGAIN = 1000, 32
#: Above every block: a chain that takes blocks back may be shorter than it was.
END = 2**62
DEPOSIT_SECONDS = 15
#: How long orders that nobody can match can still be shown by their hash.
KEPT_SECONDS = 30 * 86_400


class Follower(threading.Thread):
    """Follows the market of one hub; every replica may do so.

    Args:
        pause: seconds between two looks.
    """

    def __init__(self, database: Store, chain: Chain, pause: float) -> None:
        super().__init__(name="market", daemon=True)
        self._store = database
        self._chain = chain
        self._stopping = threading.Event()
        self._book = OrderBook(database, chain)
        #: logs of the last blocks; None before the first look
        self._recent: dict[tuple[str, str, int], Event] | None = None
        #: hash of the newest block that was read
        self._head = ""
        self._looked_at_deposits = 0.0
        self.pause = pause
        #: why the market cannot be followed now; empty where it can
        self.trouble = ""

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.look()
                trouble = ""
            except PewError as error:
                trouble = error.message
            except Exception as error:  # a node may send anything
                trouble = f"following the market failed: {error!r}"
            if trouble != self.trouble:
                log("market", level="warning" if trouble else "info", trouble=trouble or "none, it is followed again")
                self.trouble = trouble
            self._stopping.wait(self.pause)

    def stop(self) -> None:
        self._stopping.set()
        self.join(30)

    def look(self) -> None:
        """Take over what is new on the chain."""
        head, head_hash, _ = self._chain.block()
        if head_hash != self._head:
            self._read(self._first(head), head)
            self._head = head_hash
        if time.monotonic() - self._looked_at_deposits > DEPOSIT_SECONDS:
            self._looked_at_deposits = time.monotonic()
            self.look_at_deposits()

    def _read(self, first: int, head: int) -> None:
        while first <= head and not self._stopping.is_set():
            last = min(first + RANGE - 1, head)
            self._take(self._chain.logs(first, last, EVENTS), first, last if last < head else END)
            anchor = last - AGAIN
            known = f"{anchor}:{self._chain.block(anchor)[1]}" if anchor >= self._chain.deployment.block else ""
            with self._store.write() as db:
                store.set_meta(db, "market_block", str(last))
                store.set_meta(db, "market_anchor", known)
            first = last + 1

    def _first(self, head: int) -> int:
        """The block from which to read."""
        start = self._chain.deployment.block
        with self._store.read() as db:
            said, known = store.get_meta(db, "market_block"), store.get_meta(db, "market_anchor")
        first = max(start, (int(said) if said else start - 1) + 1 - AGAIN)
        if known:
            anchor, _, block_hash = known.partition(":")
            if int(anchor) > head or self._chain.block(int(anchor))[1] != block_hash:
                log("market", level="warning", trouble=f"block {anchor} was taken back")
                self._recent = None
                return max(start, int(anchor) - RANGE)
        return first

    def _take(self, events: list[Event], first: int, last: int) -> None:
        """Bring deals and orders up to what the logs of blocks `first` to `last` say."""
        found = {(event.block_hash, event.tx_hash, event.log_index): event for event in events}
        before = self._recent if self._recent is not None else {}
        gone = [event for key, event in before.items() if event.block >= first and key not in found]
        new = [event for key, event in found.items() if key not in before]
        closed = {order_hash for event in events if event.name != "OrdersMatched" for order_hash in _hashes(event)}
        touched = {order_hash for event in (*new, *gone) for order_hash in _hashes(event)}
        if self._recent is None:  # what was closed may have been taken back while nobody looked
            touched |= self._canceled()
        made = {str(event.args["dealid"]) for event in events if event.name == "OrdersMatched"}
        deals = [self._deal(event) for event in new if event.name == "OrdersMatched"]
        with self._store.write() as db:
            d = t.deals.c
            stale = select(t.deals).where(d.block.between(first, last), d.id.not_in(made))
            lost = [dict(row) for row in db.execute(stale).mappings()]
            touched |= {str(row[f"{kind}_hash"]) for row in lost for kind in _KINDS}
            ids = {str(row["id"]) for row in (*deals, *lost)}
            if ids:
                db.execute(delete(t.deals).where(d.id.in_(ids)))
            for row in deals:  # another scheduler of the pool may be at the same logs
                store.insert_new(db, t.deals, row)
        if touched:
            self._book.refresh(touched, closed)
        self._recent = found

    def _canceled(self) -> set[str]:
        with self._store.read() as db:
            return set(db.scalars(select(t.orders.c.hash).where(t.orders.c.status == CANCELED)))

    def _deal(self, event: Event) -> dict[str, Any]:
        deal = self._chain.deal(str(event.args["dealid"]))
        hashes = {f"{kind}_hash": str(event.args[f"{name}Hash"]) for kind, name in _KINDS.items()}
        return {
            "id": deal.id,
            "block": event.block,
            "requester": deal.requester,
            "beneficiary": deal.beneficiary,
            "app": deal.app.pointer,
            "dataset": deal.dataset.pointer,
            "workerpool": deal.workerpool.pointer,
            **hashes,
            "body": _shown(deal, event),
        }

    # --- deposits

    def look_at_deposits(self) -> None:
        """Hide pool and request orders whose owner could not pay for a single task, show them when he can again."""
        o = t.orders.c
        chosen = select(o.hash, o.kind, o.signer, o.status, o.body)
        chosen = chosen.where(o.kind.in_(("workerpool", "request")), o.status.in_((OPEN, UNFUNDED)))
        with self._store.read() as db:
            rows = list(db.execute(chosen))
        free = {signer: self._chain.account(signer).stake for signer in {row.signer for row in rows}}
        now = int(time.time())
        with self._store.write() as db:
            for row in rows:
                status = OPEN if free[row.signer] >= _deposit(row.kind, row.body) else UNFUNDED
                if status != row.status:
                    db.execute(update(t.orders).where(o.hash == row.hash, o.status == row.status).values(status=status))
            ended = o.status.in_((FILLED, CANCELED, UNFUNDED)) & (o.published_at < now - KEPT_SECONDS)
            db.execute(delete(t.orders).where(ended))


_KINDS = {"apporder": "app", "datasetorder": "dataset", "workerpoolorder": "workerpool", "requestorder": "request"}


def _hashes(event: Event) -> list[str]:
    return [str(value) for name, value in event.args.items() if name.endswith("Hash")]


def _deposit(kind: str, body: dict[str, Any]) -> int:
    if kind == "workerpool":
        return funds.scheduler_stake(WorkerpoolOrder.from_json(body).workerpoolprice)
    order = RequestOrder.from_json(body)
    return order.appmaxprice + order.datasetmaxprice + order.workerpoolmaxprice


def _shown(deal: Deal, event: Event) -> dict[str, Any]:
    """A deal as the official gateway shows it."""
    parts = {
        name: {"pointer": part.pointer, "owner": part.owner, "price": part.price}
        for name, part in (("app", deal.app), ("dataset", deal.dataset), ("workerpool", deal.workerpool))
    }
    return {
        "dealid": deal.id,
        **parts,
        "trust": deal.trust,
        "category": deal.category,
        "tag": deal.tag,
        "requester": deal.requester,
        "beneficiary": deal.beneficiary,
        "callback": deal.callback,
        "params": deal.params,
        "startTime": deal.start,
        "botFirst": deal.bot_first,
        "botSize": deal.bot_size,
        "workerStake": deal.worker_stake,
        "schedulerRewardRatio": deal.scheduler_reward_ratio,
        **{f"{kind}Hash": str(event.args[f"{name}Hash"]) for kind, name in _KINDS.items()},
        "volume": event.args["volume"],
        "blockNumber": event.block,
        "transactionHash": event.tx_hash,
    }
