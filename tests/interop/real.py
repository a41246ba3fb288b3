"""Our scheduler, workers and SDK on iExec's own contracts, told by their configuration alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from chain.model import Task
from ops.real_poco import deploy_code
from ops.stack import Stack
from poco.errors import Cause, PewError
from poco.hexes import ZERO_ADDRESS, to_bytes
from poco.orders import AppOrder, DatasetOrder
from poco.params import DealParams
from poco.states import ChainTaskStatus, ContributionStatus
from scripts.localstack import Ports
from sdk.client import Client, Wish
from sdk.progress import Progress
from sdk.watch import Watcher, watch
from tests.interop import commands, work
from tests.interop.original import OriginalStack
from tests.interop.scene import WORKERS, Scene, abandoned

RLC = 10**9
TASK_SECONDS = 180
#: A contract that logs what it is called with: CALLDATACOPY(0, 0, CALLDATASIZE), LOG0; and the code that deploys it.
LOGGER = "600b80600b6000396000f3" + "36600060003736" + "6000a000"


class Original:
    """The steps, in their order; each raises where something is not as it should be."""

    def __init__(self, scene: Scene) -> None:
        self.scene, self.local = scene, scene.local
        self.me: Client = scene.local.client("me")
        self.app = self.dataset = self.several = ""

    def deposit(self) -> None:
        before = self.local.chain.account(self.me.wallet.address).stake
        self.me.deposit(60 * RLC)
        _require(self.local.chain.account(self.me.wallet.address).stake == before + 60 * RLC, "not in the escrow")

    def register(self) -> None:
        image, checksum = self.scene.image
        self.app = self.me.register_app("template", image, checksum)
        journey = self.scene.journey()
        self.dataset = self.me.register_dataset("words", journey.data["multiaddr"], journey.data["checksum"])
        _require(self.local.chain.app(self.app).owner == self.me.wallet.address, "another owner")

    def publish(self) -> None:
        self.me.publish(AppOrder(self.app, RLC // 10, volume=100))
        self.me.publish(DatasetOrder(self.dataset, RLC // 20, volume=100))

    def consensus(self) -> None:
        """Three workers, contribute and reveal, finalize."""
        self._run(trust=5)

    def at_once(self) -> None:
        """Trust 1: contributeAndFinalize."""
        self._run(trust=1)

    def with_dataset(self) -> None:
        self._run(trust=1, dataset=self.dataset)

    def failing(self) -> None:
        """A program that fails everywhere ends in an error result; everybody is paid all the same."""
        self._run(trust=1, args="fail", good=False)

    def callback(self) -> None:
        """The hub calls a contract of the requester with the result's bytes, here those of an error result."""
        receiver = deploy_code(self.local.chain.web3, self.local.chain.web3.eth.accounts[0], LOGGER)
        task = self._run(trust=5, args="fail", good=False, callback=receiver)
        logs = self.local.chain.web3.eth.get_logs({"address": receiver, "fromBlock": 0})  # type: ignore[typeddict-item]
        called = b"".join(bytes(log["data"]) for log in logs)
        _require(to_bytes(task.id) in called and Cause.APP_COMPUTE_FAILED.name.encode() in called, "it was not called")

    def killed_worker(self) -> None:
        """A worker is killed once it has staked on a task, and started again: its journal goes on, and it is paid."""
        name = next(iter(WORKERS))
        wallet = self.local.wallets[name].address
        before = self.local.chain.account(wallet)
        killed: list[float] = []

        def kill(task: str) -> None:
            status = self.local.chain.contribution(task, wallet).status
            if not killed and status is not ContributionStatus.UNSET:
                self.local.stack.stop_process(name, kill=True)
                killed.append(time.time())
                self.scene.start_worker(name)

        task = self._run(trust=5, meanwhile=kill)
        _require(bool(killed), "it was not killed")
        after = self.local.chain.account(wallet)
        proved = self.local.chain.contribution(task.id, wallet).status
        _require(proved is ContributionStatus.PROVED, f"its contribution is {proved.name}")
        _require(after.stake > before.stake and after.locked == before.locked, "it was not paid")

    def cancel(self) -> None:
        """An order closed on chain is gone from the book and cannot be published again."""
        order = self.me.sign(AppOrder(self.app, RLC // 20, volume=3))
        self.me.book.publish(order, self.me.wallet)
        self.me.close(order)
        mine = order.hash(self.local.chain.deployment.domain)
        end = time.monotonic() + 30
        while mine in [entry.hash for entry in self.me.book.apps(self.app)]:
            _require(time.monotonic() < end, "it is still in the book")
            time.sleep(0.5)
        try:
            self.me.book.publish(order, self.me.wallet)
        except PewError:
            return
        raise AssertionError("a closed order was published")

    def claim(self) -> None:
        deal = abandoned(self.local, self.scene.idle_pool, self.app)
        before = self.local.chain.account(self.me.wallet.address)
        self.me.claim_unstarted(deal, 0)
        after = self.local.chain.account(self.me.wallet.address)
        _require(after.locked < before.locked and after.stake > before.stake, "nothing came back")

    def withdraw(self) -> None:
        before = self.local.chain.rlc_balance(self.me.wallet.address)
        self.me.withdraw(RLC)
        _require(self.local.chain.rlc_balance(self.me.wallet.address) == before + RLC, "not in the wallet")

    def official_client(self) -> None:
        """iExec's client in front of iExec's contracts and our services."""
        journey = self.scene.journey()
        journey.known["app"] = self.app
        commands.info(journey)
        for step in (commands.account_show, work.app_run, work.deal_show, work.task_show, work.task_debug):
            outcome = step(journey)
            _require(outcome.ok, f"{step.__name__}: {outcome.error}")

    def its_fault(self) -> None:
        """What it cannot read on our hub it cannot read here: a task of three contributors."""
        said = work.several_unaided(self.scene.journey().client, self.several)
        self.scene.progress.say(f"the client says: {said[:120]}")

    def _run(
        self,
        *,
        trust: int,
        dataset: str | None = None,
        args: str = "--top 3",
        good: bool = True,
        callback: str = ZERO_ADDRESS,
        meanwhile: Callable[[str], None] | None = None,
    ) -> Task:
        before = self.local.chain.account(self.me.wallet.address)
        inputs = () if dataset else (f"{self.local.files_url}/input.txt",)
        params = DealParams(args, inputs)
        orders = self.me.best_orders(Wish(app=self.app, dataset=dataset, params=params, trust=trust, callback=callback))
        checked = self.me.preflight(orders)
        checked.require()
        made = self.me.match(orders)
        deal = self.local.chain.deal(made.deal_id)
        check = None if meanwhile is None else partial(meanwhile, made.task_ids[0])
        watcher = Watcher(self.local.chain, deal, made.task_ids[0], made.block, self.me.service)
        ending, task = watch(watcher, timeout=TASK_SECONDS, poll_seconds=0.3, check=check)
        _require(task.status is ChainTaskStatus.COMPLETED, f"the task ended as {ending}")
        _require(len(task.contributors) == (1 if trust == 1 else 3), f"{len(task.contributors)} have contributed")
        result = self.me.download(task.id, self.local.run_dir / f"result-{task.id[:10]}")
        _require((result.error is None) is good, f"the result is {result.error or result.files}")
        after = self.local.chain.account(self.me.wallet.address)
        own = (deal.app.price + deal.dataset.price) if deal.app.owner == self.me.wallet.address else 0
        _require(before.stake - after.stake == checked.cost.total - own, "the price paid is another one")
        if good and trust > 1:
            self.several = task.id
        return task


STEPS = {
    "deposit": Original.deposit,
    "register app and dataset": Original.register,
    "publish orders": Original.publish,
    "task of trust 5: three workers": Original.consensus,
    "task of trust 1: contributeAndFinalize": Original.at_once,
    "task with a dataset": Original.with_dataset,
    "task that fails": Original.failing,
    "callback": Original.callback,
    "kill -9 of a worker that has staked": Original.killed_worker,
    "order cancel": Original.cancel,
    "claim": Original.claim,
    "withdraw": Original.withdraw,
    "iexec 8: app run, deal show, task show, debug": Original.official_client,
    "iexec 8: task of three contributors (refused by the client alike)": Original.its_fault,
}


def run(folder: Path, progress: Progress) -> dict[str, dict[str, Any]]:
    """All steps; `{step: {ok, seconds}}`."""
    found: dict[str, dict[str, Any]] = {}
    with Stack(folder, say=progress.say) as stack:
        scene = Scene(stack, Ports.free(), progress, OriginalStack)
        _note(found, progress, "deploy the diamond, start scheduler and workers", scene.open)
        steps = Original(scene)
        for name, step in STEPS.items():
            _note(found, progress, name, partial(step, steps))
    return found


def _note(found: dict[str, dict[str, Any]], progress: Progress, name: str, step: Callable[[], None]) -> None:
    started, error = time.monotonic(), ""
    try:
        step()
    except Exception as problem:  # whatever it is, the other steps are still run
        error = f"{type(problem).__name__}: {problem}"
    seconds = round(time.monotonic() - started, 1)
    progress.say(
        f"{'FAILED' if error else 'ok    '} {seconds:6.1f} s  real PoCo: {name}{': ' + error if error else ''}"
    )
    found[name] = {"ok": not error, "seconds": seconds, **({"error": error} if error else {})}


def _require(right: bool, said: str) -> None:
    if not right:
        raise AssertionError(said)
