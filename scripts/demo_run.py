"""One run of the demo: who takes part, what happens in which order, and how it ends."""

from __future__ import annotations

import os
import shutil
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chain.model import Task
from oci import registry
from ops import footage
from ops.console import ROOT, SetupError
from ops.stack import Stack
from poco.amounts import show
from poco.errors import BadInputError, PewError
from poco.orders import AppOrder, DatasetOrder, WorkerpoolOrder
from scripts.demo_report import Ledger, Report, payments, read_ledger
from scripts.localstack import LocalStack, Ports, together
from sdk.builder import description
from sdk.client import Client, Matched, Wish
from sdk.explain import explain
from sdk.progress import Progress
from sdk.results import Result
from sdk.watch import Ending, Watcher, watch

RLC = 10**9
APP_PRICE, DATA_PRICE, POOL_PRICE = RLC // 5, RLC // 10, RLC
DAPP = "motion-detection"
TASK_SECONDS = 300.0


@dataclass(frozen=True)
class Site:
    """A worker's machine and the sun it lives on: every worker replays another place's measured irradiance."""

    platform: str
    energy: dict[str, Any]


#: Records are those that come inside pvlib; 60 seconds of the sun pass in one of ours.
SITES = {
    "pi-roof": Site(
        "linux/arm/v7",
        {"board": "pi-3b+", "panel_wp": 30, "battery_wh": 128, "record": "pvlib:723170TYA.CSV", "tilt": 30},
    ),
    "pi-garden": Site(
        "linux/arm64",
        {"board": "pi-4b", "panel_wp": 60, "battery_wh": 256, "record": "pvlib:723170TYA.CSV", "azimuth": 225},
    ),
    "box-harbour": Site(
        "linux/amd64",
        {"board": "pi-5", "panel_wp": 100, "battery_wh": 256, "record": "pvlib:703165TY.csv", "tilt": 50},
    ),
}
SUN = {"source": "simulated", "start": "2001-06-21T11:30", "speed": 60, "soc": 0.7}
#: A run of a minute does not wait as patiently as a pool of months.
HASTE: dict[str, Any] = {"watch_seconds": 2, "drain_seconds": 1}
PEOPLE = ("requester", "app-owner", "camera-owner", "scheduler")


