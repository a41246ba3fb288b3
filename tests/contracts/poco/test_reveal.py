"""Only what was committed to can be revealed, in time, once."""

from brownie import chain

from poco.ids import result_hash, result_seal
from tests.contracts.market import DIGEST, OTHER_DIGEST, ZERO, refused, revert_of


def refusal(market, worker, task, digest=DIGEST):
    return revert_of(market.hub.reveal, task, digest, options={"from": worker})


def raw(task):
    return bytes.fromhex(task[2:])


def test_before_the_consensus(market):
    task, worker = market.task(trust=4), market.workers[0]
    market.contribute(worker, task)
    assert refusal(market, worker, task) == ("WrongTaskStatus", raw(task), 1)


def test_wrong_digest(market):
    task, worker = market.task(), market.workers[0]
    market.contribute(worker, task)
    wanted, got = result_hash(task, DIGEST), result_hash(task, OTHER_DIGEST)
    assert refusal(market, worker, task, OTHER_DIGEST) == ("WrongDigest", raw(wanted), raw(got))


def test_by_somebody_who_has_not_contributed(market):
    task, (worker, other) = market.task(), market.workers[:2]
    market.contribute(worker, task)
    assert refusal(market, other, task) == ("WrongContributionStatus", raw(task), str(other).lower(), 0)


def test_by_a_dissenter(market):
    task, (dissenter, *others) = market.task(trust=3), market.workers[:4]
    market.contribute(dissenter, task, OTHER_DIGEST)
    for worker in others:
        market.contribute(worker, task)
    for digest in (DIGEST, OTHER_DIGEST):
        assert refusal(market, dissenter, task, digest) == ("NotTheConsensus", raw(task), str(dissenter).lower())


def test_twice(market):
    task, worker = market.task(), market.workers[0]
    market.contribute(worker, task)
    market.reveal(worker, task)
    assert refusal(market, worker, task) == ("WrongContributionStatus", raw(task), str(worker).lower(), 2)


def test_too_late(market):
    task, worker = market.task(), market.workers[0]
    market.contribute(worker, task)
    deadline = market.hub.viewTask(task)["revealDeadline"]
    chain.sleep(deadline - chain.time())
    chain.mine()
    assert refusal(market, worker, task) == ("DeadlinePassed", deadline)


def test_false_seal(market):
    """A seal that is the digest itself, or anything but the worker's own, is never revealed."""
    task, worker = market.task(), market.workers[0]
    args = (task, result_hash(task, DIGEST), DIGEST, ZERO, "0x", market.authorization(worker, task))
    market.hub.contribute(*args, {"from": worker})
    seal = result_seal(str(worker), task, DIGEST)
    assert refusal(market, worker, task) == ("WrongSeal", raw(DIGEST), raw(seal))
    with refused():
        market.finalize(task)
