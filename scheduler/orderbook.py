"""The pool's order book, in the shapes of the official gateway: signed orders, published and listed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, func, insert, select
from web3.exceptions import Web3Exception

from chain.client import Chain
from chain.wallet import recover_typed
from poco.errors import BadInputError, PewError
from poco.hexes import ZERO_ADDRESS, ZERO_BYTES32, address, bytes32, to_bytes
from poco.orders import AppOrder, DatasetOrder, Order, RequestOrder, WorkerpoolOrder
from scheduler import funds
from scheduler import tables as t
from scheduler.store import Store

KINDS: dict[str, type[Order]] = {
    "app": AppOrder,
    "dataset": DatasetOrder,
    "workerpool": WorkerpoolOrder,
    "request": RequestOrder,
}
PAGE_SIZE, MAX_PAGE_SIZE = 20, 1000
MAX_ORDERS_OF_ONE = 1000
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
            "body": order.as_json(),
            "published_at": now,
        }
        with self._store.write() as db:
            known = db.execute(select(t.orders).where(t.orders.c.hash == order_hash)).mappings().first()
            if known is None:
                of_one = db.scalar(select(func.count()).where(t.orders.c.signer == owner)) or 0
                if of_one >= MAX_ORDERS_OF_ONE:
                    raise BadInputError(f"{owner} has {of_one} orders in the book", hint="use orders of larger volume")
                db.execute(insert(t.orders).values(**row))
        return {"ok": True, "published": self._shown(known or row, remaining)}

    def withdraw(self, order_hash: str) -> None:
        """List it no longer. Who has a copy can match it until it is closed on chain."""
        with self._store.write() as db:
            db.execute(delete(t.orders).where(t.orders.c.hash == order_hash))

    def get(self, kind: str, order_hash: str) -> dict[str, Any] | None:
        """One order, also one of which nothing is left."""
        with self._store.read() as db:
            where = (t.orders.c.hash == bytes32(order_hash)) & (t.orders.c.kind == kind)
            row = db.execute(select(t.orders).where(where)).mappings().first()
        if row is None:
            return None
        return {"ok": True, **self._shown(row, self._remaining(KINDS[kind].from_json(row["body"]), row["hash"]))}

    def list(self, kind: str, query: Mapping[str, str]) -> dict[str, Any]:
        """A page of orders that are left and fit the filters, the best for the other side first."""
        page, size = _whole(query, "pageIndex", 0, 10**6), _whole(query, "pageSize", PAGE_SIZE, MAX_PAGE_SIZE)
        size = max(size, 1)
        chosen = select(t.orders).where(t.orders.c.kind == kind)
        resource = KINDS[kind].RESOURCE
        if resource in query and query[resource] != "any":
            chosen = chosen.where(t.orders.c.resource == address(query[resource]))
        owner = query.get(f"{resource}Owner")
        if owner:
            chosen = chosen.where(t.orders.c.signer == address(owner))
        if "category" in query:
            chosen = chosen.where(t.orders.c.category == _whole(query, "category", 0, 2**53))
        price = t.orders.c.price.desc() if kind == "request" else t.orders.c.price
        with self._store.read() as db:
            ordered = chosen.order_by(price, t.orders.c.published_at, t.orders.c.hash).limit(MAX_LISTED)
            rows = list(db.execute(ordered).mappings())
        found = []
        for row in rows:
            order = KINDS[kind].from_json(row["body"])
            if _fits(order, query):
                remaining = self._remaining(order, row["hash"])
                if remaining >= max(_whole(query, "minVolume", 1, 2**53), 1):
                    found.append(self._shown(row, remaining))
        answer: dict[str, Any] = {"ok": True, "count": len(found), "orders": found[page * size : (page + 1) * size]}
        if (page + 1) * size < len(found):
            answer["nextPage"] = page + 1
        return answer

    def standing_stake(self) -> int:
        """What the scheduler must have free, nRLC, so that its dearest standing order can be matched in full."""
        needed = 0
        with self._store.read() as db:
            rows = list(db.execute(select(t.orders).where(t.orders.c.kind == "workerpool")).mappings())
        for row in rows:
            order = WorkerpoolOrder.from_json(row["body"])
            remaining = max(self._remaining(order, row["hash"]), 0)
            needed = max(needed, funds.scheduler_stake(order.workerpoolprice) * remaining)
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

    def _shown(self, row: Any, remaining: int) -> dict[str, Any]:
        return {
            "orderHash": row["hash"],
            "order": row["body"],
            "remaining": remaining,
            "status": "open" if remaining > 0 else "filled",
            "signer": row["signer"],
            "publicationTimestamp": datetime.fromtimestamp(row["published_at"], UTC).isoformat(),
            "chainId": self._domain.chain_id,
        }


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


def _fits(order: Order, query: Mapping[str, str]) -> bool:
    if not _tags_fit(int(getattr(order, "tag", ZERO_BYTES32), 16), query):
        return False
    if isinstance(order, WorkerpoolOrder) and order.trust < _whole(query, "minTrust", _whole(query, "trust", 0)):
        return False
    if isinstance(order, RequestOrder):
        if "maxTrust" in query and order.trust > _whole(query, "maxTrust", 0):
            return False
        wanted = {name: query.get(name) for name in ("app", "dataset", "workerpool", "beneficiary")}
        return all(
            value in (None, "any") or getattr(order, name) == address(str(value)) for name, value in wanted.items()
        )
    for name in ("app", "dataset", "workerpool", "requester"):
        allowed = getattr(order, f"{name}restrict", None)
        if allowed is not None and not _restriction_fits(allowed, query.get(name), f"is{name.title()}Strict" in query):
            return False
    return True


def _restriction_fits(allowed: str, asked: str | None, strict: bool) -> bool:
    """Without a filter only unrestricted orders are shown; `any` shows all."""
    if asked == "any":
        return True
    if asked is None:
        return allowed == ZERO_ADDRESS
    return allowed == address(asked) or (not strict and allowed == ZERO_ADDRESS)


def _tags_fit(tag: int, query: Mapping[str, str]) -> bool:
    if "minTag" in query and int(bytes32(query["minTag"]), 16) & ~tag:
        return False
    return not ("maxTag" in query and tag & ~int(bytes32(query["maxTag"]), 16))


def _whole(query: Mapping[str, str], name: str, default: int, most: int = 2**53) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 17 or int(text) > most:
        raise BadInputError(f"{name} is not a whole number up to {most}", hint="correct that parameter")
    return int(text)
