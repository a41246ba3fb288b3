"""Random steps of a market in any order, allowed or not, and what holds after each of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar

from brownie import chain, web3
from hypothesis import strategies as st

from poco.ids import deal_id, task_id
from tests.contracts.market import DIGEST, KITTY, OTHER_DIGEST, RLC, ZERO, Market

UNSET, ACTIVE, REVEALING, COMPLETED, FAILED = range(5)
PROVED = 2  # status of a contribution
STATUS = 1  # word of it in what viewTask answers
LATEST = 5  # tasks that steps deal with
FUNDS = 1_000 * RLC


class Economy:
    """A state machine for Brownie: each `rule_` is a step, its arguments are drawn from the strategies of that name.

    A worker is at fault once a task was paid in which it had a share that it did not prove.
    """

    pick = st.integers(0, 2**16 - 1)
    worker = st.integers(0, 4)
    crowd = st.permutations(range(5)) | st.lists(st.integers(0, 4), min_size=1, max_size=5, unique=True)
    liars = st.sets(st.sampled_from([0, 1, 2, 3, 4]), max_size=2)
    trust = st.sampled_from([1, 0, 2, 3, 4, 6])
    volume = st.integers(1, 3)
    dataset = sponsored = outward = st.booleans()
    price = st.sampled_from([0, 1, 33, 10 * RLC]) | st.integers(0, 30 * RLC)
    amount = st.integers(0, 100 * RLC)
    seconds = st.sampled_from([1, 60, 601, 700, 3_001])

    market: Market
    steps = sent = 0  # of all runs: rules, transactions
    taken: ClassVar[Counter[str]] = Counter()  # those that were not refused, by method
    encoded: ClassVar[dict[tuple[Any, ...], str]] = {}  # calldata of views, which takes long to make

    def __init__(cls, market: Market) -> None:  # noqa: N805 - Brownie calls it on the class
        cls.market = market

    def setup(self) -> None:
        self.deals: list[tuple[str, int]] = []
        self.tasks: list[str] = []
        self.known: dict[str, tuple[int, int]] = {}
        self.accepted: list[tuple[Any, tuple[Any, ...], Any]] = []
        self.digests: dict[tuple[str, int], str] = {}  # what a worker contributed to a task
        self.faulty: set[str] = set()
        self.moved_out = dict.fromkeys(map(str, self.market.workers), 0)
        market = self.market
        assert self.send(market.rlc.approve, market.hub, FUNDS, sender=market.admin)
        assert self.send(market.hub.deposit, FUNDS, sender=market.admin)
        self.total = int(market.rlc.balanceOf(market.hub))
        self.begun = False

    # steps

    def rule_match(self, volume: int, trust: int, dataset: bool, sponsored: bool, price: int) -> None:
        market = self.market
        orders = market.orders(volume=volume, trust=trust, dataset=dataset, workerpoolmaxprice=30 * RLC)
        orders[2] = market.pool_order(volume=volume, workerpoolprice=price)
        method = market.hub.sponsorMatchOrders if sponsored else market.hub.matchOrders
        if self.send(method, *(order.as_tuple() for order in orders), sender=market.admin, keep=True):
            self.deals.append((deal_id(orders[3].hash(market.domain), 0), volume))

    def rule_initialize(self, pick: int) -> None:
        if not self.deals:
            self.rule_match(2, 1, False, False, RLC)
        deal, volume = self.deals[-1 - pick % len(self.deals[-LATEST:])]
        started = sum(task_id(deal, index) in self.tasks for index in range(volume))
        index = started if pick % 8 else volume
        if self.send(self.market.hub.initialize, deal, index, sender=self.market.admin, keep=True):
            self.tasks.append(task_id(deal, index))

    def rule_contribute(self, pick: int, trust: int, crowd: Sequence[int], liars: set[int]) -> None:
        self.contribute(self.task(ACTIVE, pick) or self.started(trust), crowd, liars)

    def rule_reveal(self, pick: int, trust: int, crowd: Sequence[int]) -> None:
        self.reveal(self.task(REVEALING, pick) or self.agreed(trust), crowd)

    def rule_finalize(self, pick: int, trust: int, crowd: Sequence[int], seconds: int) -> None:
        """Of those who should some reveal; if not all do, time may pass."""
        task = self.task(REVEALING, pick) or self.agreed(trust)
        self.reveal(task, crowd)
        if pick % 2:
            self.rule_wait(seconds)
        if not self.send(self.market.hub.finalize, task, b"done", b"", sender=self.market.scheduler, keep=True):
            return
        contributors = self.market.hub.viewTask(task)["contributors"]
        views = self.ask([(self.market.hub.viewContribution, task, worker) for worker in contributors])
        self.faulty |= {str(worker) for worker, view in zip(contributors, views, strict=True) if view[0] != PROVED}

    def rule_fast(self, pick: int, worker: int) -> None:
        account, task = self.market.workers[worker], self.task(ACTIVE, pick) or self.started(1)
        args = (task, DIGEST, b"done", b"", ZERO, b"", self.market.authorization(account, task))
        self.send(self.market.hub.contributeAndFinalize, *args, sender=account, keep=True)

    def rule_reopen(self, pick: int, trust: int, seconds: int) -> None:
        task = self.task(REVEALING, pick) or self.agreed(trust)
        self.rule_wait(seconds)
        self.send(self.market.hub.reopen, task, sender=self.market.scheduler)

    def rule_claim(self, pick: int) -> None:
        status = ACTIVE if pick % 2 else REVEALING
        task = self.task(status, pick) or self.started(1)
        self.send(self.market.hub.claim, task, sender=self.market.admin, keep=True)

    def rule_wait(self, seconds: int) -> None:
        chain.sleep(seconds)
        chain.mine()

    def rule_move(self, worker: int, amount: int, outward: bool) -> None:
        market, account = self.market, self.market.workers[worker]
        if outward:
            moved = self.send(market.hub.withdraw, amount, sender=account)
            self.total -= amount if moved else 0
        else:
            moved = self.send(market.hub.transfer, market.requester, amount, sender=account)
        self.moved_out[str(account)] += amount if moved else 0

    def rule_replay(self, pick: int) -> None:
        """What was accepted once is refused when it comes again."""
        self.refuse_again(pick, None)

    def rule_borrow(self, pick: int, worker: int) -> None:
        """Another worker's contribution, with the authorization it got, is refused."""
        self.refuse_again(pick, self.market.workers[worker])

    # what holds

    def invariant_money(self) -> None:
        Economy.steps += self.begun  # it is looked at once before the first step
        self.begun = True
        self.check_money()

    def check_money(self) -> None:
        """The hub holds what was deposited and owes just that, what is locked stands in its own account, and a worker
        that proved each share it was paid for has no less than it brought.
        """
        if self.known:
            return  # nothing was taken since
        market, hub = self.market, self.market.hub
        self.known = owed = self.accounts()
        held, supply, own = (
            view[0] for view in self.ask([(market.rlc.balanceOf, hub), (hub.totalSupply,), (hub.balanceOf, hub)])
        )
        assert held == supply == self.total == sum(stake + locked for stake, locked in owed.values())
        assert own == sum(locked for _, locked in owed.values())
        for account, moved in self.moved_out.items():
            assert account in self.faulty or sum(owed[account]) >= FUNDS - moved

    def teardown(self) -> None:
        """Long after, every task can be ended by anybody; then only the kitty has anything locked."""
        hub, sender = self.market.hub, self.market.admin
        chain.sleep(40_000)
        chain.mine()
        tasks = [(deal, index) for deal, volume in self.deals for index in range(volume)]
        views = self.ask([(hub.viewTask, task_id(*task)) for task in tasks])
        status = dict(zip(tasks, (view[STATUS] for view in views), strict=True))
        unset = [task for task in tasks if status[task] == UNSET]
        left = [task_id(*task) for task in tasks if status[task] in (ACTIVE, REVEALING)]
        for start in range(0, len(left), 10):
            assert self.send(hub.claimArray, left[start : start + 10], sender=sender)
        for start in range(0, len(unset), 10):
            columns = [list(column) for column in zip(*unset[start : start + 10], strict=True)]
            assert self.send(hub.initializeAndClaimArray, *columns, sender=sender)
        self.check_money()
        assert all(locked == 0 for account, (_, locked) in self.accounts().items() if account != KITTY)

    # means

    def send(self, method: Any, *args: Any, sender: Any, keep: bool = False) -> bool:
        """Whether the chain took the transaction; `keep` it to try it again."""
        ask, data = web3.provider.make_request, method.encode_input(*args)
        request = {"to": method._address, "from": str(sender), "data": data, "gas": hex(9_000_000), "gasPrice": "0x0"}
        answer, receipt = ask("eth_sendTransaction", [request]), None
        Economy.sent += 1
        if "error" in answer:
            return False
        while receipt is None:  # Anvil answers before it has it
            receipt = ask("eth_getTransactionReceipt", [answer["result"]])["result"]
        if int(receipt["status"], 16) == 0:
            return False
        self.known = {}
        self.taken[method._name.rpartition(".")[2]] += 1
        if keep:
            self.accepted.append((method, args, sender))
        return True

    def refuse_again(self, pick: int, sender: Any) -> None:
        """Send something accepted again; by another sender only what is a worker's own."""
        chosen = [each for each in self.accepted if sender is None or self.is_own(each[0])]
        if not chosen:
            return
        method, args, first = chosen[pick % len(chosen)]
        before = self.accounts(), self.ask([(self.market.hub.viewTask, task) for task in self.tasks[-LATEST:]])
        assert not self.send(method, *args, sender=sender or first), f"{method._name} was taken again"
        after = self.accounts(), self.ask([(self.market.hub.viewTask, task) for task in self.tasks[-LATEST:]])
        assert before == after

    @staticmethod
    def is_own(method: Any) -> bool:
        return method._name.rpartition(".")[2] in ("contribute", "contributeAndFinalize")

    def task(self, status: int, pick: int) -> str | None:
        """One of the latest tasks in that status, now and then one in another; None where there is none."""
        latest = self.tasks[-LATEST:]
        views = self.ask([(self.market.hub.viewTask, task) for task in latest])
        stray = pick % 16 == 0
        fitting = [task for task, view in zip(latest, views, strict=True) if stray or view[STATUS] == status]
        return fitting[pick // 16 % len(fitting)] if fitting else None

    def started(self, trust: int) -> str:
        """A new task."""
        self.rule_match(1, trust, False, False, 10 * RLC)
        deal, _ = self.deals[-1]
        if self.send(self.market.hub.initialize, deal, 0, sender=self.market.admin, keep=True):
            self.tasks.append(task_id(deal, 0))
        return task_id(deal, 0)

    def agreed(self, trust: int) -> str:
        """A new task on which the workers agree."""
        task = self.started(trust)
        self.contribute(task, range(5), set())
        return task

    def contribute(self, task: str, crowd: Sequence[int], liars: set[int]) -> None:
        for i in crowd:
            worker, digest = self.market.workers[i], OTHER_DIGEST if i in liars else DIGEST
            args = self.market.contribution(worker, task, digest)
            if self.send(self.market.hub.contribute, *args, sender=worker, keep=True):
                self.digests[task, i] = digest

    def reveal(self, task: str, crowd: Sequence[int]) -> None:
        for i in crowd:
            digest = self.digests.get((task, i), DIGEST)
            self.send(self.market.hub.reveal, task, digest, sender=self.market.workers[i], keep=True)

    def accounts(self) -> dict[str, tuple[int, int]]:
        """(stake, locked) of everybody who can have any."""
        market = self.market
        parties = (market.admin, market.requester, market.scheduler, market.app_owner, market.dataset_owner)
        names = [str(account) for account in (*parties, *market.workers, KITTY)]
        views = self.ask([(market.hub.viewAccount, name) for name in names])
        return {name: (view[0], view[1]) for name, view in zip(names, views, strict=True)}

    def ask(self, calls: Sequence[tuple[Any, ...]]) -> list[list[int]]:
        """Answers of many views in one request, word by word."""
        requests = []
        for method, *args in calls:
            key = (method.signature, *map(str, args))
            if key not in self.encoded:
                self.encoded[key] = method.encode_input(*args)
            requests.append(("eth_call", [{"to": method._address, "data": self.encoded[key]}, "latest"]))
        replies = web3.provider.make_batch_request(requests) if requests else []
        answers = (reply["result"].removeprefix("0x") for reply in replies)
        return [[int(answer[i : i + 64], 16) for i in range(0, len(answer), 64)] for answer in answers]
