"""The life of a task, pure: `step(task, event, now) -> (task, effects)`.

What the chain shows is believed in any order and any number of times: a step implies those before it. What a worker
reports is held against `poco.states`. After every event `scheduler.rules.follow` does what state and clock now require.
"""

# ruff: noqa: ARG001 - the handlers of `step` share one signature
from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from poco.consensus import would_agree
from poco.ids import result_hash
from poco.states import FINAL_TASK, PENDING_REPLICATE, WORKER_MOVES, TaskStatus, worker_may_report
from poco.states import ReplicateStatus as R
from poco.wire import Verdict
from scheduler import model as m
from scheduler.model import Effect, Event, Replicate, Task
from scheduler.rules import OPEN, counts, follow, pending_weights, put, retry_after, tally_of

Outcome = tuple[Task, tuple[Effect, ...]]

#: The order of a task's life; a reopen is the only way back.
MAIN_LINE = (
    TaskStatus.RECEIVED,
    TaskStatus.INITIALIZED,
    TaskStatus.RUNNING,
    TaskStatus.CONSENSUS_REACHED,
    TaskStatus.RESULT_UPLOADING,
    TaskStatus.RESULT_UPLOADED,
    TaskStatus.COMPLETED,
)
#: The order of a replicate's life when nothing goes wrong.
PROGRESS = (
    R.CREATED,
    R.STARTED,
    R.APP_DOWNLOADED,
    R.DATA_DOWNLOADED,
    R.COMPUTING,
    R.COMPUTED,
    R.CONTRIBUTING,
    R.CONTRIBUTED,
    R.REVEALING,
    R.REVEALED,
    R.RESULT_UPLOAD_REQUESTED,
    R.RESULT_UPLOADING,
    R.RESULT_UPLOADED,
    R.COMPLETED,
)
#: A transaction that was refused is tried again after so many seconds at the latest.
LONGEST_RETRY = 300
_RANK = {status: rank for rank, status in enumerate(PROGRESS)}
#: What only the chain, or a stored result, can show.
_PROVEN = frozenset({R.CONTRIBUTED, R.REVEALED, R.RESULT_UPLOADED})


def step(task: Task, event: Event, now: int) -> Outcome:
    """What becomes of a task, and what is to be done, when `event` happens at `now` (Unix seconds)."""
    return steps(task, (event,), now)


def steps(task: Task, events: Iterable[Event], now: int) -> Outcome:
    """The same for events that are learned of together: the rules follow once, when all are known."""
    effects: list[Effect] = []
    for event in events:
        task, more = take(task, event, now)
        effects += more
    task, rest = follow(task, now)
    return task, (*effects, *rest)


def take(task: Task, event: Event, now: int) -> Outcome:
    """What the event itself says, before the rules follow (`scheduler.transitions` lists all moves)."""
    return _HANDLERS[type(event)](task, event, now)


def wants_worker(task: Task, now: int) -> bool:
    """Whether one more worker is needed for consensus: not if those at work would agree."""
    return (
        task.status in OPEN
        and now < task.contribution_deadline
        and not would_agree(tally_of(task), pending_weights(task, now))
    )


def may_finalize_alone(task: Task) -> bool:
    """Whether one worker may bring this task to its end in one transaction (PoCo's contributeAndFinalize)."""
    return task.trust <= 1 and task.status in OPEN and all(r.result_hash is None for r in task.replicates)


def may_lease(task: Task, worker: str, now: int) -> bool:
    """Whether this worker may be given this task: it has not tried, or may try again after a fault not its own."""
    replicate = task.replicate(worker)
    if replicate is None:
        return True
    again = retry_after(replicate)
    return again is not None and now >= again


def _initialized(task: Task, event: m.Initialized, now: int) -> Outcome:
    return _forward(task, TaskStatus.INITIALIZED), ()


