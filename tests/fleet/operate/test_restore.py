"""A pool that lost its machine: an older copy, put back elsewhere, catches up from the chain and goes on."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.fleet.cluster import Cluster, wait_for
from benchmarks.scale.fleet import wallet
from benchmarks.scale.ground import PRICE, Demand
from ops.console import ROOT
from ops.stack import Stack
from poco.states import ChainTaskStatus

WORKERS = 12


@pytest.fixture(params=["postgresql", "sqlite"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Stack(tmp_path / "run", handle_signals=False) as stack:
        yield Cluster(stack, WORKERS)


def command(config: Path, *words: str | Path) -> str:
    argv = [sys.executable, "-m", "scheduler", "--config", config, *words]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_older_copy_goes_on_with_open_tasks_and_pays_nothing_twice(
    cluster: Cluster, kind: str, tmp_path: Path
) -> None:
    lost: dict[str, Any] = {} if kind == "postgresql" else {"database_url": "", "shared_dir": None}
    config = cluster.configure(0, **lost)
    cluster.start_replica(0, **lost)
    cluster.start_balancer()
    before = _held(cluster)
    journal = cluster.start_workers()
    demand = Demand(cluster, cluster.workerpool, 180)
    demand.start()
    try:
        time.sleep(8)
        assert "files" in command(config, "backup", tmp_path / "copy")
        at_copy = len(_ended(cluster))
        wait_for(lambda: len(_ended(cluster)) > at_copy + 10, 60, "nothing goes on after the copy")
        cluster.kill_replica(0)
        time.sleep(3)  # orders and workers' transactions go on without a scheduler
        # an empty machine
        new = {"data_dir": "new/data", "shared_dir": "new/shared", "database_url": cluster.database.create("new")}
        if kind == "sqlite":
            new = {"data_dir": "new/data", **lost}
        config = cluster.configure(0, **new)
        command(config, "restore", tmp_path / "copy")
        cluster.start_replica(0, **new)
        time.sleep(6)
    finally:
        demand.stop()
    assert not demand.trouble
    tasks = cluster.tasks()
    assert len(tasks) == demand.ordered
    wait_for(lambda: cluster.stack.check() or len(_ended(cluster)) == len(tasks), 400, "tasks are open")
    # each task is paid once, by the hub's accounts and events
    assert _held(cluster) - before == len(tasks) * PRICE * 99 // 100
    events = cluster.chain.logs(cluster.chain.deployment.block, cluster.chain.block_number(), ("TaskFinalize",))
    assert Counter(str(event.args["taskid"]) for event in events) == Counter(tasks)
    # what a worker was told again it was told under a higher number; its end was told to everybody who had begun
    told = Counter(tuple(line.split()[1:]) for line in journal.read_text().splitlines())
    begun = {(worker, task) for worker, what, task in told if what == "START"}
    ended = {(worker, task) for worker, what, task in told if what in {"COMPLETE", "ABORT"}}
    payees = {(str(e.args["worker"]), str(e.args["taskid"])) for e in _reveals(cluster)}
    assert payees <= begun & ended
    assert max(told.values()) <= 3, told.most_common(3)


def _ended(cluster: Cluster) -> list[str]:
    return [task for task in cluster.tasks() if cluster.chain.task(task).status is ChainTaskStatus.COMPLETED]


def _held(cluster: Cluster) -> int:
    accounts = [cluster.chain.account(wallet(number).address) for number in range(WORKERS)]
    return sum(account.stake + account.locked for account in accounts)


def _reveals(cluster: Cluster) -> list[Any]:
    first, last = cluster.chain.deployment.block, cluster.chain.block_number()
    return list(cluster.chain.logs(first, last, ("TaskReveal",)))
