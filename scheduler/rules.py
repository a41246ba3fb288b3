"""What a task's state and the clock require, whatever happened last: every rule may run again without doing more."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import PurePosixPath
from typing import Any

from poco.consensus import Tally, tally, would_agree
from poco.errors import ERROR_RESULT_CAUSES, LOCAL_CAUSES, Cause
from poco.ids import result_hash
from poco.result import digest, error_result
from poco.states import FINAL_TASK, PENDING_REPLICATE, TaskStatus
from poco.states import ReplicateStatus as R
from poco.wire import NotificationType
from scheduler.model import Effect, Notify, Replicate, Send, Task, Tx

OPEN = frozenset({TaskStatus.INITIALIZED, TaskStatus.RUNNING})
#: A worker that says nothing of its task for so long has not got it.
START_SECONDS = 60
#: A run may take the category's time once; with downloads and pauses a replicate gets this many times as long.
LEASE_FACTOR = 3
UPLOAD_SECONDS = 120
#: So many of the category's times before the deadline, nobody else is waited for.
LATE_FACTOR = 2
MAX_ATTEMPTS = 3
#: A deal whose task cannot be initialized so often, past its end, is no longer on the chain.
GONE_AFTER = 8
RETRY_SECONDS = 10


def put(task: Task, replicate: Replicate, now: int, status: R, **changes: Any) -> Task:
    """The task with that replicate in `status` (its instant kept when the status is the same)."""
    since = replicate.since if status is replicate.status else now
    changed = replace(replicate, status=status, since=since, **changes)
    if task.replicate(replicate.worker) is None:
        return replace(task, replicates=(*task.replicates, changed))
    return replace(task, replicates=tuple(changed if r.worker == replicate.worker else r for r in task.replicates))


def retry_after(replicate: Replicate) -> int | None:
    """When the same worker may try again; None for never: it staked, or met what it would meet again."""
    if replicate.result_hash is not None or replicate.status not in {R.DECLINED, R.FAILED, R.ABORTED, R.WORKER_LOST}:
        return None
    if replicate.status is R.FAILED and replicate.cause in ERROR_RESULT_CAUSES:
        return None
    if replicate.status is not R.DECLINED and replicate.attempt >= MAX_ATTEMPTS:
        return None
    return replicate.since + (RETRY_SECONDS << min(replicate.attempt - 1, 6))


def pending_weights(task: Task, now: int) -> list[int]:
    """Weights of the workers that are expected to contribute: those with a fresh lease."""
    return [r.weight for r in task.replicates if _expected(r) and now <= _fresh_until(task, r)]


def counts(replicate: Replicate) -> bool:
    """Whether this replicate has, or may still get, a vote."""
    if replicate.result_hash is not None:
        return not replicate.rejected
    return _expected(replicate) or (replicate.status is R.FAILED and replicate.cause in ERROR_RESULT_CAUSES)


def tally_of(task: Task) -> Tally:
    """The votes on chain, and with them the failures that would become votes for one error result."""
    votes = [(r.result_hash, r.weight) for r in task.replicates if r.result_hash is not None and not r.rejected]
    if not _computed(task):
        for r in _failed(task):
            if r.asked is None and r.cause is not None and (r.cause not in LOCAL_CAUSES or task.exhausted):
                votes.append((error_hash(task, r.cause), r.weight))
    return tally(task.trust, votes)


def error_hash(task: Task, cause: Cause) -> str:
    """The result hash of the error result for that cause."""
    return result_hash(task.id, _error_digest(cause, task.callback))


def due(task: Task, now: int) -> int | None:
    """When the clock alone will require something of this task that rests at `now`; None for never."""
    if task.status in FINAL_TASK:
        return None
    instants = []
    if task.sent is None:
        instants.append(max(_send_at(task, now), task.retry_at))
    if task.status in OPEN:
        instants += [_overdue_at(task, r) + 1 for r in task.replicates if _expected(r)]
        instants += [
            _fresh_until(task, r) + 1 for r in task.replicates if _expected(r) and now <= _fresh_until(task, r)
        ]
        if any(r.result_hash is None and not r.closed for r in task.replicates):
            instants.append(task.contribution_deadline)
        if not task.exhausted and _failed(task):
            instants.append(_late_at(task))
    if task.uploader is not None:
        instants.append(task.upload_since + upload_seconds(task) + 1)
    return min(instants, default=None)


def _send_at(task: Task, now: int) -> int:
    """When the next transaction is to be sent, as far as that depends on the clock."""
    instants = [task.final_deadline + 1]
    if task.status is TaskStatus.RECEIVED:
        instants.append(0)
    revealed = any(r.revealed for r in task.winners)
    if task.location is not None and revealed and _all_revealed(task):
        instants.append(0)
    reveal_over = task.reveal_deadline + 1
    useful = task.location is not None if revealed else max(now, reveal_over) < task.contribution_deadline
    if task.consensus is not None and task.reveal_deadline and useful:
        instants.append(reveal_over)
    return min(instants)


def upload_seconds(task: Task) -> int:
    """How long the uploader is waited for before another is asked: twice as long each time it is asked again."""
    uploader = task.replicate(task.uploader) if task.uploader is not None else None
    again = uploader.uploads - 1 if uploader is not None else 0
    return min(UPLOAD_SECONDS, max(5, task.run_seconds)) << min(max(again, 0), 6)


def follow(task: Task, now: int) -> tuple[Task, tuple[Effect, ...]]:
    """Apply every rule once, in the order of a task's life."""
    effects: list[Effect] = []
    for rule in (_gone, _overdue, _exhaust_late, _error_result, _time_out, _ask_reveal, _ask_upload, _send, _close):
        task, more = rule(task, now)
        effects += more
    return task, tuple(effects)


