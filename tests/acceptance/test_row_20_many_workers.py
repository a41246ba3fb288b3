"""Row 20: many workers.

Parity: workers with a wallet each share the work of a pool. Beat: they share it through several scheduler processes and
change between these at any call; each task still goes to as many of them as the deal's trust asks for, and no more.
"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from chain.client import Chain
from ops.postgres import Postgres
from tests.integration.replicas import Replicas
from tests.integration.scheduler_pool import until

pytestmark = [pytest.mark.chain, pytest.mark.long]


def test_workers_that_change_between_processes_get_each_task_once(
    hub: Chain, postgres: Postgres, tmp_path: Path
) -> None:
    two = Replicas(hub, tmp_path, postgres.create(f"row20{time.time_ns()}"))
    try:
        two.start(0)
        two.start(1)
        workers = [two.worker(f"worker-{n}", n % 2).join() for n in range(4)]
        tasks = two.pool.deal(volume=12)
        rounds = iter(range(10**6))

        def poll_elsewhere() -> bool:
            turn = next(rounds)
            for number, worker in enumerate(workers):
                two.move(worker, (turn + number) % 2)
                for one in worker.poll(slots=max(3 - len(worker.started), 0), wait=1 if turn % 2 else 0):
                    if one["type"] == "START":
                        assert worker.verdict(one["task_id"], "STARTED") == "OK"
            return sum(len(worker.started) for worker in workers) >= len(tasks)

        until(poll_elsewhere, 90)
        for _ in range(4):
            poll_elsewhere()
        given = Counter(task_id for worker in workers for task_id in worker.started)
        assert given == Counter(dict.fromkeys(tasks, 1))
        for number in (0, 1):
            names = {w["name"]: w["presence"] for w in two.views[number].status()["workers"]}
            assert names.keys() == {f"worker-{n}" for n in range(4)}
            replicates = [r for task_id in tasks for r in two.views[number].task(task_id)["replicates"]]
            assert [r["currentStatus"] for r in replicates] == ["STARTED"] * len(tasks)
    finally:
        two.stop()
