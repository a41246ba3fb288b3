"""Random, mostly sensible steps of a marketplace, taken on both sides of a twin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from chain.wallet import Wallet
from ops.real_poco import published_abi
from poco.hexes import ZERO_ADDRESS, ZERO_BYTES32, keccak, to_bytes, to_hex
from poco.ids import authorization_hash, deal_id, result_hash, result_seal, task_id
from poco.orders import NO_DATASET, AppOrder, DatasetOrder, Order, RequestOrder, WorkerpoolOrder
from tests.contracts.differential.twin import Query, Side, Twin

RLC = 10**9
DATA = b"callback data"
DIGESTS = (to_hex(keccak(DATA)), "0x" + "d2" * 32, "0x" + "d3" * 32)
TEE = "0x" + "00" * 31 + "01"
GPU = "0x" + "00" * 30 + "0100"
ANY = "0x" + "ff" * 32
HUGE = 10**19
KITTY = "0x99c2268479b93fDe36232351229815DF80837e23"
#: words of what viewTask answers
STATUS, CONTRIBUTION, REVEAL, FINAL = 1, 5, 6, 7
KINDS = ("app", "dataset", "workerpool", "request")
MANAGERS = ("manageAppOrder", "manageDatasetOrder", "manageWorkerpoolOrder", "manageRequestOrder")


@dataclass
class Deal:
    """A deal: its orders and id on each side, and the tasks that were started."""

    name: str
    ids: tuple[str, str]
    first: int
    volume: int
    tag: str
    callback: bool
    pool: int


@dataclass
class Task:
    name: str
    ids: tuple[str, str]
    deal: Deal
    contributors: list[Wallet] = field(default_factory=list)


class Trader:
    """Chooses the steps; the twin compares."""

    RULES = (
        ("match", 5),
        ("match_again", 1),
        ("manage", 1),
        ("initialize", 5),
        ("contribute", 14),
        ("reveal", 9),
        ("finalize", 6),
        ("fast", 4),
        ("reopen", 2),
        ("claim", 2),
        ("claim_unstarted", 1),
        ("wait", 3),
        ("money", 3),
        ("policy", 1),
    )

    def __init__(self, twin: Twin, random: Random) -> None:
        self.twin = twin
        self.random = random
        self.admin, self.requester, self.app_owner, self.dataset_owner, *rest = twin.wallets
        self.schedulers, self.workers = rest[:2], rest[2:]
        self.apps = self._create("app_registry", "createApp", self.app_owner, "a", "DOCKER", b"x", b"\x01" * 32, b"")
        self.datasets = self._create("dataset_registry", "createDataset", self.dataset_owner, "d", b"y", b"\x02" * 32)
        pools = [self._create("workerpool_registry", "createWorkerpool", s, "pool") for s in self.schedulers]
        self.pools = [[pool[side] for pool in pools] for side in (0, 1)]
        for wallet in (self.requester, *self.schedulers, *self.workers):
            self._fund(wallet, self.random.choice([50, 200, 1_000]) * RLC)
        self.orders: list[list[list[Order]]] = []
        self.deals: list[Deal] = []
        self.tasks: list[Task] = []
        self.salts = 0
        self.hubs = (twin.ours.hub.address, twin.original.hub.address)

    def run(self, steps: int) -> None:
        """Take that many steps and compare the state after each."""
        names = [name for name, weight in self.RULES for _ in range(weight)]
        goal = self.twin.steps + steps
        while self.twin.steps < goal:
            rule: Callable[[], None] = getattr(self, self.random.choice(names))
            rule()
            self.compare()

    def compare(self) -> None:
        """Balances, locks and scores of everybody, and the latest tasks with their contributions."""
        query = self.twin.query
        holders = [wallet.address for wallet in self.twin.wallets]
        queries = [query("viewAccount", each) for each in (*holders, KITTY, self.hubs)]
        queries += [query("viewScore", each) for each in holders] + [query("totalSupply")]
        for task in self.tasks[-3:]:
            queries += [query("viewTask", task.ids), query("resultFor", task.ids)]
            queries += [query("viewContribution", task.ids, worker.address) for worker in self.workers]
        self.twin.same(queries)

    # orders and deals

    def match(self) -> None:
        pick = self.random.choice
        volume, pool, category = pick([1, 1, 2, 3]), pick([0, 1]), pick([0, 0, 0, 0, 1, 1, 2])
        dataset, callback = self.random.random() < 0.4, self.random.random() < 0.15
        trust = pick([0, 1, 1, 2, 3, 4, 5, self.random.randint(0, 20)])
        app_tag, request_tag = pick([ZERO_BYTES32] * 4 + [TEE, GPU]), pick([ZERO_BYTES32] * 6 + [TEE, GPU])
        values: dict[str, dict[str, Any]] = {
            "app": {"appprice": self._price(), "volume": volume + pick([0, 0, 1]), "tag": app_tag},
            "dataset": {"datasetprice": self._price(), "volume": volume + pick([0, 0, 2])},
            "workerpool": {
                "workerpoolprice": self._price(),
                "volume": volume + pick([0, 0, 3]),
                "category": category if self.random.random() < 0.97 else 0,
                "trust": pick([20, 20, 20, trust, 1]),
                "tag": pick([ANY, ANY, ANY, ZERO_BYTES32]),
            },
            "request": {
                "appmaxprice": HUGE,
                "datasetmaxprice": HUGE,
                "workerpoolmaxprice": pick([HUGE, HUGE, HUGE, 4 * RLC]),
                "requester": self.requester.address,
                "volume": volume,
                "tag": request_tag,
                "category": category,
                "trust": trust,
                "beneficiary": pick([self.requester.address, self.workers[0].address, ZERO_ADDRESS]),
                "callback": self.workers[-1].address if callback else ZERO_ADDRESS,
                "params": pick(["", "{}", "x" * 31, "x" * 32, "x" * 200]),
            },
        }
        restricted = pick([None] * 6 + list(KINDS))
        signer = {"app": self.app_owner, "dataset": self.dataset_owner, "request": self.requester}
        signer["workerpool"] = self.schedulers[pool]
        if self.random.random() < 0.04:
            signer[pick(KINDS)] = self.workers[0]
        allowed = pick([self.requester.address, self.workers[1].address])
        self.salts += 1
        both = []
        for side, own in enumerate(self.twin.sides):
            resources: dict[str, Any] = {
                "app": {"app": self.apps[side]},
                "dataset": {"dataset": self.datasets[side]},
                "workerpool": {"workerpool": self.pools[side][pool]},
                "request": {"app": self.apps[side], "dataset": self.datasets[side] if dataset else ZERO_ADDRESS},
            }
            if restricted in ("app", "dataset", "workerpool"):
                resources[restricted]["requesterrestrict"] = allowed
            elif restricted == "request":
                resources["request"]["workerpool"] = self.pools[side][0]
            made: list[Order] = []
            for kind, order in zip(KINDS, (AppOrder, DatasetOrder, WorkerpoolOrder, RequestOrder), strict=True):
                if kind == "dataset" and not dataset:
                    made.append(NO_DATASET)
                    continue
                salt = "0x" + self.salts.to_bytes(32, "big").hex()
                fresh = order(**values[kind], **resources[kind], salt=salt)
                own.name(fresh.hash(own.domain), f"{kind} order {self.salts}")
                made.append(signer[kind].sign_order(fresh, own.domain))
            both.append(made)
        self.orders.append(both)
        self._send_match(both, sponsored=self.random.random() < 0.25)

    def match_again(self) -> None:
        """Orders of an earlier try, perhaps mixed with those of another."""
        if self.orders:
            first, second = self.random.choice(self.orders[-8:]), self.random.choice(self.orders[-8:])
            mixed = [[*one[:2], *two[2:]] for one, two in zip(first, second, strict=True)]
            self._send_match(mixed if self.random.random() < 0.5 else first, sponsored=False)

    def _send_match(self, both: list[list[Order]], *, sponsored: bool) -> None:
        name = "sponsorMatchOrders" if sponsored else "matchOrders"
        sender = self.random.choice([self.requester, *self.workers]) if sponsored else self.admin
        hashes = self._hashes(both, 3)
        before = int(self._of("viewConsumed", hashes)[0], 16)
        ids = (deal_id(hashes[0], before), deal_id(hashes[1], before))
        label = f"deal {len(self.deals)}"
        for own, each in zip(self.twin.sides, ids, strict=True):
            own.name(each, label)
        calls = [
            own.hub.functions[name](*(order.as_tuple() for order in orders))
            for orders, own in zip(both, self.twin.sides, strict=True)
        ]
        volumes = [
            own.hub.functions.computeDealVolume(*(order.as_tuple() for order in orders))._encode_transaction_data()
            for orders, own in zip(both, self.twin.sides, strict=True)
        ]
        self.twin.same([Query("computeDealVolume", volumes)])
        if not self.twin.step(name, calls, sender):
            return
        self.twin.same([self.twin.query("viewConsumed", self._hashes(both, i)) for i in range(4)])
        self._of("viewDeal", ids)
        view = self.twin.ours.hub.functions.viewDeal(to_bytes(ids[0])).call()
        tag, callback, first, volume = view[5], view[8] != ZERO_ADDRESS, view[11], view[12]
        self.deals.append(Deal(label, ids, first, volume, to_hex(tag), callback, self.pools[0].index(view[2][0])))

    def manage(self) -> None:
        """Sign or close an order on chain, by its owner or by somebody else."""
        if not self.orders:
            return
        both, index = self.random.choice(self.orders[-5:]), self.random.randrange(4)
        if both[0][index] is NO_DATASET:
            return
        owners = (self.app_owner, self.dataset_owner, self.random.choice(self.schedulers), self.requester)
        sender = owners[index] if self.random.random() < 0.8 else self.workers[0]
        operation = self.random.choice([0, 0, 1])
        unsigned = b"\x00" * 65
        calls = [
            own.hub.functions[MANAGERS[index]]((orders[index].as_tuple(), operation, unsigned))
            for orders, own in zip(both, self.twin.sides, strict=True)
        ]
        self.twin.step(MANAGERS[index], calls, sender)
        each = self._hashes(both, index)
        self._of("viewPresigned", each)
        self._of("viewConsumed", each)
        if operation == 0:
            unsigned_orders = [[replace(o, sign="0x") if i == index else o for i, o in enumerate(e)] for e in both]
            self.orders.append(unsigned_orders)

    # tasks

    def initialize(self) -> None:
        if not self.deals:
            return
        deal = self.random.choice(self.deals[-4:])
        started = {task.name for task in self.tasks}
        fresh = [i for i in range(deal.first, deal.first + deal.volume) if f"{deal.name}.{i}" not in started]
        odd = self.random.randint(deal.first, deal.first + deal.volume)
        if not fresh and self.random.random() < 0.9:
            return
        index = fresh[0] if fresh and self.random.random() < 0.95 else odd
        task = self._task(deal, index)
        calls = [
            own.hub.functions.initialize(to_bytes(each), index)
            for own, each in zip(self.twin.sides, deal.ids, strict=True)
        ]
        if self.twin.step("initialize", calls, self.random.choice(self.workers)):
            self.tasks.append(task)

    def contribute(self) -> None:
        task = self._pick(1, CONTRIBUTION)
        if task is None:
            return
        worker, digest = self.random.choice(self.workers), self.random.choice((DIGESTS[0],) * 4 + DIGESTS)
        enclave = self.random.choice(self.workers) if int(task.deal.tag, 16) & 1 else None
        if self.random.random() < 0.05:
            enclave = None if enclave else self.random.choice(self.workers)
        signer = self.schedulers[task.deal.pool] if self.random.random() < 0.96 else self.requester
        calls = []
        for own, each in zip(self.twin.sides, task.ids, strict=True):
            hashed, seal = result_hash(each, digest), result_seal(worker.address, each, digest)
            own.name(hashed, f"hash of {digest} in {task.name}")
            own.name(seal, f"seal of {worker.address} on {digest} in {task.name}")
            signatures = self._signatures(each, worker, enclave, signer, hashed + seal[2:])
            calls.append(own.hub.functions.contribute(to_bytes(each), to_bytes(hashed), to_bytes(seal), *signatures))
        if self.twin.step("contribute", calls, worker):
            task.contributors.append(worker)

    def fast(self) -> None:
        task = self._pick(1, CONTRIBUTION)
        if task is None:
            return
        if task.contributors and self.random.random() < 0.9:
            return
        worker, digest = self.random.choice(self.workers), DIGESTS[0]
        data = DATA if task.deal.callback or self.random.random() < 0.1 else b""
        enclave = self.random.choice(self.workers) if int(task.deal.tag, 16) & 1 else None
        calls = []
        for own, each in zip(self.twin.sides, task.ids, strict=True):
            hashed, seal = result_hash(each, digest), result_seal(worker.address, each, digest)
            own.name(hashed, f"hash of {digest} in {task.name}")
            own.name(seal, f"seal of {worker.address} on {digest} in {task.name}")
            signatures = self._signatures(each, worker, enclave, self.schedulers[task.deal.pool], hashed + seal[2:])
            method = own.hub.functions.contributeAndFinalize
            calls.append(method(to_bytes(each), to_bytes(digest), b"done", data, *signatures))
        self.twin.step("contributeAndFinalize", calls, worker)

    def reveal(self) -> None:
        task = self._pick(2, REVEAL)
        if task is None:
            return
        worker = self.random.choice(task.contributors or self.workers)
        digest = self.random.choice((DIGESTS[0],) * 6 + DIGESTS)
        self.twin.step("reveal", self._calls("reveal", task.ids, to_bytes(digest)), worker)

    def finalize(self) -> None:
        task = self._pick(2)
        if task is None:
            return
        results = self.random.choice([b"", b"done", b"x" * 31, b"x" * 32, b"x" * 150])
        data = DATA if task.deal.callback else self.random.choice([b"", b"", b"", DATA])
        sender = self.schedulers[task.deal.pool] if self.random.random() < 0.95 else self.requester
        self.twin.step("finalize", self._calls("finalize", task.ids, results, data), sender)

    def reopen(self) -> None:
        task = self._pick(2)
        if task is not None:
            if self.random.random() < 0.5:
                self.twin.wait(601)
            sender = self.schedulers[task.deal.pool] if self.random.random() < 0.95 else self.requester
            self.twin.step("reopen", self._calls("reopen", task.ids), sender)

    def claim(self) -> None:
        task = self._pick(self.random.choice([1, 2]))
        if task is not None and self.random.random() < 0.5:
            if self.random.random() < 0.5:
                self.twin.wait(3_001)
            if self.random.random() < 0.5:
                self.twin.step("claim", self._calls("claim", task.ids), self.random.choice(self.workers))
            else:
                latest = self.tasks[-2:]
                calls = [
                    own.hub.functions.claimArray([to_bytes(each.ids[side]) for each in latest])
                    for side, own in enumerate(self.twin.sides)
                ]
                self.twin.step("claimArray", calls, self.admin)

    def claim_unstarted(self) -> None:
        if self.deals:
            deal = self.random.choice(self.deals[-3:])
            indexes = list(range(deal.first, deal.first + deal.volume))
            if self.random.random() < 0.5:
                self.twin.wait(3_001)
            calls = [
                own.hub.functions.initializeAndClaimArray([to_bytes(each)] * len(indexes), indexes)
                for own, each in zip(self.twin.sides, deal.ids, strict=True)
            ]
            tasks = [self._task(deal, index) for index in indexes]
            if self.twin.step("initializeAndClaimArray", calls, self.admin):
                self.tasks += tasks

    def wait(self) -> None:
        self.twin.wait(self.random.choice([1, 60, 300, 300, 599, 601, 2_100]))

    # money and policy

    def money(self) -> None:
        worker, other = self.random.sample([self.requester, *self.schedulers, *self.workers], 2)
        amount = self.random.choice([0, 1, self.random.randint(0, 60 * RLC), HUGE])
        name, arguments = self.random.choice(
            [
                ("transfer", (other.address, amount)),
                ("withdraw", (amount,)),
                ("withdrawTo", (amount, other.address)),
                ("approve", (other.address, amount)),
                ("transferFrom", (other.address, worker.address, amount)),
                ("increaseAllowance", (other.address, amount)),
                ("decreaseAllowance", (other.address, amount)),
                ("deposit", (amount,)),
            ]
        )
        self.twin.step(name, [side.hub.functions[name](*arguments) for side in self.twin.sides], worker)
        self.twin.same([self.twin.query("allowance", worker.address, other.address)])
        if self.random.random() < 0.3:
            self._fund(self.random.choice([self.requester, *self.schedulers]), 100 * RLC)

    def policy(self) -> None:
        pool = self.random.choice([0, 1])
        ratios = self.random.choice([0, 10, 30, 100, 150]), self.random.choice([0, 1, 50, 100, 101])
        sender = self.schedulers[pool] if self.random.random() < 0.9 else self.workers[0]
        contracts = [
            self.twin.web3.eth.contract(address=self.pools[side][pool], abi=published_abi("Workerpool"))
            for side in (0, 1)
        ]
        self.twin.step("changePolicy", [each.functions.changePolicy(*ratios) for each in contracts], sender)

    # helpers

    def _price(self) -> int:
        return self.random.choice(
            [0, 1, 33, RLC, RLC, self.random.randint(0, 9 * RLC), self.random.randint(0, 9 * RLC)]
        )

    def _task(self, deal: Deal, index: int) -> Task:
        ids = (task_id(deal.ids[0], index), task_id(deal.ids[1], index))
        task = Task(f"{deal.name}.{index}", ids, deal)
        for own, each in zip(self.twin.sides, task.ids, strict=True):
            own.name(each, f"task {task.name}")
        return task

    def _pick(self, status: int, deadline: int = FINAL) -> Task | None:
        """One of the latest tasks, most often one in that status and before that deadline; None for nothing to do."""
        latest = self.tasks[-8:]
        views = self.twin.same([self.twin.query("viewTask", task.ids) for task in latest])
        now = self.twin.now()
        fitting = [
            task
            for task, view in zip(latest, views, strict=True)
            if int(view[STATUS], 16) == status and int(view[deadline], 16) > now
        ]
        if fitting and self.random.random() < 0.95:
            return self.random.choice(fitting)
        return self.random.choice(latest) if latest and self.random.random() < 0.1 else None

    def _signatures(
        self, task: str, worker: Wallet, enclave: Wallet | None, signer: Wallet, commitment: str
    ) -> tuple[str, bytes, bytes]:
        address = enclave.address if enclave else ZERO_ADDRESS
        of_enclave = to_bytes(enclave.sign_message(to_hex(keccak(to_bytes(commitment))))) if enclave else b""
        return address, of_enclave, to_bytes(signer.sign_message(authorization_hash(worker.address, task, address)))

    def _hashes(self, both: list[list[Order]], index: int) -> tuple[str, str]:
        """Hash of an order on each side; zero for a dataset order that is not there."""
        ours, original = (
            ZERO_BYTES32 if orders[index] is NO_DATASET else orders[index].hash(own.domain)
            for orders, own in zip(both, self.twin.sides, strict=True)
        )
        return ours, original

    def _calls(self, name: str, ids: tuple[str, str], *arguments: Any) -> list[Any]:
        return [
            own.hub.functions[name](to_bytes(each), *arguments) for own, each in zip(self.twin.sides, ids, strict=True)
        ]

    def _of(self, name: str, ids: tuple[str, str]) -> tuple[str, ...]:
        return self.twin.same([self.twin.query(name, ids)])[0]

    def _create(self, registry: str, method: str, *arguments: Any) -> list[str]:
        owner, *rest = arguments
        made = []
        calls = []
        for own in self.twin.sides:
            call = getattr(own.poco, registry).functions[method](owner.address, *rest)
            made.append(str(call.call()))
            own.name(made[-1], f"{method} of {owner.address}")
            calls.append(call)
        assert self.twin.step(method, calls, self.admin)
        return made

    def _fund(self, wallet: Wallet, amount: int) -> None:
        both: list[Side] = list(self.twin.sides)
        self.twin.step("approve", [s.poco.rlc.functions.approve(s.hub.address, amount) for s in both], self.admin)
        self.twin.step("depositFor", [s.hub.functions.depositFor(amount, wallet.address) for s in both], self.admin)