def _contributed(task: Task, event: m.Contributed, now: int) -> Outcome:
    task = _forward(task, TaskStatus.RUNNING)
    found = task.replicate(event.worker)
    if found is not None and found.result_hash is not None:
        return task, ()
    replicate = found or Replicate(event.worker, R.CONTRIBUTED, event.weight, now, now, computed=True)
    computed = replicate.computed or replicate.asked is None
    return put(task, replicate, now, R.CONTRIBUTED, result_hash=event.result_hash, computed=computed), ()


def _consensus(task: Task, event: m.ConsensusReached, now: int) -> Outcome:
    if task.consensus == event.result_hash and task.reveal_deadline:
        return task, ()
    task = _forward(task, TaskStatus.CONSENSUS_REACHED)
    return replace(task, consensus=event.result_hash, reveal_deadline=event.reveal_deadline), ()


def _revealed(task: Task, event: m.Revealed, now: int) -> Outcome:
    agreed = result_hash(task.id, event.digest)
    task, _ = _contributed(task, m.Contributed(event.worker, agreed), now)
    # where the chain took blocks back, what was uploaded before may be another result
    location = task.location if task.digest in {None, event.digest} else None
    task = _forward(task, TaskStatus.CONSENSUS_REACHED)
    task = replace(task, consensus=agreed, digest=event.digest, location=location)
    replicate = task.replicate(event.worker)
    if replicate is None or replicate.revealed or replicate.result_hash != agreed:
        return task, ()
    return put(task, replicate, now, R.REVEALED, revealed=True), ()


def _reopened(task: Task, event: m.Reopened, now: int) -> Outcome:
    if task.status in FINAL_TASK or task.consensus is None or any(r.revealed for r in task.winners):
        return task, ()
    for replicate in task.winners:
        task = put(task, replicate, now, replicate.status, rejected=True)
    sent = None if task.sent is m.Tx.REOPEN else task.sent
    fresh = replace(task, status=TaskStatus.RUNNING, consensus=None, digest=None, reveal_deadline=0, sent=sent)
    return replace(fresh, error=None, uploader=None, location=None), ()


def _finalized(task: Task, event: m.Finalized, now: int) -> Outcome:
    if event.worker is not None and event.digest is not None:
        task, _ = _revealed(task, m.Revealed(event.worker, event.digest), now)
    return replace(_forward(task, TaskStatus.COMPLETED), location=event.location or task.location, sent=None), ()


def _claimed(task: Task, event: m.Claimed, now: int) -> Outcome:
    if task.status in FINAL_TASK:
        return task, ()
    return replace(task, status=TaskStatus.FAILED, sent=None), ()


def _rolled_back(task: Task, event: m.RolledBack, now: int) -> Outcome:
    """Back to what was known before the first event on chain; the events still there are applied again after this.

    The digest stays with the result that was uploaded for it.
    """
    replicates = []
    for r in task.replicates:
        known = r
        if r.result_hash is not None:
            known = replace(r, status=R.CONTRIBUTING, result_hash=None, rejected=False, revealed=False, closed=False)
        replicates.append(replace(known, told_reveal=False))
    digest = task.digest if task.location is not None else None
    fresh = replace(task, status=TaskStatus.RECEIVED, consensus=None, digest=digest, reveal_deadline=0, uploader=None)
    recalled = () if task.sent is None else (m.Recall(task.sent, task.id),)
    return replace(fresh, sent=None, retry_at=now + 5, replicates=tuple(replicates)), recalled


def _leased(task: Task, event: m.Leased, now: int) -> Outcome:
    if not wants_worker(task, now) or not may_lease(task, event.worker, now):
        return task, ()
    if any(r.worker in event.kin and counts(r) for r in task.replicates):
        return task, ()
    before = task.replicate(event.worker)
    attempt = before.attempt + 1 if before else 1
    fresh = Replicate(event.worker, R.CREATED, event.weight, now, now, attempt=attempt)
    task = replace(task, exhausted=False, replicates=(*(r for r in task.replicates if r.worker != event.worker), fresh))
    return task, (m.Authorize(event.worker, task.id),)


