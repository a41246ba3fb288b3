"""Before money moves: what the deal will cost, and every reason why it would be refused or fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from chain.client import Chain
from chain.energy import EnergyLedger
from oci import registry
from oci.platform import Platform
from oci.platform import parse as parse_platform
from poco import params
from poco.amounts import show
from poco.consensus import Tally, stake, weight, would_agree
from poco.errors import BadInputError, PewError
from poco.hexes import ZERO_BYTES32, address, to_bytes
from poco.orders import AppOrder, DatasetOrder, Order, RequestOrder, WorkerpoolOrder
from poco.tags import GREEN, asks
from sdk.orders import Problem, mismatches, signed_by
from sdk.service import Service, ServiceError

#: Per cent of the pool's price that its owner locks for every task (WORKERPOOL_STAKE_RATIO of the hub).
POOL_STAKE_RATIO = 30
IMAGE_SECONDS = 10.0
#: More scores than this are not asked for: no trust that can be asked for needs more workers.
MAX_SCORES = 100
GONE = frozenset({"LOST", "DRAINING"})


@dataclass(frozen=True, slots=True)
class Orders:
    """The orders of one match; the request may still be unsigned."""

    app: AppOrder
    pool: WorkerpoolOrder
    request: RequestOrder
    dataset: DatasetOrder | None = None


@dataclass(frozen=True, slots=True)
class Cost:
    """nRLC for one task, and the number of tasks."""

    app: int
    dataset: int
    pool: int
    volume: int

    @property
    def total(self) -> int:
        """What is locked in the requester's escrow at the match."""
        return (self.app + self.dataset + self.pool) * self.volume

    @property
    def pool_stake(self) -> int:
        """What is locked in the pool owner's escrow at the match."""
        return stake(self.pool, POOL_STAKE_RATIO) * self.volume

    def as_json(self) -> dict[str, int]:
        return {
            "app_nrlc": self.app,
            "dataset_nrlc": self.dataset,
            "pool_nrlc": self.pool,
            "volume": self.volume,
            "total_nrlc": self.total,
        }


@dataclass(frozen=True, slots=True)
class Preflight:
    """The outcome: the cost, what the requester has for it, problems, and what could not be checked."""

    cost: Cost
    escrow: int
    problems: tuple[Problem, ...]
    unknown: tuple[str, ...]

    def require(self) -> None:
        """BadInputError naming all problems; nothing where there are none."""
        if not self.problems:
            return
        hints = dict.fromkeys(problem.hint for problem in self.problems if problem.hint)
        raise BadInputError(
            "; ".join(problem.what for problem in self.problems), hint="; ".join(hints), code="PREFLIGHT_FAILED"
        )


def volume_left(chain: Chain, order: Any) -> int:
    """How many times an order can still be used."""
    return max(int(order.volume) - chain.consumed(order.hash(chain.deployment.domain)), 0)


def check(chain: Chain, orders: Orders, service: Service | None, *, timeout: float = IMAGE_SECONDS) -> Preflight:
    """Check a match against chain, registry and pool, changing nothing.

    Args:
        chain: the hub.
        orders: what would be matched.
        service: the pool's scheduler, asked for its workers; None: their number and architectures stay unknown.
        timeout: seconds for the image's registry.
    """
    lots = [order for order in (orders.app, orders.pool, orders.dataset) if order is not None]
    left = [volume_left(chain, order) for order in lots]
    volume = min([orders.request.volume, *left])
    cost = Cost(
        orders.app.appprice,
        orders.dataset.datasetprice if orders.dataset else 0,
        orders.pool.workerpoolprice,
        max(volume, 1),
    )
    escrow = chain.account(orders.request.requester).stake
    problems = [
        *_params_problems(orders.request.params, orders.request.trust),
        *mismatches(orders.app, orders.dataset, orders.pool, orders.request),
        *_volume_problems(lots, left, orders.request.volume),
        *_party_problems(chain, orders),
        *_fund_problems(chain, orders, cost, escrow),
    ]
    run_problems, unknown = _run_problems(chain, orders, service, timeout)
    return Preflight(cost, escrow, (*problems, *run_problems), tuple(unknown))


def _params_problems(text: str, trust: int) -> Iterator[Problem]:
    try:
        params.parse(text, trust)
    except BadInputError as error:
        yield Problem(error.message, error.hint)


def _volume_problems(orders: Sequence[Order], left: Sequence[int], wanted: int) -> Iterator[Problem]:
    for order, remaining in zip(orders, left, strict=True):
        if remaining < wanted:
            yield Problem(
                f"the {order.NAME} has {remaining} of {wanted} tasks left", "take another order, or ask for fewer tasks"
            )


