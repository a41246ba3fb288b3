"""Following a task to its end: the chain says what happened, the scheduler adds what the workers are doing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from chain.abi import TASK_EVENTS
from chain.client import Chain
from chain.model import Deal, Event, Task
from poco.errors import BadInputError, PewError
from poco.hexes import address
from poco.states import ChainTaskStatus, ReplicateStatus
from sdk.service import Service, ServiceError

LOG_BLOCKS = 5000


class Ending(StrEnum):
    """How a task ended. `TIMED_OUT`: past its final deadline and not claimed yet."""

    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"


@dataclass(frozen=True, slots=True)
class News:
    """Something new about a task.

    `what` is a chain event's word (`INITIALIZED`, `CONTRIBUTED`, `CONSENSUS`, `REVEALED`, `REOPENED`, `FINALIZED`,
    `CLAIMED`) or a replicate's status as the scheduler has it; `source` is `chain` or `scheduler`; `worker` is empty
    where it concerns the whole task; `seen` in Unix seconds.
    """

    task_id: str
    what: str
    worker: str
    source: str
    detail: str
    seen: float

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


_EVENT_WORDS = {
    "TaskInitialize": "INITIALIZED",
    "TaskContribute": "CONTRIBUTED",
    "TaskConsensus": "CONSENSUS",
    "TaskReveal": "REVEALED",
    "TaskReopen": "REOPENED",
    "TaskFinalize": "FINALIZED",
    "TaskClaimed": "CLAIMED",
}
#: What the scheduler knows before or beside the chain; the rest of a replicate's path is read from the chain.
_SCHEDULER_WORDS = frozenset(ReplicateStatus) - {ReplicateStatus.CONTRIBUTED, ReplicateStatus.REVEALED}


class Watcher:
    """One task, looked at again and again.

    Args:
        chain: the hub.
        deal: the task's deal.
        task_id: the task.
        first_block: where to start reading events.
        service: the pool's scheduler; None, or one that does not answer: the chain alone.
    """

    def __init__(
        self, chain: Chain, deal: Deal, task_id: str, first_block: int, service: Service | None = None
    ) -> None:
        self.task_id = task_id
        self._chain = chain
        self._deal = deal
        self._service = service
        self._next_block = first_block
        self._seen: set[tuple[str, str, str]] = set()
        self._final = deal.deadlines(chain.category(deal.category).seconds).final

    def news(self, now: float) -> list[News]:
        """What is new since the last call, oldest first; nothing is told twice."""
        found = [*self._from_scheduler(now), *self._from_chain(now)]
        return sorted(found, key=lambda item: item.seen)

    def ending(self, task: Task, now: float) -> Ending | None:
        """How the task ended; None while it runs."""
        if task.status is ChainTaskStatus.COMPLETED:
            return Ending.COMPLETED
        if task.status is ChainTaskStatus.FAILED:
            return Ending.FAILED
        return Ending.TIMED_OUT if now > self._final else None

    def task(self) -> Task:
        """The task as the chain has it now."""
        return self._chain.task(self.task_id)

    def _from_chain(self, now: float) -> list[News]:
        last = self._chain.block_number()
        found: list[News] = []
        while self._next_block <= last:
            upto = min(self._next_block + LOG_BLOCKS - 1, last)
            events = self._chain.logs(self._next_block, upto, TASK_EVENTS)
            found += [self._of_event(e, now) for e in events if e.args.get("taskid") == self.task_id]
            self._next_block = upto + 1
        return found

    def _of_event(self, event: Event, now: float) -> News:
        worker = str(event.args.get("worker", ""))
        return News(self.task_id, _EVENT_WORDS[event.name], worker, "chain", "", now)

    def _from_scheduler(self, now: float) -> list[News]:
        if self._service is None:
            return []
        try:
            replicates = replicates_of(self._service, self.task_id)
        except ServiceError:
            return []  # the chain is enough to see the end
        found: list[News] = []
        for replicate in replicates:
            for entry in replicate.history:
                key = (replicate.worker, entry.status, str(entry.at))
                if entry.status in _SCHEDULER_WORDS and key not in self._seen:
                    self._seen.add(key)
                    seen = min(float(entry.at), now) if entry.at else now
                    found.append(News(self.task_id, entry.status, replicate.worker, "scheduler", entry.detail, seen))
        return found


@dataclass(frozen=True, slots=True)
class StatusEntry:
    """One status of a replicate: `at` in Unix seconds (0 where unknown), `detail` a cause or reason."""

    status: str
    at: float
    detail: str


@dataclass(frozen=True, slots=True)
class Replicate:
    """One worker's run of a task, as the scheduler has it."""

    worker: str
    status: str
    exit_code: int | None
    reason: str
    history: tuple[StatusEntry, ...]