def _lost(task: Task, event: m.WorkerLost, now: int) -> Outcome:
    replicate = task.replicate(event.worker)
    if replicate is None:
        return task, ()
    if replicate.status in PENDING_REPLICATE or (replicate.status is R.FAILED and replicate.asked):
        return put(task, replicate, now, R.WORKER_LOST), ()
    return _give_up_upload(task, replicate, now), ()


def _uploaded(task: Task, event: m.Uploaded, now: int) -> Outcome:
    replicate = task.replicate(event.worker)
    if replicate is None or replicate not in task.winners or not replicate.revealed or task.location is not None:
        return task, ()
    if task.status in FINAL_TASK:
        return task, ()
    task = put(task, replicate, now, R.RESULT_UPLOADED)
    return replace(_forward(task, TaskStatus.RESULT_UPLOADED), location=event.location, uploader=None), ()


def _upload_refused(task: Task, event: m.UploadRefused, now: int) -> Outcome:
    replicate = task.replicate(event.worker)
    return (task if replicate is None else _give_up_upload(task, replicate, now)), ()


def _transaction_failed(task: Task, event: m.TransactionFailed, now: int) -> Outcome:
    if task.sent is not event.kind:
        return task, ()
    wait = min(2 ** min(task.tx_failures, 8), LONGEST_RETRY)
    return replace(task, sent=None, tx_failures=task.tx_failures + 1, retry_at=now + wait), ()


def _exhausted(task: Task, event: m.Exhausted, now: int) -> Outcome:
    return replace(task, exhausted=True), ()


def _tick(task: Task, event: m.Tick, now: int) -> Outcome:
    return task, ()


def _clock_set_back(task: Task, event: m.ClockSetBack, now: int) -> Outcome:
    """No instant lies ahead; a claim that is not due would only keep what is from being sent."""
    replicates = (replace(r, leased_at=min(r.leased_at, now), since=min(r.since, now)) for r in task.replicates)
    retry_at = now if task.retry_at > now + LONGEST_RETRY else task.retry_at
    task = replace(task, retry_at=retry_at, upload_since=min(task.upload_since, now), replicates=tuple(replicates))
    if task.status in FINAL_TASK or task.sent is not m.Tx.CLAIM or now > task.final_deadline:
        return task, ()
    return replace(task, sent=None), (m.Recall(m.Tx.CLAIM, task.id),)


def _reported(task: Task, event: m.Reported, now: int) -> Outcome:
    replicate = task.replicate(event.worker)
    if replicate is None:
        return _answer(task, Verdict.ABORT)
    if event.status is replicate.status:
        return _answer(task, Verdict.ALREADY)
    if task.status in FINAL_TASK:
        over = replicate.revealed or event.status not in _RANK or event.status is R.COMPLETED
        return _answer(task, Verdict.ALREADY if over else Verdict.ABORT)
    if event.status in _RANK:
        return _progress(task, replicate, event.status, now)
    return _ended(task, replicate, event, now)


def _ended(task: Task, replicate: Replicate, event: m.Reported, now: int) -> Outcome:
    """DECLINED, FAILED or ABORTED."""
    if event.status is R.WORKER_LOST:
        return _answer(task, None)
    if worker_may_report(replicate.status, event.status):
        if replicate.revealed and event.status is R.FAILED:
            return _answer(_give_up_upload(task, replicate, now), Verdict.OK)
        task = put(task, replicate, now, event.status, cause=event.cause or replicate.cause)
        return _answer(replace(task, uploader=None) if task.uploader == replicate.worker else task, Verdict.OK)
    return _answer(task, Verdict.ALREADY if replicate.status not in _RANK else None)


