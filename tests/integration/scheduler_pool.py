"""A pool for the scheduler's integration tests: real wallets, orders and deals, and workers that follow a script."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
import yaml

from chain import wallet as wallets
from chain.client import Chain
from chain.transactions import Receipt, Sender
from chain.wallet import Wallet
from ops.console import ROOT
from ops.ports import free_port
from poco import ids
from poco.errors import Cause
from poco.hexes import ZERO_ADDRESS, ZERO_BYTES32, keccak, to_bytes, to_hex
from poco.orders import NO_DATASET, AppOrder, RequestOrder, WorkerpoolOrder
from poco.result import error_result
from poco.wire import login_typed_data

RLC = 10**9
OUTPUT = b"the answer is 42\n"


def zip_of(files: dict[str, bytes]) -> bytes:
    """A zip with those files, the same bytes at any time."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return target.getvalue()


def result_zip(output: bytes = OUTPUT) -> bytes:
    computed = json.dumps({"deterministic-output-path": "/iexec_out/out.txt"}).encode()
    return zip_of({"out.txt": output, "computed.json": computed})


def digest_of(output: bytes = OUTPUT) -> str:
    return to_hex(hashlib.sha256(output).digest())


def until(question: Any, seconds: float = 20, every: float = 0.05) -> Any:
    """The first true answer; AssertionError after that many seconds."""
    end = time.monotonic() + seconds
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError("it did not happen in time")
        time.sleep(every)


class Market:
    """Funds wallets, registers things and makes deals on one hub."""

    def __init__(self, chain: Chain, folder: Path) -> None:
        self.chain = chain
        self.folder = folder
        self.number = 0
        self.eth = chain.web3.eth
        self.deployer = self.eth.accounts[0]

    def wallet(self, name: str, rlc: int = 0, escrow: int = 0, ether: int = 1) -> Wallet:
        """A keystore `<name>.json` (password "x") with native coin, nRLC in the wallet and in escrow."""
        made = wallets.create(self.folder / f"{name}.json", "x", iterations=1024)
        if ether:
            self.eth.send_transaction({"from": self.deployer, "to": made.address, "value": ether * 10**18})
        if rlc + escrow:
            self.chain.rlc.functions.transfer(made.address, rlc + escrow).transact({"from": self.deployer})
        if escrow:
            call = self.chain.rlc.functions.approveAndCall(self.chain.deployment.hub, escrow, b"")
            Sender(self.chain, made).transact(call)
        return made

    def pool(self, owner: Wallet, description: str = "test pool") -> str:
        self.number += 1
        registry = self.chain.contract("workerpool_registry", self.chain.deployment.workerpool_registry).functions
        arguments = (owner.address, f"{description} {self.number}")
        where = registry.predictWorkerpool(*arguments).call()
        Sender(self.chain, owner).transact(registry.createWorkerpool(*arguments))
        return str(where)

    def app(self, owner: Wallet) -> str:
        self.number += 1
        registry = self.chain.contract("app_registry", self.chain.deployment.app_registry).functions
        arguments = (owner.address, f"app {self.number}", "DOCKER", b"127.0.0.1:5000/a:1", keccak(b"image"), b"")
        where = registry.predictApp(*arguments).call()
        Sender(self.chain, owner).transact(registry.createApp(*arguments))
        return str(where)

    def category(self, seconds: int) -> int:
        """A category of that many seconds, made by the hub's owner."""
        number = int(self.chain.hub.functions.countCategory().call())
        call = self.chain.hub.functions.createCategory(f"test {seconds}", "", seconds)
        call.transact({"from": self.chain.hub.functions.owner().call()})
        return number

    def salt(self) -> str:
        return to_hex(os.urandom(32))


