"""Row 8: detectors and deadlines.

Parity: lost workers, missed news, late uploads and every deadline are found by the clock and by the chain. Beat: each
is met at its instant and not at the next round of a detector, no task that waits holds up another, and the scale of
time is set by the pool's settings and the deal's category.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from chain.client import Chain
from poco.states import ChainTaskStatus
from tests.integration.scheduler_pool import Market, Pool, digest_of, until

pytestmark = pytest.mark.chain

LOST_AFTER = 2


@pytest.fixture(scope="module")
def market(hub: Chain, tmp_path_factory: pytest.TempPathFactory) -> Market:
    return Market(hub, tmp_path_factory.mktemp("market"))


@pytest.fixture(scope="module")
def running(market: Market, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    made = Pool(market, tmp_path_factory.mktemp("pool"), {"unknown_after": 1, "lost_after": LOST_AFTER})
    made.start()
    yield made
    made.stop()


@pytest.fixture
def pool(running: Pool) -> Iterator[Pool]:
    yield running
    running.dismiss()


def seconds_late(chain: Chain, task_id: str) -> int:
    """From a task's final deadline to the block of its claim."""
    last = chain.block_number()
    found = [e for e in chain.logs(max(0, last - 500), last, ["TaskClaimed"]) if e.args["taskid"] == task_id]
    return chain.block(found[0].block)[2] - chain.task(task_id).final_deadline


def test_a_lost_worker_is_replaced_when_its_time_is_over(pool: Pool) -> None:
    silent, other = pool.worker("silent").join(), pool.worker("other").join()
    (task,) = pool.deal()
    silent.expect("START", task)
    silent.verdict(task, "STARTED")
    began = time.monotonic()
    other.expect("START", task)
    assert time.monotonic() - began < LOST_AFTER + 8, "far less than the detectors' rounds"
    assert pool.replicate(task, silent.wallet)["currentStatus"] == "WORKER_LOST"


def test_what_a_worker_never_told_is_read_from_the_chain(pool: Pool) -> None:
    mute = pool.worker("mute").join()
    (task,) = pool.deal(trust=2)
    mute.expect("START", task)
    mute.verdict = lambda *_, **__: "OK"  # type: ignore[method-assign]
    mute.contribute(task, digest_of())
    mute.expect("REVEAL", task, slots=0)
    mute.reveal(task, digest_of())
    mute.expect("UPLOAD", task, slots=0)


def test_a_task_that_waits_holds_up_no_other_and_is_claimed_at_once(pool: Pool, market: Market) -> None:
    short = market.category(1)
    stalling, busy = pool.worker("stalling").join(), pool.worker("busy")
    (stalled,) = pool.deal(category=short)
    stalling.expect("START", stalled)
    stalling.contribute(stalled, digest_of())  # and nothing after that: neither reveal nor upload
    (nobodys,) = pool.deal(category=short)
    (good,) = pool.deal()
    busy.join().do(good)
    chain = pool.chain
    assert chain.task(good).status is ChainTaskStatus.COMPLETED
    for task in (stalled, nobodys):
        until(lambda task=task: chain.task(task).status is ChainTaskStatus.FAILED, 40)
        assert seconds_late(chain, task) <= 8, "claimed at the deadline"