def _gone(task: Task, now: int) -> tuple[Task, list[Effect]]:
    if task.status is TaskStatus.RECEIVED and now > task.final_deadline and task.tx_failures >= GONE_AFTER:
        task = replace(task, status=TaskStatus.FAILED, sent=None)
    return task, []


def _overdue(task: Task, now: int) -> tuple[Task, list[Effect]]:
    for r in task.replicates:
        if task.status in OPEN and _expected(r) and now > _overdue_at(task, r):
            task = put(task, r, now, R.WORKER_LOST)
    return task, []


def _exhaust_late(task: Task, now: int) -> tuple[Task, list[Effect]]:
    if task.status in OPEN and not task.exhausted and now >= _late_at(task) and _failed(task):
        task = replace(task, exhausted=True)
    return task, []


def _error_result(task: Task, now: int) -> tuple[Task, list[Effect]]:
    """Architecture, "A task that cannot be run": enough workers met one cause, nobody has computed a result."""
    effects: list[Effect] = []
    if task.status not in OPEN or now >= task.contribution_deadline or _computed(task):
        return task, effects
    if task.error is not None:
        # the asked ones are at it; another is asked only where they no longer suffice
        asked = [r for r in task.replicates if r.asked is task.error and r.result_hash is None and _alive(r)]
        votes = _votes(task)
        if would_agree(votes, [r.weight for r in asked]):
            return task, effects
        cause: Cause | None = task.error
    else:
        cause = _agreed_cause(task)
    if cause is None:
        return task, effects
    votes = _votes(task)
    name = error_hash(task, cause)
    for r in task.replicates:
        if r.asked is cause and r.result_hash is None and _alive(r):
            votes = votes.add(name, r.weight)
    for r in _failed(task):
        if r.cause is cause and r.asked is None and not votes.reached(name):
            votes = votes.add(name, r.weight)
            task = put(task, replace(r, since=now), now, r.status, asked=cause)
            effects.append(Notify(r.worker, NotificationType.CONTRIBUTE_ERROR, task.id, {"cause": cause.value}))
    return replace(task, error=cause), effects