@dataclass
class Pool:
    """One pool with its owner, an app and a requester; the scheduler runs as a process of its own."""

    market: Market
    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)
    #: Python's arguments that begin a scheduler
    command: Sequence[str] = ("-m", "scheduler")

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        market = self.market
        market.folder = self.folder
        self.chain = market.chain
        self.owner = market.wallet("owner", escrow=100 * RLC)
        self.requester = market.wallet("requester", escrow=100 * RLC)
        self.app_owner = market.wallet("app-owner")
        self.address = market.pool(self.owner)
        self.app = market.app(self.app_owner)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self.log = self.folder / "scheduler.log"
        self.workers: list[ScriptedWorker] = []
        self.deals: dict[str, str] = {}
        #: what may never be in the log
        self.secrets: set[str] = set()

    def configure(self, **changes: Any) -> Path:
        deployment = self.folder / "deployment.json"
        d = self.chain.deployment
        contracts = {
            "RLC": d.rlc,
            "hub": d.hub,
            "AppRegistry": d.app_registry,
            "DatasetRegistry": d.dataset_registry,
            "WorkerpoolRegistry": d.workerpool_registry,
            "EnergyLedger": d.energy_ledger,
        }
        body = {"network": d.network, "chain_id": d.chain_id, "block": d.block, "contracts": contracts}
        deployment.write_text(json.dumps(body))
        (self.folder / "password").write_text("x\n")
        config = {
            "rpc_url": self.chain.rpc_url,
            "deployment": "deployment.json",
            "workerpool": self.address,
            "keystore": "owner.json",
            "password_file": "password",
            "data_dir": "data",
            "port": self.port,
            "chain_poll_seconds": 0.1,
            **self.settings,
            **changes,
        }
        path = self.folder / "scheduler.yaml"
        path.write_text(yaml.safe_dump(config))
        return path

    def start(self, **changes: Any) -> None:
        """Start the scheduler and wait until it answers and has read the chain."""
        path = self.configure(**changes)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self.command, "--config", str(path)], stderr=log, cwd=ROOT
            )
        until(self._ready, 30)

    def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()[-2000:]
        try:
            status = self.status()
            return bool(status["chain"]["caught_up"]) and status["workerpool"] == self.address
        except requests.RequestException:
            return False

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End the scheduler by a signal; its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(20)
        self.process = None
        return code

    def status(self) -> dict[str, Any]:
        return dict(requests.get(f"{self.url}/status", timeout=10).json())

    def task(self, task_id: str) -> dict[str, Any]:
        return dict(requests.get(f"{self.url}/tasks/{task_id}", timeout=10).json())

    def replicate(self, task_id: str, worker: Wallet) -> dict[str, Any]:
        found = [r for r in self.task(task_id)["replicates"] if r["walletAddress"] == worker.address]
        return found[0] if found else {"currentStatus": None}

    def offer(self, **fields: Any) -> WorkerpoolOrder:
        terms = {"workerpoolprice": RLC, "category": 0, "trust": 16, **fields}
        order = WorkerpoolOrder(self.address, salt=self.market.salt(), **terms)
        return self.owner_sign(order)

    def owner_sign(self, order: Any) -> Any:
        return self.owner.sign_order(order, self.chain.deployment.domain)

    def deal(
        self,
        *,
        offer: WorkerpoolOrder | None = None,
        trust: int = 1,
        category: int = 0,
        volume: int = 1,
        callback: str = ZERO_ADDRESS,
        tag: str = ZERO_BYTES32,
        params: str = "",
    ) -> list[str]:
        """Match orders; the ids of the deal's tasks."""
        domain = self.chain.deployment.domain
        app = self.app_owner.sign_order(AppOrder(self.app, volume=volume, salt=self.market.salt()), domain)
        pool = offer or self.offer(category=category, volume=volume, tag=tag)
        request = RequestOrder(
            self.app,
            self.requester.address,
            workerpoolmaxprice=RLC,
            volume=volume,
            category=category,
            trust=trust,
            callback=callback,
            tag=tag,
            params=params,
            beneficiary=self.requester.address,
            salt=self.market.salt(),
        )
        request = self.requester.sign_order(request, domain)
        call = self.chain.hub.functions.matchOrders(*(o.as_tuple() for o in (app, NO_DATASET, pool, request)))
        receipt = Sender(self.chain, self.requester).transact(call)
        deal_id = str(receipt.event("SchedulerNotice").args["dealid"])
        tasks = [ids.task_id(deal_id, index) for index in range(volume)]
        self.deals |= dict.fromkeys(tasks, deal_id)
        return tasks

    def worker(self, name: str, escrow: int = 10 * RLC, **info: Any) -> ScriptedWorker:
        self.market.folder = self.folder
        made = ScriptedWorker(self, self.market.wallet(name, escrow=escrow), name, **info)
        self.workers.append(made)
        return made

    def dismiss(self) -> None:
        """No worker made so far takes more work."""
        for worker in self.workers:
            if "Authorization" in worker.http.headers:
                worker.poll(presence="DRAINING", slots=0)
        self.workers.clear()


