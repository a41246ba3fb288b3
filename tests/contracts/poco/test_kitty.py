"""Stakes of schedulers who fail feed the ones who succeed."""

import pytest

from tests.contracts.market import KITTY, RLC


def fail_a_task(market, pool_price):
    orders = market.orders()
    orders[2] = market.pool_order(workerpoolprice=pool_price)
    deal = market.match(orders)
    market.hub.initialize(deal.id, 0, {"from": market.admin})
    market.after_final_deadline(deal.tasks[0])
    market.hub.claim(deal.tasks[0], {"from": market.admin})


@pytest.mark.parametrize(
    ("failed_price", "kitty", "part"),
    [
        (1 * RLC, 300_000_000, 300_000_000),  # all, as it is below the least part
        (10 * RLC, 3 * RLC, 1 * RLC),  # the least part: 1 RLC
        (20 * RLC, 6 * RLC, 1 * RLC),
    ],
)
def test_next_success_gets_a_part(market, failed_price, kitty, part):
    fail_a_task(market, failed_price)
    assert market.locked(KITTY) == kitty
    before = market.stake(market.scheduler)
    tx = market.complete(market.task(), market.workers[:1])
    scheduler_part = 10 * RLC // 100
    assert market.stake(market.scheduler) - before == scheduler_part + part
    assert market.locked(KITTY) == kitty - part
    assert (KITTY, part) in [(event["owner"], event["amount"]) for event in tx.events["Seize"]]


def test_a_tenth_of_a_full_kitty(market):
    for _ in range(7):
        fail_a_task(market, 20 * RLC)
    assert market.locked(KITTY) == 42 * RLC
    before = market.stake(market.scheduler)
    market.complete(market.task(), market.workers[:1])
    assert market.stake(market.scheduler) - before == 10 * RLC // 100 + 42 * RLC // 10


def test_nothing_to_share(market):
    tx = market.complete(market.task(), market.workers[:1])
    assert len(tx.events["Seize"]) == 1
