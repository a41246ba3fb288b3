"""The accounts are an ERC-20 of their own."""

from brownie import ContractWallet, Moody

from tests.contracts.market import RLC, ZERO, refused, revert_of


def test_metadata(market):
    assert (market.hub.name(), market.hub.symbol(), market.hub.decimals()) == ("Staked RLC", "SRLC", 9)


def test_transfer(market):
    giver, taker = market.workers[:2]
    tx = market.hub.transfer(taker, 5, {"from": giver})
    assert tx.events["Transfer"] == {"from": giver, "to": taker, "value": 5}
    assert (market.hub.balanceOf(giver), market.hub.balanceOf(taker)) == (1_000 * RLC - 5, 1_000 * RLC + 5)


def test_transfer_refused(market):
    giver = market.workers[0]
    options = {"from": giver}
    assert revert_of(market.hub.transfer, ZERO, 1, options=options) == ("InvalidReceiver", ZERO)
    error = revert_of(market.hub.transfer, market.admin, 1_000 * RLC + 1, options=options)
    assert error == ("InsufficientStake", str(giver).lower(), 1_000 * RLC, 1_000 * RLC + 1)


def test_transfer_to_oneself_changes_nothing(market):
    giver = market.workers[0]
    market.hub.transfer(giver, 5, {"from": giver})
    assert market.hub.balanceOf(giver) == 1_000 * RLC


def test_transfer_from_uses_the_allowance_up(market):
    giver, taker = market.workers[:2]
    market.hub.approve(taker, 5, {"from": giver})
    market.hub.transferFrom(giver, taker, 3, {"from": taker})
    assert market.hub.allowance(giver, taker) == 2
    error = revert_of(market.hub.transferFrom, giver, taker, 3, options={"from": taker})
    assert error == ("InsufficientAllowance", str(giver).lower(), str(taker).lower(), 2, 3)


def test_allowance_up_and_down(market):
    giver, taker = market.workers[:2]
    market.hub.increaseAllowance(taker, 5, {"from": giver})
    market.hub.decreaseAllowance(taker, 2, {"from": giver})
    assert market.hub.allowance(giver, taker) == 3
    assert revert_of(market.hub.decreaseAllowance, taker, 4, options={"from": giver})[0] == "InsufficientAllowance"
    assert revert_of(market.hub.increaseAllowance, taker, 2**256 - 1, options={"from": giver})[0] == "AllowanceOverflow"
    assert revert_of(market.hub.approve, ZERO, 1, options={"from": giver}) == ("InvalidReceiver", ZERO)


def test_approve_and_call_needs_a_receiver(market):
    wallet = ContractWallet.deploy({"from": market.admin})
    with refused():
        market.hub.approveAndCall(wallet, 1, b"", {"from": market.workers[0]})
    # the hub itself takes RLC only, not its own tokens
    error = revert_of(market.hub.approveAndCall, market.hub, 1, b"", options={"from": market.workers[0]})
    assert error == ("WrongToken", market.hub.address.lower())


def test_approve_and_call_asks_the_receiver(market):
    giver, moody = market.workers[0], Moody.deploy({"from": market.admin})
    error = revert_of(market.hub.approveAndCall, moody, 5, b"", options={"from": giver})
    assert error == ("ApprovalRefused", moody.address.lower())
    moody.set(True, {"from": market.admin})
    market.hub.approveAndCall(moody, 5, b"", {"from": giver})
    assert market.hub.allowance(giver, moody) == 5


def test_locked_money_is_the_hubs(market):
    market.deal()
    assert market.hub.frozenOf(market.requester) == 11 * RLC
    assert market.hub.balanceOf(market.hub) == 14 * RLC