def replicates_of(service: Service, task_id: str) -> list[Replicate]:
    """The replicates of a task from its scheduler, bounded and checked; none where it does not know the task.

    Raises:
        ServiceError: no answer, or not one of a scheduler.
    """
    try:
        answer = service.get(f"/tasks/{task_id}")
    except ServiceError as error:
        if error.status == 404:
            return []
        raise
    try:
        return [_replicate(entry) for entry in answer["replicates"][:1000]]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, BadInputError):
        raise ServiceError(f"{service.url}/tasks/... is not what a scheduler answers") from None


def _replicate(entry: dict[str, Any]) -> Replicate:
    code = entry.get("appExitCode")
    return Replicate(
        address(entry["walletAddress"]),
        str(entry["currentStatus"])[:40],
        int(code) if code is not None else None,
        str(entry.get("reason") or entry.get("cause") or "")[:300],
        tuple(_status(update) for update in entry.get("statusUpdateList", [])[:200]),
    )


def _status(update: dict[str, Any]) -> StatusEntry:
    return StatusEntry(
        str(update["status"])[:40], float(update.get("date") or 0) / 1000, str(update.get("cause") or "")[:200]
    )


def watch(
    watcher: Watcher,
    on_news: Callable[[News], None] | None = None,
    *,
    timeout: float | None = None,
    poll_seconds: float = 1.0,
    check: Callable[[], None] | None = None,
) -> tuple[Ending, Task]:
    """Wait for the end of a task.

    Args:
        watcher: of the task.
        on_news: called for everything new.
        timeout: seconds to wait at most; None: as long as the task may take.
        poll_seconds: between two looks.
        check: called at every look; what it raises ends the wait.

    Raises:
        PewError: not ended after `timeout` (the task goes on).
    """
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        if check is not None:
            check()
        now = time.time()
        task = watcher.task()
        ending = watcher.ending(task, now)
        for item in watcher.news(now):
            if on_news is not None:
                on_news(item)
        if ending is not None:
            return ending, task
        if end is not None and time.monotonic() > end:
            raise PewError(
                f"task {watcher.task_id} has not ended after {timeout:.0f} s, it is {task.status.name}",
                hint=f"it goes on: pew task watch {watcher.task_id}",
                code="NOT_ENDED",
            )
        time.sleep(poll_seconds)


def locate(chain: Chain, task_id: str, deal_id: str | None = None) -> tuple[Deal, int]:
    """The deal of a task and a block before the deal's own.

    Args:
        chain: the hub.
        task_id: the task; one that nobody initialized is known only by its deal.
        deal_id: its deal, where known.
    """
    found = deal_id or chain.task(task_id).deal_id
    if not int(found, 16):
        raise BadInputError(
            f"there is no task {task_id} (yet)",
            hint="check the id; a new task appears on chain when its pool starts it (pew deal show <deal>)",
        )
    deal = chain.deal(found)
    if task_id not in deal.task_ids:
        raise BadInputError(f"task {task_id} does not belong to deal {deal.id}", hint="pew deal show lists its tasks")
    return deal, block_before(chain, deal.start)


def block_before(chain: Chain, instant: int) -> int:
    """A block that is older than an instant (Unix seconds), by bisection over block times."""
    low, high = chain.deployment.block, max(chain.block_number(), chain.deployment.block)
    while low < high:
        middle = (low + high) // 2
        if chain.block(middle)[2] < instant:
            low = middle + 1
        else:
            high = middle
    return max(low - 1, chain.deployment.block)
