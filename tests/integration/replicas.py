"""Several scheduler processes of one pool on one PostgreSQL, for tests that kill, pause and change between them."""

from __future__ import annotations

import signal
import subprocess
import sys
from copy import copy
from pathlib import Path
from typing import Any

import requests
import yaml

from chain.client import Chain
from ops.console import ROOT
from ops.ports import free_port
from tests.integration.scheduler_pool import Market, Pool, ScriptedWorker, until

LEASE_SECONDS = 2.0


class Replicas:
    """Replicas of a pool, by number; `pool` is what they share (its own process is never started)."""

    def __init__(self, hub: Chain, folder: Path, database_url: str, count: int = 2, **settings: Any) -> None:
        self.pool = Pool(Market(hub, folder), folder)
        self.views = [copy(self.pool) for _ in range(count)]
        self._settings = {
            "database_url": database_url,
            "shared_dir": "shared",
            "lease_seconds": LEASE_SECONDS,
            **settings,
        }
        for number, view in enumerate(self.views):
            view.port = free_port()
            view.url = f"http://127.0.0.1:{view.port}"
            view.log = folder / f"replica-{number}.log"

    def start(self, number: int) -> None:
        """Start one and wait until it has read the chain, itself or through the leader."""
        view = self.views[number]
        path = self.pool.configure(**self._settings, data_dir=f"data-{number}", port=view.port)
        own = path.with_name(f"replica-{number}.yaml")
        own.write_text(yaml.safe_dump(yaml.safe_load(path.read_text())))
        with view.log.open("ab") as log:
            view.process = subprocess.Popen(
                [sys.executable, "-m", "scheduler", "--config", str(own)], stderr=log, cwd=ROOT
            )
        until(view._ready, 60)

    def stop(self) -> None:
        """End all; one that is paused goes on first."""
        for view in self.views:
            if view.process is not None:
                view.process.send_signal(signal.SIGCONT)
                view.stop()

    def signal(self, number: int, what: int) -> None:
        process = self.views[number].process
        assert process is not None
        process.send_signal(what)

    def kill(self, number: int) -> None:
        """kill -9"""
        self.views[number].stop(signal.SIGKILL)

    def leading(self, number: int) -> dict[str, Any]:
        """What that one says of the lease."""
        return dict(self.views[number].status()["replica"])

    def worker(self, name: str, number: int) -> ScriptedWorker:
        """A worker that talks to that replica."""
        return self.move(self.pool.worker(name), number)

    def move(self, worker: ScriptedWorker, number: int) -> ScriptedWorker:
        """From now on the worker talks to that replica, with the session that it has."""
        worker.pool = self.views[number]
        return worker

    def get(self, number: int, path: str) -> requests.Response:
        return requests.get(self.views[number].url + path, timeout=20)

    def sent(self) -> list[bool]:
        """Whether each transaction that the pool's owner has sent succeeded, in the order of their nonces."""
        eth, owner = self.pool.chain.web3.eth, self.pool.owner.address
        found = {}
        for number in range(self.pool.chain.deployment.block, eth.block_number + 1):
            for tx in eth.get_block(number, full_transactions=True)["transactions"]:
                if tx["from"] == owner:  # type: ignore[index]
                    found[tx["nonce"]] = eth.get_transaction_receipt(tx["hash"])["status"] == 1  # type: ignore[index]
        assert sorted(found) == list(range(len(found)))
        return [found[nonce] for nonce in sorted(found)]
