"""Two scheduler processes behind one PostgreSQL: killed, paused, and workers that change between them."""

from __future__ import annotations

import hashlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chain.client import Chain
from ops.postgres import Postgres
from poco.result import cid_of
from poco.states import ChainTaskStatus
from tests.integration.replicas import LEASE_SECONDS, Replicas
from tests.integration.scheduler_pool import digest_of, result_zip, until

pytestmark = [pytest.mark.chain]


@pytest.fixture
def two(hub: Chain, postgres: Postgres, tmp_path: Path) -> Iterator[Replicas]:
    made = Replicas(hub, tmp_path, postgres.create(f"two{time.time_ns()}"))
    made.start(0)
    made.start(1)
    yield made
    made.stop()


def test_a_leader_killed_with_tasks_under_way_is_replaced_and_nothing_is_lost(two: Replicas) -> None:
    assert (two.leading(0)["leading"], two.leading(1)["leading"]) == (True, False)
    worker = two.worker("mover", 0).join()
    begun, waiting = two.pool.deal(volume=2)
    until(lambda: worker.poll(wait=1, slots=2 - len(worker.started)) and len(worker.started) == 2)
    worker.run(begun)
    two.kill(0)
    # its session, its tasks and what it has acknowledged are at the other one
    two.move(worker, 1)
    worker.contribute(begun, digest_of())
    until(lambda: two.leading(1)["leading"], LEASE_SECONDS + 20)
    assert two.leading(1)["epoch"] == 2
    worker.finish(begun)
    two.start(0)
    assert not two.leading(0)["leading"]
    two.move(worker, 0)
    worker.run(waiting)
    worker.contribute(waiting, digest_of())
    worker.finish(waiting)
    chain = two.pool.chain
    assert {chain.task(task_id).status for task_id in (begun, waiting)} == {ChainTaskStatus.COMPLETED}
    # either one serves what came in at the other, and no transaction was sent twice
    for number in (0, 1):
        assert two.get(number, f"/ipfs/{cid_of(hashlib.sha256(result_zip()).digest())}").content == result_zip()
        assert two.views[number].task(begun)["currentStatus"] == "COMPLETED"
    assert all(two.sent())


def test_a_leader_that_was_paused_comes_back_as_a_follower(two: Replicas) -> None:
    worker = two.worker("worker", 1).join()
    two.signal(0, signal.SIGSTOP)
    (task_id,) = two.pool.deal()
    until(lambda: two.leading(1)["leading"], LEASE_SECONDS + 30)
    worker.expect("START", task_id)
    two.signal(0, signal.SIGCONT)
    worker.run(task_id)
    worker.contribute(task_id, digest_of())
    worker.finish(task_id)
    until(lambda: not two.leading(0)["leading"])
    assert two.leading(0)["leader"] == two.leading(1)["leader"]
    assert '"leads_no_longer"' in two.views[0].log.read_text()
    assert two.pool.chain.task(task_id).status is ChainTaskStatus.COMPLETED
    assert all(two.sent()), "one of the pool's transactions failed: two leaders sent it"