class Demo:
    """One run.

    Args:
        local: the network it runs on.
        progress: takes a line for each thing that happens.
        report: filled while it runs.
        trust: what the requester asks for: more than 4 needs all three workers while they are new.
    """

    def __init__(self, local: LocalStack, progress: Progress, report: Report, trust: int) -> None:
        self.local, self.progress, self.report, self.trust = local, progress, report, trust
        self.names: dict[str, str] = {}
        self.pool = self.app = self.data = ""
        self.clip, self.clip_sha256 = Path(), ""

    def run(self, set_up: float) -> None:
        """All of it; fills the report.

        Args:
            set_up: seconds that the machine's own set-up took before this program.
        """
        started = time.monotonic()
        self.progress.say(f"Docker Engine at {self.local.docker_host}")
        together(self._prepare_chain, self._prepare_image, self._prepare_footage)
        self.report.seconds["setup"] = round(set_up + time.monotonic() - started, 1)
        started = time.monotonic()
        self._open_pool()
        together(self._start_scheduler, self._start_workers, self._offer)
        self._publish()
        before = read_ledger(self.local.chain, self.names)
        self.report.seconds["deploy"] = round(time.monotonic() - started, 1)
        started = time.monotonic()
        client = self.local.client("requester")
        made = self._order(client)
        task = self._follow(client, made)
        result = self._fetch(client, task)
        self.report.seconds["task"] = round(time.monotonic() - started, 1)
        self._account(task, before, result)

    # before the market opens

    def _prepare_chain(self) -> None:
        for name in (*PEOPLE, *SITES):
            self.names[name] = self.local.make_wallet(name).address
        self.local.start_chain()
        self.progress.say(f"contracts deployed, hub {self.local.chain.deployment.hub}")
        for name in self.names:
            self.local.fund(name, rlc=20 * RLC)
        self.progress.say(f"{len(self.names)} wallets made and funded with 20 RLC each")

    def _prepare_image(self) -> None:
        self.local.start_registry()
        argv = [sys.executable, "-m", "sdk.cli", "dapp", "push", DAPP, "--registry", self.local.registry_host]
        self.local.run("build", argv)
        self.progress.say(f"{DAPP} built for {', '.join(registry.platforms(self.image))}, pushed")

    def _prepare_footage(self) -> None:
        self.clip, self.clip_sha256 = footage.make()
        self.local.start_files(self.clip.parent)
        self.progress.say(f"camera footage served: {self.clip.name}, {self.clip.stat().st_size / 1e6:.1f} MB")

    @property
    def image(self) -> str:
        """The app's multiaddr."""
        return f"{self.local.registry_host}/{DAPP}:{description.load(ROOT / 'dapps' / DAPP).version}"

    # the market

    def _open_pool(self) -> None:
        owner = self.local.client("scheduler")
        self.pool = owner.register_pool("Solar workers of the demo")
        owner.deposit(5 * RLC)
        self.progress.say(f"pool {self.pool} registered, with a deposit of 5 RLC")

    def _start_scheduler(self) -> None:
        self.local.start_scheduler(self.pool)
        self.progress.say("the pool's scheduler runs")

    def _start_workers(self) -> None:
        for name, site in SITES.items():
            energy = {**SUN, **site.energy}
            self.local.start_worker(name, self.pool, site.platform, energy, stake_nrlc=RLC, **HASTE)
        self.local.wait_for_workers(len(SITES))
        self.progress.say("workers wait for work: " + ", ".join(f"{n} ({s.platform})" for n, s in SITES.items()))

    def _offer(self) -> None:
        apps, camera = self.local.client("app-owner"), self.local.client("camera-owner")
        digest = registry.resolve(self.image, SITES["pi-roof"].platform).index_digest
        self.app = apps.register_app(DAPP, self.image, digest)
        url = f"{self.local.files_url}/{self.clip.name}"
        self.data = camera.register_dataset("campus camera", url, "0x" + self.clip_sha256)
        self.local.client("requester").deposit(5 * RLC)
        self.progress.say("app and footage registered, requester deposits 5 RLC")

    def _publish(self) -> None:
        offers = {
            "app-owner": AppOrder(self.app, APP_PRICE, volume=1000),
            "camera-owner": DatasetOrder(self.data, DATA_PRICE, volume=1000),
            "scheduler": WorkerpoolOrder(self.pool, POOL_PRICE, volume=10, category=0, trust=16),
        }
        for name, order in offers.items():
            self.local.client(name).publish(order)
        self.progress.say("app, footage and pool offered in the order book")

    # the task

    def _order(self, client: Client) -> Matched:
        wish = Wish(self.app, dataset=self.data, workerpool=self.pool, category=0, trust=self.trust)
        orders = client.best_orders(wish)
        checked = client.preflight(orders)
        checked.require()
        cost = checked.cost
        parts = f"app {show(cost.app)} + footage {show(cost.dataset)} + pool {show(cost.pool)}"
        self.progress.say(f"requester pays {parts} = {show(cost.total)}")
        made = client.match(orders)
        self.progress.say(f"deal {made.deal_id[:18]}.. made, trust {self.trust}")
        return made

    def _follow(self, client: Client, made: Matched) -> Task:
        task_id = made.task_ids[0]
        workers = {address: f"{n} ({SITES[n].platform})" for n, address in self.names.items() if n in SITES}
        watcher = Watcher(client.chain, client.chain.deal(made.deal_id), task_id, made.block, client.service)
        with self.progress.waiting("the workers are at it"):
            ending, task = watch(
                watcher,
                lambda news: self.progress.tell(news, workers),
                timeout=TASK_SECONDS,
                poll_seconds=0.3,
                check=self.local.stack.check,
            )
        self.report.task = {"id": task_id, "status": task.status.name, "digest": task.digest, "contributors": []}
        if ending is not Ending.COMPLETED:
            raise PewError(f"the task ended as {ending}", hint=f"see the logs in {self.local.stack.logs}")
        return task

    def _fetch(self, client: Client, task: Task) -> Result:
        folder = self.local.run_dir / "result"
        shutil.rmtree(folder, ignore_errors=True)
        result = client.download(task.id, folder)
        if result.error is not None:
            what, way_out = explain(result.error)
            raise PewError(f"the task could not be run: {what} ({result.error})", hint=way_out)
        self.progress.say(f"result downloaded and verified: digest {result.digest[:18]}.. is the one on chain")
        return result

    # the books

    def _account(self, task: Task, before: Ledger, result: Result) -> None:
        chain, report = self.local.chain, self.report
        after = read_ledger(chain, self.names)
        by_address = {where: name for name, where in self.names.items()}
        seen = {worker["wallet"]: worker["platforms"] for worker in self.local.status()["workers"]}
        rewards = rewards_of(chain, task)
        report.task["contributors"] = [
            {
                "worker": by_address[where],
                "arch": seen[where][0],
                "reward_nrlc": rewards.get(where, 0),
                "score": chain.score(where),
            }
            for where in task.contributors
        ]
        report.payments_nrlc = payments(before, after)
        report.energy_wh = self.local.retire(list(SITES))
        report.result_path = str(result.folder)
        report.faults = [*before.faults(), *after.faults(), *self._faults()]
        report.ok = not report.faults
        report.show({name: site.platform for name, site in SITES.items()})

    def _faults(self) -> list[str]:
        found = []
        if sum(self.report.payments_nrlc.values()):
            found.append("what was paid is not what was earned")
        paid = -self.report.payments_nrlc.get("requester", 0)
        if paid != APP_PRICE + DATA_PRICE + POOL_PRICE:
            found.append(f"the requester paid {paid} nRLC")
        if len({entry["arch"] for entry in self.report.task["contributors"]}) < 2:
            found.append("fewer than two architectures contributed")
        for entry in self.report.task["contributors"]:
            if entry["reward_nrlc"] != self.report.payments_nrlc.get(entry["worker"]):
                found.append(f"{entry['worker']} was rewarded {entry['reward_nrlc']} nRLC, its account says otherwise")
        return found


