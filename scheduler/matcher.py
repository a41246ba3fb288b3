"""Whether a worker can have a task, pure: and where it cannot, why.

What a task asks for is the same for whole bags of tasks (`Terms`); what concerns one task alone is who is at it.
`scheduler.openings` chooses among many by these rules.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from poco.amounts import show
from poco.states import Presence
from poco.tags import unmet
from scheduler.core import may_lease, wants_worker
from scheduler.model import Task
from scheduler.rules import counts, retry_after

_WILLING = frozenset({Presence.WAITING, Presence.WORKING})
#: Said to be gone for good, or about to go: not waited for when a task might be tried by another.
_GONE = frozenset({Presence.LOST, Presence.DRAINING})


@dataclass(frozen=True, slots=True)
class Candidate:
    """A worker as it is now. Memory and free disk in MB, amounts in nRLC and wei, instants in Unix seconds."""

    wallet: str
    platforms: tuple[str, ...]
    presence: Presence
    free_slots: int
    #: what is free in its escrow account and not needed for tasks it has; None where the chain does not say
    stake: int | None
    resume_at: int | None = None
    #: leases that its last count of free slots did not know of yet
    given: int = 0
    #: its energy ledger was net positive over the pool's window, by the chain; asked for green tasks only
    green: bool = False
    memory_mb: int = 0
    disk_mb: int = 0
    cpus: int = 1
    features: tuple[str, ...] = ()
    #: wei that it lacks to contribute and reveal
    gas_lacking: int = 0
    #: the longest run that its battery and forecast allow; None: nothing bounds it
    run_seconds: int | None = None
    #: the other workers of its owner
    kin: frozenset[str] = frozenset()
    #: nothing is given to it before, as it was of no use lately
    held_until: int = 0


class Terms(NamedTuple):
    """What a task asks of any worker. Tasks nobody has tried yet (`fresh`) differ by their deadlines alone."""

    app: str
    tag: str
    memory_mb: int
    disk_mb: int
    cpus: int
    worker_stake: int
    run_seconds: int
    trust: int
    exhausted: bool
    fresh: bool

    @classmethod
    def of(cls, task: Task) -> Terms:
        asked = (task.app, task.tag, task.memory_mb, task.disk_mb, task.cpus, task.worker_stake, task.run_seconds)
        return cls(*asked, task.trust, task.exhausted, not task.replicates)


@dataclass(frozen=True, slots=True)
class Choice:
    """The task, or None and the reason."""

    task: Task | None
    reason: str


#: (app, platform) pairs for which there is known to be no image.
Barred = Collection[tuple[str, str]]
#: Tasks that nobody begins, as the whole pool could not agree on them, and why.
Short = Mapping[Terms, str]


def choose(worker: Candidate, tasks: Iterable[Task], barred: Barred, now: int, short: Short | None = None) -> Choice:
    """The best task of all that this worker can have (see `rank`), by looking at each one.

    Args:
        tasks: those that may want a worker.
        barred: where images are known to be missing.
        now: Unix seconds.
        short: where the pool has too few workers.
    """
    reason = unwilling(worker, now)
    if reason:
        return Choice(None, reason)
    reasons: dict[str, int] = {}
    for task in sorted(tasks, key=lambda t: rank(worker, t)):
        reason = obstacle(worker, task, barred, now, short)
        if not reason:
            return Choice(task, "")
        reasons[reason] = reasons.get(reason, 0) + 1
    return Choice(None, explain(reasons))


def rank(worker: Candidate, task: Task) -> tuple[bool, int, str]:
    """The order of choice: what its battery can surely bear, then the earliest contribution deadline, then the id."""
    return beyond(worker, task.run_seconds), task.contribution_deadline, task.id


def beyond(worker: Candidate, run_seconds: int) -> bool:
    """Whether a run may take longer than the worker's battery and forecast allow."""
    return worker.run_seconds is not None and run_seconds > worker.run_seconds


def explain(reasons: Mapping[str, int]) -> str:
    """Reasons with the number of tasks for each, the commonest first."""
    if not reasons:
        return "no task waits for a worker"
    ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    return "; ".join(f"{reason} ({count} task{'s'[: count > 1]})" for reason, count in ordered)


