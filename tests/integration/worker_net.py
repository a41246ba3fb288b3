"""A network for worker processes: real chain, contracts, engine and registry; the scheduler is played by the test."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import secrets
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import Any

import docker
import yaml

from chain import wallet as keystores
from chain.client import Chain
from chain.model import Deal
from chain.transactions import Sender
from chain.wallet import Wallet, recover_typed
from oci.layout import BlobStore, ImageConfig, Tree, push_layout, write_image, write_index, write_layout
from oci.platform import parse
from oci.registry import RegistryClient
from ops.console import ROOT
from poco import ids
from poco.hexes import ZERO_ADDRESS, to_bytes
from poco.orders import NO_DATASET, AppOrder, DatasetOrder, RequestOrder, WorkerpoolOrder
from poco.result import cid_of, digest, on_chain_link
from poco.states import ContributionStatus
from poco.wire import LoginRequest, Poll, StatusUpdate, login_typed_data

HERE = Path(__file__).parent
RLC = 10**9
PRICE = RLC
STAKE = PRICE * 30 // 100


@dataclass
class Member:
    """A worker as the played scheduler knows it."""

    waiting: list[dict[str, Any]] = field(default_factory=list)
    polls: list[Poll] = field(default_factory=list)
    reports: list[tuple[str, StatusUpdate]] = field(default_factory=list)
    seq: int = 0


class PlayedScheduler:
    """Speaks the real protocol on loopback; what it says and when is the test's choice."""

    def __init__(self, chain: Chain, pool: str, owner: Wallet, folder: Path) -> None:
        self.chain, self.pool, self.owner, self.folder = chain, pool, owner, folder
        self.members: dict[str, Member] = {}
        self.tokens: dict[str, str] = {}
        self.nonces: dict[str, str] = {}
        self.verdicts: dict[str, str] = {}
        self.fail: set[str] = set()
        self.uploads: dict[str, str] = {}
        #: statuses with which the next uploads are refused
        self.refuse_uploads: list[int] = []
        #: refuse what is delivered before it is contributed, with this code; answer it with this place
        self.refuse_deliveries = ""
        self.false_location = ""
        self.news = threading.Condition()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def handle(self) -> None:
                with contextlib.suppress(ConnectionError):  # workers are killed in the middle of a request
                    super().handle()

            def do_GET(self) -> None:
                self._serve(b"")

            def do_POST(self) -> None:
                self._serve(self.rfile.read(int(self.headers["Content-Length"])))

            def do_PUT(self) -> None:
                self._serve(self.rfile.read(int(self.headers["Content-Length"])))

            def _serve(self, body: bytes) -> None:
                status, answer = outer.answer(self.path, self.headers.get("Authorization", ""), body)
                raw = json.dumps(answer).encode() if answer is not None else b""
                with contextlib.suppress(OSError):
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(raw)))
                    self.end_headers()
                    self.wfile.write(raw)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def answer(self, path: str, authorization: str, body: bytes) -> tuple[int, Any]:
        refused = {"error": "REFUSED", "message": "not like this", "hint": ""}
        if any(path.startswith(prefix) for prefix in self.fail):
            return 503, refused
        if path == "/config":
            return 200, {
                "protocol": 1, "chain_id": self.chain.deployment.chain_id, "hub": self.chain.deployment.hub,
                "workerpool": self.pool, "scheduler": self.owner.address, "poll_seconds": 20,
            }  # fmt: skip
        if path == "/login/challenge":
            nonce = "0x" + secrets.token_hex(32)
            self.nonces[nonce] = json.loads(body)["wallet"]
            return 200, {"nonce": nonce, "expires": int(time.time()) + 60}
        if path == "/login":
            asked = LoginRequest.model_validate_json(body)
            typed = login_typed_data(
                self.chain.deployment.chain_id, self.pool, asked.wallet, asked.nonce, asked.expires
            )
            if (
                self.nonces.pop(asked.nonce, None) != asked.wallet
                or recover_typed(typed, asked.signature) != asked.wallet
            ):
                return 401, refused
            token = secrets.token_urlsafe(24)
            self.tokens[token] = asked.wallet
            self.members.setdefault(asked.wallet, Member())
            return 200, {"token": token, "expires": int(time.time()) + 3600}
        wallet = self.tokens.get(authorization.removeprefix("Bearer "))
        if wallet is None:
            return 401, refused
        member = self.members[wallet]
        if path == "/workers/me":
            return 204, None
        if path == "/poll":
            return 200, self._poll(member, Poll.model_validate_json(body))
        if path.endswith("/output"):
            return 200, {"wait_seconds": 60}
        if path.startswith("/tasks/"):
            update = StatusUpdate.model_validate_json(body)
            with self.news:
                member.reports.append((path.split("/")[2], update))
                self.news.notify_all()
            return 200, {"verdict": self.verdicts.get(update.status, "OK")}
        if "digest=" in path and self.refuse_deliveries:
            return 409, {"error": self.refuse_deliveries, "message": "not this way", "hint": ""}
        if "digest=" in path and body and self.false_location:
            return 200, {"location": self.false_location}
        if path.startswith("/results/") and not body:
            return 200, {"offset": 0}
        if path.startswith("/results/") and self.refuse_uploads:
            return self.refuse_uploads.pop(0), {
                "error": "OTHER_RESULT",
                "message": "the zip has another digest",
                "hint": "",
            }
        if path.startswith("/results/"):
            cid = cid_of(hashlib.sha256(body).digest())
            (self.folder / cid).write_bytes(body)
            self.uploads[path.split("/")[2].partition("?")[0]] = cid
            return 200, {"location": f"/ipfs/{cid}"}
        return 404, refused

    def _poll(self, member: Member, poll: Poll) -> dict[str, Any]:
        with self.news:
            member.polls.append(poll)
            self.news.notify_all()
            member.waiting = [n for n in member.waiting if n["seq"] > poll.acked]
            end = time.monotonic() + min(poll.wait_seconds, 2)
            while not member.waiting and time.monotonic() < end:
                self.news.wait(0.2)
            return {"notifications": list(member.waiting), "server_time": int(time.time())}

    def tell(self, wallet: str, kind: str, task_id: str, **data: Any) -> None:
        with self.news:
            member = self.members[wallet]
            member.seq += 1
            member.waiting.append({"seq": member.seq, "type": kind, "task_id": task_id, "data": data})
            self.news.notify_all()

    def start(
        self, wallet: str, deal: Deal, index: int = 0, signer: Wallet | None = None, *, finalize: bool = False
    ) -> str:
        task_id = ids.task_id(deal.id, index)
        signature = (signer or self.owner).sign_message(ids.authorization_hash(wallet, task_id))
        self.tell(
            wallet,
            "START",
            task_id,
            authorization=signature,
            enclave_challenge=ZERO_ADDRESS,
            deal_id=deal.id,
            index=index,
            finalize=finalize,
        )
        return task_id

    def until(self, condition: Callable[[], Any], what: str, seconds: float = 60) -> Any:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := condition():
                return found
            time.sleep(0.05)
        raise AssertionError(f"waited {seconds} s for: {what}")

    def free(self, wallet: str, seconds: float = 30) -> None:
        """Wait until the worker wants work."""

        def willing() -> bool:
            member = self.members.get(wallet)
            return bool(member and member.polls and member.polls[-1].free_slots)

        self.until(willing, f"{wallet} to want work", seconds)

    def reported(self, wallet: str, task_id: str, status: str, seconds: float = 60) -> StatusUpdate:
        def found() -> StatusUpdate | None:
            member = self.members.get(wallet, Member())
            return next((u for t, u in member.reports if (t, u.status) == (task_id, status)), None)

        return self.until(found, f"{status} of {task_id}", seconds)

    def statuses(self, wallet: str, task_id: str) -> list[str]:
        return [str(u.status) for t, u in self.members[wallet].reports if t == task_id]


