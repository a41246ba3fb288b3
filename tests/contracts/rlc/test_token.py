"""RLC is a plain ERC-20 of fixed supply that can tell a spender of its allowance."""

import pytest
from brownie import Moody

from tests.contracts.market import RLC, ZERO, refused, revert_of


def test_is_what_it_is_called(market):
    rlc = market.rlc
    assert (rlc.name(), rlc.symbol(), rlc.decimals()) == ("iExec Network Token", "RLC", 9)
    assert rlc.totalSupply() == 87_000_000 * RLC


def test_supply_is_all_there_is(market):
    held = sum(market.rlc.balanceOf(a) for a in (market.admin, market.hub, market.requester))
    assert held == market.rlc.totalSupply()


def test_transfer(market):
    tx = market.rlc.transfer(market.requester, 7, {"from": market.admin})
    assert tx.return_value is True
    assert tx.events["Transfer"] == {"from": market.admin, "to": market.requester, "value": 7}
    assert market.rlc.balanceOf(market.requester) == 7


def test_transfer_of_more_than_there_is(market):
    who = str(market.requester).lower()
    error = revert_of(market.rlc.transfer, market.admin, 1, options={"from": market.requester})
    assert error == ("InsufficientBalance", who, 0, 1)


def test_transfer_to_nobody(market):
    assert revert_of(market.rlc.transfer, ZERO, 1, options={"from": market.admin}) == ("InvalidReceiver", ZERO)


def test_transfer_to_oneself_changes_nothing(market):
    before = market.rlc.balanceOf(market.admin)
    market.rlc.transfer(market.admin, 5, {"from": market.admin})
    assert market.rlc.balanceOf(market.admin) == before


@pytest.mark.parametrize("allowed", [5, 2**256 - 1])
def test_transfer_from(market, allowed):
    tx = market.rlc.approve(market.requester, allowed, {"from": market.admin})
    assert tx.events["Approval"] == {"owner": market.admin, "spender": market.requester, "value": allowed}
    market.rlc.transferFrom(market.admin, market.scheduler, 4, {"from": market.requester})
    assert market.rlc.balanceOf(market.scheduler) == 4
    left = allowed if allowed == 2**256 - 1 else 1
    assert market.rlc.allowance(market.admin, market.requester) == left


def test_transfer_from_above_the_allowance(market):
    market.rlc.approve(market.requester, 5, {"from": market.admin})
    options = {"from": market.requester}
    error = revert_of(market.rlc.transferFrom, market.admin, market.scheduler, 6, options=options)
    assert error == ("InsufficientAllowance", str(market.admin).lower(), str(market.requester).lower(), 5, 6)


def test_approve_and_call_deposits(market):
    before = market.stake(market.admin)
    market.rlc.approveAndCall(market.hub, 3 * RLC, b"", {"from": market.admin})
    assert market.stake(market.admin) - before == 3 * RLC
    assert market.rlc.allowance(market.admin, market.hub) == 0


def test_approve_and_call_is_all_or_nothing(market):
    with refused():
        market.rlc.approveAndCall(market.hub, 1, b"", {"from": market.requester})
    assert market.rlc.allowance(market.requester, market.hub) == 0


def test_approve_and_call_asks_the_receiver(market):
    moody = Moody.deploy({"from": market.admin})
    error = revert_of(market.rlc.approveAndCall, moody, 5, b"", options={"from": market.admin})
    assert error == ("ApprovalRefused", moody.address.lower())
    moody.set(True, {"from": market.admin})
    market.rlc.approveAndCall(moody, 5, b"", {"from": market.admin})
    assert market.rlc.allowance(market.admin, moody) == 5