def obstacle(worker: Candidate, task: Task, barred: Barred, now: int, short: Short | None = None) -> str:
    """Why this worker cannot have this task now; empty where it can."""
    terms = Terms.of(task)
    reason = taken(worker, task, now) or unfit(worker, terms, barred, short)
    return reason or late(terms, task.contribution_deadline, now)


def taken(worker: Candidate, task: Task, now: int) -> str:
    """What speaks against it in who is, or was, at the task."""
    if not wants_worker(task, now):
        return "enough workers are at it"
    if not may_lease(task, worker.wallet, now):
        replicate = task.replicate(worker.wallet)
        again = retry_after(replicate) if replicate else None
        return "it has tried" if again is None else f"it may try again after {again}"
    if worker.kin and any(r.worker in worker.kin and counts(r) for r in task.replicates):
        return "another worker of its owner is at it"
    return ""


def unfit(worker: Candidate, terms: Terms, barred: Barred, short: Short | None = None) -> str:
    """What speaks against it in what the task asks for."""
    # where nobody is left who might have an image, those without one must still agree that there is none
    if not terms.exhausted and not _platform(worker, terms.app, barred):
        return f"app {terms.app} has no image for {', '.join(worker.platforms)}"
    lacking = _lacking(worker, terms)
    if lacking:
        return lacking
    if short and terms in short:
        return short[terms]
    if worker.stake is None:
        return "its stake is not known, the chain does not answer"
    if worker.stake < terms.worker_stake:
        return (
            f"its stake is too low: it needs {show(terms.worker_stake)}, has {show(max(worker.stake, 0))} free; "
            f"deposit {show(terms.worker_stake - worker.stake)} with pew account deposit"
        )
    if worker.gas_lacking:
        return f"it cannot pay for gas: send {worker.gas_lacking} wei of the chain's coin to {worker.wallet}"
    if int(terms.tag, 16) >> 255 and not worker.green:
        return "its energy ledger was not net positive over the pool's window, by what it has anchored"
    return ""


def late(terms: Terms, contribution_deadline: int, now: int) -> str:
    if now + terms.run_seconds > contribution_deadline:
        return "too little time is left before the contribution deadline"
    return ""


def could_ever(worker: Candidate, terms: Terms, barred: Barred) -> bool:
    """Whether this worker may do such a task at some time, busy or asleep as it may be now."""
    if worker.presence in _GONE or not _platform(worker, terms.app, barred) or _lacking(worker, terms):
        return False
    return worker.stake is None or worker.stake >= terms.worker_stake


def could_still(worker: Candidate, task: Task, barred: Barred) -> bool:
    """Whether this worker may do the task at some time before its deadline."""
    if not could_ever(worker, Terms.of(task), barred):
        return False
    if worker.resume_at is not None and worker.resume_at + task.run_seconds > task.contribution_deadline:
        return False
    replicate = task.replicate(worker.wallet)
    return replicate is None or retry_after(replicate) is not None


def unwilling(worker: Candidate, now: int) -> str:
    """Why it takes nothing at all."""
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
    if now < worker.held_until:
        return f"it declined, failed or was outvoted again and again: nothing before {worker.held_until}"
    return ""


def _platform(worker: Candidate, app: str, barred: Barred) -> bool:
    return any((app, platform) not in barred for platform in worker.platforms)


def _lacking(worker: Candidate, terms: Terms) -> str:
    """What it has not; an unknown bit of the tag is what nobody has."""
    if terms.memory_mb > worker.memory_mb:
        return f"it offers {worker.memory_mb} MB of memory, {terms.memory_mb} are needed"
    if terms.disk_mb > worker.disk_mb:
        return f"it has {worker.disk_mb} MB of disk free, {terms.disk_mb} are needed"
    if terms.cpus > worker.cpus:
        return f"it has {worker.cpus} processors, {terms.cpus} are needed"
    missing = unmet(terms.tag, worker.features) if int(terms.tag, 16) << 1 & (1 << 256) - 1 else []
    return f"the tag asks for {', '.join(missing)}" if missing else ""
