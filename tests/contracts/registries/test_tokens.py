"""The registries are enumerable ERC-721 tokens."""

import pytest
from brownie import ContractWallet, Moody

from tests.contracts.market import ZERO, refused, revert_of


@pytest.fixture(params=["app", "dataset", "workerpool"])
def registry(market, request):
    return getattr(market, f"{request.param}_registry")


@pytest.fixture
def create(market, registry):
    """Makes an entry, known by its number."""
    makers = (market.create_app, market.create_dataset, market.create_pool)
    registries = (market.app_registry, market.dataset_registry, market.workerpool_registry)
    return makers[registries.index(registry)]


@pytest.fixture
def first(registry):
    """The entry that the market began with."""
    return registry.tokenByIndex(0)


@pytest.fixture
def owner(registry, first, accounts):
    return accounts.at(registry.ownerOf(first))


@pytest.fixture
def tokens(create):
    return [int(create(f"entry {i}"), 16) for i in range(3)]


def owned(registry, owner):
    return [registry.tokenOfOwnerByIndex(owner, i) for i in range(registry.balanceOf(owner))]


def test_enumeration(registry, owner, first, tokens):
    everything = [first, *tokens]
    assert [registry.tokenByIndex(i) for i in range(registry.totalSupply())] == everything
    assert owned(registry, owner) == everything
    assert revert_of(registry.tokenOfOwnerByIndex, owner, 4) == ("IndexOutOfBounds", str(owner).lower(), 4)
    assert revert_of(registry.tokenByIndex, 4) == ("IndexOutOfBounds", ZERO, 4)
    assert revert_of(registry.balanceOf, ZERO) == ("InvalidOwner", ZERO)


def test_registered_or_not(market, registry, first):
    assert registry.isRegistered("0x" + f"{first:040x}")
    assert not registry.isRegistered(market.admin)
    assert revert_of(registry.ownerOf, 1) == ("NonexistentToken", 1)


@pytest.mark.parametrize("moved", [0, 1, 2])
def test_transfer(market, registry, owner, tokens, moved):
    first, buyer = registry.tokenByIndex(0), market.workers[0]
    tx = registry.safeTransferFrom(owner, buyer, tokens[moved], {"from": owner})
    assert tx.events["Transfer"] == {"from": owner, "to": buyer, "tokenId": tokens[moved]}
    assert registry.ownerOf(tokens[moved]) == buyer
    assert owned(registry, buyer) == [tokens[moved]]
    rest = [token for token in tokens if token != tokens[moved]]
    assert sorted(owned(registry, owner)) == sorted([first, *rest])


def test_stranger_cannot_take(market, registry, owner, tokens):
    thief = market.workers[1]
    error = revert_of(registry.transferFrom, owner, thief, tokens[0], options={"from": thief})
    assert error == ("NotAuthorized", str(thief).lower(), tokens[0])
    error = revert_of(registry.approve, thief, tokens[0], options={"from": thief})
    assert error == ("NotAuthorized", str(thief).lower(), tokens[0])
    error = revert_of(registry.transferFrom, thief, thief, tokens[0], options={"from": thief})
    assert error[0] == "IncorrectOwner"
    error = revert_of(registry.transferFrom, owner, ZERO, tokens[0], options={"from": owner})
    assert error == ("InvalidReceiver", ZERO)


def test_approved_may_take_once(market, registry, owner, tokens):
    friend = market.workers[0]
    registry.approve(friend, tokens[0], {"from": owner})
    assert registry.getApproved(tokens[0]) == friend
    registry.transferFrom(owner, market.workers[1], tokens[0], {"from": friend})
    assert registry.getApproved(tokens[0]) == ZERO
    with refused():
        registry.transferFrom(market.workers[1], friend, tokens[0], {"from": friend})


def test_operator(market, registry, owner, tokens):
    friend = market.workers[0]
    tx = registry.setApprovalForAll(friend, True, {"from": owner})
    assert tx.events["ApprovalForAll"]["approved"]
    assert registry.isApprovedForAll(owner, friend)
    registry.approve(friend, tokens[0], {"from": friend})
    assert registry.getApproved(tokens[0]) == friend
    for token in tokens:
        registry.transferFrom(owner, friend, token, {"from": friend})
    assert owned(registry, friend) == tokens


def test_contract_must_want_it(market, registry, owner, tokens):
    wallet = ContractWallet.deploy({"from": market.admin})
    with refused():
        registry.safeTransferFrom(owner, wallet, tokens[0], {"from": owner})
    moody = Moody.deploy({"from": market.admin})
    arguments = (owner, moody, tokens[0], b"note")
    transfer = registry.safeTransferFrom["address", "address", "uint256", "bytes"]
    assert revert_of(transfer, *arguments, options={"from": owner}) == ("InvalidReceiver", moody.address.lower())
    moody.set(True, {"from": market.admin})
    transfer(*arguments, {"from": owner})
    assert registry.ownerOf(tokens[0]) == moody


def test_interfaces(registry, first):
    for interface in ("0x01ffc9a7", "0x80ac58cd", "0x5b5e139f", "0x780e9d63"):
        assert registry.supportsInterface(interface)
    assert not registry.supportsInterface("0xffffffff")
    assert registry.tokenURI(first) == ""


def test_names(market):
    assert [(each.name(), each.symbol()) for each in (market.app_registry, market.dataset_registry)] == [
        ("iExec Application Registry (V5)", "iExecAppsV5"),
        ("iExec Dataset Registry (V5)", "iExecDatasetsV5"),
    ]
    assert market.workerpool_registry.symbol() == "iExecWorkerpoolV5"


def test_owner_of_the_token_owns_the_resource(market):
    """After a transfer the new owner signs, and the deal pays it."""
    buyer = market.workers[0]
    market.app_registry.transferFrom(market.app_owner, buyer, int(market.app, 16), {"from": market.app_owner})
    orders = market.orders()
    orders[0] = market.app_order(signer=buyer)
    deal = market.match(orders)
    assert market.hub.viewDeal(deal.id)["app"]["owner"] == buyer