class ScriptedWorker:
    """A worker's protocol without its machinery: the test says what it does and when."""

    def __init__(
        self, pool: Pool, wallet: Wallet, name: str, platforms: tuple[str, ...] = ("linux/amd64",), **info: Any
    ) -> None:
        self.pool = pool
        self.wallet = wallet
        self.name = name
        self.info = {"name": name, "platforms": list(platforms), "cpus": 1, "memory_mb": 512, "disk_mb": 1024, **info}
        self.sender = Sender(pool.chain, wallet)
        self.http = requests.Session()
        self.acked = 0
        self.started: dict[str, dict[str, Any]] = {}

    def call(self, method: str, path: str, **more: Any) -> requests.Response:
        return self.http.request(method, self.pool.url + path, timeout=40, **more)

    def login(self) -> None:
        wallet = self.wallet.address
        asked = self.call("POST", "/login/challenge", json={"wallet": wallet}).json()
        typed = login_typed_data(
            self.pool.chain.deployment.chain_id, self.pool.address, wallet, asked["nonce"], asked["expires"]
        )
        body = {"wallet": wallet, **asked, "signature": self.wallet.sign_typed(typed)}
        answer = self.call("POST", "/login", json=body)
        assert answer.status_code == 200, answer.text
        self.pool.secrets.add(answer.json()["token"])
        self.http.headers["Authorization"] = f"Bearer {answer.json()['token']}"

    def join(self) -> ScriptedWorker:
        """Log in and register."""
        self.login()
        assert self.call("PUT", "/workers/me", json=self.info).status_code == 204
        return self

    def poll(self, wait: int = 0, presence: str = "WAITING", slots: int = 1, **more: Any) -> list[dict[str, Any]]:
        """New notifications; they are acknowledged with the next poll."""
        body = {
            "presence": presence,
            "free_slots": slots,
            "acked": self.acked,
            "wait_seconds": wait,
            "running": sorted(self.started),
            **more,
        }
        answer = self.call("POST", "/poll", json=body)
        assert answer.status_code == 200, answer.text
        found = answer.json()["notifications"]
        for one in found:
            self.acked = max(self.acked, one["seq"])
            if one["type"] == "START":
                self.started[one["task_id"]] = one["data"]
                self.pool.secrets.add(one["data"]["authorization"])
        return list(found)

    def expect(self, kind: str, task_id: str, seconds: float = 20, **more: Any) -> dict[str, Any]:
        """Poll until that notification comes."""
        end = time.monotonic() + seconds
        seen = []
        while time.monotonic() < end:
            for one in self.poll(wait=2, **more):
                if one["type"] == kind and one["task_id"] == task_id:
                    return one
                seen.append(one["type"])
        raise AssertionError(f"{self.name} got no {kind}, but {seen}; {self.pool.status()['workers']}")

    def report(self, task_id: str, status: str, **more: Any) -> requests.Response:
        body = {"status": status, "at": int(time.time()), **more}
        return self.call("POST", f"/tasks/{task_id}/status", json=body)

    def verdict(self, task_id: str, status: str, **more: Any) -> str:
        answer = self.report(task_id, status, **more)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["verdict"])

    def run(self, task_id: str) -> None:
        """Report everything up to a result."""
        for status in ("STARTED", "APP_DOWNLOADED", "DATA_DOWNLOADED", "COMPUTING", "COMPUTED"):
            assert self.verdict(task_id, status) == "OK"

    def contribute(self, task_id: str, digest: str) -> Receipt:
        me = self.wallet.address
        self.verdict(task_id, "CONTRIBUTING")
        call = self.pool.chain.hub.functions.contribute(
            to_bytes(task_id),
            to_bytes(ids.result_hash(task_id, digest)),
            to_bytes(ids.result_seal(me, task_id, digest)),
            ZERO_ADDRESS,
            b"",
            to_bytes(self.started[task_id]["authorization"]),
        )
        return self.sender.transact(call)

    def reveal(self, task_id: str, digest: str) -> Receipt:
        return self.sender.transact(self.pool.chain.hub.functions.reveal(to_bytes(task_id), to_bytes(digest)))

    def upload(self, task_id: str, content: bytes) -> requests.Response:
        return self.call("PUT", f"/results/{task_id}", data=content, headers={"Content-Type": "application/zip"})

    def do(self, task_id: str, output: bytes = OUTPUT) -> None:
        """The whole of an honest worker's part, as it is told."""
        self.expect("START", task_id)
        self.run(task_id)
        self.contribute(task_id, digest_of(output))
        self.finish(task_id, output)

    def finish(self, task_id: str, output: bytes = OUTPUT) -> None:
        """From REVEAL on; uploads if asked, until COMPLETE."""
        self.expect("REVEAL", task_id, slots=0)
        self.reveal(task_id, digest_of(output))
        end = time.monotonic() + 30
        while time.monotonic() < end:
            for one in self.poll(wait=2, slots=0):
                if one["type"] == "UPLOAD":
                    answer = self.upload(task_id, result_zip(output))
                    assert answer.status_code == 200, answer.text
                if one["type"] == "COMPLETE":
                    self.started.pop(task_id, None)
                    return
        raise AssertionError(f"{self.name} was never told COMPLETE")

    def do_later(self, task_id: str, output: bytes = OUTPUT) -> threading.Thread:
        thread = threading.Thread(target=self.do, args=(task_id, output), daemon=True)
        thread.start()
        return thread

    def fail(self, task_id: str, cause: Cause) -> str:
        return self.verdict(task_id, "FAILED", cause=cause.value)

    def error_digest(self, cause: Cause) -> str:
        return digest_of(error_result(cause, callback=False)["error.json"])
