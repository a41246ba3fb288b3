"""A whole pool on this machine, with devices that are set up from nothing."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from chain import deployment
from chain import wallet as keystores
from chain.client import Chain
from chain.wallet import Wallet
from ops.ansible import ensure_ansible
from ops.console import ROOT, run
from ops.ports import free_port
from ops.services import deploy_contracts, start_anvil, start_registry
from ops.stack import Stack
from tests.fleet.provision.hosts import Device, devices
from tests.integration.whole_pool import RealScheduler, scheduling
from tests.integration.worker_net import RLC, Net, deployment_file, network

NAMES = ("roof-1", "roof-2", "roof-3")
SECRET = "a-secret-that-nobody-may-read"


@dataclass
class Roofs:
    """The fleet under test: its folder with fleet.yaml, the operator's wallet, the pool around it."""

    folder: Path
    net: Net
    scheduler: RealScheduler
    operator: Wallet
    devices: dict[str, Device]
    said: list[str] = field(default_factory=list)

    @property
    def file(self) -> Path:
        return self.folder / "fleet.yaml"

    @property
    def state(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "fleet.state" / "state.json").read_text()))

    def pew(self, *words: str, source: Path | None = None, code: int = 0) -> dict[str, Any]:
        """`pew fleet ...` as an operator types it; its JSON. What it says besides is kept in `said`."""
        argv = [sys.executable, "-m", "sdk.cli", "--wallet", str(self.folder / "operator.json"), "--password-file"]
        argv += [str(self.folder / "operator.password"), "--json", "fleet", words[0], "--file", str(self.file)]
        argv += ["--source", str(source)] if source else []
        env = {**os.environ, "PEW_VAULT_PASSWORD_FILE": str(self.folder / "vault.password")}
        done = subprocess.run(
            [*argv, *words[1:]], cwd=ROOT, env=env, capture_output=True, text=True, timeout=900, check=False
        )
        self.said.append(done.stdout + done.stderr)
        assert done.returncode == code, f"exit code {done.returncode}\n{self.said[-1][-6000:]}"
        return dict(json.loads(done.stdout)) if done.stdout.startswith("{") else {}

    def change(self, **changes: Any) -> None:
        """Edit fleet.yaml."""
        data = yaml.safe_load(self.file.read_text())
        self.file.write_text(yaml.safe_dump({**data, **changes}, sort_keys=False))

    def worker(self, name: str) -> dict[str, Any]:
        """What the scheduler says of it."""
        found = [one for one in self.scheduler.get("/status")["workers"] if one["name"] == name]
        return dict(found[0]) if found else {"presence": "never seen"}

    def release(self, name: str) -> str:
        """What a device runs."""
        return self.devices[name].run("readlink", "/opt/pew/current").strip().rpartition("/")[2]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("stack"), handle_signals=False) as running:
        yield running


@pytest.fixture(scope="session")
def roofs(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Roofs]:
    """Anvil with our contracts, a registry, a scheduler, three fresh devices, and a fleet.yaml that names them."""
    ensure_ansible()
    port = free_port()
    url = start_anvil(stack, port)
    chain = Chain(url, deployment.load(deploy_contracts(stack, port)))
    registry = start_registry(stack, free_port(), stack.run_dir / "registry").removeprefix("http://")
    folder = tmp_path_factory.mktemp("fleet")
    around, keys = tmp_path_factory.mktemp("net"), tmp_path_factory.mktemp("devices")
    with ExitStack() as opened:
        net = opened.enter_context(network(chain, registry, around))
        operator = net.actor("operator", 1000 * RLC, 100 * 10**18)
        settings = {"unknown_after": 8, "lost_after": 20, "operators": [operator.address]}
        scheduler = opened.enter_context(scheduling(net, around / "scheduler", **settings))
        made = opened.enter_context(devices(keys, sunshine(), *NAMES))
        keystore = next(path for path in around.glob("operator*.json"))
        (folder / "operator.json").write_text(keystore.read_text())
        (folder / "operator.password").write_text("a password\n")
        for name in ("operator.json", "operator.password"):
            (folder / name).chmod(0o600)
        assert keystores.load(folder / "operator.json", "a password").address == operator.address
        fleet = Roofs(folder, net, scheduler, operator, made)
        _describe(fleet, keys / "key", url)
        yield fleet


def sunshine() -> Path:
    """A measured year, out of pvlib's package, which is not imported."""
    found = importlib.util.find_spec("pvlib")
    assert found is not None and found.origin is not None
    return Path(found.origin).parent / "data" / "723170TYA.CSV"


def _describe(fleet: Roofs, key: Path, rpc_url: str) -> None:
    (fleet.folder / "vault.password").write_text("the vault's password\n")
    (fleet.folder / "vault.password").chmod(0o600)
    secret = {"pew_vault": {"all": {"fetch": {"ipfs_gateways": [f"http://127.0.0.1:9/{SECRET}"]}}}}
    vault = fleet.folder / "secrets.yaml"
    vault.write_text(yaml.safe_dump(secret))
    encrypt = [ensure_ansible() / "ansible-vault", "encrypt", "--vault-password-file", fleet.folder / "vault.password"]
    run([*encrypt, vault], timeout=60)
    sun = {"record": "/usr/local/share/sun.csv", "speed": 1, "soc": 0.95, "battery_wh": 2000}
    data = {
        "pool": fleet.net.pool,
        "scheduler": fleet.scheduler.url,
        "deployment": str(deployment_file(fleet.net)),
        "rpc_urls": [rpc_url],
        "stake": "1 RLC",
        "gas": 0.1,
        "vault": vault.name,
        "upgrade": {"share": "100%", "seconds": 60},
        "defaults": {
            "user": "pi",
            "key": str(key),
            "runtime": "bubblewrap",
            "settings": {
                "platform": "linux/amd64", "watch_seconds": 1, "poll_seconds": 2, "drain_seconds": 5,
                "fetch": {"allow_private_addresses": True}, "docker": {"memory_mb": 64, "output_mb": 16}, "energy": sun,
            },
        },
        "hosts": {name: {"address": "127.0.0.1", "port": device.port} for name, device in fleet.devices.items()},
    }  # fmt: skip
    fleet.file.write_text(yaml.safe_dump(data, sort_keys=False))
