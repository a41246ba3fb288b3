"""The pool's order book, in the shapes of the official gateway: signed orders, published and listed."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, delete, func, select, update
from web3.exceptions import Web3Exception

from chain.client import Chain
from chain.wallet import recover_typed
from poco.errors import BadInputError, PewError
from poco.hexes import address, bytes32, to_bytes
from poco.orders import AppOrder, DatasetOrder, Order, RequestOrder, WorkerpoolOrder
from scheduler import funds
from scheduler import order_filters as filters
from scheduler import tables as t
from scheduler.store import Store, insert_new

#: Of an order: may be matched; used up; closed by its owner; its owner lacks the deposit for a single task.
OPEN, FILLED, CANCELED, UNFUNDED = "open", "filled", "canceled", "unfunded"
KINDS: dict[str, type[Order]] = {
    "app": AppOrder,
    "dataset": DatasetOrder,
    "workerpool": WorkerpoolOrder,
    "request": RequestOrder,
}
#: Orders that one wallet may have in the book, unused ones; the bytes of one (a deal's params have 16,384 at most).
MAX_ORDERS_OF_ONE, MAX_ORDER_BYTES = 1000, 20_000
#: Requests in all. They cost their requester nothing: in a full book those that pay least make room.
MAX_REQUESTS = 20_000
MAX_LISTED = 10_000


class SignatureError(PewError):
    """The order is not signed by the owner of what it sells."""


class OrderBook:
    """Orders for one hub."""

    def __init__(self, database: Store, chain: Chain) -> None:
        self._store = database
        self._chain = chain
        self._domain = chain.deployment.domain

    def publish(self, kind: str, body: Any, now: int) -> dict[str, Any]:
        """Check an order and list it.

        Raises:
            BadInputError: not an order of that kind, nothing left of it, or no deposit behind it.
            SignatureError: signed by somebody else.
        """
        if not isinstance(body, dict) or not isinstance(body.get("order"), dict):
            raise BadInputError("there is no order in the request", hint='send {"order": {...}}')
        order = KINDS[kind].from_json(body["order"])
        if len(json.dumps(order.as_json())) > MAX_ORDER_BYTES:
            raise BadInputError(f"an order has at most {MAX_ORDER_BYTES} bytes", hint="put long input into a file")
        order_hash = order.hash(self._domain)
        owner = self._owner(order)
        self._check_signature(order, order_hash, owner)
        remaining = self._remaining(order, order_hash)
        if remaining <= 0:
            raise BadInputError(f"nothing is left of order {order_hash}", hint="sign a new one with another salt")
        self._check_deposit(order, owner, remaining)
        row = {
            "hash": order_hash,
            "kind": kind,
            "resource": order.resource,
            "signer": owner,
            "price": f"{_price(order):078d}",
            "category": getattr(order, "category", None),
            "remaining": str(remaining),
            "status": OPEN,
            "body": order.as_json(),
            "published_at": now,
        }
        with self._store.write() as db:
            known = db.execute(select(t.orders).where(t.orders.c.hash == order_hash)).mappings().first()
            if known is None:
                _make_room(db, row)
                insert_new(db, t.orders, {**row, "published_at": _moment(db, row)})
        if known is None and self._remaining(order, order_hash) != remaining:  # a deal came in between
            self.refresh([order_hash])
        return {"ok": True, "published": self._shown(known or row)}

    def refresh(self, hashes: Iterable[str], closed: Container[str] = ()) -> None:
        """Ask the hub what is left of orders and write it down; `closed`: those that their owners have closed."""
        o = t.orders.c
        with self._store.read() as db:
            rows = list(db.execute(select(o.hash, o.body, o.status).where(o.hash.in_(set(hashes)))))
        left = {row.hash: int(row.body["volume"]) - self._chain.consumed(row.hash) for row in rows}
        with self._store.write() as db:
            for row in rows:
                ended = CANCELED if row.hash in closed or row.status == CANCELED else FILLED
                going = UNFUNDED if row.status == UNFUNDED else OPEN
                now = {"remaining": str(left[row.hash]), "status": going if left[row.hash] > 0 else ended}
                db.execute(update(t.orders).where(o.hash == row.hash).values(**now))

    def withdraw(self, order_hash: str) -> None:
        """List it no longer. Who has a copy can match it until it is closed on chain."""
        with self._store.write() as db:
            db.execute(delete(t.orders).where(t.orders.c.hash == order_hash))

    def get(self, kind: str, order_hash: str) -> dict[str, Any] | None:
        """One order, also one of which nothing is left."""
        with self._store.read() as db:
            where = (t.orders.c.hash == bytes32(order_hash)) & (t.orders.c.kind == kind)
            row = db.execute(select(t.orders).where(where)).mappings().first()
        return None if row is None else {"ok": True, **self._shown(row)}

    def list(self, kind: str, query: Mapping[str, str]) -> dict[str, Any]:
        """A page of orders that are open and fit the filters, the best for the other side first."""
        page, size = filters.page(query)
        o = t.orders.c
        chosen = select(t.orders).where(o.kind == kind, o.status == OPEN)
        resource = KINDS[kind].RESOURCE
        if query.get(resource, filters.ANY) != filters.ANY:
            chosen = chosen.where(o.resource == address(query[resource]))
        owner = query.get(f"{resource}Owner", filters.ANY)
        if owner != filters.ANY:
            chosen = chosen.where(o.signer == address(owner))
        if "category" in query:
            chosen = chosen.where(o.category == filters.whole(query, "category", 0))
        price = o.price.desc() if kind == "request" else o.price
        with self._store.read() as db:
            ordered = chosen.order_by(price, o.published_at, o.hash).limit(MAX_LISTED)
            rows = list(db.execute(ordered).mappings())
        least = max(filters.whole(query, "minVolume", 1), 1)
        found = [
            row
            for row in rows
            if int(row["remaining"]) >= least and filters.fits(KINDS[kind].from_json(row["body"]), query)
        ]
        shown = [self._shown(row) for row in found[page * size : (page + 1) * size]]
        answer: dict[str, Any] = {"ok": True, "count": len(found), "orders": shown}
        if (page + 1) * size < len(found):
            answer["nextPage"] = page + 1
        return answer

    def unpublish(self, kind: str, body: Any, wallet: str) -> dict[str, Any]:
        """Take orders out of the book at their owner's wish: one by its hash, a resource's last one, or all of it.

        Orders stay valid for whoever has a copy: only closing them on chain ends that.

        Raises:
            BadInputError: no such target, or no such order in the book.
            SignatureError: the orders of somebody else.
        """
        o = t.orders.c
        target = body.get("target") if isinstance(body, dict) else None
        chosen = select(o.hash, o.signer).where(o.kind == kind)
        if target == "unpublish_orderHash":
            chosen = chosen.where(o.hash == bytes32(str(body.get("orderHash"))))
        elif target in {"unpublish_last", "unpublish_all"}:
            resource = address(str(body.get(KINDS[kind].RESOURCE)))
            chosen = chosen.where(o.resource == resource, o.signer == wallet).order_by(o.published_at.desc(), o.hash)
            chosen = chosen.limit(1) if target == "unpublish_last" else chosen
        else:
            raise BadInputError(
                "the request does not say what to unpublish",
                hint='"target" is unpublish_orderHash, unpublish_last or unpublish_all',
            )
        with self._store.write() as db:
            found = list(db.execute(chosen))
            if not found:
                raise BadInputError("no such order is in this book", hint="list the book", code="NO_SUCH_ORDER")
            if any(row.signer != wallet for row in found):
                raise SignatureError(
                    f"only {found[0].signer} may unpublish this order", hint="sign with that wallet", code="NOT_OWNER"
                )
            hashes = [row.hash for row in found]
            db.execute(delete(t.orders).where(o.hash.in_(hashes)))
        return {"ok": True, "unpublished": hashes}

    def standing_stake(self) -> int:
        """What the scheduler must have free, nRLC, so that its dearest standing order can be matched in full."""
        needed = 0
        o = t.orders.c
        chosen = select(o.body, o.remaining).where(o.kind == "workerpool", o.status == OPEN)
        with self._store.read() as db:
            for row in db.execute(chosen):
                price = WorkerpoolOrder.from_json(row.body).workerpoolprice
                needed = max(needed, funds.scheduler_stake(price) * int(row.remaining))
        return needed

    def _owner(self, order: Order) -> str:
        match order:
            case AppOrder():
                return address(self._chain.app(order.app).owner)
            case DatasetOrder():
                return address(self._chain.dataset(order.dataset).owner)
            case WorkerpoolOrder():
                return address(self._chain.workerpool(order.workerpool).owner)
        return order.resource

    def _check_signature(self, order: Order, order_hash: str, owner: str) -> None:
        with suppress(BadInputError):
            if recover_typed(order.typed_data(self._domain), order.sign) == owner:
                return
        hub = self._chain.hub.functions
        other_ways = hub.verifyPresignatureOrSignature(owner, to_bytes(order_hash, 32), to_bytes(order.sign))
        with suppress(
            Web3Exception
        ):  # a contract wallet may answer anything, and the hub refuses a malformed signature
            if self._chain.ask(other_ways.call):
                return
        raise SignatureError(
            f"the order is not signed by {owner}, who owns {order.resource}",
            hint=f"sign it with {owner}, for hub {self._domain.hub} on chain {self._domain.chain_id}",
            code="WRONG_SIGNATURE",
        )

    def _check_deposit(self, order: Order, owner: str, remaining: int) -> None:
        if isinstance(order, WorkerpoolOrder):
            needed = funds.scheduler_stake(order.workerpoolprice) * remaining
            funds.check_deposit(self._chain, owner, needed, f"the scheduler's stake for {remaining} tasks")
        elif isinstance(order, RequestOrder):
            needed = _price(order) * remaining
            funds.check_deposit(self._chain, owner, needed, f"the price of {remaining} tasks")

    def _remaining(self, order: Order, order_hash: str) -> int:
        volume: int = getattr(order, "volume")  # noqa: B009 - every kind of order has it, `Order` does not say so
        return volume - self._chain.consumed(order_hash)

    def _shown(self, row: Any) -> dict[str, Any]:
        return {
            "orderHash": row["hash"],
            "order": row["body"],
            "remaining": int(row["remaining"]),
            "status": row["status"],
            "signer": row["signer"],
            "publicationTimestamp": datetime.fromtimestamp(row["published_at"], UTC).isoformat(),
            "chainId": self._domain.chain_id,
        }


def _make_room(db: Connection, row: Mapping[str, Any]) -> None:
    """BadInputError where the owner, or the book of requests, has no room for another order."""
    o = t.orders.c
    live = o.status.in_((OPEN, UNFUNDED))
    of_one = db.scalar(select(func.count()).where(o.signer == row["signer"], live)) or 0
    if of_one >= MAX_ORDERS_OF_ONE:
        raise BadInputError(f"{row['signer']} has {of_one} orders in the book", hint="use orders of larger volume")
    if row["kind"] != "request":
        return
    requests = (o.kind == "request") & live
    if (db.scalar(select(func.count()).where(requests)) or 0) < MAX_REQUESTS:
        return
    least = db.execute(select(o.hash, o.price).where(requests).order_by(o.price, o.published_at, o.hash)).first()
    if least is None or least.price >= row["price"]:
        raise BadInputError("the book is full of requests that pay more", hint="offer more, or match it yourself")
    db.execute(delete(t.orders).where(o.hash == least.hash))


def _moment(db: Connection, row: Mapping[str, Any]) -> int:
    """When it was published: within a burst each a second after the last of its resource, so that one is the last."""
    o = t.orders.c
    before = db.scalar(select(func.max(o.published_at)).where(o.kind == row["kind"], o.resource == row["resource"]))
    return max(int(row["published_at"]), int(before or 0) + 1)


def _price(order: Order) -> int:
    match order:
        case AppOrder():
            return order.appprice
        case DatasetOrder():
            return order.datasetprice
        case WorkerpoolOrder():
            return order.workerpoolprice
        case RequestOrder():
            return order.appmaxprice + order.datasetmaxprice + order.workerpoolmaxprice
    raise BadInputError(f"{type(order).__name__} has no price")
