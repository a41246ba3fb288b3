"""The smoke test: the real scheduler and a worker, one task that is paid once though its order is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from typing import Any

from chain import abi, deployment
from chain.book import Prepared
from chain.client import Chain
from chain.settings import ChainSettings
from chain.transactions import Sender
from ops.stack import Stack
from poco.errors import PewError
from poco.hexes import to_bytes
from poco.orders import WorkerpoolOrder
from scripts.localstack import LocalStack, Ports
from tests.rollout.rig import CONFIRMATIONS, ETHER, Rig

RLC = 10**9
DAPP, PLATFORM = "template", "linux/amd64"
NAME = "smoke"


class TestnetStack(LocalStack):
    """The services of a local network on a rig's chain, with the deployment file of its rollout."""

    def __init__(self, stack: Stack, rig: Rig) -> None:
        super().__init__(stack, Ports.free())
        self.rig = rig

    @property
    def rpc_url(self) -> str:
        return self.rig.url

    def start_chain(self) -> None:
        shutil.copyfile(self.rig.folder / "rehearsal.json", self.deployment_file)
        self._chain = Chain(self.rpc_url, deployment.load(self.deployment_file), ChainSettings(confirmations=1))
        self._chain.check()

    def fund(self, name: str, *, rlc: int = 0, ether: int = 1) -> None:
        """The deployer holds all the RLC there is."""
        where = self.wallets[name].address
        self.rig.ask("anvil_setBalance", where, hex(ether * ETHER))
        if rlc:
            Sender(self.chain, self.rig.wallet).transact(self.chain.rlc.functions.transfer(where, rlc))


def run(stack: Stack) -> None:
    """Deploy, start a pool with one worker, and let `apply --smoke` buy one task of it."""
    rig = Rig(stack, NAME)
    local = TestnetStack(stack, rig)
    for name in ("scheduler", "worker"):
        local.make_wallet(name)
    pool = {"description": "a pool of the rehearsal", "owner": local.wallets["scheduler"].address}
    rig.write(pool=pool)
    rig.run("apply").require()
    local.start_chain()
    local.start_registry()
    for name in ("scheduler", "worker"):
        local.fund(name, rlc=50 * RLC)
    image = _image(local)
    where = json.loads((rig.folder / "rehearsal.json").read_text())["workerpool"]
    owner = local.client("scheduler")
    owner.deposit(20 * RLC)
    chain = {"confirmations": CONFIRMATIONS}
    local.start_scheduler(where, chain=chain)
    local.start_worker("worker", where, PLATFORM, {}, stake_nrlc=20 * RLC, watch_seconds=1, chain=chain)
    local.wait_for_workers(1)
    owner.publish(WorkerpoolOrder(where, RLC, volume=5, category=0, trust=1))
    multiaddr, checksum = image
    rig.write(pool=pool, smoke={"name": DAPP, "multiaddr": multiaddr, "checksum": checksum, "seconds": 120})
    rig.scheduler = local.scheduler_url
    _kill_at_match(rig)
    if rig.run("apply", "--smoke").code != -signal.SIGKILL:
        raise PewError("it was not killed when it ordered")
    rig.node.listener = None
    said = json.loads(rig.run("apply", "--smoke").require().out)["smoke"]
    deals = local.chain.logs(0, local.chain.block_number(), ["OrdersMatched"])
    if said["status"] != "COMPLETED" or said["paid_nrlc"] != RLC or len(deals) != 1:
        raise PewError(f"{len(deals)} deals, {said}")
    for name in ("worker", "scheduler", "registry"):
        stack.stop_process(name)
    rig.close()
    stack.stop_process(NAME)


def _image(local: LocalStack) -> tuple[str, str]:
    argv = [sys.executable, "-m", "sdk.cli", "--json", "dapp", "push", DAPP, "--registry", local.registry_host]
    said = json.loads(local.run("build", argv).read_text())[DAPP]
    return said["reference"], said["checksum"]


def _kill_at_match(rig: Rig) -> None:
    """kill -9 once, when the chain has just taken the deal."""
    left = [True]

    def listen(method: str, params: Any) -> None:
        if method != "eth_sendRawTransaction" or not left or rig.child is None:
            return
        if abi.function_of(Prepared("", to_bytes(params[0])).data) == "matchOrders":
            left.clear()
            rig.ask(method, *params)
            os.kill(rig.child.pid, signal.SIGKILL)
            raise ConnectionError

    rig.node.listener = listen
