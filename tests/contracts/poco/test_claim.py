"""What is not finished in time is given back."""

import pytest
from brownie import chain

from tests.contracts.market import KITTY, OTHER_DIGEST, RLC, refused, revert_of


def raw(task):
    return bytes.fromhex(task[2:])


@pytest.mark.parametrize("contributors", [0, 1, 2])
@pytest.mark.parametrize("reveal", [False, True])
def test_everybody_but_the_scheduler_is_refunded(market, contributors, reveal):
    trust = 2 ** max(contributors, 1)
    before = market.money()
    task = market.task(trust=trust, dataset=True)
    crew = market.workers[:contributors]
    for worker in crew:
        market.contribute(worker, task)
    if reveal and crew:
        market.reveal(crew[0], task)
    market.after_final_deadline(task)
    tx = market.hub.claim(task, {"from": market.workers[4]})
    after = market.money()
    scheduler = str(market.scheduler)
    assert after.pop(scheduler) == (before.pop(scheduler)[0] - 3 * RLC, 0)
    assert after.pop(KITTY) == (0, 3 * RLC)
    before.pop(KITTY)
    assert after == before
    assert market.hub.viewTask(task)["status"] == 4
    assert "TaskClaimed" in tx.events
    assert [market.hub.viewScore(worker) for worker in crew] == [0] * contributors


def test_not_before_the_final_deadline(market):
    task = market.task()
    deadline = market.hub.viewTask(task)["finalDeadline"]
    assert revert_of(market.hub.claim, task) == ("DeadlineNotReached", deadline)
    chain.sleep(deadline - chain.time() - 10)
    with refused():
        market.hub.claim(task, {"from": market.admin})


def test_not_twice(market):
    task = market.task()
    market.after_final_deadline(task)
    market.hub.claim(task, {"from": market.admin})
    before = market.money()
    assert revert_of(market.hub.claim, task) == ("WrongTaskStatus", raw(task), 4)
    with refused():
        market.hub.claim(task, {"from": market.admin})
    assert market.money() == before


def test_not_a_finished_task(market):
    task = market.task()
    market.complete(task, market.workers[:1])
    market.after_final_deadline(task)
    assert revert_of(market.hub.claim, task) == ("WrongTaskStatus", raw(task), 3)


def test_not_an_unknown_task(market):
    assert revert_of(market.hub.claim, "0x" + "44" * 32) == ("WrongTaskStatus", bytes.fromhex("44" * 32), 0)


def test_many_at_once(market):
    deal = market.deal(volume=3)
    market.hub.initializeArray([deal.id] * 3, [0, 1, 2], {"from": market.admin})
    market.after_final_deadline(deal.tasks[0])
    market.hub.claimArray(deal.tasks, {"from": market.admin})
    assert market.locked(market.requester) == market.locked(market.scheduler) == 0
    assert market.locked(KITTY) == 9 * RLC


def test_tasks_that_were_never_started(market):
    """Nothing stays in escrow: anybody starts and claims what the scheduler has left lying."""
    deal = market.deal(volume=3)
    chain.sleep(3_001)
    market.hub.initializeAndClaimArray([deal.id] * 3, [0, 1, 2], {"from": market.requester})
    assert market.stake(market.requester) == 1_000 * RLC
    assert market.locked(KITTY) == 9 * RLC
    error = revert_of(market.hub.initializeAndClaimArray, [deal.id], [])
    assert error == ("ArrayLengthMismatch", 1, 0)


def test_after_a_dispute(market):
    """Contributors that disagree get their stakes back: nobody could tell who was right."""
    task, (first, second) = market.task(trust=4), market.workers[:2]
    market.contribute(first, task)
    market.contribute(second, task, OTHER_DIGEST)
    market.after_final_deadline(task)
    market.hub.claim(task, {"from": market.admin})
    assert [market.stake(worker) for worker in (first, second)] == [1_000 * RLC] * 2