@dataclass
class Net:
    """The network around the workers: pool, app, requester, files, and the played scheduler."""

    chain: Chain
    senders: dict[str, Sender]
    pool: str
    scheduler: PlayedScheduler
    registry: str
    folder: Path
    store: BlobStore
    files: str
    app: str = ""
    count: int = 0

    def transact(self, who: str, call: Any, **options: Any) -> Any:
        return self.senders[who].transact(call, **options)

    def actor(self, name: str, rlc: int = 10 * RLC, ether: int = 10**18) -> Wallet:
        """A fresh wallet with money; its keystore lies in `folder`."""
        self.count += 1
        name = f"{name}{self.count}"
        opened = keystores.create(self.folder / f"{name}.json", "a password", iterations=1024)
        (self.folder / f"{name}.password").write_text("a password\n")
        (self.folder / f"{name}.password").chmod(0o600)
        eth = self.chain.web3.eth
        eth.send_transaction({"from": eth.accounts[0], "to": opened.address, "value": ether})
        self.chain.rlc.functions.transfer(opened.address, rlc).transact({"from": eth.accounts[0]})
        return opened

    def publish(self, name: str, reference: str, checksum: str) -> str:
        """Register an app; returns its address."""
        apps = self.chain.contract("app_registry", self.chain.deployment.app_registry).functions
        make = (self.senders["app"].wallet.address, name, "DOCKER", reference.encode(), to_bytes(checksum), b"")
        address = apps.predictApp(*make).call()
        self.transact("app", apps.createApp(*make))
        return str(address)

    def publish_data(self, name: str, url: str, checksum: str) -> str:
        sets = self.chain.contract("dataset_registry", self.chain.deployment.dataset_registry).functions
        make = (self.senders["app"].wallet.address, name, url.encode(), to_bytes(checksum))
        address = sets.predictDataset(*make).call()
        self.transact("app", sets.createDataset(*make))
        return str(address)

    def deal(
        self, args: str, *, app: str = "", dataset: str = "", trust: int = 1, params: dict[str, Any] | None = None,
        category: int = 0, initialize: bool = True, callback: str = ZERO_ADDRESS,
    ) -> Deal:  # fmt: skip
        """Match an order for one task, and initialize it."""
        domain, salt = self.chain.deployment.domain, "0x" + secrets.token_hex(32)
        me, pool_owner, owner = (self.senders[n].wallet for n in ("requester", "pool", "app"))
        app = app or self.app
        app_order = owner.sign_order(AppOrder(app=app, salt=salt), domain)
        pool_order = pool_owner.sign_order(
            WorkerpoolOrder(workerpool=self.pool, workerpoolprice=PRICE, trust=1000, category=category, salt=salt),
            domain,
        )
        set_order = owner.sign_order(DatasetOrder(dataset=dataset, salt=salt), domain) if dataset else NO_DATASET
        request = RequestOrder(
            app=app, requester=me.address, workerpoolmaxprice=PRICE, trust=trust, salt=salt, category=category,
            callback=callback,
            params=json.dumps({"iexec_args": args, **(params or {})}), **({"dataset": dataset} if dataset else {}),
        )  # fmt: skip
        request = me.sign_order(request, domain)
        orders = [order.as_tuple() for order in (app_order, set_order, pool_order, request)]
        receipt = self.transact("requester", self.chain.hub.functions.matchOrders(*orders))
        deal_id = str(receipt.event("SchedulerNotice").args["dealid"])
        if initialize:
            self.transact("pool", self.chain.hub.functions.initialize(to_bytes(deal_id), 0))
        return self.chain.deal(deal_id)

    def finalize(self, task_id: str, location: str) -> None:
        link = on_chain_link(location.removeprefix("/ipfs/"))
        self.transact("pool", self.chain.hub.functions.finalize(to_bytes(task_id), link, b""), preview=False)


