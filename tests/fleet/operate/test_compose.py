"""`ops/compose.yaml` brought up for real: a pool that works, of which a part may die, with one door to the world."""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from benchmarks.fleet.cluster import Cluster, wait_for
from benchmarks.scale.ground import Demand, Ground
from chain import deployment
from chain.client import Chain
from ops import compose, pool_home
from ops.console import ROOT, CommandError, SetupError, run
from ops.ports import HOST, free_port
from ops.services import CHAIN_ID, MNEMONIC, deploy_contracts, start_registry
from ops.stack import Stack
from poco.states import ChainTaskStatus
from scripts import scheduler_image, worker_image
from scripts.localstack import Ports
from sdk.builder.image import Builder
from tests.fleet.operate import images

WORKERS = 4
SUBNET = "172.31.87.0/24"
#: Of every start of the whole; grafana is asked for.
SERVICES = {"balancer", "scheduler-1", "scheduler-2", "database", "broker", "prometheus"}


class Composed(Cluster):
    """The pool of a compose file; its chain is a container beside it."""

    def __init__(self, stack: Stack) -> None:
        Ground.__init__(self, stack, Ports.free())
        self.workers = WORKERS
        self.balancer_port, self.prometheus_port = free_port(), free_port()
        self.folder = stack.run_dir
        self.home = self.folder / "pool"
        self.project = f"pewtest{os.getpid()}"
        self.env = {
            **images.build(self.folder / "images"),
            "PEW_SCHEDULER_IMAGE": _scheduler_image(stack),
            "PEW_HOME": str(self.home), "PEW_LISTEN": HOST, "PEW_PORT": str(self.balancer_port),
            "PEW_MQTT_PORT": str(free_port()), "PEW_PROMETHEUS_PORT": str(self.prometheus_port), "PEW_SUBNET": SUBNET,
        }  # fmt: skip
        command = ["--host", str(ipaddress.IPv4Address(0)), "--port", "8545", "--silent", "--mnemonic", MNEMONIC]
        command += ["--accounts", "10", "--chain-id", str(CHAIN_ID), "--base-fee", "0", "--gas-price", "0"]
        chain = {
            "image": self.env["PEW_ANVIL_IMAGE"],
            "networks": ["outside"],
            "ports": [f"{HOST}:{self.ports.chain}:8545"],
            "command": [*command, "--gas-limit", "100000000"],
        }
        (self.folder / "chain.yaml").write_text(json.dumps({"services": {"chain": chain}}))
        self.words = [*compose.ensure_compose(), "-f", str(compose.FILE), "-f", str(self.folder / "chain.yaml")]
        self.words += ["-p", self.project]

    def compose(self, *words: str, timeout: float = 300) -> str:
        return run([*self.words, *words], env=self.env, timeout=timeout)

    def start_chain(self) -> None:
        self.compose("up", "-d", "--no-deps", "chain")
        deploy_contracts(self.stack, self.ports.chain)
        self._chain = Chain(self.rpc_url, deployment.load(self.deployment_file))
        self._chain.check()

    def inspect(self, service: str) -> dict[str, Any]:
        identity = self.compose("ps", "-q", service).split()
        return dict(json.loads(run(["docker", "inspect", identity[-1]]))[0]) if identity else {}

    def states(self) -> dict[str, str]:
        """Service to health; "running" where it has no check."""
        found = {}
        for service in SERVICES:
            state = self.inspect(service).get("State", {})
            found[service] = state.get("Health", {}).get("Status", state.get("Status", "absent"))
        return found

    def status(self) -> dict[str, Any]:
        try:
            return dict(requests.get(f"{self.scheduler_url}/status", timeout=5).json())
        except (requests.RequestException, ValueError):
            return {}


def _scheduler_image(stack: Stack) -> str:
    """Built by our own builder, through a registry into the engine."""
    registry = start_registry(stack, free_port(), stack.run_dir / "registry").removeprefix("http://")
    built = worker_image.build(folder=scheduler_image.FOLDER, quiet=True)
    pushed = Builder(ROOT).push(built, registry)
    run(["docker", "pull", "-q", pushed.reference], timeout=120)
    return pushed.reference


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    with Stack(tmp_path_factory.mktemp("composed"), handle_signals=False) as stack:
        made = Composed(stack)
        try:
            made.start_chain()
            made.prepare(WORKERS)
            made.workerpool = made.pool("composed")
            wallet = made.run_dir / "wallets" / "scheduler"
            pool_home.make(
                made.home, deployment=made.deployment_file, keystore=wallet.with_suffix(".json"),
                password_file=wallet.with_suffix(".password"), workerpool=made.workerpool,
                rpc_urls=["http://chain:8545"], host=HOST, port=made.balancer_port,
            )  # fmt: skip
            made.compose("up", "-d")
            yield made
        finally:
            if made.home.exists():
                (made.folder / "compose.log").write_text(made.compose("logs", "--no-color"))
                made.compose("down", "-v", "-t", "5", "--remove-orphans")
            images.remove()
            subprocess.run(["docker", "rmi", "-f", made.env["PEW_SCHEDULER_IMAGE"]], capture_output=True, check=False)


