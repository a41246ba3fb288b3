"""Replicas that die under load: of all tasks ordered meanwhile, how many are lost, and how many are given out twice."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.fleet.cluster import REPLICAS, Cluster, wait_for
from benchmarks.scale.fleet import wallet
from benchmarks.scale.ground import Demand
from ops.console import ROOT
from ops.stack import Stack
from poco.errors import PewError
from poco.states import ChainTaskStatus

FOLDER = ROOT / "build" / "bench-fleet-replicas"
WORKERS = 30
TASKS_PER_MINUTE = 240
#: Kills, the leader and a follower in turn, and the seconds of work before each.
KILLS, SECONDS_BETWEEN = 8, 6.0
#: How long the last task may take after the last order.
END_SECONDS = 180


def measure(
    folder: Path = FOLDER, *, workers: int = WORKERS, kills: int = KILLS, seconds: float = SECONDS_BETWEEN
) -> dict[str, Any]:
    """Two schedulers on one PostgreSQL behind HAProxy; one is killed with kill -9 again and again, and started again.

    Returns:
        `killed`: processes killed. `tasks`: ordered. `tasks_lost`: not completed on chain in the end. `claims_twice`:
        given to two workers (by the workers' own journals), or contributed to or paid twice (by the chain's events).
        `paid_nrlc`: what workers have got, by the hub's accounts. `failover_seconds`: the longest without a leader.

    Raises:
        PewError: the requester cannot order, or a process ends by itself.
    """
    shutil.rmtree(folder, ignore_errors=True)
    with Stack(folder, handle_signals=False) as stack:
        cluster = Cluster(stack, workers)
        before = _accounts(cluster)
        for number in range(REPLICAS):
            cluster.start_replica(number)
        cluster.start_balancer()
        journal = cluster.start_workers()
        demand = Demand(cluster, cluster.workerpool, TASKS_PER_MINUTE)
        demand.start()
        longest = 0.0
        try:
            for number in range(kills):
                time.sleep(seconds)
                longest = max(longest, _kill(cluster, leader=number % 2 == 0))
                stack.check()
        finally:
            demand.stop()
        if demand.trouble:
            raise PewError(f"the requester gave up: {demand.trouble}")
        tasks = cluster.tasks()
        open_tasks = _wait_for_end(cluster, tasks)
        paid = _accounts(cluster) - before
        given = _given(journal)
        events = _events(cluster)
        completed = [task for task in tasks if task not in open_tasks]
        twice = {task for task, wallets in given.items() if len(wallets) > 1}
        twice |= {task for (name, task), count in events.items() if count > 1}
        lost = open_tasks | {task for task in completed if events["TaskFinalize", task] != 1}
        return {
            "killed": kills,
            "tasks": len(tasks),
            "tasks_lost": len(lost) + max(demand.ordered - len(tasks), 0),
            "claims_twice": len(twice),
            "paid_nrlc": paid,
            "failover_seconds": round(longest, 1),
        }


def _kill(cluster: Cluster, *, leader: bool) -> float:
    """Kill the leader, or a follower, and start it again; the seconds until one leads."""
    leads = cluster.leader()
    chosen = leads if leader else (leads + 1) % REPLICAS
    begun = time.monotonic()
    cluster.kill_replica(chosen)
    cluster.leader()
    took = time.monotonic() - begun
    cluster.start_replica(chosen)
    return took


def _wait_for_end(cluster: Cluster, tasks: list[str]) -> set[str]:
    """Tasks that are not completed on chain when all are, or the patience is over."""
    left = set(tasks)

    def none_left() -> bool:
        cluster.stack.check()
        left.difference_update([task for task in left if cluster.chain.task(task).status is ChainTaskStatus.COMPLETED])
        return not left

    try:
        wait_for(none_left, END_SECONDS, "tasks are open")
    except PewError:
        if not left:
            raise
    return left


def _given(journal: Path) -> dict[str, set[str]]:
    """Which workers were told to start each task."""
    found: dict[str, set[str]] = {}
    for line in journal.read_text().splitlines():
        _, worker, kind, task = line.split()
        if kind == "START":
            found.setdefault(task, set()).add(worker)
    return found


def _events(cluster: Cluster) -> Counter[tuple[str, str]]:
    """How often each task was contributed to and finalized, by the hub's events."""
    names = ("TaskContribute", "TaskFinalize")
    events = cluster.chain.logs(cluster.chain.deployment.block, cluster.chain.block_number(), names)
    return Counter((event.name, str(event.args["taskid"])) for event in events)


def _accounts(cluster: Cluster) -> int:
    """What all workers have in the hub, free and locked, nRLC."""
    accounts = [cluster.chain.account(wallet(number).address) for number in range(cluster.workers)]
    return sum(account.stake + account.locked for account in accounts)
