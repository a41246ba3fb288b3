"""A task from match to payment with one, two and three workers."""

import pytest
from brownie import web3

from poco.ids import result_hash, result_seal
from tests.contracts.market import DIGEST, RLC, XS, ZERO, revert_of, same

PRICE = 10 * RLC
STAKE = 3 * RLC
XS_SECONDS = 300


@pytest.mark.parametrize(("workers", "trust"), [(1, 1), (2, 4), (3, 8)])
def test_pays_everybody(market, workers, trust):
    crew = market.workers[:workers]
    before = market.money()
    task = market.task(trust=trust)
    market.complete(task, crew)
    after = market.money()

    def gained(account):
        return after[str(account)][0] - before[str(account)][0]

    share = PRICE * 99 // 100 // workers
    assert gained(market.requester) == -(PRICE + 1 * RLC)
    assert gained(market.app_owner) == 1 * RLC
    assert [gained(worker) for worker in crew] == [share] * workers
    assert gained(market.scheduler) == PRICE - share * workers
    assert all(locked == 0 for _, locked in after.values())
    assert [market.hub.viewScore(worker) for worker in crew] == [int(workers > 1)] * workers


def test_dataset_is_paid(market):
    task = market.task(dataset=True)
    market.complete(task, market.workers[:1])
    assert market.stake(market.dataset_owner) == 2 * RLC
    assert market.stake(market.requester) == (1_000 - 13) * RLC


def test_free_app_is_paid_nothing(market):
    orders = market.orders()
    orders[0] = market.app_order(appprice=0)
    deal = market.match(orders)
    market.hub.initialize(deal.id, 0, {"from": market.scheduler})
    tx = market.complete(deal.tasks[0], market.workers[:1])
    assert market.stake(market.app_owner) == 0
    assert market.app_owner not in [event["owner"] for event in tx.events["Reward"]]


def test_views_of_what_is_not_there(market):
    task, stranger = market.task(), market.workers[4]
    view = market.hub.viewContribution(task, stranger)
    assert (view["status"], view["weight"], view["enclaveChallenge"]) == (0, 0, ZERO)
    assert revert_of(market.hub.resultFor, task) == ("TaskNotCompleted", bytes.fromhex(task[2:]))


def test_task_through_its_states(market):
    """viewTask and viewContribution at every step."""
    deal = market.deal(trust=4)
    task, (first, second) = deal.tasks[0], market.workers[:2]
    start = deal.tx.timestamp
    assert market.hub.viewTask(task)["status"] == 0

    tx = market.hub.initialize(deal.id, 0, {"from": market.admin})
    assert same(tx.events["TaskInitialize"]["taskid"]) == task
    assert tx.events["TaskInitialize"]["workerpool"] == market.pool
    view = market.hub.viewTask(task)
    assert (view["status"], same(view["dealid"]), view["idx"], view["timeref"]) == (1, deal.id, 0, XS_SECONDS)
    assert view["contributionDeadline"] == start + 7 * XS_SECONDS
    assert view["finalDeadline"] == start + 10 * XS_SECONDS
    assert (view["revealDeadline"], view["contributors"], same(view["consensusValue"])) == (0, (), "0x" + "00" * 32)

    tx = market.contribute(first, task)
    wanted = result_hash(task, DIGEST)
    assert [same(value) for value in tx.events["TaskContribute"].values()] == [task, same(first), wanted]
    assert "TaskConsensus" not in tx.events
    entry = market.hub.viewContribution(task, first)
    seal = result_seal(str(first), task, DIGEST)
    assert (entry["status"], same(entry["resultHash"]), same(entry["resultSeal"])) == (1, wanted, seal)
    assert (entry["enclaveChallenge"], entry["weight"]) == (ZERO, 1)
    assert (market.locked(first), market.stake(first)) == (STAKE, 1_000 * RLC - STAKE)

    tx = market.contribute(second, task)
    assert same(tx.events["TaskConsensus"]["consensus"]) == wanted
    view = market.hub.viewTask(task)
    assert (view["status"], same(view["consensusValue"]), view["winnerCounter"]) == (2, wanted, 2)
    assert view["revealDeadline"] == tx.timestamp + 2 * XS_SECONDS
    assert view["contributors"] == (first, second)

    tx = market.reveal(first, task)
    assert [same(value) for value in tx.events["TaskReveal"].values()] == [task, same(first), DIGEST]
    entry = market.hub.viewContribution(task, first)
    assert (entry["status"], same(entry["resultHash"]), same(entry["resultSeal"])) == (2, wanted, seal)
    view = market.hub.viewTask(task)
    assert (view["revealCounter"], same(view["resultDigest"])) == (1, DIGEST)
    market.reveal(second, task)

    results = b'{ "storage": "ipfs", "location": "/ipfs/bafkrei" }'
    tx = market.finalize(task, results)
    assert same(tx.events["TaskFinalize"]["results"]) == "0x" + results.hex()
    view = market.hub.viewTask(task)
    assert (view["status"], view["revealCounter"], view["winnerCounter"]) == (3, 2, 2)
    assert (same(view["results"]), same(view["resultsCallback"])) == ("0x" + results.hex(), "0x")
    assert (same(view["resultDigest"]), view["resultsTimestamp"]) == (DIGEST, 0)


def test_events_of_finalize_in_order(market):
    task = market.task(trust=4)
    tx = market.complete(task, market.workers[:2])
    names = [event.name for event in tx.events if event.name != "Transfer"]
    worker = ["Unlock", "Reward", "AccurateContribution"]
    assert names == ["Seize", "Reward", "Unlock", *worker, *worker, "Reward", "TaskFinalize"]
    accurate = [event["worker"] for event in tx.events["AccurateContribution"]]
    assert accurate == market.workers[:2]


def test_bag_of_tasks(market):
    """Each task of a deal lives its own life; the money adds up over the bag."""
    deal = market.deal(volume=3)
    worker = market.workers[0]
    market.hub.initializeArray([deal.id] * 3, [0, 1, 2], {"from": market.scheduler})
    market.complete(deal.tasks[0], [worker])
    market.complete(deal.tasks[2], [worker])
    assert market.locked(market.requester) == 11 * RLC
    assert market.locked(market.scheduler) == 3 * RLC
    market.after_final_deadline(deal.tasks[1])
    market.hub.claim(deal.tasks[1], {"from": market.admin})
    assert market.locked(market.requester) == market.locked(market.scheduler) == 0
    assert market.stake(market.requester) == (1_000 - 22) * RLC


def test_long_results_are_kept(market):
    task = market.task(category=XS)
    worker = market.workers[0]
    market.contribute(worker, task)
    market.reveal(worker, task)
    results = bytes(range(256)) * 40
    market.finalize(task, results)
    assert same(market.hub.viewTask(task)["results"]) == "0x" + results.hex()


def test_result_of_an_unfinished_task(market):
    task = market.task()
    answer = web3.provider.make_request(
        "eth_call", [{"to": market.hub.address, "data": market.hub.resultFor.encode_input(task)}, "latest"]
    )
    assert "error" in answer
