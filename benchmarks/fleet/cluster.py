"""A pool as it is run at scale: two schedulers on one PostgreSQL behind HAProxy, a real Anvil, simulated workers."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import requests

from benchmarks.scale.fleet import Spec
from benchmarks.scale.ground import Ground
from benchmarks.scale.zips import result_zip
from ops.haproxy import start_haproxy
from ops.ports import HOST, free_port
from ops.postgres import start_postgres
from ops.process import Process
from ops.stack import Stack
from poco import ids
from poco.errors import PewError
from scripts.localstack import Ports

REPLICAS = 2
LEASE_SECONDS = 2.0
#: Seconds that a simulated task computes, least and most.
COMPUTE = (0.5, 2.0)


class Cluster(Ground):
    """Replicas are numbered from 0; workers reach them through the balancer alone.

    Args:
        stack: the run.
        workers: how many simulated workers have stake.
    """

    def __init__(self, stack: Stack, workers: int) -> None:
        super().__init__(stack, Ports.free())
        self.workers = workers
        self.replica_ports = tuple(free_port() for _ in range(REPLICAS))
        self.balancer_port, self.balancer_metrics = free_port(), free_port()
        self.start_chain()
        self.prepare(workers)
        self.workerpool = self.pool("replicas")
        self.database = start_postgres(stack, port=free_port())
        self.database_url = self.database.create("pool")

    @property
    def scheduler_url(self) -> str:
        """The balancer's."""
        return f"http://{HOST}:{self.balancer_port}"

    def start_balancer(self) -> Process:
        first, second = self.replica_ports
        return start_haproxy(self.stack, self.balancer_port, (first, second), self.balancer_metrics)

    def configure(self, number: int, **changes: Any) -> Path:
        """The configuration file of a replica."""
        wallet = self.run_dir / "wallets" / "scheduler"
        return self._configure(
            self.run_dir / f"replica-{number}.yaml",
            {
                "rpc_url": self.rpc_url, "deployment": str(self.deployment_file), "workerpool": self.workerpool,
                "keystore": f"{wallet}.json", "password_file": f"{wallet}.password",
                "data_dir": f"data-{number}", "shared_dir": "shared", "database_url": self.database_url,
                "lease_seconds": LEASE_SECONDS, "host": HOST, "port": self.replica_ports[number],
                "chain_poll_seconds": 0.1, "poll_seconds": 5, "owners": {"undeclared": "wallet"}, **changes,
            },
        )  # fmt: skip

    def start_replica(self, number: int, **changes: Any) -> Process:
        """Start one and wait until it answers."""
        path = self.configure(number, **changes)
        argv: list[str | Path] = [sys.executable, "-m", "scheduler", "--config", path]
        ready = f"{self.replica_url(number)}/config"
        return self.stack.start(f"replica-{number}", argv, ready=ready, timeout=90)

    def replica_url(self, number: int) -> str:
        return f"http://{HOST}:{self.replica_ports[number]}"

    def kill_replica(self, number: int) -> None:
        """kill -9"""
        self.stack.stop_process(f"replica-{number}", kill=True)

    def leader(self) -> int:
        """The replica that leads; PewError where none does for long."""

        def leads() -> list[int]:
            found = []
            for number in range(REPLICAS):
                if f"replica-{number}" in self.stack.processes:
                    status = _get(f"{self.replica_url(number)}/status")
                    found += [number] if status.get("replica", {}).get("leading") else []
            return found

        return int(wait_for(leads, 30 + LEASE_SECONDS, "no replica leads")[0])

    def start_workers(self, first: int = 0, count: int | None = None, name: str = "workers") -> Path:
        """Start simulated workers as a process, and wait until they have logged in; the file of what they journal."""
        folder = self.run_dir / name
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        content, digest = result_zip()
        (folder / "result.zip").write_bytes(content)
        spec = Spec(
            self.scheduler_url, self.rpc_url, self.chain.deployment.hub, self.workerpool,
            self.chain.deployment.chain_id, first, self.workers if count is None else count, COMPUTE,
            str(folder / "result.zip"), digest,
        )  # fmt: skip
        (folder / "spec.json").write_text(json.dumps(asdict(spec)))
        ready = folder / "ready"
        argv = [sys.executable, "-m", "benchmarks.fleet.workers", str(folder / "spec.json")]
        self.stack.start(name, argv, ready=ready.exists, timeout=120)
        return folder / "journal"

    def tasks(self) -> list[str]:
        """Ids of all tasks that the pool's deals have, by the chain."""
        found = []
        last = self.chain.block_number()
        for event in self.chain.logs(self.chain.deployment.block, last, ("SchedulerNotice",)):
            if event.args["workerpool"] == self.workerpool:
                deal = self.chain.deal(str(event.args["dealid"]))
                found += [ids.task_id(deal.id, deal.bot_first + n) for n in range(deal.bot_size)]
        return found


def wait_for(question: Callable[[], Any], seconds: float, otherwise: str) -> Any:
    """The first true answer; PewError after that many seconds."""
    end = time.monotonic() + seconds
    while not (answer := question()):
        if time.monotonic() > end:
            raise PewError(f"{otherwise} after {seconds:.0f} s")
        time.sleep(0.1)
    return answer


def _get(url: str) -> dict[str, Any]:
    """A JSON answer; empty where there is none now."""
    try:
        return dict(requests.get(url, timeout=5).json())
    except (requests.RequestException, ValueError):
        return {}
