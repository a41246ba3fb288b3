"""Bags of tasks: what a deal takes from its orders, and where its indexes begin."""

import pytest

from poco.ids import deal_id
from tests.contracts.market import RLC, revert_of, same


def consumed(market, deal):
    return [market.hub.viewConsumed(order.hash(market.domain)) for order in deal.orders]


@pytest.mark.parametrize("smallest", range(4))
def test_least_volume_counts(market, smallest):
    volumes = [9, 9, 9, 9]
    volumes[smallest] = 4
    orders = [
        market.app_order(volume=volumes[0]),
        market.dataset_order(volume=volumes[1]),
        market.pool_order(volume=volumes[2]),
        market.request_order(volume=volumes[3], dataset=market.dataset),
    ]
    tuples = [order.as_tuple() for order in orders]
    assert market.hub.computeDealVolume(*tuples) == 4
    deal = market.match(orders)
    assert market.hub.viewDeal(deal.id)["botSize"] == 4
    assert consumed(market, deal) == [4, 4, 4, 4]
    assert market.hub.computeDealVolume(*tuples) == 0
    assert revert_of(market.hub.matchOrders, *tuples) == (
        "OrderConsumed",
        smallest,
        bytes.fromhex(orders[smallest].hash(market.domain)[2:]),
    )


def test_closed_order_has_no_volume(market):
    orders = market.orders(volume=5)
    tuples = [order.as_tuple() for order in orders]
    assert market.hub.computeDealVolume(*tuples) == 5
    market.hub.manageWorkerpoolOrder((tuples[2], 1, b""), {"from": market.scheduler})
    assert market.hub.computeDealVolume(*tuples) == 0


def test_locks_are_times_the_volume(market):
    deal = market.deal(volume=7, dataset=True)
    assert market.locked(market.requester) == 7 * 13 * RLC
    assert market.locked(market.scheduler) == 7 * 3 * RLC
    assert len(deal.tasks) == 7


def test_pool_stake_is_rounded_per_task(market):
    orders = market.orders(volume=10)
    orders[2] = market.pool_order(volume=10, workerpoolprice=9)
    market.match(orders)
    assert market.locked(market.scheduler) == 9 * 30 // 100 * 10


def test_second_deal_of_a_request_goes_on(market):
    request = market.request_order(volume=5)
    first = market.match([market.app_order(volume=3), market.orders()[1], market.pool_order(volume=9), request])
    second = market.match([market.app_order(volume=9), market.orders()[1], market.pool_order(volume=9), request])
    request_hash = request.hash(market.domain)
    assert (first.id, second.id) == (deal_id(request_hash, 0), deal_id(request_hash, 3))
    view = market.hub.viewDeal(second.id)
    assert (view["botFirst"], view["botSize"]) == (3, 2)
    assert len({*first.tasks, *second.tasks}) == 5
    market.hub.initialize(second.id, 4, {"from": market.admin})
    assert market.hub.viewTask(second.tasks[1])["idx"] == 4
    for index in (2, 5):
        assert revert_of(market.hub.initialize, second.id, index) == ("IndexOutOfBag", index, 3, 2)


def test_dataset_of_nobody_is_not_consumed(market):
    deal = market.deal()
    assert consumed(market, deal)[1] == 0
    assert same(deal.tx.events["OrdersMatched"]["datasetHash"]) == "0x" + "00" * 32


def test_order_without_volume(market):
    orders = market.orders(volume=0)
    assert revert_of(market.hub.matchOrders, *(order.as_tuple() for order in orders))[:2] == ("OrderConsumed", 0)


def test_bag_has_a_limit(market):
    orders = market.orders(volume=2**256 - 1)
    orders[0], orders[2] = (
        market.app_order(volume=2**256 - 1, appprice=0),
        market.pool_order(volume=2**256 - 1, workerpoolprice=0),
    )
    tuples = [order.as_tuple() for order in orders]
    assert market.hub.computeDealVolume(*tuples) == 2**40 - 1
    tx = market.hub.matchOrders(*tuples, {"from": market.admin})
    assert tx.events["OrdersMatched"]["volume"] == 2**40 - 1