def _party_problems(chain: Chain, orders: Orders) -> Iterator[Problem]:
    """Resources must be registered and their orders signed by their owners."""
    parties: list[tuple[str, Order, Callable[[], str]]] = [
        ("app", orders.app, lambda: chain.app(orders.app.app).owner),
        ("pool", orders.pool, lambda: chain.workerpool(orders.pool.workerpool).owner),
    ]
    if data := orders.dataset:
        parties.append(("dataset", data, lambda: chain.dataset(data.dataset).owner))
    for name, order, owner_of in parties:
        try:
            owner = owner_of()
        except BadInputError as error:
            yield Problem(error.message, error.hint)
            continue
        if not signed_by(order, owner, chain.deployment.domain) and not _valid_on_chain(chain, order, owner):
            yield Problem(
                f"the {name}'s order is not signed by its owner {owner}",
                "ask the owner for an order signed for this chain and hub",
            )
    request = orders.request
    if request.sign != "0x" and not signed_by(request, request.requester, chain.deployment.domain):
        yield Problem("the request is not signed by its requester", "sign it with the requester's wallet")
    try:
        chain.category(request.category)
    except BadInputError as error:
        yield Problem(error.message, error.hint)


def _valid_on_chain(chain: Chain, order: Order, owner: str) -> bool:
    """A contract's signature (ERC-1271): only the hub can tell."""
    question = chain.hub.functions.verifySignature(
        owner, to_bytes(order.hash(chain.deployment.domain), 32), to_bytes(order.sign)
    )
    try:
        return bool(chain.ask(question.call))
    except PewError:
        raise
    except Exception:  # the hub reverts for what is no signature
        return False


def _fund_problems(chain: Chain, orders: Orders, cost: Cost, escrow: int) -> Iterator[Problem]:
    if escrow < cost.total:
        yield Problem(
            f"the requester {orders.request.requester} has {show(escrow)} in the escrow, {show(cost.total)} are needed",
            f"deposit at least {show(cost.total - escrow)}: pew account deposit {show(cost.total - escrow)!r}",
        )
    if cost.pool_stake:
        try:
            owner = chain.workerpool(orders.pool.workerpool).owner
        except BadInputError:
            return  # said by _party_problems
        free = chain.account(owner).stake
        if free < cost.pool_stake:
            yield Problem(
                f"the pool's owner {owner} has {show(free)} in the escrow and must lock {show(cost.pool_stake)}",
                "take another pool, or ask its owner to deposit",
            )


def _run_problems(
    chain: Chain, orders: Orders, service: Service | None, timeout: float
) -> tuple[list[Problem], list[str]]:
    """Whether image and pool fit: the image exists as registered, and enough workers can run it."""
    try:
        app = chain.app(orders.app.app)
    except BadInputError:
        return [], []  # said by _party_problems
    if app.kind != "DOCKER":
        return [Problem(f"the app's type is {app.kind!r}", "only DOCKER apps can be run")], []
    try:
        offered = _image_platforms(app.multiaddr, app.checksum, timeout)
    except PewError as error:
        return [Problem(error.message, error.hint)], []
    if service is None:
        return [], ["the pool's workers: no scheduler was named"]
    try:
        machines = machines_of(service)
    except ServiceError as error:
        return [], [f"the pool's workers: {error.message}"]
    able = [m.wallet for m in machines if any(mine.runs(theirs) for mine in m.platforms for theirs in offered)]
    if not able and machines:
        there = ", ".join(sorted({str(platform) for machine in machines for platform in machine.platforms}))
        has = ", ".join(map(str, offered))
        hint = "build and push it for the pool's architectures too (pew dapp push), or take another pool"
        return [Problem(f"the image is for {has}; the pool's workers are {there}", hint)], []
    can = "can run this image"
    if asks(orders.request.tag, GREEN):
        can += " and are net positive"
        if chain.deployment.energy_ledger is None:
            return [Problem("this network has no energy ledger: nobody can take a green task", "leave --green out")], []
        ledger = EnergyLedger(chain)
        able = [wallet for wallet in able[:MAX_SCORES] if ledger.is_green(wallet, orders.pool.workerpool)]
    weights = [weight(chain.score(wallet)) for wallet in able[:MAX_SCORES]]
    if not would_agree(Tally(max(orders.request.trust, 1)), weights):
        what = f"trust {orders.request.trust} needs more workers than {can} in the pool ({len(able)})"
        return [Problem(what, "ask for less trust, or take a larger pool")], []
    return [], []


def _image_platforms(multiaddr: str, checksum: str, timeout: float) -> list[Platform]:
    """The platforms of the image as registered on chain (by its checksum where there is one)."""
    names = registry.platforms(multiaddr, timeout)
    if not names:
        raise BadInputError(f"{multiaddr} says for no platform that it is for it", hint="push it again with an index")
    registry.resolve(multiaddr, names[0], None if checksum == ZERO_BYTES32 else checksum, timeout)
    return [parse_platform(name) for name in names]


@dataclass(frozen=True, slots=True)
class Machine:
    """A worker that its pool counts on."""

    wallet: str
    platforms: tuple[Platform, ...]


def machines_of(service: Service) -> list[Machine]:
    """The workers of a pool that are not gone; those that are asleep count.

    Raises:
        ServiceError: no answer, or not one of a scheduler.
    """
    answer = service.get("/status")
    workers = answer.get("workers") if isinstance(answer, dict) else None
    if not isinstance(workers, list):
        raise ServiceError(f"{service.url}/status names no workers", hint="check that it is a scheduler")
    found = []
    for worker in workers:
        try:
            if worker["presence"] not in GONE:
                found.append(
                    Machine(address(worker["wallet"]), tuple(parse_platform(str(p)) for p in worker["platforms"]))
                )
        except (KeyError, TypeError, BadInputError):
            continue  # a worker that has not said what it is
    return found
