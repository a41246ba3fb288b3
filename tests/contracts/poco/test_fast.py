"""contributeAndFinalize: one transaction in place of three."""

from brownie import Receiver, chain

from poco.hexes import keccak, to_hex
from poco.ids import result_hash, result_seal
from tests.contracts.market import DIGEST, RLC, XS, ZERO, refused, revert_of, same


def arguments(market, worker, task, *, digest=DIGEST, callback=b""):
    return (task, digest, b"done", callback, ZERO, "0x", market.authorization(worker, task))


def refusal(market, worker, args):
    return revert_of(market.hub.contributeAndFinalize, *args, options={"from": worker})


def test_pays_without_stake_or_score(market):
    task, worker = market.task(dataset=True), market.workers[0]
    market.hub.withdraw(1_000 * RLC, {"from": worker})
    tx = market.hub.contributeAndFinalize(*arguments(market, worker, task), {"from": worker})
    assert market.stake(worker) == 10 * RLC * 99 // 100
    assert market.stake(market.app_owner) == 1 * RLC
    assert market.stake(market.dataset_owner) == 2 * RLC
    assert market.stake(market.scheduler) == 1_000 * RLC + 10 * RLC // 100
    assert market.locked(market.requester) == market.locked(market.scheduler) == 0
    assert market.hub.viewScore(worker) == 0
    names = [event.name for event in tx.events][-4:]
    assert names == ["TaskContribute", "TaskConsensus", "TaskReveal", "TaskFinalize"]


def test_views(market):
    task, worker = market.task(), market.workers[0]
    tx = market.hub.contributeAndFinalize(*arguments(market, worker, task), {"from": worker})
    view = market.hub.viewTask(task)
    assert (view["status"], view["revealCounter"], view["winnerCounter"]) == (3, 1, 1)
    assert same(view["consensusValue"]) == result_hash(task, DIGEST)
    assert (same(view["resultDigest"]), same(view["results"])) == (DIGEST, "0x" + b"done".hex())
    assert (view["contributors"], view["revealDeadline"]) == ((worker,), tx.timestamp + 600)
    entry = market.hub.viewContribution(task, worker)
    assert (entry["status"], entry["weight"]) == (2, 0)
    assert same(entry["resultSeal"]) == result_seal(str(worker), task, DIGEST)


def test_calls_back(market):
    receiver = Receiver.deploy({"from": market.admin})
    task, worker = market.task(callback=receiver.address), market.workers[0]
    data = b"\x2a" * 40
    args = arguments(market, worker, task, digest=to_hex(keccak(data)), callback=data)
    assert refusal(market, worker, (*args[:3], b"other", *args[4:]))[0] == "WrongCallbackData"
    market.hub.contributeAndFinalize(*args, {"from": worker})
    assert same(receiver.received(task)) == "0x" + data.hex()
    assert same(market.hub.resultFor(task)) == "0x" + data.hex()


def test_only_with_trust_one(market):
    task, worker = market.task(trust=2), market.workers[0]
    assert refusal(market, worker, arguments(market, worker, task)) == ("TrustNotOne", 2)


def test_only_the_first(market):
    task, (worker, other) = market.task(), market.workers[:2]
    market.contribute(worker, task)
    chain.sleep(601)
    market.hub.reopen(task, {"from": market.scheduler})
    assert refusal(market, other, arguments(market, other, task)) == ("HasContributors", bytes.fromhex(task[2:]))


def test_only_in_time(market):
    task, worker = market.task(category=XS), market.workers[0]
    chain.sleep(2_101)
    chain.mine()
    assert refusal(market, worker, arguments(market, worker, task))[0] == "DeadlinePassed"


def test_only_authorized(market):
    task, (worker, other) = market.task(), market.workers[:2]
    assert refusal(market, other, arguments(market, worker, task))[0] == "InvalidAuthorization"


def test_only_once(market):
    task, worker = market.task(), market.workers[0]
    args = arguments(market, worker, task)
    market.hub.contributeAndFinalize(*args, {"from": worker})
    before = market.money()
    with refused():
        market.hub.contributeAndFinalize(*args, {"from": worker})
    assert market.money() == before