def test_one_command_brings_up_a_pool_that_works(pool: Composed) -> None:
    _all_well(pool)
    wait_for(lambda: pool.status().get("chain", {}).get("caught_up"), 60, "the chain is not read")
    pool.start_workers()
    demand = Demand(pool, pool.workerpool, 15)
    demand.start()
    try:
        wait_for(lambda: demand.ordered >= 3, 60, "nothing is ordered")
        # what is killed comes back by itself, and the other one leads meanwhile
        holder = pool.status()["replica"]["leader"].split(":")[0]
        leads = next(
            name for name in ("scheduler-1", "scheduler-2") if pool.inspect(name)["Config"]["Hostname"] == holder
        )
        os.kill(pool.inspect(leads)["State"]["Pid"], signal.SIGKILL)
        wait_for(lambda: pool.status().get("replica", {}).get("epoch", 0) > 1, 60, "nobody takes over")
        wait_for(lambda: pool.states()[leads] == "healthy", 240, "it is not started again")
    finally:
        demand.stop()
    tasks = pool.tasks()
    assert len(tasks) == demand.ordered
    wait_for(
        lambda: all(pool.chain.task(task).status is ChainTaskStatus.COMPLETED for task in tasks), 300, "tasks are open"
    )


def _all_well(pool: Composed, seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while set((states := pool.states()).values()) != {"healthy"}:
        assert time.monotonic() < end, states
        time.sleep(2)


def test_prometheus_asks_each_of_them(pool: Composed) -> None:
    url = f"http://{HOST}:{pool.prometheus_port}/api/v1"

    def well() -> dict[str, str]:
        said = requests.get(f"{url}/targets", timeout=5).json()["data"]["activeTargets"]
        found = {target["labels"]["instance"]: target["health"] for target in said}
        return found if found and set(found.values()) == {"up"} else {}

    assert set(wait_for(well, 60, "not all answer")) == {"replica-1:8400", "replica-2:8400", "balancer:8405"}
    rules = requests.get(f"{url}/rules", timeout=5).json()["data"]["groups"]
    assert sum(len(group["rules"]) for group in rules) > 20


def test_workers_are_known_by_where_they_come_from(pool: Composed) -> None:
    """Through two networks and a balancer the schedulers see the machine that asked, not the balancer."""
    gateway = pool.inspect("balancer")["NetworkSettings"]["Networks"][f"{pool.project}_outside"]["Gateway"]
    sql = "SELECT DISTINCT network FROM workers WHERE registered"
    asked = ["exec", "-T", "database", "psql", "-U", "pew", "-h", "/var/run/postgresql", "-tA", "-c", sql, "pew"]
    networks = set(pool.compose(*asked).split())
    assert networks and networks != {""}, gateway


def test_containers_can_do_little(pool: Composed) -> None:
    for service in SERVICES:
        said = pool.inspect(service)
        host = said["HostConfig"]
        assert host["ReadonlyRootfs"], service
        assert set(host["CapDrop"]) == {"ALL"} and not host["CapAdd"], service
        assert "no-new-privileges:true" in host["SecurityOpt"], service
        assert host["Memory"] > 0 and host["PidsLimit"] > 0, service
        assert said["Config"]["User"] not in {"", "0", "root"}, service
        password = (pool.home / "secrets" / "owner.password").read_text().strip()
        assert password not in json.dumps(said), "a secret is part of a container's settings"
        for port in (host["PortBindings"] or {}).values():
            assert {one["HostIp"] for one in port} == {HOST}  # PEW_LISTEN; the default is tested by the file


def test_a_copy_is_made_inside_and_the_data_survive_down_and_up(pool: Composed) -> None:
    before = pool.status()["tasks"]
    said = pool.compose(
        "exec", "-T", "scheduler-1", "/usr/bin/python3", "-m", "scheduler", "--config", "/etc/pew/scheduler.yaml",
        "backup", "/var/lib/pew/shared/backup",
    )  # fmt: skip
    assert "bytes of database" in said
    pool.compose("stop", "-t", "20", "scheduler-1", "scheduler-2", "balancer", "database")
    pool.compose("up", "-d")
    _all_well(pool)
    wait_for(lambda: pool.status().get("tasks") == before, 60, f"the tasks are not those they were: {before}")
    time.sleep(1)


def test_a_database_that_was_away_is_found_again(pool: Composed) -> None:
    pool.compose("restart", "database")
    wait_for(lambda: pool.status().get("replica", {}).get("leader"), 60, "nobody leads again")
    _all_well(pool)


def test_a_folder_that_is_there_or_lacks_something_is_refused(tmp_path: Path) -> None:
    keystore = tmp_path / "owner.json"
    given = {
        "deployment": keystore,
        "keystore": keystore,
        "password_file": keystore,
        "workerpool": "0x",
        "rpc_urls": [],
    }
    with pytest.raises(SetupError, match="cannot be read"):
        pool_home.make(tmp_path / "pool", host="localhost", **given)
    keystore.write_text("{}")
    pool_home.make(tmp_path / "pool", host="localhost", **given)
    with pytest.raises(SetupError, match="there already"):
        pool_home.make(tmp_path / "pool", host="localhost", **given)
    assert (tmp_path / "pool").stat().st_mode & 0o77 == (tmp_path / "pool" / "secrets").stat().st_mode & 0o77 == 0
    shutil.rmtree(tmp_path / "pool")
    with pytest.raises(CommandError):
        run([*compose.ensure_compose(), "-f", compose.FILE, "up"], env={"PEW_SUBNET": "nonsense"}, timeout=60)
