"""An order names who may use it: nobody in particular, one account, or a group."""

from dataclasses import replace

import pytest
from brownie import ContractWallet, Group

from tests.contracts.market import revert_of

APP, DATASET, POOL, REQUEST = range(4)

# number of the restriction in errors, order, field, whom it restricts
RESTRICTIONS = [
    (0, REQUEST, "workerpool", "pool"),
    (1, APP, "datasetrestrict", "dataset"),
    (2, APP, "workerpoolrestrict", "pool"),
    (3, APP, "requesterrestrict", "requester"),
    (4, DATASET, "apprestrict", "app"),
    (5, DATASET, "workerpoolrestrict", "pool"),
    (6, DATASET, "requesterrestrict", "requester"),
    (7, POOL, "apprestrict", "app"),
    (8, POOL, "datasetrestrict", "dataset"),
    (9, POOL, "requesterrestrict", "requester"),
]


def restricted(market, index, field, allowed):
    orders = market.orders(dataset=True)
    signers = (market.app_owner, market.dataset_owner, market.scheduler, market.requester)
    orders[index] = market.sign(replace(orders[index], **{field: str(allowed)}), signers[index])
    return orders


@pytest.mark.parametrize(("number", "index", "field", "who"), RESTRICTIONS)
def test_somebody_else(market, number, index, field, who):
    other = str(market.workers[4])
    orders = restricted(market, index, field, other)
    error = revert_of(market.hub.matchOrders, *(order.as_tuple() for order in orders))
    assert error == ("RestrictionNotMet", number, other.lower(), str(getattr(market, who)).lower())


@pytest.mark.parametrize(("number", "index", "field", "who"), RESTRICTIONS)
def test_named_or_in_the_group(market, number, index, field, who):
    member = getattr(market, who)
    market.match(restricted(market, index, field, member))
    group = Group.deploy({"from": market.admin})
    orders = restricted(market, index, field, group)
    error = revert_of(market.hub.matchOrders, *(order.as_tuple() for order in orders))
    assert error == ("RestrictionNotMet", number, group.address.lower(), str(member).lower())
    group.add(member, {"from": market.admin})
    market.match(orders)


def test_contract_that_is_no_group(market):
    wallet = ContractWallet.deploy({"from": market.admin})
    orders = restricted(market, APP, "requesterrestrict", wallet)
    error = revert_of(market.hub.matchOrders, *(order.as_tuple() for order in orders))
    assert error[:2] == ("RestrictionNotMet", 3)
