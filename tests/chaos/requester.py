"""Those who keep the network busy: a requester of every kind of task, and a worker that does not do its part."""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import requests

from poco.errors import PewError
from poco.hexes import ZERO_ADDRESS, to_hex
from poco.orders import NO_DATASET, AppOrder, DatasetOrder, RequestOrder, WorkerpoolOrder
from poco.states import ChainTaskStatus
from tests.chaos.world import LOST_SECONDS, RLC, World
from tests.integration.scheduler_pool import ScriptedWorker, digest_of

PRICE = RLC
APP_PRICE, DATA_PRICE = RLC // 10, RLC // 20


@dataclass(frozen=True)
class Kind:
    """One kind of order: the program's arguments, and what is asked for. `wanted`: how often, beside the others."""

    name: str
    args: str
    wanted: float
    trust: tuple[int, ...] = (1,)
    volume: tuple[int, ...] = (1,)
    dataset: int | None = None
    callback: bool = False
    short: bool = False


KINDS = (
    Kind("plain", "ok", 3, (1, 3, 5)),
    Kind("slow", "sleep 2", 4, (1, 3, 5)),
    Kind("bag", "sleep 1", 2, (1, 3), (2, 3, 4)),
    Kind("data", "ok", 2, (1, 3), dataset=0),
    Kind("callback", "callback", 2, (1, 3), callback=True),
    Kind("failing", "exit 3", 1.5, (1, 3)),
    Kind("unfinished", "nothing", 1, (1,)),
)
#: Without such a dataset there is no result, only the agreed error after everybody has tried.
MISSING = Kind("missing", "ok", 0, dataset=1)
#: More agreement than there are workers: it ends by a claim.
HOPELESS = Kind("hopeless", "ok", 0, (1000,), short=True)


@dataclass
class Requester(threading.Thread):
    """Orders as long as fewer than `target` tasks are open."""

    world: World
    target: int
    ordered: int = 0
    tasks: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__(name="requester", daemon=True)
        self._over = threading.Event()
        self._rare: list[Kind] = []
        self._open: set[str] = set()
        self._guard = threading.Lock()

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        while not self._over.wait(0.3):
            try:
                self._follow_sent()
                self._forget_ended()
                if self._rare:
                    self.order(self._rare[0])
                    self._rare.pop(0)
                elif len(self._open) < self.target:
                    self.order(self.world.random.choices(KINDS, [kind.wanted for kind in KINDS])[0])
            except (PewError, OSError, requests.RequestException, ValueError, KeyError):
                self._over.wait(0.5)  # the node is away, or has just forgotten something
            except Exception as error:  # web3 has its own words for a node that is just coming back
                print(f"requester: {error!r}"[:200], flush=True)
                self._over.wait(0.5)

    def stop(self) -> None:
        self._over.set()
        self.join(150)

    def ask(self, kind: Kind) -> None:
        """Have this ordered next."""
        self._rare.append(kind)

    def _follow_sent(self) -> None:
        """What a node has lost is sent again: until then nothing after it is mined."""
        sender = self.world.senders["requester"]
        for lease in sender.book.open():
            sender.look(lease)

    def _forget_ended(self) -> None:
        for one in sorted(self._open):
            status = self.world.chain.task(one).status
            if status in (ChainTaskStatus.COMPLETED, ChainTaskStatus.FAILED):
                self._open.discard(one)

    def order(self, kind: Kind) -> None:
        world, salt = self.world, to_hex(os.urandom(32))
        chain, domain = world.chain, world.chain.deployment.domain
        pool, app, me = (world.wallets[name] for name in ("pool", "app", "requester"))
        volume, trust = world.random.choice(kind.volume), world.random.choice(kind.trust)
        category = world.categories[kind.short]
        data: Any = NO_DATASET
        if kind.dataset is not None:
            where = world.datasets[kind.dataset]
            data = app.sign_order(
                DatasetOrder(dataset=where, datasetprice=DATA_PRICE, volume=volume, salt=salt), domain
            )
        request = RequestOrder(
            app=world.app, appmaxprice=APP_PRICE, requester=me.address, workerpoolmaxprice=PRICE, volume=volume,
            category=category, trust=trust, beneficiary=me.address, salt=salt,
            callback=me.address if kind.callback else ZERO_ADDRESS, params=json.dumps({"iexec_args": kind.args}),
            **({"dataset": data.dataset, "datasetmaxprice": DATA_PRICE} if kind.dataset is not None else {}),
        )  # fmt: skip
        offer = WorkerpoolOrder(
            workerpool=world.pool, workerpoolprice=PRICE, trust=1000, category=category, volume=volume, salt=salt
        )
        orders = (
            app.sign_order(AppOrder(app=world.app, appprice=APP_PRICE, volume=volume, salt=salt), domain),
            data, pool.sign_order(offer, domain), me.sign_order(request, domain),
        )  # fmt: skip
        call = chain.hub.functions.matchOrders(*(order.as_tuple() for order in orders))
        receipt = world.senders["requester"].transact(call, timeout=8)
        deal = chain.deal(str(receipt.event("SchedulerNotice").args["dealid"]))
        made = set(deal.task_ids)
        self.ordered += volume
        self._open |= made
        self.tasks |= made


class LazyWorker(threading.Thread):
    """Declines a task, takes another and is silent, then contributes a made-up result that it never reveals.

    That to a task of trust 1: alone it has consensus, and the task must be opened again.
    """

    def __init__(self, world: World) -> None:
        super().__init__(name="lazy worker", daemon=True)
        place: Any = SimpleNamespace(chain=world.chain, url=world.url, address=world.pool, secrets=set())
        self._worker = ScriptedWorker(place, world.wallets["lazy"], "lazy")
        self._chain = world.chain
        self._over = threading.Event()
        self._acts = ["decline", "vanish", "contribute"]

    def run(self) -> None:
        while self._acts and not self._over.wait(0.5):
            try:
                self._once()
            except Exception:  # what it lives on is killed all the time
                self._worker.http.headers.pop("Authorization", None)

    def _once(self) -> None:
        worker = self._worker
        if "Authorization" not in worker.http.headers:
            worker.join()
        for one in worker.poll(wait=2):
            if one["type"] == "START" and self._acts:
                if self._acts[0] == "contribute" and self._chain.deal(one["data"]["deal_id"]).trust > 1:
                    self._act("decline", one["task_id"])
                else:
                    self._act(self._acts[0], one["task_id"])
                    self._acts.pop(0)

    def _act(self, act: str, task: str) -> None:
        if act == "decline":
            self._worker.verdict(task, "DECLINED")
        elif act == "vanish":
            self._worker.verdict(task, "STARTED")
            self._over.wait(LOST_SECONDS + 10)
        else:
            self._worker.verdict(task, "STARTED")
            self._worker.contribute(task, digest_of(b"what it made up"))

    def stop(self) -> None:
        self._over.set()
        if self.is_alive():
            self.join(60)


def wait_until(question: Any, seconds: float, every: float = 0.3) -> bool:
    """Whether it becomes true in time."""
    end = time.monotonic() + seconds
    while not question():
        if time.monotonic() > end:
            return False
        time.sleep(every)
    return True
