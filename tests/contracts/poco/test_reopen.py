"""When nobody of the consensus reveals in time the scheduler can ask for new contributions."""

from brownie import chain

from tests.contracts.market import DIGEST, OTHER_DIGEST, RLC, revert_of, same


def silent_consensus(market, workers=1, digest=DIGEST, **options):
    """A task in which that many workers agreed and none revealed in time."""
    task = market.task(trust=2**workers, **options)
    for worker in market.workers[:workers]:
        market.contribute(worker, task, digest)
    chain.sleep(601)
    chain.mine()
    return task


def reopen(market, task):
    return market.hub.reopen(task, {"from": market.scheduler})


def refusal(market, task, sender=None):
    return revert_of(market.hub.reopen, task, options={"from": sender or market.scheduler})


def test_new_workers_take_over(market):
    task = silent_consensus(market, workers=2)
    tx = reopen(market, task)
    assert "TaskReopen" in tx.events
    view = market.hub.viewTask(task)
    assert (view["status"], view["revealDeadline"], view["winnerCounter"]) == (1, 0, 0)
    assert same(view["consensusValue"]) == "0x" + "00" * 32
    assert [market.hub.viewContribution(task, worker)["status"] for worker in market.workers[:2]] == [3, 3]
    crew = market.workers[2:4]
    market.complete(task, crew)
    pot = 16 * RLC * 99 // 100
    assert [market.stake(worker) - 1_000 * RLC for worker in crew] == [pot // 2] * 2
    assert [market.stake(worker) for worker in market.workers[:2]] == [997 * RLC] * 2
    assert market.locked(market.workers[0]) == 0


def test_other_result_after_reopening(market):
    task = silent_consensus(market)
    reopen(market, task)
    market.complete(task, [market.workers[1]], OTHER_DIGEST)
    view = market.hub.viewTask(task)
    assert (view["winnerCounter"], view["revealCounter"], same(view["resultDigest"])) == (1, 1, OTHER_DIGEST)


def test_reopened_dissent(market):
    """The consensus that is taken back was not that of the first contribution."""
    task = market.task(trust=3)
    market.contribute(market.workers[0], task, OTHER_DIGEST)
    for worker in market.workers[1:4]:
        market.contribute(worker, task, DIGEST)
    assert market.hub.viewTask(task)["status"] == 2
    chain.sleep(601)
    reopen(market, task)
    assert [market.hub.viewContribution(task, worker)["status"] for worker in market.workers[:4]] == [1, 3, 3, 3]
    market.contribute(market.workers[4], task, OTHER_DIGEST)  # 4 * 3 > 5 * 2
    assert market.hub.viewTask(task)["winnerCounter"] == 2
    for worker in (market.workers[0], market.workers[4]):
        market.reveal(worker, task, OTHER_DIGEST)
    market.finalize(task)


def test_twice(market):
    task = silent_consensus(market)
    reopen(market, task)
    market.contribute(market.workers[1], task)
    chain.sleep(601)
    reopen(market, task)
    market.complete(task, [market.workers[2]])


def test_rejected_worker_cannot_come_back(market):
    task = silent_consensus(market)
    reopen(market, task)
    worker = market.workers[0]
    error = revert_of(market.hub.contribute, *market.contribution(worker, task), options={"from": worker})
    assert error[0] == "AlreadyContributed"


def test_claim_refunds_rejected_workers(market):
    task = silent_consensus(market)
    reopen(market, task)
    market.after_final_deadline(task)
    market.hub.claim(task, {"from": market.admin})
    assert market.stake(market.workers[0]) == 1_000 * RLC


def test_only_the_scheduler(market):
    task = silent_consensus(market)
    assert refusal(market, task, market.requester)[0] == "NotTheScheduler"


def test_not_in_time_to_reveal(market):
    task = market.task()
    market.contribute(market.workers[0], task)
    assert refusal(market, task)[0] == "DeadlineNotReached"


def test_not_when_somebody_revealed(market):
    task = market.task(trust=4)
    for worker in market.workers[:2]:
        market.contribute(worker, task)
    market.reveal(market.workers[0], task)
    chain.sleep(601)
    chain.mine()
    assert refusal(market, task)[0] == "AlreadyRevealed"


def test_not_after_the_final_deadline(market):
    task = silent_consensus(market)
    market.after_final_deadline(task)
    assert refusal(market, task)[0] == "DeadlinePassed"


def test_not_without_consensus(market):
    assert refusal(market, market.task())[0] == "WrongTaskStatus"
