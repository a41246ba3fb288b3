"""When a result has consensus: weights, trust, and those who disagree."""

import pytest

from poco.consensus import tally, workers_needed
from poco.ids import result_hash
from tests.contracts.market import DIGEST, OTHER_DIGEST, RLC, same

THIRD_DIGEST = "0x" + "d3" * 32


def status(market, task):
    return market.hub.viewTask(task)["status"]


@pytest.mark.parametrize("trust", [0, 1, 2, 3, 4, 5, 8, 16, 17, 32])
def test_workers_needed(market, trust):
    task = market.task(trust=trust)
    needed = workers_needed(trust)
    for i, worker in enumerate(market.workers[:needed]):
        assert status(market, task) == 1
        market.contribute(worker, task)
        assert (status(market, task) == 2) == (i + 1 == needed)


@pytest.mark.parametrize(
    ("trust", "votes"),
    [(4, "aba"), (4, "abbab"), (4, "abab"), (3, "abaa"), (8, "aabaa"), (4, "abcab"), (4, "bacaa"), (5, "abbb")],
)
def test_votes(market, trust, votes):
    """The chain agrees with the arithmetic of `poco.consensus` after each vote."""
    digests = {"a": DIGEST, "b": OTHER_DIGEST, "c": THIRD_DIGEST}
    task = market.task(trust=trust)
    for i, (worker, vote) in enumerate(zip(market.workers, votes, strict=False)):
        market.contribute(worker, task, digests[vote])
        count = tally(trust, [(v, 2) for v in votes[: i + 1]])
        reached = count.reached(vote)
        view = market.hub.viewTask(task)
        assert view["status"] == (2 if reached else 1)
        if reached:
            assert same(view["consensusValue"]) == result_hash(task, digests[vote])
            assert view["winnerCounter"] == votes[: i + 1].count(vote)
            break


def test_dissenter_wins(market):
    """The first result is not the one that gets consensus; who sent it loses its stake."""
    first, *others = market.workers[:4]
    task = market.task(trust=3)
    market.contribute(first, task, OTHER_DIGEST)
    for worker in others:
        market.contribute(worker, task, DIGEST)
    view = market.hub.viewTask(task)
    assert same(view["consensusValue"]) == result_hash(task, DIGEST)
    assert same(market.hub.viewContribution(task, first)["resultHash"]) == result_hash(task, OTHER_DIGEST)
    assert same(market.hub.viewContribution(task, others[0])["resultHash"]) == result_hash(task, DIGEST)
    for worker in others:
        market.reveal(worker, task)
    market.finalize(task)
    assert market.stake(first) == 997 * RLC
    pot = 13 * RLC * 99 // 100
    assert [market.stake(worker) - 1_000 * RLC for worker in others] == [pot // 3] * 3
    assert same(market.hub.viewTask(task)["resultDigest"]) == DIGEST
