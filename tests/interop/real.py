"""Our scheduler, workers and SDK on iExec's own contracts, told by their configuration alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ops.stack import Stack
from poco.errors import PewError
from poco.orders import AppOrder, DatasetOrder
from poco.params import DealParams
from poco.states import ChainTaskStatus
from scripts.localstack import Ports
from sdk.client import Client, Wish
from sdk.progress import Progress
from sdk.watch import Watcher, watch
from tests.interop.original import OriginalStack
from tests.interop.scene import Scene, abandoned

RLC = 10**9


class Original:
    """The steps, in their order; each raises where something is not as it should be."""

    def __init__(self, scene: Scene) -> None:
        self.scene, self.local = scene, scene.local
        self.me: Client = scene.local.client("me")
        self.app = self.dataset = ""

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

    def claim(self) -> None:
        deal = abandoned(self.local, self.scene.idle_pool, self.app)
        before = self.local.chain.account(self.me.wallet.address)
        self.me.claim(deal, 0)
        after = self.local.chain.account(self.me.wallet.address)
        _require(after.locked < before.locked, "nothing came back")

    def withdraw(self) -> None:
        before = self.local.chain.rlc_balance(self.me.wallet.address)
        self.me.withdraw(RLC)
        _require(self.local.chain.rlc_balance(self.me.wallet.address) == before + RLC, "not in the wallet")

    def _run(self, *, trust: int, dataset: str | None = None, args: str = "--top 3", good: bool = True) -> None:
        before = self.local.chain.account(self.me.wallet.address)
        inputs = () if dataset else (f"{self.local.files_url}/input.txt",)
        wish = Wish(app=self.app, dataset=dataset, params=DealParams(args, inputs), trust=trust)
        orders = self.me.best_orders(wish)
        checked = self.me.preflight(orders)
        checked.require()
        made = self.me.match(orders)
        deal = self.local.chain.deal(made.deal_id)
        watcher = Watcher(self.local.chain, deal, made.task_ids[0], made.block, self.me.service)
        ending, task = watch(watcher, self.scene.progress.say)
        _require(task.status is ChainTaskStatus.COMPLETED, f"the task ended as {ending}")
        result = self.me.download(task.id, self.local.run_dir / f"result-{task.id[:10]}")
        _require((result.path / "result.json").exists() is good, "the result is another one")
        after = self.local.chain.account(self.me.wallet.address)
        own = (deal.app.price + deal.dataset.price) if deal.app.owner == self.me.wallet.address else 0
        _require(before.stake - after.stake == checked.cost.total - own, "the price paid is another one")


def run(folder: Path, progress: Progress) -> dict[str, dict[str, Any]]:
    """All steps; `{step: {ok, seconds}}`."""
    found: dict[str, dict[str, Any]] = {}
    with Stack(folder, say=progress.say) as stack:
        scene = Scene(stack, Ports.free(), progress, OriginalStack)
        _note(found, progress, "deploy the diamond, start scheduler and workers", scene.open)
        steps = Original(scene)
        for name in ("deposit", "register", "publish", "consensus", "at_once", "with_dataset", "failing"):
            _note(found, progress, name.replace("_", " "), getattr(steps, name))
        for name in ("claim", "withdraw"):
            _note(found, progress, name, getattr(steps, name))
    return found


def _note(found: dict[str, dict[str, Any]], progress: Progress, name: str, step: Callable[[], None]) -> None:
    started, error = time.monotonic(), ""
    try:
        step()
    except (PewError, AssertionError) as problem:
        error = f"{type(problem).__name__}: {problem}"
    seconds = round(time.monotonic() - started, 1)
    progress.say(
        f"{'FAILED' if error else 'ok    '} {seconds:6.1f} s  real PoCo: {name}{': ' + error if error else ''}"
    )
    found[name] = {"ok": not error, "seconds": seconds, **({"error": error} if error else {})}


def _require(right: bool, said: str) -> None:
    if not right:
        raise AssertionError(said)
