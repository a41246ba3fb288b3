"""A pool whose every part is real: chain, contracts, registry, engine, and scheduler and workers as processes."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests
import yaml

from ops.console import ROOT
from ops.ports import free_port
from tests.integration.scheduler_pool import until
from tests.integration.worker_net import Net, deployment_file


class RealScheduler:
    """The scheduler of a `Net`'s pool as a process of its own; it is owned by the wallet that `Net` calls "pool"."""

    def __init__(self, net: Net, folder: Path, **settings: Any) -> None:
        self.net, self.folder, self.settings = net, folder, settings
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"{'https' if 'tls' in settings else 'http'}://127.0.0.1:{self.port}"
        self.log = folder / "scheduler.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, **changes: Any) -> RealScheduler:
        owner = self.net.senders["pool"].wallet.address
        keystore = next(p for p in self.net.folder.glob("pool*.json") if owner[2:].lower() in p.read_text().lower())
        config = self.folder / "scheduler.yaml"
        said = {
            "rpc_url": self.net.chain.rpc_url, "deployment": str(deployment_file(self.net)),
            "workerpool": self.net.pool, "keystore": str(keystore),
            "password_file": str(keystore.with_suffix(".password")), "data_dir": str(self.folder / "data"),
            "port": self.port, "chain_poll_seconds": 0.1, **self.settings, **changes,
        }  # fmt: skip
        config.write_text(yaml.safe_dump(said))
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "scheduler", "--config", str(config)], stdout=log, stderr=log, cwd=ROOT
            )
        until(self._ready, 90)
        return self

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(20)
            self.process = None

    def get(self, path: str) -> dict[str, Any]:
        ca_file = self.settings.get("tls", {}).get("certificate", True)
        return dict(requests.get(self.url + path, timeout=10, verify=ca_file).json())

    def status_of(self, task_id: str) -> str:
        return str(self.get(f"/tasks/{task_id}").get("currentStatus", ""))

    def replicate(self, task_id: str, worker: str) -> dict[str, Any]:
        found = [r for r in self.get(f"/tasks/{task_id}").get("replicates", []) if r["walletAddress"] == worker]
        return found[0] if found else {"currentStatus": ""}

    def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()[-2000:]
        with contextlib.suppress(requests.RequestException):
            return bool(self.get("/status")["chain"]["caught_up"])
        return False


@contextlib.contextmanager
def scheduling(net: Net, folder: Path, **settings: Any) -> Iterator[RealScheduler]:
    """A running scheduler for that pool."""
    made = RealScheduler(net, folder, **settings).start()
    try:
        yield made
    finally:
        made.stop()
