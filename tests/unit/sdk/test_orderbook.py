"""The order book's client against a real HTTP server that answers as a book, well and badly."""

import json
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from eth_account import Account

from chain.wallet import Wallet, recover_typed, typed_hash
from poco.challenge import GATEWAY, typed_challenge
from poco.errors import BadInputError, PewError
from poco.hexes import to_hex
from poco.orders import AppOrder, Domain, RequestOrder, WorkerpoolOrder
from sdk.orderbook import OrderBook
from sdk.service import MAX_JSON_BYTES, Service, ServiceError

APP, POOL, ME = (f"0x{digit * 40}" for digit in "134")
DOMAIN = Domain(1337, "0x" + "9" * 40)
WALLET = Wallet(Account.create())


def entry(order, /, **change):
    body = {"orderHash": order.hash(DOMAIN), "order": order.as_json(), "remaining": order.volume, "signer": ME}
    return {**body, "status": "open", "publicationTimestamp": "2026-01-01T00:00:00Z", "chainId": 1337, **change}


class Book(BaseHTTPRequestHandler):
    """Answers with what `server.answers` holds for a path, and notes what it was asked."""

    def do_GET(self):
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.server.asked.append((parts.path, query))
        status, body = self.server.answers[parts.path]
        self._answer(status, body(query) if callable(body) else body)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((urlsplit(self.path).path, body))
        self.server.signed.append(self.headers["Authorization"])
        self._answer(*self.server.answers[self.command])

    do_PUT = do_POST  # noqa: N815 - what http.server calls

    def _answer(self, status, body):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(raw)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    running = ThreadingHTTPServer(("127.0.0.1", 0), Book)
    running.answers, running.asked, running.signed = {}, [], []
    running.answers["/challenge"] = (200, {"ok": True, "data": typed_challenge("whatever", 5, "prove it")})
    threading.Thread(target=running.serve_forever, daemon=True).start()
    running.book = OrderBook(Service(f"http://127.0.0.1:{running.server_port}"), DOMAIN)
    yield running
    running.shutdown()
    running.server_close()


def test_pages_are_followed(server):
    orders = [WorkerpoolOrder(POOL, workerpoolprice=n, salt=f"0x{n:064x}") for n in range(3)]

    def page(query):
        number = int(query["pageIndex"])
        more = {"nextPage": number + 1} if number < 2 else {}
        return {"ok": True, "orders": [entry(orders[number])], "count": 3, **more}

    server.answers["/workerpoolorders"] = (200, page)
    found = server.book.pools(POOL, category=0, minTrust=4)
    assert [one.order for one in found] == orders
    assert found[0].hash == orders[0].hash(DOMAIN)
    query = server.asked[0][1]
    assert (query["chainId"], query["workerpool"], query["minTrust"]) == ("1337", POOL, "4")


def test_an_empty_book(server):
    server.answers["/apporders"] = (200, {"ok": True, "orders": [], "count": 0})
    assert server.book.apps(APP) == []


def test_everything_of_a_kind_includes_restricted_orders(server):
    server.answers["/apporders"] = (200, {"ok": True, "orders": [], "count": 0})
    server.book.all("app", APP)
    query = server.asked[0][1]
    assert {name: query[name] for name in ("app", "dataset", "workerpool", "requester")} == {
        "app": APP,
        "dataset": "any",
        "workerpool": "any",
        "requester": "any",
    }
    with pytest.raises(BadInputError, match="kind of order"):
        server.book.all("pizza")


@pytest.mark.parametrize(
    "change",
    [
        {"orderHash": "0x" + "00" * 32},
        {"order": {"app": APP}},
        {"remaining": "many"},
        {"signer": "me"},
        {"order": None},
    ],
)
def test_an_order_that_is_none_is_not_taken(server, change):
    server.answers["/apporders"] = (200, {"ok": True, "orders": [entry(AppOrder(APP), **change)], "count": 1})
    with pytest.raises(PewError, match="an order that is none"):
        server.book.apps(APP)