def _agreed_cause(task: Task) -> Cause | None:
    failed = _failed(task)
    trying = any(r.status in PENDING_REPLICATE for r in task.replicates)
    for cause in dict.fromkeys(r.cause for r in failed):
        if cause is None or (cause in LOCAL_CAUSES and (trying or not task.exhausted)):
            continue
        votes, name = _votes(task), error_hash(task, cause)
        for r in failed:
            if r.cause is cause:
                votes = votes.add(name, r.weight)
        if votes.reached(name):
            return cause
    return None


def _time_out(task: Task, now: int) -> tuple[Task, list[Effect]]:
    """Past the contribution deadline nobody needs to work any longer."""
    if task.status not in OPEN or now < task.contribution_deadline:
        return task, []
    open_ones = [r for r in task.replicates if r.result_hash is None and not r.closed]
    return _end(task, open_ones, now, Cause.CONTRIBUTION_TIMEOUT)


def _ask_reveal(task: Task, now: int) -> tuple[Task, list[Effect]]:
    effects: list[Effect] = []
    if task.consensus is None or task.status in FINAL_TASK:
        return task, effects
    for r in task.winners:
        if not r.told_reveal and not r.revealed:
            task = put(task, r, now, r.status, told_reveal=True)
            effects.append(Notify(r.worker, NotificationType.REVEAL, task.id))
    return task, effects


def _ask_upload(task: Task, now: int) -> tuple[Task, list[Effect]]:
    """One revealed winner at a time, the least asked first."""
    if task.status in FINAL_TASK or task.consensus is None:
        return task, []
    if task.location is not None:
        return (replace(task, status=TaskStatus.RESULT_UPLOADED) if any(r.revealed for r in task.winners) else task), []
    if task.uploader is not None and now > task.upload_since + upload_seconds(task):
        current = task.replicate(task.uploader)
        if current is not None:
            task = put(task, current, now, R.REVEALED)
        task = replace(task, uploader=None)
    # one that was told to stop, as its vote was seen late, has its result until the task is over
    stopped = [r for r in task.winners if r.revealed and r.status is R.ABORTED]
    ready = [r for r in task.winners if r.status is R.REVEALED] or stopped
    if task.uploader is not None or not ready:
        return task, []
    chosen = min(ready, key=lambda r: (r.uploads, r.since))
    task = put(task, chosen, now, R.RESULT_UPLOAD_REQUESTED, uploads=chosen.uploads + 1)
    task = replace(task, status=TaskStatus.RESULT_UPLOADING, uploader=chosen.worker, upload_since=now)
    return task, [Notify(chosen.worker, NotificationType.UPLOAD, task.id)]


def _send(task: Task, now: int) -> tuple[Task, list[Effect]]:
    """At most one transaction of ours is on its way for a task."""
    if task.sent is not None or task.status in FINAL_TASK or now < task.retry_at:
        return task, []
    kind = _next_transaction(task, now)
    if kind is None:
        return task, []
    return replace(task, sent=kind), [Send(kind, task.id, task.location if kind is Tx.FINALIZE else None)]


def _next_transaction(task: Task, now: int) -> Tx | None:
    if task.status is TaskStatus.RECEIVED:
        return Tx.INITIALIZE
    if now > task.final_deadline:
        return Tx.CLAIM
    revealed = sum(r.revealed for r in task.winners)
    reveal_over = task.reveal_deadline > 0 and now > task.reveal_deadline
    if task.location is not None and revealed and (_all_revealed(task) or reveal_over):
        return Tx.FINALIZE
    if task.consensus is not None and not revealed and reveal_over and now < task.contribution_deadline:
        return Tx.REOPEN
    return None


