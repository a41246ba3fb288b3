"""A local network with a pool at work, for whoever comes with iExec's client."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import sys
import time

from web3.types import RPCEndpoint

from chain.transactions import Sender
from ops.console import ROOT
from ops.real_poco import send
from ops.stack import Stack
from poco.hexes import address, to_bytes
from poco.orders import NO_DATASET, AppOrder, RequestOrder, WorkerpoolOrder
from scripts.localstack import LocalStack, Ports, together
from sdk.progress import Progress
from tests.interop.journey import Journey
from tests.interop.official import OfficialClient

RLC = 10**9
DAPP = "template"
PEOPLE = {"scheduler": 300, "me": 200, "other": 50}
WORKERS = {"worker-a": "linux/amd64", "worker-b": "linux/amd64", "worker-c": "linux/amd64"}
#: A category whose last deadline is over soon, for what is claimed: iExec's client asks this machine's clock.
BRIEF_SECONDS, DEADLINES = 1, 10


class Scene:
    """One network.

    Args:
        stack: the run it belongs to.
        ports: where its servers listen.
        progress: takes a line for each thing that happens.
        kind: of the network: our contracts, or iExec's (`tests.interop.original`).
    """

    def __init__(self, stack: Stack, ports: Ports, progress: Progress, kind: type[LocalStack] = LocalStack) -> None:
        self.local = kind(stack, ports)
        self.progress = progress
        self.pool = self.idle_pool = self.offer = ""
        self.image = ("", "")
        self.shown = self.local.run_dir / "files"

    def open(self) -> None:
        """Start everything; three workers wait for work when it returns."""
        local = self.local
        self.shown.mkdir(exist_ok=True)
        source = ROOT / "dapps" / DAPP / "golden" / "input.txt"
        shutil.copyfile(source, self.shown / "input.txt")
        for name in (*PEOPLE, *WORKERS):
            local.make_wallet(name)
        together(local.start_chain, self._image, lambda: local.start_files(self.shown))
        for name, amount in {**PEOPLE, **dict.fromkeys(WORKERS, 50)}.items():
            local.fund(name, rlc=amount * RLC)
        owner = local.client("scheduler")
        self.pool = owner.register_pool("a pool for iExec's client")
        self.idle_pool = owner.register_pool("a pool without workers")
        owner.deposit(250 * RLC)
        local.start_scheduler(self.pool)
        for name in WORKERS:
            self.start_worker(name)
        local.wait_for_workers(len(WORKERS))
        self.offer = owner.publish(WorkerpoolOrder(self.pool, RLC, volume=100, category=0, trust=16))
        self.progress.say(f"pool {self.pool} with {len(WORKERS)} workers")

    def start_worker(self, name: str) -> None:
        self.local.start_worker(
            name, self.pool, WORKERS[name], {}, stake_nrlc=40 * RLC, watch_seconds=1, drain_seconds=1
        )

    def _image(self) -> None:
        self.local.start_registry()
        host = self.local.registry_host
        argv = [sys.executable, "-m", "sdk.cli", "--json", "dapp", "push", DAPP, "--registry", host]
        log = self.local.run("build", argv)
        said = json.loads(log.read_text())[DAPP]
        self.image = (said["reference"], said["checksum"])

    def journey(self, line: str = "client", name: str = "template") -> Journey:
        """The network for a user of the official client; `line` and `name` see `official.install`, `Journey`."""
        local = self.local
        url, hub = local.scheduler_url, local.chain.deployment.hub
        names = ["sms", "ipfsGateway", "iexecGateway", "compass"]
        if line == "client":  # 9 knows no such key
            names.append("resultProxy")
        services = dict.fromkeys(names, url)
        entry = {"id": str(local.chain.deployment.chain_id), "host": local.rpc_url, "hub": hub, **services}
        folder = local.run_dir / line
        shutil.rmtree(folder, ignore_errors=True)
        client = OfficialClient(folder, entry, line)
        for person in ("me", "other"):
            client.take_wallet(local.run_dir / "wallets" / f"{person}.json")
        made = Journey(local, client, self.image, self.pool, name)
        content = (self.shown / "input.txt").read_bytes()
        made.input_url = f"{local.files_url}/input.txt"
        made.data = {"multiaddr": made.input_url, "checksum": "0x" + hashlib.sha256(content).hexdigest()}
        made.offer = self.offer
        made.abandoned = lambda initialized: abandoned(
            local, self.idle_pool, made.known["app"], initialized=initialized
        )
        return made


def brief_category(local: LocalStack) -> int:
    """A category of `BRIEF_SECONDS`, made by the hub's owner."""
    hub = local.chain.hub
    count = int(hub.functions.countCategory().call())
    made = hub.functions.createCategory("brief", "over at once", BRIEF_SECONDS)
    send(made, local.chain.web3.eth.accounts[0])
    return count


def abandoned(local: LocalStack, pool: str, app: str, *, initialized: bool = False) -> str:
    """A deal of `me` in a pool without workers, its last deadline over: claimable by this machine's clock."""
    category = brief_category(local)
    owner, me = local.client("scheduler"), local.client("me")
    app_order = me.sign(AppOrder(address(app), RLC // 10, volume=1, salt=random_salt()))
    offer = owner.sign(WorkerpoolOrder(pool, RLC, category=category, trust=1, salt=random_salt()))
    request = RequestOrder(
        address(app),
        me.wallet.address,
        appmaxprice=RLC // 10,
        workerpool=pool,
        workerpoolmaxprice=RLC,
        category=category,
        beneficiary=me.wallet.address,
        salt=random_salt(),
    )
    orders = (app_order, NO_DATASET, offer, me.sign(request))
    call = local.chain.hub.functions.matchOrders(*(order.as_tuple() for order in orders))
    sender = Sender(local.chain, me.wallet)
    deal = str(sender.transact(call).event("SchedulerNotice").args["dealid"])
    if initialized:
        sender.transact(local.chain.hub.functions.initialize(to_bytes(deal, 32), 0))
    time.sleep(DEADLINES * BRIEF_SECONDS + 2)
    # gas is estimated at the time of the last block, and a quiet local chain has none since the deadline
    local.chain.web3.provider.make_request(RPCEndpoint("evm_mine"), [])
    return deal


def random_salt() -> str:
    return "0x" + secrets.token_hex(32)
