"""The order book over reorganisations, restarts and several followers, and what keeps it small."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from chain.client import Chain
from chain.transactions import Sender
from chain.wallet import Wallet
from poco.errors import BadInputError
from poco.orders import NO_DATASET, AppOrder, Order, RequestOrder, WorkerpoolOrder
from scheduler import follower as following
from scheduler import orderbook
from scheduler import tables as t
from scheduler.follower import Follower
from scheduler.orderbook import OrderBook
from scheduler.store import Store
from tests.integration.scheduler_pool import RLC, Market

NOW = 1_700_000_000


@dataclass
class Book:
    """A book on a database of its own, and the people who use it."""

    market: Market
    database: Store
    book: OrderBook
    me: Wallet
    app: str
    pool: str

    @property
    def chain(self) -> Chain:
        return self.market.chain

    def signed(self, order: Order) -> Any:
        return self.me.sign_order(replace(order, salt=self.market.salt()), self.chain.deployment.domain)  # type: ignore[call-arg]

    def publish(self, order: Order) -> str:
        return str(
            self.book.publish(order.NAME.removesuffix("Order").lower(), {"order": order.as_json()}, NOW)["published"][
                "orderHash"
            ]
        )

    def follower(self) -> Follower:
        return Follower(self.database, self.chain, 1)

    def status(self, order_hash: str) -> tuple[int, str]:
        found = self.book.get("app", order_hash)
        assert found is not None
        return found["remaining"], found["status"]

    def deals(self) -> int:

        with self.database.read() as db:
            return (
                db.scalar(select(func.count()).select_from(t.deals).where(t.deals.c.requester == self.me.address)) or 0
            )

    def match(self, app: AppOrder) -> None:
        pool = self.signed(WorkerpoolOrder(self.pool, 0, trust=1))
        request = self.signed(
            RequestOrder(self.app, self.me.address, workerpool=self.pool, beneficiary=self.me.address)
        )
        call = self.chain.hub.functions.matchOrders(*(each.as_tuple() for each in (app, NO_DATASET, pool, request)))
        Sender(self.chain, self.me).transact(call)

    def close(self, app: AppOrder) -> None:
        Sender(self.chain, self.me).transact(self.chain.hub.functions.manageAppOrder((app.as_tuple(), 1, b"")))

    def ask(self, method: str, *given: Any) -> Any:
        return self.chain.web3.provider.make_request(method, list(given))["result"]  # type: ignore[arg-type]

    def take_back(self, snapshot: str) -> None:
        """Another branch from the snapshot on, longer than the one that was."""
        head = self.chain.block_number()
        assert self.ask("evm_revert", snapshot)
        while int(self.ask("eth_blockNumber"), 16) <= head:
            self.ask("evm_mine")


@pytest.fixture(scope="module")
def market(hub: Chain, tmp_path_factory: pytest.TempPathFactory) -> Market:
    return Market(hub, tmp_path_factory.mktemp("bounds"))


@pytest.fixture(scope="module")
def people(market: Market) -> tuple[Wallet, str, str]:
    me = market.wallet("owner and requester", escrow=20 * RLC)
    return me, market.app(me), market.pool(me)


@pytest.fixture
def book(market: Market, people: tuple[Wallet, str, str], tmp_path: Path) -> Iterator[Book]:
    database = Store(tmp_path / "scheduler.db")
    yield Book(market, database, OrderBook(database, market.chain), *people)
    database.close()


@pytest.mark.parametrize("restarted", [False, True], ids=["while it looks", "while nobody looks"])
def test_a_deal_and_a_closing_that_are_taken_back_give_the_orders_back(book: Book, restarted: bool) -> None:
    used, closed = book.signed(AppOrder(book.app, 0, volume=3)), book.signed(AppOrder(book.app, 0, volume=2))
    hashes = book.publish(used), book.publish(closed)
    follower = book.follower()
    follower.look()
    snapshot = book.ask("evm_snapshot")
    book.match(used)
    book.close(closed)
    follower.look()
    assert [book.status(one) for one in hashes] == [(2, "open"), (0, "canceled")]
    assert book.deals() == 1
    book.take_back(snapshot)
    if restarted:
        follower = book.follower()
    follower.look()
    assert [book.status(one) for one in hashes] == [(3, "open"), (2, "open")]
    assert book.deals() == 0


def test_a_reorganisation_below_what_is_read_again_is_seen(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "AGAIN", 2)
    order = book.signed(AppOrder(book.app, 0, volume=3))
    order_hash = book.publish(order)
    snapshot = book.ask("evm_snapshot")
    book.match(order)
    for _ in range(6):
        book.ask("evm_mine")
    follower = book.follower()
    follower.look()
    assert book.status(order_hash) == (2, "open")
    book.take_back(snapshot)
    follower.look()
    assert book.status(order_hash) == (3, "open")
    assert book.deals() == 0


def test_what_happened_while_nobody_looked_is_caught_up_by_any_of_two(book: Book) -> None:
    order = book.signed(AppOrder(book.app, 0, volume=2))
    order_hash = book.publish(order)
    one, two = book.follower(), book.follower()
    one.look()
    book.match(order)
    two.look()
    assert book.status(order_hash) == (1, "open")
    book.match(order)
    one.look()
    two.look()
    assert book.status(order_hash) == (0, "filled")
    assert book.deals() == 2


def test_a_deal_during_the_publication_is_not_missed(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    order = book.signed(AppOrder(book.app, 0, volume=2))
    make_room = orderbook._make_room

    def overtaken(db: Any, row: Any) -> None:
        book.match(order)
        make_room(db, row)

    monkeypatch.setattr(orderbook, "_make_room", overtaken)
    assert book.status(book.publish(order)) == (1, "open")


def test_an_owner_has_room_for_so_many_live_orders(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orderbook, "MAX_ORDERS_OF_ONE", 2)
    orders = [book.signed(AppOrder(book.app, n)) for n in range(4)]
    for order in orders[:2]:
        book.publish(order)
    with pytest.raises(BadInputError, match="has 2 orders in the book"):
        book.publish(orders[2])
    book.publish(orders[0])  # again: it is there
    book.close(orders[0])
    book.follower().look()
    book.publish(orders[2])
    with pytest.raises(BadInputError, match="has 2 orders in the book"):
        book.publish(orders[3])


def test_in_a_full_book_requests_that_pay_least_make_room(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orderbook, "MAX_REQUESTS", 2)

    def request(price: int) -> str:
        mine = RequestOrder(book.app, book.me.address, workerpoolmaxprice=price, beneficiary=book.me.address)
        return book.publish(book.signed(mine))

    free, cheap = request(0), request(5)
    with pytest.raises(BadInputError, match="full of requests that pay more"):
        request(0)
    dear = request(7)
    assert book.book.get("request", free) is None
    listed = book.book.list("request", {})["orders"]
    assert [one["orderHash"] for one in listed] == [dear, cheap]
    book.publish(book.signed(AppOrder(book.app, 1)))  # other kinds have a price of their own: gas


def test_the_last_of_a_burst_is_known(book: Book) -> None:
    hashes = [book.publish(book.signed(AppOrder(book.app, n))) for n in range(5)]
    for last in reversed(hashes):
        gone = book.book.unpublish("app", {"target": "unpublish_last", "app": book.app}, book.me.address)
        assert gone["unpublished"] == [last]


def test_an_order_has_a_bounded_size(book: Book) -> None:
    long = RequestOrder(book.app, book.me.address, beneficiary=book.me.address, params="x" * orderbook.MAX_ORDER_BYTES)
    with pytest.raises(BadInputError, match="at most 20000 bytes"):
        book.publish(book.signed(long))
    book.publish(book.signed(replace(long, params="x" * 16_384)))
