"""What the hub's views return, as values."""

from __future__ import annotations

from dataclasses import dataclass

from poco.deadlines import Deadlines, of_deal
from poco.hexes import ZERO_ADDRESS
from poco.ids import task_id
from poco.states import ChainTaskStatus, ContributionStatus


@dataclass(frozen=True, slots=True)
class Part:
    """An app, a dataset or a pool in a deal: its address, owner and price (nRLC a task)."""

    pointer: str
    owner: str
    price: int


@dataclass(frozen=True, slots=True)
class Deal:
    """A deal as matched. `start` in Unix seconds; stakes are per task, ratios in per cent."""

    id: str
    app: Part
    dataset: Part
    workerpool: Part
    trust: int
    category: int
    tag: str
    requester: str
    beneficiary: str
    callback: str
    params: str
    start: int
    bot_first: int
    bot_size: int
    worker_stake: int
    scheduler_reward_ratio: int
    sponsor: str

    @property
    def has_dataset(self) -> bool:
        return self.dataset.pointer != ZERO_ADDRESS

    @property
    def has_callback(self) -> bool:
        return self.callback != ZERO_ADDRESS

    @property
    def task_ids(self) -> tuple[str, ...]:
        """Its tasks, by rising index."""
        return tuple(task_id(self.id, self.bot_first + n) for n in range(self.bot_size))

    def deadlines(self, reference_seconds: int) -> Deadlines:
        return of_deal(self.start, reference_seconds)


@dataclass(frozen=True, slots=True)
class Task:
    """A task on chain; deadlines in Unix seconds, 0 where not set yet."""

    id: str
    status: ChainTaskStatus
    deal_id: str
    index: int
    reference_seconds: int
    contribution_deadline: int
    reveal_deadline: int
    final_deadline: int
    consensus: str
    reveal_counter: int
    winner_counter: int
    contributors: tuple[str, ...]
    digest: str
    results: bytes


@dataclass(frozen=True, slots=True)
class Contribution:
    """One worker's contribution to one task."""

    status: ContributionStatus
    result_hash: str
    result_seal: str
    enclave_challenge: str
    weight: int


@dataclass(frozen=True, slots=True)
class Account:
    """An account in the hub's escrow, nRLC."""

    stake: int
    locked: int


@dataclass(frozen=True, slots=True)
class Category:
    id: int
    name: str
    description: str
    seconds: int


@dataclass(frozen=True, slots=True)
class App:
    address: str
    owner: str
    name: str
    kind: str
    multiaddr: str
    checksum: str


@dataclass(frozen=True, slots=True)
class Dataset:
    address: str
    owner: str
    name: str
    multiaddr: str
    checksum: str


@dataclass(frozen=True, slots=True)
class Workerpool:
    """Policies in per cent."""

    address: str
    owner: str
    description: str
    worker_stake_ratio: int
    scheduler_reward_ratio: int


@dataclass(frozen=True, slots=True)
class Event:
    """One decoded log: arguments as ids (`0x`), addresses, integers or bytes."""

    name: str
    args: dict[str, object]
    block: int
    block_hash: str
    tx_hash: str
    log_index: int