def deployment_file(net: Net) -> Path:
    """The deployment of this session's chain (the project's file may be another session's by now)."""
    there = net.chain.deployment
    path = net.folder / "deployment.json"
    contracts = {
        "RLC": there.rlc, "hub": there.hub, "AppRegistry": there.app_registry,
        "DatasetRegistry": there.dataset_registry, "WorkerpoolRegistry": there.workerpool_registry,
    }  # fmt: skip
    body = {"network": there.network, "chain_id": there.chain_id, "block": there.block, "contracts": contracts}
    path.write_text(json.dumps(body))
    return path


class Process:
    """One worker process."""

    def __init__(self, net: Net, wallet: Wallet, **settings: Any) -> None:
        self.net, self.wallet = net, wallet
        keystore = next(p for p in net.folder.glob("*.json") if wallet.address[2:].lower() in p.read_text().lower())
        self.folder = net.folder / f"worker-{wallet.address}"
        self.folder.mkdir(exist_ok=True)
        self.data = self.folder / "data"
        self.config = self.folder / "worker.yaml"
        self.log = self.folder / "log"
        settings = {
            "scheduler_url": net.scheduler.url, "rpc_url": net.chain.rpc_url,
            "deployment": str(deployment_file(net)), "keystore": str(keystore),
            "password_file": str(keystore.with_suffix(".password")), "data_dir": "data", "name": "a-worker",
            "workerpool": net.pool, "platform": "linux/amd64", "stake_nrlc": RLC, "watch_seconds": 1,
            "poll_seconds": 2, "drain_seconds": 5, "fetch": {"allow_private_addresses": True},
            "docker": {"memory_mb": 64, "output_mb": 16}, "energy": {"soc": 0.95, "battery_wh": 2000}, **settings,
        }  # fmt: skip
        self.config.write_text(yaml.safe_dump(settings))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Process:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "worker", "--config", str(self.config)], stderr=log, cwd=ROOT
            )
        return self

    def kill(self, number: int = signal.SIGKILL) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(30)

    def tell(self, command: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "worker", command, "--config", str(self.config), "--json"],
            capture_output=True, text=True, cwd=ROOT, check=False,
        )  # fmt: skip
        return json.loads(done.stdout)

    def resident_mb(self) -> float:
        assert self.process is not None
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        found = next(line for line in text.splitlines() if line.startswith("VmRSS:")).split()[1]
        return int(found) / 1024

    def logged(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def stage(self, task_id: str) -> str:
        with sqlite3.connect(f"file:{self.data}/journal.db?mode=ro", uri=True) as db:
            rows = db.execute("SELECT stage FROM replicates WHERE task_id = ? ORDER BY run DESC", (task_id,)).fetchall()
        return str(rows[0][0]) if rows else ""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def build_probe(folder: Path) -> bytes:
    compiler = ["gcc", "-static"] if shutil.which("gcc") else [sys.executable, "-m", "ziglang", "cc", "-static"]
    out = folder / "probe"
    subprocess.run([*compiler, "-O1", "-w", "-D_GNU_SOURCE", str(HERE / "worker_probe.c"), "-o", str(out)], check=True)
    return out.read_bytes()


def push_image(net: Net, name: str, platform: str, program: bytes) -> tuple[str, str]:
    tree = Tree()
    tree.file("/probe", program, 0o755)
    layer = net.store.put_layer(tree, 0)
    manifest = write_image(net.store, parse(platform), [layer], ImageConfig(("/probe",), {}), 0)
    layout = net.folder / f"layout-{name}"
    write_layout(layout, net.store, write_index(net.store, [manifest]), name)
    with RegistryClient(net.registry) as client:
        found = push_layout(layout, client, f"task/{name}", "1")
    return f"{net.registry}/task/{name}:1", "0x" + found.removeprefix("sha256:")


def unzip(net: Net, location: str) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO((net.scheduler.folder / location.removeprefix("/ipfs/")).read_bytes())) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


