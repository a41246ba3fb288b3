"""A pool's policies belong to its owner and count for deals made afterwards."""

from brownie import Workerpool

from tests.contracts.market import RLC, revert_of


def test_change(market):
    pool = Workerpool.at(market.pool)
    tx = pool.changePolicy(50, 20, {"from": market.scheduler})
    assert list(tx.events["PolicyUpdate"].values()) == [30, 50, 1, 20]
    assert (pool.m_workerStakeRatioPolicy(), pool.m_schedulerRewardRatioPolicy()) == (50, 20)
    deal = market.hub.viewDeal(market.deal().id)
    assert (deal["workerStake"], deal["schedulerRewardRatio"]) == (5 * RLC, 20)


def test_does_not_change_deals(market):
    deal = market.deal()
    Workerpool.at(market.pool).changePolicy(100, 100, {"from": market.scheduler})
    view = market.hub.viewDeal(deal.id)
    assert (view["workerStake"], view["schedulerRewardRatio"]) == (3 * RLC, 1)


def test_survives_a_sale(market):
    pool = Workerpool.at(market.pool)
    pool.changePolicy(50, 20, {"from": market.scheduler})
    market.workerpool_registry.transferFrom(
        market.scheduler, market.workers[0], int(market.pool, 16), {"from": market.scheduler}
    )
    assert (pool.m_workerStakeRatioPolicy(), pool.m_schedulerRewardRatioPolicy()) == (50, 20)


def test_is_the_owners(market):
    pool = Workerpool.at(market.pool)
    stranger = market.requester
    error = revert_of(pool.changePolicy, 1, 1, options={"from": stranger})
    assert error == ("NotTheOwner", str(stranger).lower(), str(market.scheduler).lower())
    error = revert_of(market.workerpool_registry.setTerms, 1, 1, options={"from": market.scheduler})
    assert error == ("NotAnEntry", str(market.scheduler).lower())


def test_has_limits(market):
    pool = Workerpool.at(market.pool)
    options = {"from": market.scheduler}
    assert revert_of(pool.changePolicy, 30, 101, options=options) == ("RatioTooHigh", 101, 100)
    assert revert_of(pool.changePolicy, 2**32, 1, options=options) == ("RatioTooHigh", 2**32, 2**32 - 1)
