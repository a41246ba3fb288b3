"""The registries are enumerable ERC-721 tokens."""

import pytest
from brownie import ContractWallet

from tests.contracts.market import ZERO, refused, revert_of


@pytest.fixture
def tokens(market):
    return [int(market.create_app(f"app {i}"), 16) for i in range(3)]


def owned(registry, owner):
    return [registry.tokenOfOwnerByIndex(owner, i) for i in range(registry.balanceOf(owner))]


def test_enumeration(market, tokens):
    registry = market.app_registry
    everything = [int(market.app, 16), *tokens]
    assert [registry.tokenByIndex(i) for i in range(registry.totalSupply())] == everything
    assert owned(registry, market.app_owner) == everything
    owner = str(market.app_owner).lower()
    assert revert_of(registry.tokenOfOwnerByIndex, market.app_owner, 4) == ("IndexOutOfBounds", owner, 4)
    assert revert_of(registry.tokenByIndex, 4) == ("IndexOutOfBounds", ZERO, 4)
    assert revert_of(registry.balanceOf, ZERO) == ("InvalidOwner", ZERO)


@pytest.mark.parametrize("moved", [0, 1, 2])
def test_transfer(market, tokens, moved):
    registry, owner, buyer = market.app_registry, market.app_owner, market.workers[0]
    tx = registry.safeTransferFrom(owner, buyer, tokens[moved], {"from": owner})
    assert tx.events["Transfer"] == {"from": owner, "to": buyer, "tokenId": tokens[moved]}
    assert registry.ownerOf(tokens[moved]) == buyer
    assert owned(registry, buyer) == [tokens[moved]]
    rest = [token for token in tokens if token != tokens[moved]]
    assert sorted(owned(registry, owner)) == sorted([int(market.app, 16), *rest])


def test_stranger_cannot_take(market, tokens):
    registry, thief = market.app_registry, market.workers[1]
    error = revert_of(registry.transferFrom, market.app_owner, thief, tokens[0], options={"from": thief})
    assert error == ("NotAuthorized", str(thief).lower(), tokens[0])
    error = revert_of(registry.approve, thief, tokens[0], options={"from": thief})
    assert error == ("NotAuthorized", str(thief).lower(), tokens[0])
    error = revert_of(registry.transferFrom, thief, thief, tokens[0], options={"from": thief})
    assert error[0] == "IncorrectOwner"
    error = revert_of(registry.transferFrom, market.app_owner, ZERO, tokens[0], options={"from": market.app_owner})
    assert error == ("InvalidReceiver", ZERO)


def test_approved_may_take_once(market, tokens):
    registry, owner, friend = market.app_registry, market.app_owner, market.workers[0]
    registry.approve(friend, tokens[0], {"from": owner})
    assert registry.getApproved(tokens[0]) == friend
    registry.transferFrom(owner, market.workers[1], tokens[0], {"from": friend})
    assert registry.getApproved(tokens[0]) == ZERO
    with refused():
        registry.transferFrom(market.workers[1], friend, tokens[0], {"from": friend})


def test_operator(market, tokens):
    registry, owner, friend = market.app_registry, market.app_owner, market.workers[0]
    tx = registry.setApprovalForAll(friend, True, {"from": owner})
    assert tx.events["ApprovalForAll"]["approved"]
    assert registry.isApprovedForAll(owner, friend)
    for token in tokens:
        registry.transferFrom(owner, friend, token, {"from": friend})
    assert owned(registry, friend) == tokens


def test_contract_must_want_it(market, tokens):
    wallet = ContractWallet.deploy({"from": market.admin})
    with refused():
        market.app_registry.safeTransferFrom(market.app_owner, wallet, tokens[0], {"from": market.app_owner})


def test_interfaces(market):
    registry = market.app_registry
    for interface in ("0x01ffc9a7", "0x80ac58cd", "0x5b5e139f", "0x780e9d63"):
        assert registry.supportsInterface(interface)
    assert not registry.supportsInterface("0xffffffff")
    assert registry.tokenURI(int(market.app, 16)) == ""
    assert (registry.name(), registry.symbol()) == ("iExec Application Registry (V5)", "iExecAppsV5")


def test_owner_of_the_token_owns_the_resource(market):
    """After a transfer the new owner signs, and the deal pays it."""
    buyer = market.workers[0]
    market.app_registry.transferFrom(market.app_owner, buyer, int(market.app, 16), {"from": market.app_owner})
    orders = market.orders()
    orders[0] = market.app_order(signer=buyer)
    deal = market.match(orders)
    assert market.hub.viewDeal(deal.id)["app"]["owner"] == buyer
