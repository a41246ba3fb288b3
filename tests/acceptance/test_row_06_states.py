"""Row 6, task and replicate state machines with on-chain checks.

Parity: what a worker says to have happened on chain is looked up. Beat: the moves are a table that the core is tested
against exhaustively (tests/unit/scheduler/test_transitions.py); here a life is held against it.
"""

from __future__ import annotations

from itertools import pairwise

from poco.states import ReplicateStatus, TaskStatus
from scheduler import transitions as tr
from tests.acceptance.pools import pool, running
from tests.integration.scheduler_pool import Pool, digest_of, until

__all__ = ["pool", "running"]

ONLY_THE_CHAIN_SAYS = ("CONTRIBUTED", "REVEALED", "RESULT_UPLOADED", "COMPLETED")


def reached(moves: dict[tuple[str, str], set[str]], old: str, new: str) -> bool:
    """One move of the table, or an event and the rules that follow."""
    after = set().union(*(to for (state, _), to in moves.items() if state == old))
    return new in after or any(new in moves.get((state, tr.RULES), ()) for state in after)


def test_claims_are_held_against_the_chain_and_moves_against_the_table(pool: Pool) -> None:
    worker = pool.worker("claims").join()
    (task,) = pool.deal()
    worker.expect("START", task)
    for claim in ONLY_THE_CHAIN_SAYS:
        assert worker.report(task, claim).status_code == 409, claim
    assert pool.replicate(task, worker.wallet)["currentStatus"] == "CREATED"
    worker.run(task)
    for claim in ONLY_THE_CHAIN_SAYS:
        assert worker.report(task, claim).status_code == 409, claim
    worker.contribute(task, digest_of())
    # the scheduler sees what was not reported
    until(lambda: pool.replicate(task, worker.wallet)["currentStatus"] == "CONTRIBUTED")
    assert worker.report(task, "REVEALED").status_code == 409
    worker.finish(task)
    until(lambda: pool.task(task)["currentStatus"] == "COMPLETED")

    life = pool.task(task)
    tasks, replicates = tr.moves(tr.TASK_ROWS), tr.moves(tr.REPLICATE_ROWS)
    went = [step["status"] for step in life["dateStatusList"]]
    assert went[0] == TaskStatus.RECEIVED
    assert all(reached(tasks, old, new) for old, new in pairwise(went)), went
    own = [tr.NOBODY, *(step["status"] for step in life["replicates"][0]["statusUpdateList"])]
    assert own[-1] == ReplicateStatus.COMPLETED
    assert all(reached(replicates, old, new) for old, new in pairwise(own)), own


def test_what_can_no_longer_succeed_is_claimed_at_once(pool: Pool) -> None:
    category = pool.market.category(1)
    (task,) = pool.deal(category=category)
    before = pool.chain.account(pool.requester.address).locked
    until(lambda: pool.task(task).get("currentStatus") == "FAILED", 30)
    assert pool.chain.account(pool.requester.address).locked < before, "the requester has its money back"
