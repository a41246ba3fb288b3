"""The network under test: node, registry, files, scheduler and workers, each a process that may die at any time."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docker
import yaml

from chain import deployment
from chain import wallet as keystores
from chain.client import Chain
from chain.transactions import Sender
from chain.wallet import Wallet
from oci.layout import BlobStore
from ops.engine import find_engine
from ops.ports import HOST, is_free
from ops.services import deploy_contracts, start_registry
from ops.stack import Stack
from poco.errors import BadInputError, PewError
from tests.chaos.daemons import Daemon, mount, unmount
from tests.chaos.links import Lines
from tests.chaos.node import CONFIRMATIONS, NODES, Anvil, Ganache
from tests.integration.worker_net import build_probe, push_image

RLC = 10**9
ETHER = 10**18
WORKER_STAKE = 100 * RLC
WORKER_WALLET = 5 * RLC
POOL_STAKE = 2000 * RLC
REQUESTER_STAKE = 20_000 * RLC
#: ports that a world may use
PORTS = 40
#: The node is left alone for so long after it has come back.
NODE_REST_SECONDS = 6.0
#: the category of tasks whose final deadline is waited for: ten times as long
SHORT_SECONDS = 8
#: silence after which the scheduler gives a worker up
LOST_SECONDS = 20
RESTART_SECONDS = (0.1, 1.5)


@dataclass
class World:
    """Everything below one run folder; ends with its stack.

    Args:
        ports: a free range on loopback; `PORTS` of them.
        kind: of chain node.
        workers: how many, each with two slots.
        cache: keeps a chain with the contracts, for the next round.
        seconds: the ordinary category's reference time; an honest worker must not be away for twice that long.
    """

    stack: Stack
    ports: int
    kind: str
    workers: int
    random: random.Random
    cache: Path
    seconds: int
    daemons: dict[str, Daemon] = field(default_factory=dict)
    wallets: dict[str, Wallet] = field(default_factory=dict)
    initial: dict[str, int] = field(default_factory=dict)
    #: how often a daemon ended by itself, and how
    exits: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        taken = [port for port in range(self.ports, self.ports + PORTS) if not is_free(port)]
        if taken:
            raise BadInputError(f"port {taken[0]} is taken", hint="choose others: --ports N")
        found = find_engine()
        if found is None:
            raise BadInputError("no Docker Engine answers", hint="run `make engine`")
        self.docker_host = found[1]
        self.docker = docker.DockerClient(base_url=found[1], timeout=120)
        self.folder = self.stack.run_dir
        self.lines = Lines(self.random)
        self.node: Anvil | Ganache = NODES[self.kind](self.stack, self.ports, self.folder / "chain")
        #: held by whoever does something to the node
        self.node_guard = threading.RLock()
        self._node_since = time.monotonic()
        self._over = threading.Event()
        self._guard = threading.RLock()

    # set up

    def build(self) -> None:
        """Chain, contracts, image, files and actors; nothing of ours runs yet."""
        self._start_chain()
        registry = start_registry(self.stack, self.ports + 1, self.folder / "registry").removeprefix("http://")
        self._serve_files(self.ports + 2)
        self._fund()
        self._register(registry)
        self.node.steady()
        self._configure()

    def launch(self) -> None:
        """Start scheduler and workers; from now on whatever ends is started again."""
        threading.Thread(target=self._supervise, name="supervisor", daemon=True).start()

    def _start_chain(self) -> None:
        """A chain with the contracts: deployed once for a kind of node, copied after that."""
        kept = self.cache / self.kind
        if kept.exists():
            shutil.copytree(kept, self.folder / "chain", dirs_exist_ok=True)
            self.node.start()
        else:
            self.node.start()
            deploy_contracts(self.stack, self.ports)
            if isinstance(self.node, Anvil):
                self.node.copy()
            self.node.kill()
            shutil.copyfile(self.folder / "deployment.json", self.folder / "chain" / "deployment.json")
            shutil.copytree(self.folder / "chain", kept)
            self.node.start()
        shutil.copyfile(self.folder / "chain" / "deployment.json", self.folder / "deployment.json")
        self.chain = Chain(self.node.url, deployment.load(self.folder / "deployment.json"))
        self.chain.check()

    def _serve_files(self, port: int) -> None:
        public = self.folder / "public"
        public.mkdir()
        (public / "data.bin").write_bytes(random.Random(7).randbytes(20_000))

        class Quiet(SimpleHTTPRequestHandler):
            def __init__(self, *given: Any) -> None:
                super().__init__(*given, directory=str(public))

            def log_message(self, *_: object) -> None:
                pass

        self._files = ThreadingHTTPServer((HOST, port), Quiet)
        threading.Thread(target=self._files.serve_forever, args=(0.1,), daemon=True).start()
        self.files = f"http://{HOST}:{port}"

    def _actor(self, name: str, rlc: int) -> Wallet:
        folder = self.folder / "wallets"
        folder.mkdir(exist_ok=True)
        secret = folder / f"{name}.password"
        secret.touch(mode=0o600)
        secret.write_text("a password\n")
        made = self.wallets[name] = keystores.create(folder / f"{name}.json", "a password", iterations=1024)
        eth = self.chain.web3.eth
        eth.send_transaction({"from": eth.accounts[0], "to": made.address, "value": 100 * ETHER, "gasPrice": 10**9})
        self.chain.rlc.functions.transfer(made.address, rlc).transact({"from": eth.accounts[0], "gasPrice": 10**9})
        self.initial[made.address] = rlc
        return made

    def _fund(self) -> None:
        self.names = [f"worker-{n}" for n in range(1, self.workers + 1)]
        self._actor("pool", POOL_STAKE)
        self._actor("requester", REQUESTER_STAKE)
        self._actor("app", 0)
        self._actor("lazy", 20 * RLC)
        for name in self.names:
            self._actor(name, WORKER_STAKE + WORKER_WALLET)
        self.senders = {name: Sender(self.chain, self.wallets[name]) for name in ("pool", "requester", "app", "lazy")}
        hub, approve = self.chain.deployment.hub, self.chain.rlc.functions.approveAndCall
        for name, amount in (("pool", POOL_STAKE), ("requester", REQUESTER_STAKE), ("lazy", 20 * RLC)):
            self.senders[name].transact(approve(hub, amount, b""))
        self.categories = [self._category(seconds) for seconds in (self.seconds, SHORT_SECONDS)]

    def _category(self, seconds: int) -> int:
        functions = self.chain.hub.functions
        number = int(functions.countCategory().call())
        owner = functions.owner().call()
        functions.createCategory(f"{seconds} s", "", seconds).transact({"from": owner, "gasPrice": 10**9})
        return number

    def _register(self, registry: str) -> None:
        pools = self.chain.contract("workerpool_registry", self.chain.deployment.workerpool_registry).functions
        described = (self.wallets["pool"].address, "under faults")
        self.pool = str(pools.predictWorkerpool(*described).call())
        self.senders["pool"].transact(pools.createWorkerpool(*described))
        place: Any = SimpleNamespace(store=BlobStore(self.folder / "blobs"), folder=self.folder, registry=registry)
        reference, checksum = push_image(place, "task", "linux/amd64", build_probe(self.folder))
        apps = self.chain.contract("app_registry", self.chain.deployment.app_registry).functions
        owner = self.wallets["app"].address
        make = (owner, "probe", "DOCKER", reference.encode(), bytes.fromhex(checksum[2:]), b"")
        self.app = str(apps.predictApp(*make).call())
        self.senders["app"].transact(apps.createApp(*make))
        self.datasets = [self._dataset("data.bin"), self._dataset("missing.bin")]

    def _dataset(self, name: str) -> str:
        sets = self.chain.contract("dataset_registry", self.chain.deployment.dataset_registry).functions
        content = (self.folder / "public" / "data.bin").read_bytes()
        make = (self.wallets["app"].address, name, f"{self.files}/{name}".encode(), hashlib.sha256(content).digest())
        address = str(sets.predictDataset(*make).call())
        self.senders["app"].transact(sets.createDataset(*make))
        return address

    def _configure(self) -> None:
        port = self.ports + 3
        scheduler = self.ports + 4
        self.url = f"http://{HOST}:{scheduler}"

        def line(name: str, target: int) -> str:
            nonlocal port
            port += 2
            return self.lines.open(name, port, target)

        common: dict[str, Any] = {"deployment": str(self.folder / "deployment.json"), "workerpool": self.pool}
        common["chain"] = {"confirmations": CONFIRMATIONS}
        self._daemon("scheduler", "scheduler", self.wallets["pool"], "pool", {
            **common, "rpc_url": line("scheduler-chain", self.ports), "port": scheduler, "poll_seconds": 5,
            "unknown_after": 8, "lost_after": LOST_SECONDS, "chain_poll_seconds": 0.5,
        })  # fmt: skip
        for name in self.names:
            self._daemon(name, "worker", self.wallets[name], name, {
                **common, "rpc_url": line(f"{name}-chain", self.ports),
                "scheduler_url": line(f"{name}-scheduler", scheduler), "name": name, "platform": "linux/amd64",
                "docker_host": self.docker_host, "stake_nrlc": WORKER_STAKE, "watch_seconds": 1, "poll_seconds": 5,
                "drain_seconds": 20, "slots": 2, "fetch": {"allow_private_addresses": True, "seconds": 10},
                "docker": {"memory_mb": 64, "output_mb": 4, "cpus": 1}, "energy": {"soc": 0.95, "battery_wh": 2000},
            })  # fmt: skip

    def _daemon(self, name: str, role: str, wallet: Wallet, keystore: str, settings: dict[str, Any]) -> None:
        folder = self.folder / name
        (folder / "data").mkdir(parents=True)
        (folder / "clock").write_bytes(struct.pack("d", 0.0))
        wallets = self.folder / "wallets"
        secret = {"keystore": str(wallets / f"{keystore}.json"), "password_file": str(wallets / f"{keystore}.password")}
        config = folder / "config.yaml"
        config.write_text(yaml.safe_dump({**settings, **secret, "data_dir": str(folder / "data")}))
        argv = [sys.executable, "-m", "tests.chaos.daemon", str(folder), role, "--config", str(config)]
        made = self.daemons[name] = Daemon(name, role, folder, argv, wallet)
        made.mounted = mount(made.data)

    # processes

    def _supervise(self) -> None:
        """What a service manager does: whatever ends is started again."""
        while not self._over.wait(0.02):
            for daemon in self.daemons.values():
                with self._guard, suppress(OSError, PewError):  # it was killed before it began, or the disk is full
                    self._revive(daemon)

    def _revive(self, daemon: Daemon) -> None:
        process = self.stack.processes.get(daemon.name)
        if process is not None and not process.alive:
            daemon.deaths += 1
            if process.exit_code != -9:
                self.exits[f"{daemon.role} {process.ending}"] += 1
            self.stack.stop_process(daemon.name)
            daemon.start_at = time.monotonic() + self.random.uniform(*RESTART_SECONDS)
            process = None
        if process is None and daemon.start_at is not None and time.monotonic() >= daemon.start_at:
            (daemon.folder / "ready").unlink(missing_ok=True)
            self.stack.start(daemon.name, daemon.argv)

    def kill(self, name: str) -> bool:
        """kill -9; it is started again soon. False where it does not run."""
        with self._guard:
            process = self.stack.processes.get(name)
            if process is None or not process.alive:
                return False
            process.kill()
            return True

    def signal(self, name: str, number: int) -> bool:
        with self._guard:
            process = self.stack.processes.get(name)
            if process is None or not process.alive:
                return False
            os.kill(process.pid, number)
            return True

    @property
    def node_rested(self) -> bool:
        """Whether the node may be hit again: where it is away most of the time nobody could reveal in time."""
        return time.monotonic() - self._node_since >= NODE_REST_SECONDS

    def restart_node(
        self, lost_blocks: int = 0, away: float = 0.5, meanwhile: Callable[[], None] = lambda: None
    ) -> None:
        """kill -9 of the chain's node, and its return."""
        with self.node_guard:
            self.node.kill(lost_blocks)
            meanwhile()
            time.sleep(away)
            self.node.start()
            self._node_since = time.monotonic()

    def pause_node(self, seconds: float) -> bool:
        """SIGSTOP to the chain's node for so long; False where it does not run."""
        with self.node_guard:
            if not self.signal("chain", 19):
                return False
            time.sleep(seconds)
            self.signal("chain", 18)
            self._node_since = time.monotonic()
        return True

    def heal(self) -> None:
        """No fault lasts beyond this."""
        self.lines.mend()
        for daemon in self.daemons.values():
            daemon.disarm()
            daemon.go_on()
            daemon.shift(0)
            (daemon.data / "ballast").unlink(missing_ok=True)
            self.signal(daemon.name, 18)

    def containers(self) -> list[Any]:
        """All containers of this world's workers."""
        mine = {wallet.address for wallet in self.wallets.values()}
        found = self.docker.containers.list(all=True, filters={"label": "pew.worker"}, ignore_removed=True)
        return [one for one in found if one.labels.get("pew.worker") in mine]

    def stop(self, patience: float = 40) -> list[str]:
        """End the daemons in an orderly way; what did not end by itself."""
        with self._guard:
            self._over.set()
            processes = [self.stack.processes[name] for name in self.daemons if name in self.stack.processes]
            for daemon in self.daemons.values():
                daemon.start_at = None
        for process in processes:
            if process.alive:
                self.signal(process.name, 15)
        stubborn = []
        end = time.monotonic() + patience
        for process in processes:
            try:
                process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                stubborn.append(process.name)
            self.stack.stop_process(process.name, kill=True)
        return stubborn

    def clear(self) -> None:
        """Leave nothing mounted, served or running in the engine; the folder stays."""
        self._over.set()
        self.lines.close()
        for container in self.containers():
            with suppress(docker.errors.DockerException):
                container.remove(force=True)
        for daemon in self.daemons.values():
            if daemon.mounted:
                unmount(daemon.data)
        self._files.shutdown()
        self._files.server_close()

    def errors(self) -> dict[str, int]:
        """How often each unexpected thing stands in the daemons' logs."""
        found: dict[str, int] = {}
        for name in self.daemons:
            for line in (self.stack.logs / f"{name}.log").read_text(errors="replace").splitlines():
                with suppress(ValueError):
                    said = json.loads(line)
                    if said.get("event") in ("effect_failed", "thread_failed", "outbox_failed", "clock_failed"):
                        why = said.get("why") or said.get("error") or said.get("where")
                        key = f"{self.daemons[name].role} {said['event']} {why}"[:300]
                        found[key] = found.get(key, 0) + 1
        return found
