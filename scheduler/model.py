"""A task as the scheduler follows it, what can happen to it, and what the scheduler does about it: values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from poco.errors import Cause
from poco.hexes import ZERO_BYTES32
from poco.ids import task_id
from poco.params import Needs
from poco.states import ReplicateStatus, TaskStatus
from poco.tags import GREEN, asks
from poco.wire import NotificationType, Verdict


class Tx(StrEnum):
    """Transactions that the pool's owner sends for a task."""

    INITIALIZE = "initialize"
    FINALIZE = "finalize"
    CLAIM = "claim"
    REOPEN = "reopen"


@dataclass(frozen=True, slots=True)
class Replicate:
    """One worker's run of a task. Instants are Unix seconds."""

    worker: str
    status: ReplicateStatus
    #: weight in the consensus (`poco.consensus.weight` of the score when it was leased)
    weight: int
    leased_at: int
    since: int
    attempt: int = 1
    cause: Cause | None = None
    #: result hash of the contribution on chain
    result_hash: str | None = None
    #: the contribution was thrown out by a reopen
    rejected: bool = False
    revealed: bool = False
    #: it has reported a computed result (not an error result)
    computed: bool = False
    #: the error result it was asked to contribute
    asked: Cause | None = None
    #: how often it was asked to upload
    uploads: int = 0
    #: it was asked to reveal
    told_reveal: bool = False
    #: it was told that the task is over
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Task:
    """One task of a deal. `consensus`, `digest` and the reveal deadline are what the chain says.

    `location` is of a result with that `digest`.
    """

    id: str
    deal_id: str
    index: int
    app: str
    callback: bool
    trust: int
    worker_stake: int
    run_seconds: int
    contribution_deadline: int
    final_deadline: int
    #: what it asks for: bits (`poco.tags`), memory and disk in MB, processors
    tag: str = ZERO_BYTES32
    memory_mb: int = 0
    disk_mb: int = 0
    cpus: int = 0
    status: TaskStatus = TaskStatus.RECEIVED
    reveal_deadline: int = 0
    consensus: str | None = None
    digest: str | None = None
    uploader: str | None = None
    upload_since: int = 0
    location: str | None = None
    #: no other worker of the pool could still do it
    exhausted: bool = False
    #: why it cannot be run, once its workers were told to contribute that
    error: Cause | None = None
    #: the transaction of ours that is on its way
    sent: Tx | None = None
    tx_failures: int = 0
    retry_at: int = 0
    replicates: tuple[Replicate, ...] = ()

    def replicate(self, worker: str) -> Replicate | None:
        return next((r for r in self.replicates if r.worker == worker), None)

    @property
    def green(self) -> bool:
        """Only for workers whose energy ledger is net positive."""
        return asks(self.tag, GREEN)

    @property
    def winners(self) -> tuple[Replicate, ...]:
        """Contributors of the result that has consensus."""
        return tuple(
            r for r in self.replicates if self.consensus and r.result_hash == self.consensus and not r.rejected
        )


@dataclass(frozen=True, slots=True)
class TaskTerms:
    """What a deal fixes for each of its tasks."""

    deal_id: str
    app: str
    callback: bool
    trust: int
    worker_stake: int
    run_seconds: int
    contribution_deadline: int
    final_deadline: int
    tag: str = ZERO_BYTES32
    needs: Needs = field(default_factory=Needs)

    def task(self, index: int) -> Task:
        return Task(
            id=task_id(self.deal_id, index),
            deal_id=self.deal_id,
            index=index,
            app=self.app,
            callback=self.callback,
            trust=self.trust,
            worker_stake=self.worker_stake,
            run_seconds=self.run_seconds,
            contribution_deadline=self.contribution_deadline,
            final_deadline=self.final_deadline,
            tag=self.tag,
            memory_mb=self.needs.memory_mb,
            disk_mb=self.needs.disk_mb,
            cpus=self.needs.cpus,
        )


# --- events: what the chain shows


@dataclass(frozen=True, slots=True)
class Initialized:
    pass


@dataclass(frozen=True, slots=True)
class Contributed:
    """`weight` counts only for a worker that this scheduler does not know (it lost its store)."""

    worker: str
    result_hash: str
    weight: int = 2


@dataclass(frozen=True, slots=True)
class ConsensusReached:
    result_hash: str
    reveal_deadline: int


@dataclass(frozen=True, slots=True)
class Revealed:
    worker: str
    digest: str


@dataclass(frozen=True, slots=True)
class Reopened:
    pass


@dataclass(frozen=True, slots=True)
class Finalized:
    """`worker` and `digest` where one worker contributed, revealed and finalized in this one transaction."""

    location: str | None
    worker: str | None = None
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Claimed:
    pass


@dataclass(frozen=True, slots=True)
class RolledBack:
    """The chain took blocks back: forget all that only the chain can say; it is read again."""


# --- events: what workers, the outbox and the clock bring


@dataclass(frozen=True, slots=True)
class Leased:
    """`kin`: the other workers of its owner, none of which may have a part in the same vote."""

    worker: str
    weight: int
    kin: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Reported:
    worker: str
    status: ReplicateStatus
    cause: Cause | None = None


@dataclass(frozen=True, slots=True)
class WorkerLost:
    worker: str


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A result that hashes to the revealed digest was stored."""

    worker: str
    location: str


@dataclass(frozen=True, slots=True)
class UploadRefused:
    """What the worker sent does not hash to the revealed digest."""

    worker: str


@dataclass(frozen=True, slots=True)
class TransactionFailed:
    kind: Tx


@dataclass(frozen=True, slots=True)
class Exhausted:
    """No other worker of the pool could still do it."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class ClockSetBack:
    """The clock shows less than it did: what it gave may lie ahead, and what was over may not be."""


Event = (
    Initialized
    | Contributed
    | ConsensusReached
    | Revealed
    | Reopened
    | Finalized
    | Claimed
    | RolledBack
    | Leased
    | Reported
    | WorkerLost
    | Uploaded
    | UploadRefused
    | TransactionFailed
    | Exhausted
    | Tick
    | ClockSetBack
)


# --- effects


@dataclass(frozen=True, slots=True)
class Send:
    """Put a transaction into the outbox. `location` goes with FINALIZE."""

    kind: Tx
    task_id: str
    location: str | None = None


@dataclass(frozen=True, slots=True)
class Recall:
    """Take a transaction out of the outbox that has not been sent."""

    kind: Tx
    task_id: str


@dataclass(frozen=True, slots=True)
class Notify:
    worker: str
    type: NotificationType
    task_id: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Authorize:
    """Sign the leave to contribute and send it as START."""

    worker: str
    task_id: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a worker's report gets; None refuses it as impossible, and nothing changes."""

    verdict: Verdict | None


@dataclass(frozen=True, slots=True)
class Changed:
    """What a task was and has become (the engine adds it to what the core says)."""

    before: Task
    after: Task


Effect = Send | Recall | Notify | Authorize | Answer | Changed
