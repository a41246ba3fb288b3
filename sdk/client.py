"""The client: accounts, registrations, orders, deals, tasks and results for one wallet on one hub."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from chain.client import Chain
from chain.energy import EnergyLedger
from chain.model import Deal, Task
from chain.transactions import Receipt, Sender
from chain.wallet import Wallet
from oci.reference import digest_of_checksum
from oci.reference import parse as parse_reference
from poco.amounts import show
from poco.errors import BadInputError
from poco.hexes import ZERO_ADDRESS, ZERO_BYTES32, address, bytes32, to_bytes
from poco.orders import NO_DATASET, AppOrder, DatasetOrder, Order, RequestOrder, WorkerpoolOrder
from poco.params import DealParams
from poco.states import ChainTaskStatus
from poco.tags import GREEN, asks
from sdk import preflight, results
from sdk.orderbook import OrderBook, Published
from sdk.orders import new_salt
from sdk.preflight import Orders, Preflight
from sdk.quotes import Quote, quote
from sdk.results import Result
from sdk.service import Service, service_of
from sdk.tasklogs import TaskLogs
from sdk.watch import block_before

OrderT = TypeVar("OrderT", bound=Order)
MAX_NAME = 200


@dataclass(frozen=True, slots=True)
class Matched:
    """A deal that was made: its tasks, and the block from which its events are read."""

    deal_id: str
    task_ids: tuple[str, ...]
    block: int


@dataclass(frozen=True, slots=True)
class Wish:
    """What a requester wants done.

    `app`, `dataset` and `workerpool` are addresses (no dataset, any pool: None); prices are the most that is paid for
    one task, nRLC, None for what the cheapest order asks; `trust` is one in how many results may be wrong.
    """

    app: str
    params: DealParams = field(default_factory=DealParams)
    dataset: str | None = None
    workerpool: str | None = None
    category: int = 0
    trust: int = 1
    volume: int = 1
    tag: str = ZERO_BYTES32
    app_max: int | None = None
    dataset_max: int | None = None
    pool_max: int | None = None
    callback: str = ZERO_ADDRESS
    beneficiary: str | None = None


class Client:
    """One wallet on one hub, with a pool's scheduler where there is one.

    Args:
        chain: the hub.
        wallet: signs and pays; None for reading.
        scheduler_url: order book, workers and results of a pool; None: what needs it says so.
        approve: told what each transaction will cost before it is sent; what it raises keeps it from being sent.
    """

    def __init__(
        self,
        chain: Chain,
        wallet: Wallet | None = None,
        scheduler_url: str | None = None,
        *,
        approve: Callable[[Quote], None] | None = None,
    ) -> None:
        self.chain = chain
        self._approve = approve
        self._wallet = wallet
        self._service = Service(scheduler_url) if scheduler_url else None
        self._sender: Sender | None = None

    @property
    def wallet(self) -> Wallet:
        """BadInputError where there is none."""
        if self._wallet is None:
            raise BadInputError("this needs a wallet", hint="name one with --wallet, or make one: pew wallet new")
        return self._wallet

    @property
    def service(self) -> Service:
        """BadInputError where there is none."""
        return self._service or service_of(None)

    @property
    def optional_service(self) -> Service | None:
        """The scheduler's services, or None."""
        return self._service

    @property
    def book(self) -> OrderBook:
        """The order book of the scheduler."""
        return OrderBook(self.service, self.chain.deployment.domain)

    # accounts

    def deposit(self, nrlc: int) -> Receipt:
        """Move RLC from the wallet into the escrow (one transaction: approveAndCall)."""
        have = self.chain.rlc_balance(self.wallet.address)
        if not 0 < nrlc <= have:
            raise BadInputError(
                f"{self.wallet.address} holds {show(have)}, {show(nrlc)} cannot be deposited",
                hint="get RLC into this wallet first" if nrlc > have else "name an amount above 0",
            )
        return self._transact(self.chain.rlc.functions.approveAndCall(self.chain.deployment.hub, nrlc, b""))

    def withdraw(self, nrlc: int) -> Receipt:
        """Move free RLC from the escrow into the wallet."""
        free = self.chain.account(self.wallet.address).stake
        if not 0 < nrlc <= free:
            raise BadInputError(
                f"{self.wallet.address} has {show(free)} free in the escrow, {show(nrlc)} cannot be withdrawn",
                hint="what is locked is free again when its deals end" if nrlc > free else "name an amount above 0",
            )
        return self._transact(self.chain.hub.functions.withdraw(nrlc))

    # registrations: an entry's address follows from what it is, so that the same thing is registered once

    def register_app(self, name: str, multiaddr: str, checksum: str) -> str:
        """Register a Docker image, or find it where it is registered already; returns its address.

        Args:
            name: for people.
            multiaddr: `host[:port]/repository:tag`.
            checksum: digest of its index (`sha256:..` or `0x..`).
        """
        return self._register("App", "app_registry", self._app(name, multiaddr, checksum))

    def registered_app(self, name: str, multiaddr: str, checksum: str) -> tuple[str, Quote | None]:
        """This wallet's address of that image under that name; what the registration costs, None where it is done."""
        arguments = self._app(name, multiaddr, checksum)
        where, known = self._predict("App", "app_registry", arguments)
        registry = self.chain.contract("app_registry", self.chain.deployment.app_registry).functions
        return where, None if known else quote(self._sending(), registry.createApp(*arguments))

    def _app(self, name: str, multiaddr: str, checksum: str) -> tuple[Any, ...]:
        image = parse_reference(multiaddr)
        digest = digest_of_checksum(checksum)
        if image.digest or digest is None:
            raise BadInputError(
                f"an app is registered as host/repository:tag and a checksum, not as {multiaddr!r} and {checksum!r}",
                hint="use the tag and the digest that the push printed",
            )
        raw = bytes.fromhex(digest.removeprefix("sha256:"))
        return (self.wallet.address, _name(name), "DOCKER", multiaddr.encode(), raw, b"")

    def register_dataset(self, name: str, url: str, checksum: str) -> str:
        """Register data at a URL with its sha-256 (`0x..`), or find it; returns its address."""
        if not url.startswith(("http://", "https://", "/ipfs/")):
            raise BadInputError(f"'{url[:100]}' is no URL of a dataset", hint="http://, https:// or /ipfs/...")
        arguments = (self.wallet.address, _name(name), url.encode(), to_bytes(bytes32(checksum), 32))
        return self._register("Dataset", "dataset_registry", arguments)

    def register_pool(self, description: str) -> str:
        """Register a workerpool, or find it; returns its address."""
        return self._register("Workerpool", "workerpool_registry", (self.wallet.address, _name(description)))

    def change_policy(self, workerpool: str, worker_stake: int, scheduler_reward: int) -> Receipt:
        """Change a pool's terms for deals to come: per cent of the price that workers stake, of the reward it keeps."""
        if not (0 <= worker_stake < 2**32 and 0 <= scheduler_reward <= 100):
            raise BadInputError("these are no terms of a pool", hint="a stake of 0 % or more, a part of 0 to 100 %")
        owner = self.chain.workerpool(workerpool).owner
        if owner != self.wallet.address:
            raise BadInputError(f"{workerpool} belongs to {owner}", hint="use the owner's wallet")
        functions = self.chain.contract("workerpool", workerpool).functions
        return self._transact(functions.changePolicy(worker_stake, scheduler_reward))

    def declare_green(self, workerpool: str, days: int) -> Receipt:
        """Declare over how many days the workers of a pool must be net positive to take its green tasks."""
        return self._transact(EnergyLedger(self.chain).declare_window(workerpool, days))

    # orders

    def sign(self, order: OrderT) -> OrderT:
        """The order, with a salt of its own where it has none, signed by this wallet."""
        if getattr(order, "salt", ZERO_BYTES32) == ZERO_BYTES32:
            order = replace(order, salt=new_salt())  # type: ignore[type-var]
        return self.wallet.sign_order(order, self.chain.deployment.domain)

    def publish(self, order: Order) -> str:
        """Sign an order of a resource that this wallet owns, publish it in the scheduler's book; returns its hash."""
        owner = self._owner(order)
        if owner != self.wallet.address:
            raise BadInputError(
                f"{order.resource} belongs to {owner}, not to {self.wallet.address}",
                hint="publish with the owner's wallet",
            )
        return self.book.publish(self.sign(order), self.wallet)

    def best_orders(self, wish: Wish, own: AppOrder | None = None) -> Orders:
        """The cheapest orders of the book that fit a wish and have enough left.

        Args:
            wish: what is wanted.
            own: an order of the app at hand, which then is not sought in the book.

        Raises:
            BadInputError: there are none; it says of what.
        """
        me, dataset = self.wallet.address, wish.dataset or ZERO_ADDRESS
        limits = {"minVolume": wish.volume, "requester": me}
        pools = self.book.pools(
            wish.workerpool, app=wish.app, dataset=dataset, category=wish.category, minTrust=wish.trust, **limits
        )
        pool = self._first(
            [
                p
                for p in pools
                if p.order.category == wish.category and p.order.trust >= wish.trust and asks(p.order.tag, wish.tag)
            ],
            wish.volume,
            f"no pool offers {'green ' * asks(wish.tag, GREEN)}category {wish.category} with trust {wish.trust}",
        )
        apps = [] if own else self.book.apps(wish.app, dataset=dataset, workerpool=pool.workerpool, **limits)
        app = own or self._first(apps, wish.volume, f"nobody offers the app {wish.app}")
        data = None
        if wish.dataset is not None:
            datasets = self.book.datasets(wish.dataset, app=wish.app, workerpool=pool.workerpool, **limits)
            data = self._first(datasets, wish.volume, f"nobody offers the dataset {wish.dataset}")
        return Orders(app, pool, self.request(wish, app, pool, data), data)

    def request(
        self, wish: Wish, app: AppOrder, pool: WorkerpoolOrder, dataset: DatasetOrder | None = None
    ) -> RequestOrder:
        """The unsigned request that fits these orders, within the wish's limits."""
        me = self.wallet.address
        return RequestOrder(
            app=address(wish.app),
            appmaxprice=app.appprice if wish.app_max is None else wish.app_max,
            dataset=address(wish.dataset) if wish.dataset else ZERO_ADDRESS,
            datasetmaxprice=(dataset.datasetprice if dataset else 0) if wish.dataset_max is None else wish.dataset_max,
            workerpool=pool.workerpool,
            workerpoolmaxprice=pool.workerpoolprice if wish.pool_max is None else wish.pool_max,
            requester=me,
            volume=wish.volume,
            tag=wish.tag,
            category=wish.category,
            trust=wish.trust,
            beneficiary=wish.beneficiary or me,
            callback=wish.callback,
            params=wish.params.dumps(),
            salt=new_salt(),
        )

    def close(self, order: Order) -> Receipt:
        """Close an order on the hub: nobody can match what is left of it, whoever has a copy."""
        owner = self._owner(order)
        if owner != self.wallet.address:
            raise BadInputError(
                f"{order.resource} belongs to {owner}, not to {self.wallet.address}", hint="use the owner's wallet"
            )
        if preflight.volume_left(self.chain, order) == 0:
            raise BadInputError("nothing is left of this order", hint="it was used up or closed before")
        return self._transact(getattr(self.chain.hub.functions, f"manage{order.NAME}")((order.as_tuple(), 1, b"")))

    # deals

    def preflight(self, orders: Orders) -> Preflight:
        """What the match costs and all that speaks against it; nothing is sent."""
        return preflight.check(self.chain, orders, self._service)

    def signed(self, orders: Orders) -> Orders:
        """The same with the request signed by this wallet."""
        return orders if orders.request.sign != "0x" else replace(orders, request=self.sign(orders.request))

    def match(self, orders: Orders) -> Matched:
        """Sign the request and make the deal: locks the requester's and the pool's money."""
        receipt = self._transact(self._match(self.signed(orders)))
        return self.matched(str(receipt.event("OrdersMatched").args["dealid"]), receipt.block)

    def matched(self, deal_id: str, block: int | None = None) -> Matched:
        """A deal that exists: its tasks; `block` is where to start reading its events, sought where None."""
        deal = self.chain.deal(deal_id)
        return Matched(deal_id, deal.task_ids, block_before(self.chain, deal.start) if block is None else block)

    def quote_match(self, orders: Orders) -> Quote:
        """What the gas of the match will cost."""
        return quote(self._sending(), self._match(self.signed(orders)))

    def _match(self, orders: Orders) -> Any:
        parts = (orders.app, orders.dataset or NO_DATASET, orders.pool, orders.request)
        return self.chain.hub.functions.matchOrders(*(order.as_tuple() for order in parts))

    # tasks

    def deal_of(self, task: Task) -> Deal:
        """The deal of an initialized task."""
        if task.deal_id == ZERO_BYTES32:
            raise BadInputError(
                f"there is no task {task.id} (yet)", hint="check the id; a new task appears when the pool starts it"
            )
        return self.chain.deal(task.deal_id)

    def claim(self, task_id: str) -> Receipt:
        """Take the money of a task back that was not finished by its final deadline.

        The chain decides: it refuses before the deadline and for a finished task.
        """
        task = self.chain.task(task_id)
        if task.status is ChainTaskStatus.UNSET:
            raise BadInputError(
                f"task {task_id} was never started", hint="claim it by its deal: pew deal claim <deal> <index>"
            )
        return self._transact(self.chain.hub.functions.claim(to_bytes(task_id, 32)), preview=False)

    def claim_unstarted(self, deal_id: str, index: int) -> Receipt:
        """The same for a task that its pool never initialized."""
        call = self.chain.hub.functions.initializeAndClaimArray([to_bytes(deal_id, 32)], [index])
        return self._transact(call, preview=False)

    def download(self, task_id: str, folder: Path, *, unpack: bool = True) -> Result:
        """Fetch and verify a task's result into `folder` (see `sdk.results.download`)."""
        task = self.chain.task(bytes32(task_id))
        return results.download(self.service, task, self.deal_of(task), folder, unpack=unpack)

    def logs(self, task_id: str) -> TaskLogs:
        """What the programs of a task of this wallet write (see `sdk.tasklogs`)."""
        task = self.chain.task(bytes32(task_id))
        return TaskLogs(self.service, self.wallet, self.deal_of(task), task.id, self.chain.deployment.chain_id)

    def _transact(self, call: Any, *, preview: bool = True) -> Receipt:
        sender = self._sending()
        if self.chain.native_balance(self.wallet.address) == 0:
            raise BadInputError(
                f"{self.wallet.address} has no native coin to pay for gas", hint="send it some of the chain's own coin"
            )
        if self._approve is not None:
            if preview:
                sender.preview(call)
            self._approve(quote(sender, call))
        return sender.transact(call, preview=preview)

    def _sending(self) -> Sender:
        if self._sender is None:
            self._sender = Sender(self.chain, self.wallet)
        return self._sender

    def _register(self, kind: str, registry: str, arguments: tuple[Any, ...]) -> str:
        where, known = self._predict(kind, registry, arguments)
        if not known:
            functions = self.chain.contract(registry, getattr(self.chain.deployment, registry)).functions
            self._transact(getattr(functions, f"create{kind}")(*arguments))
        return where

    def _predict(self, kind: str, registry: str, arguments: tuple[Any, ...]) -> tuple[str, bool]:
        """The address that an entry has, and whether it is registered."""
        functions = self.chain.contract(registry, getattr(self.chain.deployment, registry)).functions
        where = address(self.chain.ask(getattr(functions, f"predict{kind}")(*arguments).call))
        return where, bool(self.chain.ask(functions.isRegistered(where).call))

    def _owner(self, order: Order) -> str:
        readers: dict[type[Order], Callable[[str], str]] = {
            AppOrder: lambda where: self.chain.app(where).owner,
            DatasetOrder: lambda where: self.chain.dataset(where).owner,
            WorkerpoolOrder: lambda where: self.chain.workerpool(where).owner,
            RequestOrder: lambda where: where,
        }
        return readers[type(order)](order.resource)

    def _first(self, found: list[Published[OrderT]], volume: int, none: str) -> OrderT:
        """The cheapest with enough left by the chain's count (the book's may be a moment old)."""
        for entry in found:
            if preflight.volume_left(self.chain, entry.order) >= volume:
                return entry.order
        what = f"{none} in the book at {self.service.url}" if not found else f"{none} for {volume} tasks"
        raise BadInputError(what, hint="pew order list shows what is offered; ask the owner to publish an order")


def _name(text: str) -> str:
    if not text.strip() or len(text) > MAX_NAME:
        raise BadInputError(f"a name has 1 to {MAX_NAME} characters", hint="shorten it")
    return text