@pytest.mark.parametrize("body", [b"<html>", b"[" * 100_000, {"ok": True}, [], b""])
def test_what_is_no_book(server, body):
    server.answers["/apporders"] = (200, body)
    with pytest.raises(PewError):
        server.book.apps(APP)


def test_an_answer_without_an_end(server):
    server.answers["/apporders"] = (200, b" " * (MAX_JSON_BYTES + 1))
    with pytest.raises(ServiceError, match="more than"):
        server.book.apps(APP)


def test_publishing(server):
    order = AppOrder(APP, appprice=5, sign="0x" + "11" * 65)
    server.answers["POST"] = (201, {"ok": True, "published": entry(order)})
    assert server.book.publish(order, WALLET) == order.hash(DOMAIN)
    assert server.asked[-1] == ("/apporders", {"order": order.as_json()})
    server.answers["POST"] = (201, {"ok": True, "published": {"orderHash": "0x" + "00" * 32}})
    with pytest.raises(PewError, match="did not confirm"):
        server.book.publish(order, WALLET)


def test_refusals_in_the_books_words(server):
    order = RequestOrder(app=APP, requester=ME)
    server.answers["POST"] = (400, {"ok": False, "error": "invalid sign"})
    with pytest.raises(ServiceError, match="invalid sign") as error:
        server.book.publish(order, WALLET)
    assert (error.value.status, error.value.exit_code) == (400, 2)
    server.answers["POST"] = (409, {"error": "NO_STAKE", "message": "no stake is left", "hint": "deposit"})
    with pytest.raises(ServiceError, match="no stake is left") as error:
        server.book.publish(order, WALLET)
    assert (error.value.code, error.value.hint) == ("NO_STAKE", "deposit")


def test_only_a_challenge_is_signed(server):
    """Name and chain are what the client knows, not what the service says: no other typed data can be slipped in."""
    order = AppOrder(APP, sign="0x" + "11" * 65)
    server.answers["POST"] = (200, {"ok": True, "published": entry(order)})
    server.book.publish(order, WALLET)
    digest, signature, wallet = server.signed[-1].split("_")
    typed = typed_challenge(GATEWAY, DOMAIN.chain_id, "prove it")
    assert (digest, wallet) == (to_hex(typed_hash(typed)), WALLET.address)
    assert recover_typed(typed, signature) == WALLET.address
    for answer in ({"message": {"app": APP}}, {"message": {"challenge": "x" * 2000}}, [], {"data": 5}):
        server.answers["/challenge"] = (200, answer)
        with pytest.raises(PewError, match="no challenge"):
            server.book.publish(order, WALLET)


def test_unpublishing(server):
    gone = "0x" + "ab" * 32
    server.answers["PUT"] = (200, {"ok": True, "unpublished": [gone]})
    assert server.book.unpublish("app", gone, WALLET) == [gone]
    assert server.asked[-1] == ("/apporders", {"target": "unpublish_orderHash", "orderHash": gone})
    server.book.unpublish("app", APP, WALLET)
    assert server.asked[-1][1] == {"target": "unpublish_all", "app": APP}
    server.book.unpublish("app", APP, WALLET, last=True)
    assert server.asked[-1][1]["target"] == "unpublish_last"
    server.answers["PUT"] = (400, {"ok": False, "error": "no such order"})
    with pytest.raises(ServiceError, match="no such order"):
        server.book.unpublish("app", gone, WALLET)
    with pytest.raises(BadInputError):
        server.book.unpublish("app", "nonsense", WALLET)


def test_nobody_there():
    with pytest.raises(ServiceError, match="no scheduler answers") as error:
        OrderBook(Service("http://127.0.0.1:1"), DOMAIN).apps(APP)
    assert (error.value.status, error.value.exit_code) == (0, 1)
    for url in ("127.0.0.1:80", "ftp://x", "http://"):
        with pytest.raises(BadInputError):
            Service(url)
