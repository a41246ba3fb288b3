"""The least of `make interop`: iExec's own client, unmodified, at the book and the secrets of a scheduler."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from chain.client import Chain
from tests.integration.scheduler_pool import RLC, Market, Pool
from tests.interop.official import OfficialClient, Outcome


@dataclass
class User:
    """Somebody with a wallet, an app and iExec's client."""

    pool: Pool
    client: OfficialClient
    app: str

    def library(self, step: str) -> dict[str, Any]:
        deployment = self.pool.chain.deployment
        given = {"host": self.client.chain["host"], "hub": deployment.hub, "url": self.pool.url, "app": self.app}
        outcome = self.client.library("library.mjs", {**given, "step": step, "key": self.client.key("user")})
        assert outcome.ok, outcome.error
        return outcome.said

    def run(self, *words: str, wallet: str | None = None) -> Outcome:
        outcome = self.client.run(*words, wallet=wallet)
        assert outcome.ok, outcome.error
        return outcome


@pytest.fixture(scope="module")
def user(hub: Chain, ganache: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    folder = tmp_path_factory.mktemp("client")
    market = Market(hub, folder)
    pool = Pool(market, tmp_path_factory.mktemp("pool"))
    pool.start()
    market.folder = folder
    wallet = market.wallet("user", escrow=RLC)
    (folder / "user.password").write_text("x")
    names = ("sms", "ipfsGateway", "iexecGateway", "compass")
    entry = {"id": str(hub.deployment.chain_id), "host": ganache, "hub": hub.deployment.hub}
    client = OfficialClient(folder / "work", {**entry, **dict.fromkeys(names, pool.url)})
    client.take_wallet(folder / "user.json")
    yield User(pool, client, market.app(wallet))
    assert pool.stop() == 0


def test_orders_are_signed_published_listed_withdrawn_and_cancelled(user: User) -> None:
    said = user.library("orders")
    kept, last = said["hashes"]
    assert said["listed"] == [kept, last]
    assert said["last"] == last
    assert "nothing is left" in said["again"]


def test_secrets_are_pushed_and_known(user: User) -> None:
    said = user.library("secrets")
    assert (said["known"], said["unknown"], said["token"]) == (True, False, True)
    assert "already" in said["again"]


def test_the_command_line_publishes_and_reads_the_book(user: User) -> None:
    said = user.run("app", "publish", user.app, "--price", "7", "--volume", "3", "--force", wallet="user").said
    book = user.run("orderbook", "app", user.app).said["appOrders"]
    assert [(one["orderHash"], one["price"], one["remaining"]) for one in book] == [(said["orderHash"], 7, 3)]
