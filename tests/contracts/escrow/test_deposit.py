"""RLC goes in."""

from tests.contracts.market import RLC, ZERO, revert_of


def test_deposit(market):
    before = market.stake(market.admin)
    market.rlc.approve(market.hub, 5 * RLC, {"from": market.admin})
    tx = market.hub.deposit(5 * RLC, {"from": market.admin})
    assert tx.events["Transfer"][1] == {"from": ZERO, "to": market.admin, "value": 5 * RLC}
    assert market.stake(market.admin) - before == 5 * RLC
    assert market.hub.totalSupply() == market.rlc.balanceOf(market.hub)


def test_deposit_for_many(market):
    market.rlc.approve(market.hub, 3, {"from": market.admin})
    targets = market.workers[:2]
    before = [market.stake(target) for target in targets]
    market.hub.depositForArray([1, 2], targets, {"from": market.admin})
    assert [market.stake(target) - old for target, old in zip(targets, before, strict=True)] == [1, 2]


def test_arrays_must_match(market):
    options = {"from": market.admin}
    assert revert_of(market.hub.depositForArray, [1], [], options=options) == ("ArrayLengthMismatch", 1, 0)


def test_not_to_nobody(market):
    market.rlc.approve(market.hub, 1, {"from": market.admin})
    assert revert_of(market.hub.depositFor, 1, ZERO, options={"from": market.admin}) == ("InvalidReceiver", ZERO)


def test_not_without_allowance(market):
    error = revert_of(market.hub.deposit, 1, options={"from": market.admin})
    assert error == ("InsufficientAllowance", str(market.admin).lower(), market.hub.address.lower(), 0, 1)


def test_approval_of_another_token(market):
    args = (market.admin, 1, market.app, b"")
    assert revert_of(market.hub.receiveApproval, *args) == ("WrongToken", market.app.lower())


def test_recover_only_what_went_astray(market):
    market.rlc.transfer(market.hub, 3, {"from": market.admin})
    before = market.stake(market.admin)
    market.hub.recover({"from": market.admin})
    market.hub.recover({"from": market.admin})
    assert market.stake(market.admin) - before == 3
    assert market.hub.totalSupply() == market.rlc.balanceOf(market.hub)