def _progress(task: Task, replicate: Replicate, status: R, now: int) -> Outcome:
    if replicate.status not in _RANK:
        return _late(task, replicate, status, now)
    rank, new = _RANK[replicate.status], _RANK[status]
    if new < rank or (status is R.RESULT_UPLOADING and replicate.uploads):
        if status is R.RESULT_UPLOADING and worker_may_report(replicate.status, status):
            task = put(task, replicate, now, status)
            return _answer(task, Verdict.OK)
        return _answer(task, Verdict.ALREADY)
    passed = PROGRESS[rank + 1 : new + 1]
    if any(one in _PROVEN for one in passed):
        return _answer(task, None)
    if new <= _RANK[R.CONTRIBUTING]:
        if task.status not in OPEN or now >= task.contribution_deadline:
            return _answer(put(task, replicate, now, R.ABORTED, closed=True), Verdict.ABORT)
        return _answer(_work(task, replicate, status, now), Verdict.OK)
    if status is R.COMPLETED or not worker_may_report(replicate.status, status):
        return _answer(task, None)
    return _answer(put(task, replicate, now, status), Verdict.OK)


def _late(task: Task, replicate: Replicate, status: R, now: int) -> Outcome:
    """Progress from a replicate that had ended: an error result asked for, or a worker taken for lost."""
    if replicate.result_hash is not None:
        return _answer(task, Verdict.ALREADY)
    if status is R.CREATED or _RANK[status] > _RANK[R.CONTRIBUTING]:
        return _answer(task, None)  # the chain would show it
    asked = replicate.status is R.FAILED and replicate.asked is not None and status is R.CONTRIBUTING
    back = replicate.status is R.WORKER_LOST and status in WORKER_MOVES[R.WORKER_LOST]
    in_time = task.status in OPEN and now < task.contribution_deadline
    if asked and in_time:
        return _answer(put(task, replicate, now, status), Verdict.OK)
    if back and in_time and (status in {R.COMPUTED, R.CONTRIBUTING} or wants_worker(task, now)):
        return _answer(_work(task, replicate, status, now), Verdict.OK)
    if worker_may_report(replicate.status, R.ABORTED) and replicate.status is R.WORKER_LOST:
        task = put(task, replicate, now, R.ABORTED, closed=True)
    return _answer(task, Verdict.ABORT)


def _work(task: Task, replicate: Replicate, status: R, now: int) -> Task:
    computed = replicate.computed or (_RANK[status] >= _RANK[R.COMPUTED] and replicate.asked is None)
    return _forward(put(task, replicate, now, status, computed=computed), TaskStatus.RUNNING)


def _give_up_upload(task: Task, replicate: Replicate, now: int) -> Task:
    if task.uploader != replicate.worker or task.status in FINAL_TASK:
        return task
    return replace(put(task, replicate, now, R.REVEALED), uploader=None)


def _forward(task: Task, status: TaskStatus) -> Task:
    """At least `status`; a transaction of ours that this makes pointless is no longer waited for."""
    if task.status in FINAL_TASK or MAIN_LINE.index(task.status) >= MAIN_LINE.index(status):
        return task
    sent = None if task.sent is m.Tx.INITIALIZE else task.sent
    return replace(task, status=status, sent=sent, tx_failures=0)


def _answer(task: Task, verdict: Verdict | None) -> Outcome:
    return task, (m.Answer(verdict),)


_HANDLERS: dict[type, Callable[[Task, Any, int], Outcome]] = {
    m.Initialized: _initialized,
    m.Contributed: _contributed,
    m.ConsensusReached: _consensus,
    m.Revealed: _revealed,
    m.Reopened: _reopened,
    m.Finalized: _finalized,
    m.Claimed: _claimed,
    m.RolledBack: _rolled_back,
    m.Leased: _leased,
    m.Reported: _reported,
    m.WorkerLost: _lost,
    m.Uploaded: _uploaded,
    m.UploadRefused: _upload_refused,
    m.TransactionFailed: _transaction_failed,
    m.Exhausted: _exhausted,
    m.Tick: _tick,
    m.ClockSetBack: _clock_set_back,
}
