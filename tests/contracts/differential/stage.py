"""What every step of the comparison needs: the parties' state, and calls made to both sides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

from poco.hexes import ZERO_ADDRESS, ZERO_BYTES32, keccak, to_bytes
from poco.ids import task_id
from poco.orders import NO_DATASET, Order
from tests.contracts.differential.cast import RLC, Cast, Firm, Party
from tests.contracts.differential.twin import Pair, Twin

HUGE = 10**19
KITTY = "0x99c2268479b93fDe36232351229815DF80837e23"
UNSET, ACTIVE, REVEALING = range(3)
#: words of what viewTask answers
STATUS, CONTRIBUTION, REVEAL, FINAL, REVEALED, WINNERS = 1, 5, 6, 7, 9, 10
KINDS = ("app", "dataset", "workerpool", "request")
DATA = b"callback data"

Choice = TypeVar("Choice")


@dataclass
class Deal:
    """A deal: its id on each side, its tasks' indexes, and what the steps of its tasks depend on."""

    name: str
    ids: Pair
    first: int
    volume: int
    trust: int
    needs_enclave: bool
    #: nobody, an account or the receivers
    callback: str
    scheduler: Party


@dataclass
class Task:
    name: str
    ids: Pair
    deal: Deal
    #: who contributed which digest
    votes: dict[Party, str] = field(default_factory=dict)


class Stage:
    """State of one random market on both sides. `random` is that of the move under way."""

    def __init__(self, twin: Twin, cast: Cast, random: Random) -> None:
        self.twin = twin
        self.cast = cast
        self.random = random
        self.owners = dict(cast.owners)
        self.broker: Party | None = None
        self.orders: list[list[list[Order]]] = []
        self.deals: list[Deal] = []
        self.tasks: list[Task] = []
        self.salts = 0
        self.hubs: Pair = (twin.ours.hub.address, twin.original.hub.address)
        for party in (cast.requester, *cast.schedulers, *cast.workers):
            self.fund(party.address, self.pick([100, 1_000, 1_000]) * RLC)
        self.fund(cast.receiver, 5 * RLC)

    def pick(self, options: Sequence[Choice]) -> Choice:
        return self.random.choice(options)

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    # calls

    def send(self, label: str, calls: Sequence[Any], party: Party) -> bool:
        """A step of one of the parties."""
        if isinstance(party, Firm):
            execute = party.contract.functions.execute
            calls = [execute(call.address, to_bytes(call._encode_transaction_data())) for call in calls]
            return self.twin.step(f"{label} (through the firm)", calls, self.cast.admin.address)
        return self.twin.step(label, calls, party.address)

    def hub_step(self, name: str, party: Party, *arguments: Any) -> bool:
        """A step at the hub with the same arguments on both sides."""
        return self.send(name, [side.hub.functions[name](*arguments) for side in self.twin.sides], party)

    def task_step(self, name: str, party: Party, ids: Pair, *arguments: Any) -> bool:
        """A step at the hub about a task."""
        return self.send(name, self.task_calls(name, ids, *arguments), party)

    def task_calls(self, name: str, ids: Pair, *arguments: Any) -> list[Any]:
        return [
            side.hub.functions[name](to_bytes(each), *arguments)
            for side, each in zip(self.twin.sides, ids, strict=True)
        ]

    def view(self, name: str, ids: Pair) -> tuple[str, ...]:
        """A view of something that has another id on each side; the words of the answer."""
        return self.twin.same([self.twin.query(name, ids)])[0]

    def fund(self, account: str | Pair, amount: int) -> None:
        targets = account if isinstance(account, tuple) else (account, account)
        both = list(zip(self.twin.sides, targets, strict=True))
        admin = self.cast.admin
        self.send("approve", [s.poco.rlc.functions.approve(s.hub.address, amount) for s, _ in both], admin)
        self.send("depositFor", [s.hub.functions.depositFor(amount, target) for s, target in both], admin)

    def compare(self) -> None:
        """Balances, locks and scores of everybody, and the latest tasks with their contributions."""
        query = self.twin.query
        everybody = list(self.cast.parties)
        queries = [query("viewAccount", each) for each in (*everybody, KITTY, self.hubs, self.cast.receiver)]
        queries += [query("viewScore", each) for each in everybody] + [query("totalSupply")]
        for task in self.tasks[-3:]:
            queries += [query("viewTask", task.ids), query("resultFor", task.ids)]
            queries += [query("viewContribution", task.ids, worker.address) for worker in self.cast.workers]
        self.twin.same(queries)

    # signatures

    def hashes(self, both: list[list[Order]], index: int) -> Pair:
        """Hash of an order on each side; zero for a dataset order that is not there."""
        ours, original = (
            ZERO_BYTES32 if orders[index] is NO_DATASET else orders[index].hash(side.domain)
            for orders, side in zip(both, self.twin.sides, strict=True)
        )
        return ours, original

    def badly(self, signature: bytes) -> bytes:
        """A signature spoilt, or written in another way that is as good."""
        if len(signature) != 65:
            return self.random.randbytes(self.pick([0, 1, 65]))
        r, s, v = signature[:32], int.from_bytes(signature[32:64], "big"), signature[64]
        order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
        return self.pick(
            [
                r + (s | (v - 27) << 255).to_bytes(32, "big"),  # EIP-2098
                r + (order - s).to_bytes(32, "big") + bytes([55 - v]),  # high s
                signature[:64] + bytes([v - 27]),
                signature[:64] + bytes([55 - v]),
                signature + b"\x00",
                signature[:63],
                b"",
            ]
        )

    # deals and tasks

    def task_of(self, deal: Deal, index: int) -> Task:
        ids = (task_id(deal.ids[0], index), task_id(deal.ids[1], index))
        task = Task(f"{deal.name}.{index}", ids, deal)
        for side, each in zip(self.twin.sides, task.ids, strict=True):
            side.name(each, f"task {task.name}")
        return task

    def pick_task(
        self, status: int, deadline: int = FINAL, good: Callable[[Task, tuple[str, ...]], bool] | None = None
    ) -> Task | None:
        """One of the latest tasks, most often one in that status, before that deadline and `good` for what is meant.

        `good` is asked with a task and the words of its view. None: there is nothing to do.
        """
        latest = self.tasks[-8:]
        views = self.twin.same([self.twin.query("viewTask", task.ids) for task in latest])
        now = self.twin.now()
        fitting = [
            task
            for task, view in zip(latest, views, strict=True)
            if int(view[STATUS], 16) == status and int(view[deadline], 16) > now
            if good is None or self.chance(0.15) or good(task, view)
        ]
        if fitting and self.chance(0.95):
            return self.pick(fitting)
        return self.pick(latest) if latest and self.chance(0.05) else None

    def callback_of(self, address: str) -> str:
        """What `Deal.callback` says of the address in our deal."""
        if address == ZERO_ADDRESS:
            return "nobody"
        return "receiver" if address == self.cast.receiver[0] else "account"


def struct_digest(separator: bytes, *words: bytes) -> bytes:
    """What is signed of an EIP-712 struct of static members."""
    return keccak(b"\x19\x01", separator, keccak(*words))
