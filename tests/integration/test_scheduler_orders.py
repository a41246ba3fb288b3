"""The pool's standing orders: published from templates, renewed when consumed, withdrawn when nobody can run them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from chain.client import Chain
from chain.transactions import Sender
from poco.orders import NO_DATASET, AppOrder, RequestOrder, WorkerpoolOrder
from tests.integration.scheduler_pool import RLC, Market, Pool, until

TEMPLATES = [
    {"category": 0, "price": "1 RLC", "volume": 2, "trust": 1},
    {"category": 0, "price": "2 RLC", "volume": 5, "trust": 1, "tags": ["gpu"]},
    {"category": 0, "price": 3 * RLC, "volume": 1000, "trust": 4},
]


@pytest.fixture(scope="module")
def pool(hub: Chain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    made = Pool(Market(hub, tmp_path_factory.mktemp("market")), tmp_path_factory.mktemp("pool"))
    made.start(orders=TEMPLATES)
    yield made
    assert made.stop() == 0


def listed(pool: Pool) -> list[WorkerpoolOrder]:
    query = {"workerpool": pool.address, "category": 0}
    found = requests.get(f"{pool.url}/workerpoolorders", params=query, timeout=10).json()["orders"]
    return [WorkerpoolOrder.from_json(one["order"]) for one in found]


def prices(pool: Pool) -> list[int]:
    return [order.workerpoolprice // RLC for order in listed(pool)]


def buy(pool: Pool, order: WorkerpoolOrder, volume: int) -> None:
    domain, market = pool.chain.deployment.domain, pool.market
    app = pool.app_owner.sign_order(AppOrder(pool.app, volume=volume, salt=market.salt()), domain)
    asked = RequestOrder(
        pool.app,
        pool.requester.address,
        workerpoolmaxprice=order.workerpoolprice,
        volume=volume,
        trust=1,
        beneficiary=pool.requester.address,
        salt=market.salt(),
    )
    request = pool.requester.sign_order(asked, domain)
    call = pool.chain.hub.functions.matchOrders(*(o.as_tuple() for o in (app, NO_DATASET, order, request)))
    Sender(pool.chain, pool.requester).transact(call)


def test_orders_follow_the_fleet_and_are_renewed_when_consumed(pool: Pool) -> None:
    why = until(lambda: [row["not_published_because"] for row in pool.status()["orders"]])
    assert why == ["no worker of the pool could run it"] * 3
    assert listed(pool) == []

    one = pool.worker("one").join()
    one.poll()
    until(lambda: prices(pool) == [1])
    until(lambda: "a trust of 4 needs more" in pool.status()["orders"][2]["not_published_because"])

    two = pool.worker("two", features=["gpu"]).join()
    two.poll()
    until(lambda: prices(pool) == [1, 2, 3])
    plain, gpu, trusted = listed(pool)
    assert (plain.volume, plain.trust, int(gpu.tag, 16)) == (2, 1, 1 << 8)
    free = pool.chain.account(pool.owner.address).stake
    assert trusted.volume == free // (3 * RLC * 30 // 100) < 1000, "no more than the deposit covers"

    buy(pool, plain, 2)
    until(lambda: [order.salt != plain.salt for order in listed(pool) if order.workerpoolprice == RLC] == [True])

    two.poll(presence="DRAINING", slots=0)
    until(lambda: prices(pool) == [1])


def test_templates_that_are_wrong_are_named(tmp_path: Path) -> None:
    from scheduler.offers import Template

    for wrong, said in (({"price": "much"}, "not an amount"), ({"price": 1, "tags": ["x"]}, "there is no tag x")):
        with pytest.raises(ValueError, match=said):
            Template.model_validate({"category": 0, **wrong})
