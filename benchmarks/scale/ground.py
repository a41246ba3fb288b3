"""What the simulated workers meet: a real chain (Anvil) with our contracts, pools, stakes, and deals that go on."""

from __future__ import annotations

import threading
import time

import requests

from benchmarks.scale.fleet import wallet
from chain import deployment
from chain.client import Chain
from chain.transactions import Sender
from ops.ports import HOST
from ops.services import CHAIN_ID, deploy_contracts, start_anvil
from poco.errors import PewError
from poco.hexes import keccak
from poco.orders import AppOrder, RequestOrder, WorkerpoolOrder
from scripts.localstack import ETHER, LocalStack
from sdk.client import Client
from sdk.orders import new_salt
from sdk.preflight import Orders

PRICE = 1000
STAKE = 100 * PRICE
#: Accounts in one deposit.
CHUNK = 250
#: Tasks are ordered this often, seconds.
DEAL_SECONDS = 2.0
CATEGORY = 1
SUPPLY = 10**9


class Ground(LocalStack):
    """The network of the benchmark: as the demo's, with Anvil in place of Ganache (it mines several times faster)."""

    def start_chain(self) -> None:
        """Anvil, which mines each transaction at once and takes nothing for gas, and the contracts on it."""
        free = ("--base-fee", "0", "--gas-price", "0", "--gas-limit", "100000000")
        start_anvil(self.stack, self.ports.chain, accounts=10, extra=("--chain-id", str(CHAIN_ID), *free))
        deploy_contracts(self.stack, self.ports.chain)
        self._chain = Chain(self.rpc_url, deployment.load(self.deployment_file))
        self._chain.check()

    def prepare(self, workers: int) -> None:
        """Wallets of pool, requester and app, and stake for the simulated workers."""
        for name in ("scheduler", "requester", "app-owner"):
            self.make_wallet(name)
            self.fund(name, rlc=SUPPLY)
        for name in ("scheduler", "requester"):
            self.client(name).deposit(SUPPLY // 2)
        self.app = self.client("app-owner").register_app("scale", f"{HOST}:1/scale:1", "0x" + keccak(b"scale").hex())
        sender = Sender(self.chain, self.wallets["requester"])
        hub = self.chain.hub.functions
        addresses = [wallet(number).address for number in range(workers)]
        rlc = self.chain.rlc
        needed = STAKE * workers
        self.chain.web3.eth.wait_for_transaction_receipt(
            rlc.functions.transfer(sender.wallet.address, needed).transact({"from": self.chain.web3.eth.accounts[0]}),
            poll_latency=0.02,
        )
        sender.transact(rlc.functions.approve(self.chain.deployment.hub, needed))
        for start in range(0, workers, CHUNK):
            chunk = addresses[start : start + CHUNK]
            self._give_coin(chunk)
            sender.transact(hub.depositForArray([STAKE] * len(chunk), chunk))

    def _give_coin(self, addresses: list[str]) -> None:
        """Native coin for gas: nothing is taken here, but who has none is offered no work."""
        calls = [
            {"jsonrpc": "2.0", "id": n, "method": "anvil_setBalance", "params": [where, hex(ETHER)]}
            for n, where in enumerate(addresses)
        ]
        answers = requests.post(self.rpc_url, json=calls, timeout=60).json()
        if any("error" in answer for answer in answers):
            raise PewError(f"Anvil gives no coin: {answers[0]}")

    def pool(self, name: str) -> str:
        """A workerpool of its own, so that nothing of an earlier run is left in it."""
        return self.client("scheduler").register_pool(name)


class Demand(threading.Thread):
    """A requester who orders bags of tasks at a steady rate, on chain, until `stop`.

    Args:
        per_minute: tasks.
    """

    def __init__(self, ground: Ground, pool: str, per_minute: float) -> None:
        super().__init__(name="demand", daemon=True)
        self._ground, self._pool, self._rate = ground, pool, per_minute / 60
        self._ended = threading.Event()
        #: tasks ordered so far, and why it gave up; empty while it did not
        self.ordered = 0
        self.trouble = ""

    def run(self) -> None:
        requester = self._ground.client("requester")
        apps, pools = self._ground.client("app-owner"), self._ground.client("scheduler")
        app = apps.sign(AppOrder(self._ground.app, volume=10**6, salt=new_salt()))
        offer = WorkerpoolOrder(self._pool, PRICE, volume=10**6, category=CATEGORY, trust=16, salt=new_salt())
        pool = pools.sign(offer)
        begun = time.monotonic()
        while not self._ended.is_set():
            due = int((time.monotonic() - begun + DEAL_SECONDS) * self._rate) - self.ordered
            if due > 0:
                try:
                    self._order(requester, app, pool, due)
                except PewError as error:
                    self.trouble = str(error)
                    return
                self.ordered += due
            self._ended.wait(DEAL_SECONDS)

    def stop(self) -> None:
        self._ended.set()
        self.join(30)

    def _order(self, requester: Client, app: AppOrder, pool: WorkerpoolOrder, volume: int) -> None:
        me = requester.wallet.address
        request = RequestOrder(
            app.app, me, workerpoolmaxprice=PRICE, volume=volume, category=CATEGORY, trust=1, beneficiary=me,
            salt=new_salt(),
        )  # fmt: skip
        requester.match(Orders(app, pool, request))