class ZipFiles:
    """A downloaded result as the scheduler re-hashes it."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def kind(self, path: PurePosixPath) -> str | None:
        return "file" if str(path) in self.files else None

    def children(self, _path: PurePosixPath) -> list[str]:
        return list(self.files)

    def chunks(self, path: PurePosixPath) -> list[bytes]:
        return [self.files[str(path)]]


def finish(net: Net, worker: Process, task_id: str, seconds: float = 60) -> dict[str, bytes]:
    """Reveal, upload, finalize, complete; returns the uploaded files."""
    me, scheduler = worker.wallet.address, net.scheduler
    scheduler.tell(me, "REVEAL", task_id)
    scheduler.reported(me, task_id, "REVEALED", seconds)
    assert net.chain.contribution(task_id, me).status is ContributionStatus.PROVED
    scheduler.tell(me, "UPLOAD", task_id)
    scheduler.reported(me, task_id, "RESULT_UPLOADED", seconds)
    uploaded = scheduler.uploads[task_id]
    files = unzip(net, uploaded)
    assert digest(ZipFiles(files), callback=False) == net.chain.task(task_id).digest
    net.finalize(task_id, uploaded)
    scheduler.tell(me, "COMPLETE", task_id)
    scheduler.reported(me, task_id, "COMPLETED", seconds)
    return files


@contextlib.contextmanager
def network(hub: Chain, registry: str, folder: Path) -> Iterator[Net]:
    """Pool, app, requester, files and the played scheduler on a chain."""
    results = folder / "results"
    results.mkdir()
    public = folder / "public"
    public.mkdir()
    made = Net(hub, {}, "", None, registry, folder, BlobStore(folder / "blobs"), "")  # type: ignore[arg-type]
    for name in ("requester", "app", "pool"):
        sender = Sender(hub, made.actor(name, 1000 * RLC))
        sender.transact(hub.rlc.functions.approveAndCall(hub.deployment.hub, 1000 * RLC, b""))
        made.senders[name] = sender
    pools = hub.contract("workerpool_registry", hub.deployment.workerpool_registry).functions
    described = (made.senders["pool"].wallet.address, "a pool")
    made.pool = pools.predictWorkerpool(*described).call()
    made.transact("pool", pools.createWorkerpool(*described))
    made.scheduler = PlayedScheduler(hub, made.pool, made.senders["pool"].wallet, results)
    made.app = made.publish("probe", *push_image(made, "task", "linux/amd64", build_probe(folder)))

    def serve(*given: Any) -> SimpleHTTPRequestHandler:
        return _Quiet(*given, directory=str(public))

    server = ThreadingHTTPServer(("127.0.0.1", 0), serve)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    made.files = f"http://127.0.0.1:{server.server_port}"
    yield made
    server.shutdown()
    made.scheduler.server.shutdown()


@contextlib.contextmanager
def processes(net: Net, client: docker.DockerClient) -> Iterator[Callable[..., Process]]:
    """Makes worker processes; none of them, and nothing of theirs, is left at the end."""
    made: list[Process] = []

    def make(rlc: int = 10 * RLC, ether: int = 10**18, **settings: Any) -> Process:
        made.append(Process(net, net.actor("worker", rlc, ether), **settings))
        return made[-1]

    yield make
    for each in made:
        if each.process is not None and each.process.poll() is None:
            each.kill()
        for container in client.containers.list(all=True, filters={"label": f"pew.worker={each.wallet.address}"}):
            container.remove(force=True)
        text = each.log.read_text() if each.log.exists() else ""
        assert "a password" not in text
        assert not any(token in text for token in net.scheduler.tokens), "a session token was logged"
