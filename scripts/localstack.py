"""A whole network on this machine: chain, contracts, registry, files, scheduler and workers, each a process of its own.

The demo and the end-to-end tests build on it. Everything lies below one run folder and ends with the run.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from chain import deployment
from chain import wallet as keystores
from chain.client import Chain
from chain.wallet import Wallet
from ops.engine import find_engine
from ops.ports import HOST, is_free, require_ports
from ops.process import Process
from ops.services import deploy_contracts, start_ganache, start_registry
from ops.stack import Stack
from poco.errors import BadInputError, PewError
from sdk.client import Client
from sdk.service import Service, ServiceError
from worker import config as worker_config
from worker import status as worker_status

#: scrypt's cost for keystores that live as long as their run and hold nothing of value
KEYSTORE_COST = 4096
ETHER = 10**18


@dataclass(frozen=True)
class Ports:
    """Loopback ports of a run."""

    chain: int
    registry: int
    scheduler: int
    files: int

    @classmethod
    def free(cls) -> Ports:
        """Ports that nobody holds now, below those that the kernel gives to outgoing connections."""
        return cls(*[port for port in random.sample(range(20000, 32000), 100) if is_free(port)][:4])

    def require(self) -> None:
        """BadInputError where one is taken, with the option that changes it."""
        require_ports(
            {
                "the chain": (self.chain, "--chain-port"),
                "the image registry": (self.registry, "--registry-port"),
                "the scheduler": (self.scheduler, "--scheduler-port"),
                "the files": (self.files, "--files-port"),
            }
        )


class LocalStack:
    """One network on this machine.

    Args:
        stack: the run; its folder holds everything, and `registry/` in it is kept for the next one.
        ports: where the servers listen.

    Raises:
        BadInputError: a port is taken.
    """

    def __init__(self, stack: Stack, ports: Ports) -> None:
        self.stack, self.ports = stack, ports
        self.run_dir = stack.run_dir
        ports.require()
        for old in ("wallets", "scheduler", "workers", "deployment.json"):
            _remove(self.run_dir / old)
        self.wallets: dict[str, Wallet] = {}
        self._chain: Chain | None = None

    @cached_property
    def docker_host(self) -> str:
        """The Docker Engine of the workers; BadInputError where none answers."""
        found = find_engine()
        if found is None:
            raise BadInputError("no Docker Engine answers", hint="run `make engine`: it starts one or says how")
        return found[1]

    # servers

    @property
    def chain(self) -> Chain:
        """The hub, once `start_chain` is done."""
        if self._chain is None:
            raise PewError("the chain is not started yet")
        return self._chain

    @property
    def rpc_url(self) -> str:
        return f"http://{HOST}:{self.ports.chain}"

    @property
    def scheduler_url(self) -> str:
        return f"http://{HOST}:{self.ports.scheduler}"

    @property
    def registry_host(self) -> str:
        return f"{HOST}:{self.ports.registry}"

    @property
    def files_url(self) -> str:
        return f"http://{HOST}:{self.ports.files}"

    @property
    def deployment_file(self) -> Path:
        return self.run_dir / "deployment.json"

    def start_chain(self) -> None:
        """Ganache, and the contracts on it as `brownie run deploy` puts them there."""
        start_ganache(self.stack, self.ports.chain)
        deploy_contracts(self.stack, self.ports.chain)
        self.connect()

    def connect(self) -> None:
        """Open the chain that the deployment file tells of."""
        self._chain = Chain(self.rpc_url, deployment.load(self.deployment_file))
        self._chain.check()

    def start_registry(self) -> None:
        start_registry(self.stack, self.ports.registry, self.run_dir / "registry")

    def start_files(self, folder: Path) -> None:
        """An HTTP server on loopback that shows one folder."""
        argv: list[str | Path] = [
            sys.executable,
            "-m",
            "http.server",
            str(self.ports.files),
            "--bind",
            HOST,
            "--directory",
            folder,
        ]
        self.stack.start("files", argv, ready=self.ports.files)

    def run(self, name: str, argv: Sequence[str | Path], env: Mapping[str, str] | None = None) -> Path:
        """Run a command to its end as a process of the stack; its output is in the returned log.

        Raises:
            PewError: it failed; with its last lines.
        """
        process = self.stack.start(name, argv, env=env)
        code = process.wait()
        self.stack.stop_process(name)
        if code:
            raise PewError(f"{name} failed\n{process.last_lines()}", hint=f"its whole output: {process.log}")
        return process.log

    # accounts

    def make_wallet(self, name: str) -> Wallet:
        """A fresh encrypted keystore `wallets/<name>.json` with a password file beside it."""
        folder, password = self.run_dir / "wallets", keystores.new_password()
        folder.mkdir(parents=True, exist_ok=True)
        secret = folder / f"{name}.password"
        secret.touch(mode=0o600)
        secret.write_text(password)
        self.wallets[name] = keystores.create(folder / f"{name}.json", password, iterations=KEYSTORE_COST)
        return self.wallets[name]

    def fund(self, name: str, *, rlc: int = 0, ether: int = 10) -> None:
        """Native coin and RLC (nRLC) from the deployer, whose account Ganache holds unlocked."""
        eth, where = self.chain.web3.eth, self.wallets[name].address
        deployer = eth.accounts[0]
        eth.wait_for_transaction_receipt(
            eth.send_transaction({"from": deployer, "to": where, "value": ether * ETHER}),  # type: ignore[typeddict-item]
            poll_latency=0.02,
        )
        if rlc:
            sent = self.chain.rlc.functions.transfer(where, rlc).transact({"from": deployer})
            eth.wait_for_transaction_receipt(sent, poll_latency=0.02)

    def client(self, name: str) -> Client:
        """An SDK client with one of the wallets."""
        return Client(self.chain, self.wallets[name], self.scheduler_url)

    # daemons

    def start_scheduler(self, pool: str, wallet: str = "scheduler", **settings: Any) -> Process:
        """`python -m scheduler` for a pool that the wallet owns."""
        config = {
            "rpc_url": self.rpc_url,
            "deployment": str(self.deployment_file),
            "keystore": str(self.run_dir / "wallets" / f"{wallet}.json"),
            "password_file": str(self.run_dir / "wallets" / f"{wallet}.password"),
            "data_dir": str(self.run_dir / "scheduler"),
            "workerpool": pool,
            "host": HOST,
            "port": self.ports.scheduler,
            **settings,
        }
        path = self._configure(self.run_dir / "scheduler" / "config.yaml", config)
        argv: list[str | Path] = [sys.executable, "-m", "scheduler", "--config", path]
        return self.stack.start("scheduler", argv, ready=f"{self.scheduler_url}/config", timeout=60)

    def start_worker(
        self,
        name: str,
        pool: str,
        platform: str,
        energy: Mapping[str, Any],
        program: Sequence[str | Path] = (sys.executable, "-m", "worker"),
        **settings: Any,
    ) -> Process:
        """`python -m worker`, or another program that is one, with the wallet of that name, on a platform."""
        folder = self.run_dir / "workers" / name
        config = {
            "scheduler_url": self.scheduler_url,
            "rpc_url": self.rpc_url,
            "deployment": str(self.deployment_file),
            "keystore": str(self.run_dir / "wallets" / f"{name}.json"),
            "password_file": str(self.run_dir / "wallets" / f"{name}.password"),
            "data_dir": str(folder / "data"),
            "name": name,
            "workerpool": pool,
            "platform": platform,
            "docker_host": self.docker_host,
            "fetch": {"allow_private_addresses": True},
            "energy": dict(energy),
            **settings,
        }
        path = self._configure(folder / "config.yaml", config)
        return self.stack.start(name, [*program, "--config", path])

    def retire(self, names: Sequence[str]) -> dict[str, dict[str, float]]:
        """End workers in an orderly way; what each harvested and consumed, Wh, as its meter and journal say."""
        processes = [self.stack.processes[name] for name in names]
        for process in processes:
            if process.alive:
                os.kill(process.pid, signal.SIGTERM)
        for process in processes:
            with suppress(subprocess.TimeoutExpired):  # the stack is less patient
                process.wait(10)
            self.stack.stop_process(process.name)
        meters = {}
        for name in names:
            energy = worker_status.read(worker_config.load(self.run_dir / "workers" / name / "config.yaml"))["energy"]
            if not energy:
                raise PewError(f"the meter of {name} has no reading", hint=f"see its log in {self.stack.logs}")
            meters[name] = {"harvested": energy["harvested_wh"], "consumed": energy["consumed_wh"]}
        return meters

    def status(self) -> dict[str, Any]:
        """The scheduler's `GET /status`."""
        answer = Service(self.scheduler_url).get("/status")
        if not isinstance(answer, dict):
            raise PewError("the scheduler's status is not an object")
        return answer

    def wait_for_workers(self, count: int, timeout: float = 60) -> None:
        """Until that many workers are free and willing.

        Raises:
            PewError: a process ended, or they are not after `timeout` seconds.
        """
        end = time.monotonic() + timeout
        while True:
            self.stack.check()
            try:
                workers = self.status()["workers"]
            except ServiceError:  # not yet
                workers = []
            if sum(worker["presence"] == "WAITING" for worker in workers) >= count:
                return
            if time.monotonic() > end:
                states = ", ".join(f"{worker['name']} {worker['presence']}" for worker in workers) or "none has come"
                raise PewError(
                    f"not all workers are waiting for work after {timeout:.0f} s: {states}",
                    hint=f"see their logs in {self.stack.logs}",
                )
            time.sleep(0.2)

    def _configure(self, path: Path, config: Mapping[str, Any]) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(dict(config), sort_keys=False))
        return path


def together(*jobs: Callable[[], object]) -> None:
    """Run jobs at once and wait for all; the first error ends the wait and is raised.

    The threads are daemons: an error or Ctrl-C does not wait for the others, whose processes the stack ends.
    """
    errors: list[BaseException] = []

    def run(job: Callable[[], object]) -> None:
        try:
            job()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(job,), daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    while not errors and any(thread.is_alive() for thread in threads):
        for thread in threads:
            thread.join(0.05)
    if errors:
        raise errors[0]


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
