"""Payment: the scheduler's step, and its exact sums."""

import pytest
from brownie import Workerpool, chain

from poco.consensus import Share, pay, weight
from tests.contracts.market import DIGEST, OTHER_DIGEST, RLC, refused, revert_of


def refusal(market, task, sender=None, callback=b""):
    return revert_of(market.hub.finalize, task, b"", callback, options={"from": sender or market.scheduler})


def revealed_task(market, **options):
    task = market.task(**options)
    market.contribute(market.workers[0], task)
    market.reveal(market.workers[0], task)
    return task


def test_only_the_scheduler(market):
    task = revealed_task(market)
    error = refusal(market, task, sender=market.requester)
    assert error == ("NotTheScheduler", str(market.requester).lower(), str(market.scheduler).lower())


def test_not_before_all_have_revealed(market):
    task, (first, second) = market.task(trust=4), market.workers[:2]
    market.contribute(first, task)
    market.contribute(second, task)
    deadline = market.hub.viewTask(task)["revealDeadline"]
    assert refusal(market, task) == ("RevealsMissing", 0, 2, deadline)
    market.reveal(first, task)
    assert refusal(market, task) == ("RevealsMissing", 1, 2, deadline)
    chain.sleep(deadline - chain.time())
    chain.mine()
    market.finalize(task)
    assert market.stake(second) == 997 * RLC
    assert market.stake(first) - 1_000 * RLC == 13 * RLC * 99 // 100


def test_not_when_nobody_revealed(market):
    task, worker = market.task(), market.workers[0]
    market.contribute(worker, task)
    deadline = market.hub.viewTask(task)["revealDeadline"]
    chain.sleep(deadline - chain.time())
    chain.mine()
    assert refusal(market, task) == ("RevealsMissing", 0, 1, deadline)


def test_not_after_the_final_deadline(market):
    task = revealed_task(market)
    deadline = market.hub.viewTask(task)["finalDeadline"]
    market.after_final_deadline(task)
    assert refusal(market, task) == ("DeadlinePassed", deadline)


def test_not_twice(market):
    task = revealed_task(market)
    market.finalize(task)
    before = market.money()
    assert refusal(market, task) == ("WrongTaskStatus", bytes.fromhex(task[2:]), 3)
    with refused():
        market.finalize(task)
    assert market.money() == before


def test_callback_data_without_a_callback_must_be_the_digest(market):
    task = revealed_task(market)
    assert refusal(market, task, callback=b"\x01")[0] == "WrongCallbackData"


@pytest.mark.parametrize(
    ("price", "policy", "trust", "votes"),
    [
        (10 * RLC, (30, 1), 4, "aa"),
        (7, (30, 1), 4, "aa"),
        (1, (100, 50), 8, "aaa"),
        (999_999_999, (33, 7), 3, "abaa"),
        (10 * RLC + 1, (30, 100), 4, "aa"),
        (0, (30, 1), 3, "abaa"),
        (123_456_789, (250, 0), 6, "aabaa"),
    ],
)
def test_sums(market, price, policy, trust, votes):
    """The split is that of `poco.consensus.pay`, to the unit."""
    ratio, reward_ratio = policy
    Workerpool.at(market.pool).changePolicy(ratio, reward_ratio, {"from": market.scheduler})
    orders = market.orders(trust=trust)
    orders[2] = market.pool_order(workerpoolprice=price)
    deal = market.match(orders)
    task = deal.tasks[0]
    market.hub.initialize(deal.id, 0, {"from": market.scheduler})
    digests = {"a": DIGEST, "b": OTHER_DIGEST}
    before = market.money()
    crew = list(zip(market.workers, votes, strict=False))
    for worker, vote in crew:
        market.contribute(worker, task, digests[vote])
    for worker, vote in crew:
        if vote == "a":
            market.reveal(worker, task)
    market.finalize(task)
    after = market.money()
    stake = price * ratio // 100
    expected = pay(price, stake, reward_ratio, [Share(str(w), weight(0), v == "a") for w, v in crew])
    for worker, vote in crew:
        gain = expected.workers[str(worker)] if vote == "a" else -stake
        assert after[str(worker)][0] - before[str(worker)][0] == gain
        assert after[str(worker)][1] == 0
    scheduler = str(market.scheduler)
    assert after[scheduler][0] - before[scheduler][0] == expected.scheduler + price * 30 // 100


def test_weights_share_the_reward(market):
    """A worker of score 15 weighs 4, so its part is log2(4) to log2(2) of a newcomer's."""
    veteran, partner, newcomer = market.workers[:3]
    bag = market.deal(trust=4, volume=15)
    market.hub.initializeArray([bag.id] * 15, list(range(15)), {"from": market.scheduler})
    for task in bag.tasks:
        market.complete(task, [veteran, partner])
    assert market.hub.viewScore(veteran) == 15
    task = market.task(trust=8)
    before = [market.stake(worker) for worker in (veteran, newcomer)]
    market.complete(task, [veteran, newcomer])
    assert market.hub.viewContribution(task, veteran)["weight"] == 2
    gains = [market.stake(w) - b for w, b in zip((veteran, newcomer), before, strict=True)]
    pot = 10 * RLC * 99 // 100
    assert gains == [pot * 2 // 3, pot // 3]
