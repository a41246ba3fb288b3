"""The green order: the hub lets only workers contribute whose anchored ledger is net positive."""

import pytest
from brownie import chain

from poco.hexes import ZERO_BYTES32
from poco.tags import GREEN, TEE
from tests.contracts.energy.test_ledger import claim, today
from tests.contracts.market import DIGEST, refused, revert_of


@pytest.fixture
def pool(market):
    """A pool whose window is one day."""
    market.energy_ledger.declareWindow(market.pool, 1, {"from": market.scheduler})
    return market.pool


def green_task(market, tag=GREEN, offered=GREEN, dataset=False, **request):
    orders = market.orders(dataset=dataset, tag=tag, **request)
    orders[2] = market.pool_order(tag=offered)
    deal = market.match(orders)
    market.hub.initialize(deal.id, 0, {"from": market.scheduler})
    return deal.tasks[0]


def positive(market, worker, harvested=2, consumed=1):
    market.energy_ledger.anchor([claim(today() - 1, harvested, consumed)], {"from": worker})


def refusal(market, worker, task):
    return revert_of(market.hub.contribute, *market.contribution(worker, task), options={"from": worker})


def test_who_is_net_positive_does_it(market, pool):
    worker = market.workers[0]
    task = green_task(market)
    positive(market, worker)
    market.complete(task, [worker])
    assert market.hub.viewTask(task)["status"] == 3


@pytest.mark.parametrize("options", [{}, {"dataset": True}, {"callback": "0x" + "11" * 20}])
def test_who_has_no_ledger_is_refused(market, pool, options):
    worker = market.workers[0]
    task = green_task(market, **options)
    assert refusal(market, worker, task) == ("NotNetPositive", str(worker).lower(), str(pool).lower())
    with refused():
        market.contribute(worker, task)
    assert market.locked(worker) == 0


def test_who_drew_more_than_the_sun_gave_is_refused(market, pool):
    task = green_task(market)
    positive(market, market.workers[0], 1, 2)
    assert refusal(market, market.workers[0], task)[0] == "NotNetPositive"


def test_a_stale_claim_is_refused_and_a_new_one_counts(market, pool):
    worker = market.workers[0]
    positive(market, worker)
    chain.sleep(4 * 86_400)
    chain.mine()
    task = green_task(market)
    assert refusal(market, worker, task)[0] == "NotNetPositive"
    positive(market, worker)
    market.contribute(worker, task)


def test_the_pools_window_counts(market):
    worker = market.workers[0]
    positive(market, worker)
    task = green_task(market)
    assert refusal(market, worker, task)[0] == "NotNetPositive"  # 30 days where none is declared
    market.energy_ledger.declareWindow(market.pool, 1, {"from": market.scheduler})
    market.contribute(worker, task)


def test_the_short_way_is_guarded_too(market, pool):
    worker = market.workers[0]
    task = green_task(market)
    arguments = (task, DIGEST, b"", b"", "0x" + "00" * 20, "0x", market.authorization(worker, task))
    call = market.hub.contributeAndFinalize
    assert revert_of(call, *arguments, options={"from": worker})[0] == "NotNetPositive"
    positive(market, worker)
    call(*arguments, {"from": worker})
    assert market.hub.viewTask(task)["status"] == 3


def test_a_pool_must_offer_it(market):
    orders = market.orders(tag=GREEN)
    arguments = [order.as_tuple() for order in orders]
    assert revert_of(market.hub.matchOrders, *arguments, options={"from": market.admin})[0] == "TagNotOffered"


@pytest.mark.parametrize("bit", [1, 2, 3, 8, 16, 128, 253, 254])
def test_no_other_bit_asks_for_anything(market, bit):
    tag = "0x" + (1 << bit).to_bytes(32, "big").hex()
    market.contribute(market.workers[0], green_task(market, tag, tag))


def test_an_ordinary_task_needs_no_ledger_and_an_offer_binds_nobody(market, pool):
    market.contribute(market.workers[0], green_task(market, ZERO_BYTES32, GREEN))


def test_the_enclave_bit_is_still_minded(market, pool):
    worker = market.workers[0]
    orders = market.orders(tag=TEE)
    orders[0] = market.app_order(tag=TEE)
    orders[2] = market.pool_order(tag=TEE)
    deal = market.match(orders)
    market.hub.initialize(deal.id, 0, {"from": market.scheduler})
    assert refusal(market, worker, deal.tasks[0])[0] == "EnclaveRequired"
