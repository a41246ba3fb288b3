"""RLC comes out, but only what is free."""

from brownie import HubExtension, Moody

from tests.contracts.market import RLC, ZERO, revert_of


def test_withdraw(market):
    worker = market.workers[0]
    tx = market.hub.withdraw(100 * RLC, {"from": worker})
    assert tx.events["Transfer"][0] == {"from": worker, "to": ZERO, "value": 100 * RLC}
    assert market.rlc.balanceOf(worker) == 100 * RLC
    assert market.stake(worker) == 900 * RLC
    assert market.hub.totalSupply() == market.rlc.balanceOf(market.hub)


def test_withdraw_to(market):
    market.hub.withdrawTo(1, market.requester, {"from": market.workers[0]})
    assert market.rlc.balanceOf(market.requester) == 1


def test_not_more_than_the_stake(market):
    worker = market.workers[0]
    error = revert_of(market.hub.withdraw, 1_000 * RLC + 1, options={"from": worker})
    assert error == ("InsufficientStake", str(worker).lower(), 1_000 * RLC, 1_000 * RLC + 1)


def test_not_what_is_locked(market):
    market.deal()
    free = market.stake(market.requester)
    assert market.locked(market.requester) == 11 * RLC
    error = revert_of(market.hub.withdraw, free + 1, options={"from": market.requester})
    assert error == ("InsufficientStake", str(market.requester).lower(), free, free + 1)
    market.hub.withdraw(free, {"from": market.requester})
    assert market.stake(market.requester) == 0


def test_the_kitty_is_nobodys(market):
    task = market.task()
    market.after_final_deadline(task)
    market.hub.claim(task, {"from": market.admin})
    assert market.locked(market.hub.kitty_address()) == 3 * RLC
    assert market.stake(market.hub.kitty_address()) == 0


def test_token_that_says_no(market):
    """Of a token that answers false instead of reverting nothing is booked."""
    options = {"from": market.admin}
    moody = Moody.deploy(options)
    registries = (market.app_registry, market.dataset_registry, market.workerpool_registry)
    escrow = HubExtension.deploy(moody, *registries, options)
    admin, hub = str(market.admin).lower(), escrow.address.lower()
    assert revert_of(escrow.deposit, 5, options=options) == ("TokenTransferFailed", admin, hub, 5)
    moody.set(True, options)
    escrow.deposit(5, options)
    moody.set(False, options)
    assert revert_of(escrow.withdraw, 5, options=options) == ("TokenTransferFailed", hub, admin, 5)
    moody.set(True, options)
    escrow.withdraw(5, options)
    assert escrow.totalSupply() == 0
