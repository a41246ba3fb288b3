"""Tasks are started once each, by anybody."""

import pytest

from poco.ids import task_id
from tests.contracts.market import refused, revert_of


def test_by_anybody_and_once(market):
    deal = market.deal()
    market.hub.initialize(deal.id, 0, {"from": market.workers[4]})
    assert market.hub.viewTask(task_id(deal.id, 0))["status"] == 1
    error = revert_of(market.hub.initialize, deal.id, 0)
    assert error == ("TaskAlreadyInitialized", bytes.fromhex(deal.tasks[0][2:]))


@pytest.mark.parametrize("index", [1, 2, 2**40, 2**256 - 1])
def test_index_outside_the_bag(market, index):
    deal = market.deal()
    assert revert_of(market.hub.initialize, deal.id, index) == ("IndexOutOfBag", index, 0, 1)


def test_no_deal(market):
    deal = "0x" + "31" * 32
    assert revert_of(market.hub.initialize, deal, 0) == ("DealNotFound", bytes.fromhex(deal[2:]))


def test_array_is_all_or_nothing(market):
    deal = market.deal(volume=2)
    with refused():
        market.hub.initializeArray([deal.id] * 3, [0, 1, 2], {"from": market.admin})
    assert market.hub.viewTask(deal.tasks[0])["status"] == 0
    assert revert_of(market.hub.initializeArray, [deal.id], []) == ("ArrayLengthMismatch", 1, 0)