def rewards_of(chain: Any, task: Task) -> dict[str, int]:
    """nRLC by address that the hub's `Reward` events of the task's end name."""
    first = chain.deployment.block
    end = [e for e in chain.logs(first, chain.block_number(), ["TaskFinalize"]) if e.args["taskid"] == task.id]
    found: dict[str, int] = {}
    for event in chain.logs(end[0].block, end[0].block, ["Reward"]):
        if event.args["ref"] == task.id:
            found[event.args["owner"]] = found.get(event.args["owner"], 0) + event.args["amount"]
    return found


def perform(run_dir: Path, ports: Ports, trust: int, set_up: float) -> int:
    """Run the demo; writes `<run_dir>/report.json` in every case; returns the exit code.

    Args:
        run_dir: takes all that the run makes.
        ports: where its servers listen.
        trust: what the requester asks for.
        set_up: seconds that preparing the machine took before.
    """
    progress, report = Progress(sys.stdout), Report()
    path = run_dir / "report.json"
    try:
        stack = Stack(run_dir, say=progress.say)
    except BadInputError as error:  # another run is alive: its report is not ours to write
        return _tell(2, error.message, error.hint)
    code, wrong, hint = 1, "", ""
    try:
        with stack:
            path.unlink(missing_ok=True)
            Demo(LocalStack(stack, ports), progress, report, trust).run(set_up)
        code, wrong = int(not report.ok), "; ".join(report.faults)
    except PewError as caught:
        code, wrong, hint = caught.exit_code, caught.message, caught.hint
    except SetupError as caught:
        code, wrong, hint = caught.exit_code, caught.message, caught.hint
    except KeyboardInterrupt:
        code, wrong, hint = 130, "interrupted", "everything is stopped; run it again"
    except SystemExit as caught:
        code, wrong, hint = int(caught.code or 1), "ended by a signal", "everything is stopped; run it again"
    except Exception as caught:
        (stack.logs / "demo.log").write_text(traceback.format_exc())
        wrong, hint = f"{type(caught).__name__}: {caught}", f"this is a bug; see {stack.logs / 'demo.log'}"
    if wrong:
        report.ok = False
        report.faults = report.faults or [wrong]
    report.write(path)
    if wrong:
        return _tell(code, wrong, hint or f"see the logs in {stack.logs}")
    _say_where(report, path)
    return code


def _tell(code: int, error: str, hint: str) -> int:
    print(f"error: {error}", file=sys.stderr)
    print(f"hint:  {hint}", file=sys.stderr)
    return code


def _say_where(report: Report, path: Path) -> None:
    folder = Path(os.path.relpath(str(report.result_path)))
    print(f"\nevents    {folder / 'events.json'}")
    for picture in sorted(folder.rglob("*.jpg"))[:1]:
        print(f"picture   {picture}")
    seconds = ", ".join(f"{name} {value} s" for name, value in report.seconds.items())
    print(f"report    {os.path.relpath(path)}  ({seconds})")