def _close(task: Task, now: int) -> tuple[Task, list[Effect]]:
    """Tell those who are no longer needed."""
    still = [r for r in task.replicates if not r.closed]
    if task.status in FINAL_TASK:
        cause = Cause.CONSENSUS_REACHED if task.status is TaskStatus.COMPLETED else Cause.CONTRIBUTION_TIMEOUT
        return _end(task, still, now, cause)
    if task.consensus is not None:
        task, effects = _end(task, [r for r in still if r not in task.winners], now, Cause.CONSENSUS_REACHED)
        return task, effects
    return _end(task, [r for r in still if r.rejected], now, Cause.REVEAL_TIMEOUT)


def _end(task: Task, replicates: list[Replicate], now: int, cause: Cause) -> tuple[Task, list[Effect]]:
    effects: list[Effect] = []
    for r in replicates:
        if r.revealed and task.status is TaskStatus.COMPLETED:
            task = put(task, r, now, R.COMPLETED, closed=True)
            effects.append(Notify(r.worker, NotificationType.COMPLETE, task.id))
            continue
        status, why = r.status, cause
        if r.rejected or (r in task.winners and not r.revealed):
            status, why = R.FAILED, Cause.REVEAL_TIMEOUT
        elif r.status in PENDING_REPLICATE or r.status in {R.CONTRIBUTED, R.REVEALING}:
            status = R.ABORTED
        task = put(task, r, now, status, closed=True, cause=r.cause or why)
        if r.status is not R.DECLINED:
            effects.append(Notify(r.worker, NotificationType.ABORT, task.id, {"cause": why.value}))
    return task, effects


def _computed(task: Task) -> bool:
    """Whether a result is there, or is to come: one that was only claimed, by a worker that is gone, is none."""
    return any(r.computed and not r.rejected and (r.result_hash is not None or _expected(r)) for r in task.replicates)


def _votes(task: Task) -> Tally:
    chain = [(r.result_hash, r.weight) for r in task.replicates if r.result_hash is not None and not r.rejected]
    return tally(task.trust, chain)


def _failed(task: Task) -> list[Replicate]:
    return [
        r for r in task.replicates if r.status is R.FAILED and r.result_hash is None and r.cause in ERROR_RESULT_CAUSES
    ]


def _alive(replicate: Replicate) -> bool:
    return replicate.status in {R.FAILED, R.CONTRIBUTING}


def _all_revealed(task: Task) -> bool:
    return all(r.revealed for r in task.winners)


def _late_at(task: Task) -> int:
    return task.contribution_deadline - LATE_FACTOR * task.run_seconds


def _expected(replicate: Replicate) -> bool:
    """Whether a contribution is expected of it: it works, or was asked for its error result."""
    if replicate.result_hash is not None:
        return False
    return replicate.status in PENDING_REPLICATE or (replicate.status is R.FAILED and replicate.asked is not None)


def _fresh_until(task: Task, replicate: Replicate) -> int:
    """Until when it is believed that this replicate contributes: a step takes one category time at most.

    After that another is sought beside it; it is given up only when it is overdue.
    """
    if replicate.status is R.CREATED or replicate.status is R.FAILED:
        return _overdue_at(task, replicate)
    return min(replicate.since + START_SECONDS + task.run_seconds, _overdue_at(task, replicate))


def _overdue_at(task: Task, replicate: Replicate) -> int:
    if replicate.status is R.FAILED:
        return replicate.since + max(START_SECONDS, task.run_seconds)
    if replicate.status is R.CREATED:
        return replicate.leased_at + START_SECONDS
    return replicate.leased_at + LEASE_FACTOR * task.run_seconds


class _Files:
    """An error result as a file tree."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def kind(self, path: PurePosixPath) -> str | None:
        return "file" if str(path) in self.files else None

    def children(self, path: PurePosixPath) -> list[str]:
        return list(self.files) if str(path) == "." else []

    def chunks(self, path: PurePosixPath) -> list[bytes]:
        return [self.files[str(path)]]


@cache
def _error_digest(cause: Cause, callback: bool) -> str:
    return digest(_Files(error_result(cause, callback=callback)), callback=callback)
