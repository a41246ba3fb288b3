"""Which task a worker gets, pure: and where it gets none, why."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from poco.states import Presence
from scheduler.core import may_lease, wants_worker
from scheduler.model import Task
from scheduler.rules import retry_after

_WILLING = frozenset({Presence.WAITING, Presence.WORKING})
#: Said to be gone for good, or about to go: not waited for when a task might be tried by another.
_GONE = frozenset({Presence.LOST, Presence.DRAINING})


@dataclass(frozen=True, slots=True)
class Candidate:
    """A worker as it is now. `stake` is what is free in its escrow account, nRLC; None where the chain does not say."""

    wallet: str
    platforms: tuple[str, ...]
    presence: Presence
    free_slots: int
    stake: int | None
    resume_at: int | None = None
    #: leases that its last count of free slots did not know of yet
    given: int = 0
    #: its energy ledger was net positive over the pool's window, by the chain; asked for green tasks only
    green: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """The task, or None and the reason."""

    task: Task | None
    reason: str


#: (app, platform) pairs for which there is known to be no image.
Barred = Collection[tuple[str, str]]


def choose(worker: Candidate, tasks: Iterable[Task], barred: Barred, now: int) -> Choice:
    """The task with the earliest contribution deadline that this worker can do.

    Args:
        tasks: those that want a worker.
        barred: where images are known to be missing.
        now: Unix seconds.
    """
    unwilling = _unwilling(worker)
    if unwilling:
        return Choice(None, unwilling)
    reasons: dict[str, int] = {}
    for task in sorted(tasks, key=lambda t: (t.contribution_deadline, t.id)):
        reason = obstacle(worker, task, barred, now)
        if not reason:
            return Choice(task, "")
        reasons[reason] = reasons.get(reason, 0) + 1
    if not reasons:
        return Choice(None, "no task waits for a worker")
    return Choice(None, "; ".join(f"{reason} ({count} task{'s'[: count > 1]})" for reason, count in reasons.items()))


def obstacle(worker: Candidate, task: Task, barred: Barred, now: int) -> str:
    """Why this worker cannot have this task now; empty where it can."""
    if not wants_worker(task, now):
        return "enough workers are at it"
    if not may_lease(task, worker.wallet, now):
        replicate = task.replicate(worker.wallet)
        again = retry_after(replicate) if replicate else None
        return "it has tried" if again is None else f"it may try again after {again}"
    # where nobody is left who might have an image, those without one must still agree that there is none
    if not task.exhausted and not _platform(worker, task, barred):
        return f"app {task.app} has no image for {', '.join(worker.platforms)}"
    if worker.stake is None:
        return "its stake is not known, the chain does not answer"
    if worker.stake < task.worker_stake:
        return (
            f"its stake is too low: {worker.stake} nRLC free, {task.worker_stake} needed; "
            f"deposit {task.worker_stake - worker.stake} nRLC more"
        )
    if task.green and not worker.green:
        return "its energy ledger was not net positive over the pool's window, by what it has anchored"
    if now + task.run_seconds > task.contribution_deadline:
        return "too little time is left before the contribution deadline"
    return ""


def could_still(worker: Candidate, task: Task, barred: Barred) -> bool:
    """Whether this worker may do the task at some time before its deadline, busy or asleep as it may be now."""
    if worker.presence in _GONE or not _platform(worker, task, barred):
        return False
    if worker.stake is not None and worker.stake < task.worker_stake:
        return False
    if worker.resume_at is not None and worker.resume_at + task.run_seconds > task.contribution_deadline:
        return False
    replicate = task.replicate(worker.wallet)
    return replicate is None or retry_after(replicate) is not None


def _unwilling(worker: Candidate) -> str:
    if worker.presence is Presence.ASLEEP:
        return "asleep" if worker.resume_at is None else f"asleep until {worker.resume_at}"
    if worker.presence not in _WILLING:
        return {
            Presence.BUSY: "it takes no new work",
            Presence.DRAINING: "it is draining",
            Presence.UNKNOWN: "nothing was heard of it lately",
            Presence.LOST: "it is lost",
        }[worker.presence]
    if worker.free_slots <= worker.given:
        return "no free slot"
    return ""


def _platform(worker: Candidate, task: Task, barred: Barred) -> bool:
    return any((task.app, platform) not in barred for platform in worker.platforms)
