"""Reputation: up by one where there was somebody to agree with, down by a third for a fault."""

from brownie import chain

from tests.contracts.market import DIGEST, OTHER_DIGEST


def test_alone_it_stays(market):
    market.complete(market.task(), market.workers[:1])
    assert market.hub.viewScore(market.workers[0]) == 0


def test_faulty_worker(market):
    faulty, *honest = market.workers[:4]
    for _ in range(4):
        market.complete(market.task(trust=4), [faulty, honest[0]])
    assert market.hub.viewScore(faulty) == 4
    task = market.task(trust=3)
    market.contribute(faulty, task, OTHER_DIGEST)
    for worker in honest:
        market.contribute(worker, task, DIGEST)
    for worker in honest:
        market.reveal(worker, task)
    tx = market.finalize(task)
    assert tx.events["FaultyContribution"]["worker"] == faulty
    assert market.hub.viewScore(faulty) == 2  # 4 * 2 / 3, rounded down
    assert market.hub.viewScore(honest[0]) == 5


def test_who_does_not_reveal_is_faulty(market):
    reveals, silent = market.workers[:2]
    market.complete(market.task(trust=4), [reveals, silent])
    task = market.task(trust=4)
    market.contribute(reveals, task)
    market.contribute(silent, task)
    market.reveal(reveals, task)
    chain.sleep(601)
    market.finalize(task)
    assert (market.hub.viewScore(reveals), market.hub.viewScore(silent)) == (2, 0)
