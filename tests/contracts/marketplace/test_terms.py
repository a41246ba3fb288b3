"""Each reason for which orders do not match is told apart."""

from dataclasses import replace

import pytest

from tests.contracts.market import RLC, revert_of

APP, DATASET, POOL, REQUEST = range(4)
TEE = "0x" + "00" * 31 + "01"
GPU = "0x" + "00" * 30 + "0100"


def refusal(market, orders):
    return revert_of(market.hub.matchOrders, *(order.as_tuple() for order in orders))


def with_change(market, index, **values):
    """Matching orders with a dataset, one of them changed (and signed again)."""
    orders = market.orders(dataset=True)
    signers = (market.app_owner, market.dataset_owner, market.scheduler, market.requester)
    orders[index] = market.sign(replace(orders[index], **values), signers[index])
    return orders


CASES = [
    (REQUEST, {"category": 1}, ("CategoryMismatch", 1, 0)),
    (REQUEST, {"trust": 101}, ("TrustTooHigh", 101, 100)),
    (APP, {"appprice": 5 * RLC + 1}, ("PriceTooHigh", 0, 5 * RLC + 1, 5 * RLC)),
    (DATASET, {"datasetprice": 5 * RLC + 1}, ("PriceTooHigh", 1, 5 * RLC + 1, 5 * RLC)),
    (POOL, {"workerpoolprice": 20 * RLC + 1}, ("PriceTooHigh", 2, 20 * RLC + 1, 20 * RLC)),
    (APP, {"tag": GPU}, ("TagNotOffered", bytes.fromhex(GPU[2:]))),
    (DATASET, {"tag": GPU}, ("TagNotOffered", bytes.fromhex(GPU[2:]))),
    (REQUEST, {"tag": GPU}, ("TagNotOffered", bytes.fromhex(GPU[2:]))),
]


@pytest.mark.parametrize(("index", "values", "error"), CASES)
def test_terms(market, index, values, error):
    assert refusal(market, with_change(market, index, **values)) == error


def test_unknown_category(market):
    orders = market.orders(category=7)
    assert refusal(market, orders) == ("UnknownCategory", 7)


def test_trust_has_a_limit(market):
    orders = market.orders(trust=2**32)
    orders[POOL] = market.pool_order(trust=2**256 - 1)
    assert refusal(market, orders) == ("TrustTooHigh", 2**32, 2**32 - 1)


def test_enclave_must_come_from_the_app(market):
    orders = market.orders(tag=TEE)
    orders[POOL] = market.pool_order(tag=TEE)
    assert refusal(market, orders) == ("AppNotForEnclave", bytes.fromhex(TEE[2:]), bytes(32))


def test_tags_join(market):
    orders = market.orders(tag=GPU)
    orders[APP] = market.app_order(tag=TEE)
    orders[POOL] = market.pool_order(tag="0x" + "ff" * 32)
    deal = market.match(orders)
    assert str(market.hub.viewDeal(deal.id)["tag"]) == "0x" + "00" * 30 + "0101"


def test_resources_must_be_those_asked_for(market):
    other_app, other_data = market.create_app("other"), market.create_dataset("other")
    orders = with_change(market, REQUEST, app=other_app)
    assert refusal(market, orders) == ("ResourceMismatch", 0, other_app.lower(), market.app.lower())
    orders = with_change(market, REQUEST, dataset=other_data)
    assert refusal(market, orders) == ("ResourceMismatch", 1, other_data.lower(), market.dataset.lower())


def test_resources_must_be_registered(market):
    stranger = str(market.workers[4])
    orders = market.orders(app=stranger)
    orders[APP] = market.app_order(app=stranger)
    assert refusal(market, orders) == ("ResourceNotRegistered", 0, stranger.lower())
    orders = market.orders(dataset=True)
    orders[DATASET] = market.dataset_order(dataset=market.app)
    orders[REQUEST] = market.request_order(dataset=market.app)
    assert refusal(market, orders) == ("ResourceNotRegistered", 1, market.app.lower())
    orders = market.orders()
    orders[POOL] = market.pool_order(workerpool=market.app)
    assert refusal(market, orders) == ("ResourceNotRegistered", 2, market.app.lower())


def test_requester_must_have_the_money(market):
    free = market.stake(market.requester)
    market.hub.withdraw(free - 11 * RLC + 1, {"from": market.requester})
    who = str(market.requester).lower()
    assert refusal(market, market.orders()) == ("InsufficientStake", who, 11 * RLC - 1, 11 * RLC)


def test_scheduler_must_have_the_stake(market):
    market.hub.withdraw(market.stake(market.scheduler) - 3 * RLC + 1, {"from": market.scheduler})
    who = str(market.scheduler).lower()
    assert refusal(market, market.orders()) == ("InsufficientStake", who, 3 * RLC - 1, 3 * RLC)


def test_params_have_a_limit(market):
    assert refusal(market, market.orders(params="x" * 24_500))[0] == "DataTooLong"
    deal = market.deal(params="x" * 20_000)
    assert market.hub.viewDeal(deal.id)["params"] == "x" * 20_000


@pytest.mark.parametrize("price", [2**63, 2**64, 2**200, 2**256 - 1])
def test_prices_beyond_all_money(market, price):
    orders = market.orders(workerpoolmaxprice=2**256 - 1)
    orders[POOL] = market.pool_order(workerpoolprice=price)
    assert refusal(market, orders)  # whatever the reason, the match is refused
