"""Row 4: who is there.

Parity: a worker that falls silent is noticed and its tasks go to others. Beat: awake, asleep until an announced
instant, unknown and lost are four things, each told apart in `/status`, and each outlasts a kill -9 of the scheduler;
nobody is blamed for the time in which the scheduler itself was away.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chain.client import Chain
from tests.integration.scheduler_pool import Market, Pool, until

pytestmark = [pytest.mark.chain]
UNKNOWN_AFTER, LOST_AFTER = 3, 60
#: What changed is in the store after so long.
FLUSHED = 4.0


@pytest.fixture
def pool(hub: Chain, tmp_path: Path) -> Iterator[Pool]:
    made = Pool(Market(hub, tmp_path), tmp_path)
    yield made
    made.stop()


def presences(pool: Pool) -> dict[str, str]:
    return {worker["name"]: worker["presence"] for worker in pool.status()["workers"]}


def test_awake_asleep_unknown_and_lost_are_told_apart_and_outlast_a_kill(pool: Pool) -> None:
    pool.start(unknown_after=UNKNOWN_AFTER, lost_after=LOST_AFTER)
    awake, sleeper, silent, gone = (pool.worker(name).join() for name in ("awake", "sleeper", "silent", "gone"))
    wakes = int(time.time()) + 3600
    sleeper.poll(presence="ASLEEP", resume_at=wakes, slots=0)
    gone.poll(presence="DRAINING", slots=0)
    silent.poll()
    expected = {"awake": "WAITING", "sleeper": "ASLEEP", "silent": "UNKNOWN", "gone": "LOST"}
    until(lambda: (awake.poll(), presences(pool) == expected)[1])
    assert next(w for w in pool.status()["workers"] if w["name"] == "sleeper")["resume_at"] == wakes
    written = time.monotonic() + FLUSHED
    until(lambda: (awake.poll(), time.monotonic() > written)[1])
    pool.stop(signal.SIGKILL)
    pool.start(unknown_after=UNKNOWN_AFTER + 60, lost_after=LOST_AFTER + 60)
    assert presences(pool) == expected
    assert awake.poll() == [], "and its session holds"


def test_a_lost_workers_task_goes_to_another_and_a_short_sleepers_does_not(pool: Pool) -> None:
    pool.start(unknown_after=2, lost_after=4)
    first, second = pool.worker("first").join(), pool.worker("second")
    kept, moved = pool.deal(volume=2)
    for _ in range(2):
        first.poll(wait=2, slots=2)
    until(lambda: (first.poll(slots=2), set(first.started))[1] == {kept, moved})
    for task in (kept, moved):
        assert first.verdict(task, "STARTED") == "OK"
    first.poll(presence="ASLEEP", resume_at=int(time.time()) + 30, slots=0)
    second.join()
    assert second.poll(wait=2) == [], "asleep until soon: it will go on"
    assert pool.replicate(moved, first.wallet)["currentStatus"] == "STARTED"
    assert pool.replicate(kept, first.wallet)["currentStatus"] == "STARTED"
    first.poll(presence="WAITING", slots=0)  # and now it is silent
    until(lambda: (second.poll(wait=1, slots=2), second.started)[1])
    until(lambda: pool.replicate(moved, first.wallet)["currentStatus"] == "WORKER_LOST")
