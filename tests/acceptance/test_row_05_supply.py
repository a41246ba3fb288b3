"""Row 5, pull supply with a signed authorization.

Parity: a worker that asks gets the task with the earliest contribution deadline, as long as the votes still need one
more, with a leave that the pool's owner has signed. Beat: a replacement at once; no second vote of one owner; nobody
is asked where the whole pool cannot agree; who is useless again and again is left alone.
"""

from __future__ import annotations

import time

from chain.wallet import Wallet, recover_message
from poco.errors import Cause
from poco.ids import authorization_hash
from poco.wire import operator_typed_data
from tests.acceptance.pools import initialized, pool, row, running
from tests.integration.scheduler_pool import Pool, digest_of

__all__ = ["pool", "running"]


def declared(pool: Pool, name: str, operator: Wallet, signed_for: str | None = None) -> dict[str, object]:
    """A registration with an operator's declaration."""
    wallet = next(w.wallet.address for w in pool.workers if w.name == name)
    typed = operator_typed_data(pool.chain.deployment.chain_id, pool.address, signed_for or wallet, operator.address)
    return {"operator": {"operator": operator.address, "signature": operator.sign_typed(typed)}}


def test_the_earliest_deadline_first_with_the_owners_leave(pool: Pool) -> None:
    (later,) = pool.deal(category=pool.market.category(900))
    (sooner,) = pool.deal(category=pool.market.category(600))
    for task in (later, sooner):
        initialized(pool, task)
    worker = pool.worker("first").join()
    start = worker.expect("START", sooner)
    leave = start["data"]["authorization"]
    assert recover_message(authorization_hash(worker.wallet.address, sooner), leave) == pool.owner.address
    worker.run(sooner)
    worker.contribute(sooner, digest_of())
    worker.finish(sooner)
    worker.do(later)


def test_a_replacement_at_once(pool: Pool) -> None:
    first = pool.worker("gives-up").join()
    (task,) = pool.deal()
    first.expect("START", task)
    second = pool.worker("stands-in").join()
    assert second.poll() == []
    first.verdict(task, "DECLINED", cause="ENERGY")
    begun = time.monotonic()
    second.expect("START", task)
    assert time.monotonic() - begun < 10, "iExec waits for a whole category time"
    second.run(task)
    second.contribute(task, digest_of())
    second.finish(task)


def test_one_owner_has_one_vote_and_a_pool_that_cannot_agree_is_not_asked(pool: Pool) -> None:
    operator = pool.market.wallet("operator", ether=0)
    twins = [pool.worker("twin-1"), pool.worker("twin-2")]
    for twin in twins:
        twin.info |= declared(pool, twin.name, operator)
        twin.join()
    (task,) = pool.deal(trust=4)
    initialized(pool, task)
    for twin in twins:
        assert twin.poll(wait=1) == []
    assert "a trust of 4 needs more workers of different owners than the 1" in row(pool, "twin-1")["no_work_because"]
    other = pool.worker("other").join()
    other.expect("START", task)
    twins[0].expect("START", task)
    other.verdict(task, "DECLINED", cause="ENERGY")  # one more is wanted, and the other twin is not taken for it
    assert twins[1].poll(wait=2) == []
    assert "another worker of its owner is at it" in row(pool, "twin-2")["no_work_because"]
    third = pool.worker("third").join().do_later(task)
    twins[0].run(task)
    twins[0].contribute(task, digest_of())
    twins[0].finish(task)
    third.join(30)


def test_a_declaration_that_the_operator_has_not_signed_is_refused(pool: Pool) -> None:
    operator = pool.market.wallet("stranger", ether=0)
    thief = pool.worker("thief")
    thief.info |= declared(pool, "thief", operator, signed_for=operator.address)
    thief.login()
    answer = thief.call("PUT", "/workers/me", json=thief.info)
    assert (answer.status_code, answer.json()["error"]) == (400, "WRONG_DECLARATION")
    pool.workers.remove(thief)


def test_who_is_of_no_use_again_and_again_is_left_alone(pool: Pool) -> None:
    useless = pool.worker("useless").join()
    for _ in range(2):
        (task,) = pool.deal()
        useless.expect("START", task)
        useless.fail(task, Cause.INTERNAL_ERROR)
    (task,) = pool.deal()
    initialized(pool, task)
    assert useless.poll(wait=2) == []
    assert "again and again" in row(pool, "useless")["no_work_because"]
    pool.worker("useful").join().expect("START", task, slots=5)
