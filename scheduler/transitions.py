"""All moves of tasks and replicates: what each event may do in each state, and why it does nothing elsewhere.

The core is held to them: a test walks it through every kind of state, with every event, and finds exactly these moves.
"May": a move also needs what its handler in `scheduler.core` asks for (the vote, the clock, the right worker).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from poco.states import FINAL_TASK, PENDING_REPLICATE, ReplicateStatus, TaskStatus
from poco.states import ReplicateStatus as R
from poco.states import TaskStatus as T

#: A worker that has no replicate of the task.
NOBODY = "-"

CHAIN_EVENTS = ("Initialized", "Contributed", "ConsensusReached", "Revealed", "Reopened", "Finalized", "Claimed")
OTHER_EVENTS = (
    "RolledBack",
    "Leased",
    "WorkerLost",
    "Uploaded",
    "UploadRefused",
    "TransactionFailed",
    "Exhausted",
    "Tick",
    "ClockSetBack",
)
REPORTS = tuple(f"reports {status.value}" for status in R)
#: "rules": what state and clock require after any event (`scheduler.rules`).
RULES = "rules"


@dataclass(frozen=True, slots=True)
class Row:
    """An event, the states in which it may move, and where to."""

    event: str
    states: frozenset[str]
    to: str


@dataclass(frozen=True, slots=True)
class Noop:
    """Why these events do nothing in these states."""

    why: str
    events: frozenset[str]
    states: frozenset[str]


def _row(event: str, states: Iterable[str], to: str) -> Row:
    return Row(event, frozenset(map(str, states)), str(to))


def _noop(why: str, events: Iterable[str], states: Iterable[str]) -> Noop:
    return Noop(why, frozenset(events), frozenset(map(str, states)))


_LINE = (T.RECEIVED, T.INITIALIZED, T.RUNNING, T.CONSENSUS_REACHED, T.RESULT_UPLOADING, T.RESULT_UPLOADED)
_AFTER_CONSENSUS = _LINE[3:]

#: A deal that is no longer on the chain ends a task that was never initialized. A result that was uploaded for another
#: digest than the one revealed is none.
TASK_ROWS = (
    _row("Initialized", [T.RECEIVED], T.INITIALIZED),
    _row("Contributed", _LINE[:2], T.RUNNING),
    _row("Reported", [T.INITIALIZED], T.RUNNING),
    _row("ConsensusReached", _LINE[:3], T.CONSENSUS_REACHED),
    _row("Revealed", _LINE[:3], T.CONSENSUS_REACHED),
    _row("Uploaded", _LINE[3:5], T.RESULT_UPLOADED),
    _row("Reopened", _AFTER_CONSENSUS, T.RUNNING),
    _row("Finalized", _LINE, T.COMPLETED),
    _row("Claimed", _LINE, T.FAILED),
    _row("RolledBack", [*_LINE[1:], T.COMPLETED, T.FAILED], T.RECEIVED),
    _row(RULES, [T.CONSENSUS_REACHED, T.RESULT_UPLOADED], T.RESULT_UPLOADING),
    _row(RULES, [T.CONSENSUS_REACHED], T.RESULT_UPLOADED),
    _row(RULES, [T.RECEIVED], T.FAILED),
)
TASK_EVENTS = (*CHAIN_EVENTS, "Reported", *OTHER_EVENTS)
TASK_NOOPS = (
    _noop("the task has ended", {*CHAIN_EVENTS, "Reported", "Uploaded"}, FINAL_TASK),
    _noop("it is known", {"Initialized"}, _LINE[1:]),
    _noop("it is known", {"Contributed"}, _LINE[2:]),
    _noop("it is known", {"ConsensusReached", "Revealed"}, _AFTER_CONSENSUS),
    _noop("there is no consensus to take back", {"Reopened"}, _LINE[:3]),
    _noop("a vote alone begins a task that the chain has not shown", {"Reported"}, [T.RECEIVED]),
    _noop("it concerns the replicate", {"Reported"}, _LINE[2:]),
    _noop("nothing is uploaded before a consensus", {"Uploaded"}, _LINE[:3]),
    _noop("a result is there", {"Uploaded"}, [T.RESULT_UPLOADED]),
    _noop("it is new", {"RolledBack"}, [T.RECEIVED]),
    _noop("it concerns the replicate", {"Leased", "WorkerLost", "UploadRefused"}, T),
    _noop("it concerns what is sent and awaited", {"TransactionFailed", "Exhausted", "Tick", "ClockSetBack"}, T),
)

_WORKING = (R.STARTED, R.APP_DOWNLOADED, R.DATA_DOWNLOADED, R.COMPUTING, R.COMPUTED, R.CONTRIBUTING)
_UPLOADING = (R.RESULT_UPLOAD_REQUESTED, R.RESULT_UPLOADING)
_GIVEN_UP = (R.DECLINED, R.FAILED, R.ABORTED, R.WORKER_LOST)
_VOTED = (R.CONTRIBUTED, R.REVEALING, R.REVEALED, *_UPLOADING, R.RESULT_UPLOADED, R.COMPLETED)
_UNKNOWN_VOTE = (NOBODY, *PENDING_REPLICATE, *_GIVEN_UP)


def _earlier(status: R) -> tuple[R, ...]:
    """Where progress to `status` may come from: a report implies those before it; the lost may come back."""
    order = (R.CREATED, *_WORKING)
    return (*order[: order.index(status)], R.WORKER_LOST)


REPLICATE_ROWS = (
    _row("Leased", [NOBODY, *_GIVEN_UP], R.CREATED),
    *(_row(f"reports {status}", _earlier(status), status) for status in _WORKING),
    *(_row(f"reports {status}", _earlier(status), R.ABORTED) for status in _WORKING),
    _row("reports CONTRIBUTING", [R.FAILED], R.CONTRIBUTING),
    _row("reports DECLINED", [R.CREATED], R.DECLINED),
    _row("reports FAILED", [*PENDING_REPLICATE, R.REVEALING, R.WORKER_LOST], R.FAILED),
    _row("reports FAILED", _UPLOADING, R.REVEALED),
    _row("reports ABORTED", [*PENDING_REPLICATE, *_VOTED[:-1], R.FAILED, R.WORKER_LOST], R.ABORTED),
    _row("reports REVEALING", [R.CONTRIBUTED], R.REVEALING),
    _row("reports RESULT_UPLOADING", [R.RESULT_UPLOAD_REQUESTED], R.RESULT_UPLOADING),
    _row("Contributed", _UNKNOWN_VOTE, R.CONTRIBUTED),
    _row("Revealed", [*_UNKNOWN_VOTE, R.CONTRIBUTED, R.REVEALING], R.REVEALED),
    _row("Finalized", [*_UNKNOWN_VOTE, R.CONTRIBUTED, R.REVEALING], R.REVEALED),
    _row("Uploaded", [R.REVEALED, *_UPLOADING, R.ABORTED], R.RESULT_UPLOADED),
    _row("UploadRefused", _UPLOADING, R.REVEALED),
    _row("WorkerLost", [*PENDING_REPLICATE, R.FAILED], R.WORKER_LOST),
    _row("WorkerLost", _UPLOADING, R.REVEALED),
    _row("RolledBack", [*_VOTED, R.FAILED, R.ABORTED, R.WORKER_LOST], R.CONTRIBUTING),
    _row(RULES, [*PENDING_REPLICATE, R.FAILED], R.WORKER_LOST),
    _row(RULES, [*PENDING_REPLICATE, R.CONTRIBUTED, R.REVEALING], R.ABORTED),
    _row(RULES, [R.CONTRIBUTED, R.REVEALING, R.ABORTED, R.WORKER_LOST], R.FAILED),
    _row(RULES, [R.REVEALED, R.RESULT_UPLOADING, R.ABORTED], R.RESULT_UPLOAD_REQUESTED),
    _row(RULES, _UPLOADING, R.REVEALED),
    _row(RULES, [R.REVEALED, *_UPLOADING, R.RESULT_UPLOADED, R.ABORTED], R.COMPLETED),
)
REPLICATE_EVENTS = (*REPORTS, *CHAIN_EVENTS, *OTHER_EVENTS)
_ALL = (NOBODY, *R)
_PROGRESS = frozenset(f"reports {status}" for status in _WORKING)
_ENDS = frozenset({"reports DECLINED", "reports FAILED", "reports ABORTED"})
_UNHEARD = frozenset(REPORTS) - _PROGRESS - _ENDS
REPLICATE_NOOPS = (
    _noop("it has no replicate of this task: it is told to stop", REPORTS, [NOBODY]),
    _noop("only the scheduler says this", {"reports CREATED", "reports RESULT_UPLOAD_REQUESTED"}, R),
    _noop("only the scheduler says this", {"reports WORKER_LOST"}, R),
    _noop("the chain is asked instead", {"reports CONTRIBUTED", "reports REVEALED"}, R),
    _noop("the result that was stored says it", {"reports RESULT_UPLOADED"}, R),
    _noop("the end of the task says it", {"reports COMPLETED"}, R),
    _noop("it has gone further, or has ended", _PROGRESS, [s for s in R if s is not R.WORKER_LOST]),
    _noop("it had begun", {"reports DECLINED"}, [s for s in R if s is not R.CREATED]),
    _noop("what is voted, or has ended, cannot fail", {"reports FAILED"}, R),
    _noop("it has ended", {"reports ABORTED"}, [R.COMPLETED, R.DECLINED, R.ABORTED]),
    _noop("nothing to reveal", {"reports REVEALING"}, [s for s in R if s is not R.CONTRIBUTED]),
    _noop("it was not asked", {"reports RESULT_UPLOADING"}, [s for s in R if s is not R.RESULT_UPLOAD_REQUESTED]),
    _noop("it has a replicate that may still be of use", {"Leased"}, [*PENDING_REPLICATE, *_VOTED]),
    _noop("it is known", {"Contributed"}, _VOTED),
    _noop("it is known", {"Revealed", "Finalized"}, _VOTED[2:]),
    _noop("it has no replicate of this task", {"WorkerLost", "Uploaded", "UploadRefused", "RolledBack"}, [NOBODY]),
    _noop("nothing of it is awaited", {"WorkerLost", "UploadRefused"}, R),
    _noop("it has revealed nothing, or the result is there", {"Uploaded"}, R),
    _noop("the chain never knew of it", {"RolledBack"}, [*PENDING_REPLICATE, *_GIVEN_UP]),
    _noop("it concerns the task; the rules follow", {"Initialized", "ConsensusReached", "Reopened", "Claimed"}, _ALL),
    _noop("it concerns the task; the rules follow", {"TransactionFailed", "Exhausted", "Tick", "ClockSetBack"}, _ALL),
)


def moves(rows: Iterable[Row]) -> dict[tuple[str, str], set[str]]:
    """Where to, by (state, event)."""
    found: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        for state in row.states:
            found.setdefault((state, row.event), set()).add(row.to)
    return found


def why_not(noops: Iterable[Noop], state: str, event: str) -> str | None:
    """Why that event does nothing in that state."""
    return next((noop.why for noop in noops if event in noop.events and state in noop.states), None)


def document() -> Iterator[str]:
    """The tables as lines of Markdown (docs/reference/scheduler.md holds them between two marks)."""
    yield from _table("task", TASK_ROWS, TASK_NOOPS, list(TaskStatus))
    yield ""
    yield from _table("replicate", REPLICATE_ROWS, REPLICATE_NOOPS, [NOBODY, *ReplicateStatus])


def _table(name: str, rows: Iterable[Row], noops: Iterable[Noop], order: list[str]) -> Iterator[str]:
    def listed(states: frozenset[str]) -> str:
        return ", ".join(str(state) for state in order if state in states)

    yield f"| event | {name} in | becomes |"
    yield "|---|---|---|"
    for row in rows:
        yield f"| {row.event} | {listed(row.states)} | {row.to} |"
    yield ""
    yield f"| event | {name} in | stays, as |"
    yield "|---|---|---|"
    for noop in noops:
        states = "any" if len(noop.states) >= len(order) - 1 else listed(noop.states)
        events = ", ".join(sorted(noop.events)) if len(noop.events) < len(R) else "any report"
        yield f"| {events} | {states} | {noop.why} |"
