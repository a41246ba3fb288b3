"""Whether a dataset order would allow its data in a deal that was made without."""

from dataclasses import replace

import pytest
from brownie import Group

from tests.contracts.market import revert_of


def verdict(market, order, deal):
    return revert_of(market.hub.assertDatasetDealCompatibility, order.as_tuple(), deal)


def test_compatible(market):
    market.hub.assertDatasetDealCompatibility(market.dataset_order().as_tuple(), market.deal().id)


def test_presigned(market):
    order = market.dataset_order().signed("0x")
    market.hub.manageDatasetOrder((order.as_tuple(), 0, b""), {"from": market.dataset_owner})
    market.hub.assertDatasetDealCompatibility(order.as_tuple(), market.deal().id)


def test_closed(market):
    order = market.dataset_order()
    market.hub.manageDatasetOrder((order.as_tuple(), 1, b""), {"from": market.dataset_owner})
    assert "closed or consumed" in verdict(market, order, market.deal().id)[1]


def test_wrong_signature(market):
    order = market.dataset_order(signer=market.requester)
    assert "has not signed" in verdict(market, order, market.deal().id)[1]


def test_no_deal(market):
    assert "no such deal" in verdict(market, market.dataset_order(), "0x" + "11" * 32)[1]


def test_deal_with_a_dataset(market):
    assert "has a dataset" in verdict(market, market.dataset_order(), market.deal(dataset=True).id)[1]


@pytest.mark.parametrize("party", ["app", "workerpool", "requester"])
def test_restricted(market, party):
    order = replace(market.dataset_order(), **{f"{party}restrict": str(market.workers[0])})
    order = market.sign(order, market.dataset_owner)
    assert f"deal's {party}" in verdict(market, order, market.deal().id)[1]


@pytest.mark.parametrize("party", ["app", "workerpool", "requester"])
def test_restricted_to_the_party_or_its_group(market, party):
    member = {"app": market.app, "workerpool": market.pool, "requester": str(market.requester)}[party]
    group = Group.deploy({"from": market.admin})
    deal = market.deal().id
    for restriction in (member, group.address):
        group.add(member, {"from": market.admin})
        order = market.sign(replace(market.dataset_order(), **{f"{party}restrict": restriction}), market.dataset_owner)
        market.hub.assertDatasetDealCompatibility(order.as_tuple(), deal)


def test_restricted_to_another_group(market):
    group = Group.deploy({"from": market.admin})
    order = market.sign(replace(market.dataset_order(), apprestrict=group.address), market.dataset_owner)
    assert "deal's app" in verdict(market, order, market.deal().id)[1]


def test_tag(market):
    order = market.dataset_order(tag="0x" + "00" * 31 + "02")
    assert "lacks a tag" in verdict(market, order, market.deal().id)[1]


def test_unregistered(market):
    order = market.dataset_order(dataset=market.app)
    assert verdict(market, order, market.deal().id)[0] == "ResourceNotRegistered"
