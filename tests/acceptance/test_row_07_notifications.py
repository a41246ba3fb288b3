"""Row 7: notifications.

Parity: a worker is told what to do (START, REVEAL, UPLOAD, COMPLETE, ABORT). Beat: each is a row with a sequence number
of that worker; it is said again at every poll until the worker has acknowledged it, whatever is killed meanwhile, and
an open poll hears at once of what another scheduler process has committed.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chain.client import Chain
from ops.postgres import Postgres
from tests.integration.replicas import Replicas
from tests.integration.scheduler_pool import Market, Pool, until

pytestmark = [pytest.mark.chain]


@pytest.fixture
def pool(hub: Chain, tmp_path: Path) -> Iterator[Pool]:
    made = Pool(Market(hub, tmp_path), tmp_path)
    made.start()
    yield made
    made.stop()


def test_a_notification_is_said_until_it_is_acknowledged_and_outlasts_a_kill(pool: Pool) -> None:
    worker = pool.worker("worker").join()
    (first,) = pool.deal()
    told = worker.expect("START", first)
    worker.acked = told["seq"] - 1  # the answer was lost
    assert worker.poll(slots=0) == [told]
    worker.acked = told["seq"] - 1
    pool.stop(signal.SIGKILL)
    pool.start()
    assert worker.poll(slots=0) == [told], "said again with the same number"
    assert worker.poll(slots=0) == [], "acknowledged by the poll before"
    worker.run(first)
    pool.stop(signal.SIGKILL)
    pool.start()
    (second,) = pool.deal()
    later = worker.expect("START", second)
    assert later["seq"] > told["seq"], "numbers rise through restarts"


def test_an_open_poll_hears_at_once_what_another_process_has_committed(
    hub: Chain, postgres: Postgres, tmp_path: Path
) -> None:
    two = Replicas(hub, tmp_path, postgres.create(f"row7{time.time_ns()}"))
    try:
        two.start(0)
        two.start(1)
        worker = two.worker("worker", 1).join()
        (task_id,) = two.pool.deal()
        worker.expect("START", task_id)
        worker.run(task_id)
        # the leader, process 0, reads the consensus from the chain; the poll is open at process 1
        worker.poll(slots=0)
        worker.contribute(task_id, "0x" + "12" * 32)
        began = time.monotonic()
        worker.expect("REVEAL", task_id, slots=0)
        assert time.monotonic() - began < 10
        # and what was not acknowledged there is said here
        worker.acked -= 1
        until(lambda: two.move(worker, 0).poll(slots=0))
    finally:
        two.stop()
