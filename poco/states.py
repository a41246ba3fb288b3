"""States of tasks and replicates: the chain's own, the scheduler's, and what a worker may report in each.

All moves that the scheduler makes are in `scheduler.transitions`.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum


class ChainTaskStatus(IntEnum):
    """A task's status on chain."""

    UNSET = 0
    ACTIVE = 1
    REVEALING = 2
    COMPLETED = 3
    FAILED = 4


class ContributionStatus(IntEnum):
    """A contribution's status on chain."""

    UNSET = 0
    CONTRIBUTED = 1
    PROVED = 2
    REJECTED = 3


class TaskStatus(StrEnum):
    """A task as its scheduler follows it."""

    RECEIVED = "RECEIVED"
    INITIALIZED = "INITIALIZED"
    RUNNING = "RUNNING"
    CONSENSUS_REACHED = "CONSENSUS_REACHED"
    RESULT_UPLOADING = "RESULT_UPLOADING"
    RESULT_UPLOADED = "RESULT_UPLOADED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


class ReplicateStatus(StrEnum):
    """One worker's run of a task."""

    CREATED = "CREATED"
    DECLINED = "DECLINED"
    STARTED = "STARTED"
    APP_DOWNLOADED = "APP_DOWNLOADED"
    DATA_DOWNLOADED = "DATA_DOWNLOADED"
    COMPUTING = "COMPUTING"
    COMPUTED = "COMPUTED"
    CONTRIBUTING = "CONTRIBUTING"
    CONTRIBUTED = "CONTRIBUTED"
    REVEALING = "REVEALING"
    REVEALED = "REVEALED"
    RESULT_UPLOAD_REQUESTED = "RESULT_UPLOAD_REQUESTED"
    RESULT_UPLOADING = "RESULT_UPLOADING"
    RESULT_UPLOADED = "RESULT_UPLOADED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    ABORTED = "ABORTED"
    WORKER_LOST = "WORKER_LOST"


class Presence(StrEnum):
    """How a worker is. The worker says the first five; the scheduler concludes the last two."""

    WAITING = "WAITING"
    WORKING = "WORKING"
    BUSY = "BUSY"
    ASLEEP = "ASLEEP"
    DRAINING = "DRAINING"
    UNKNOWN = "UNKNOWN"
    LOST = "LOST"


_R = ReplicateStatus

_BEFORE_CONTRIBUTION = (_R.STARTED, _R.APP_DOWNLOADED, _R.DATA_DOWNLOADED, _R.COMPUTING, _R.COMPUTED)
_ENDS = frozenset({_R.FAILED, _R.ABORTED, _R.WORKER_LOST})

#: What a worker may report from each state, beside what the chain shows by itself.
WORKER_MOVES: dict[ReplicateStatus, frozenset[ReplicateStatus]] = {
    _R.CREATED: frozenset({_R.STARTED, _R.DECLINED, _R.FAILED, _R.ABORTED}),
    _R.STARTED: frozenset({_R.APP_DOWNLOADED, _R.FAILED, _R.ABORTED}),
    _R.APP_DOWNLOADED: frozenset({_R.DATA_DOWNLOADED, _R.FAILED, _R.ABORTED}),
    _R.DATA_DOWNLOADED: frozenset({_R.COMPUTING, _R.FAILED, _R.ABORTED}),
    _R.COMPUTING: frozenset({_R.COMPUTED, _R.FAILED, _R.ABORTED}),
    _R.COMPUTED: frozenset({_R.CONTRIBUTING, _R.FAILED, _R.ABORTED}),
    _R.CONTRIBUTING: frozenset({_R.CONTRIBUTED, _R.FAILED, _R.ABORTED}),
    _R.CONTRIBUTED: frozenset({_R.REVEALING, _R.ABORTED}),
    _R.REVEALING: frozenset({_R.REVEALED, _R.FAILED, _R.ABORTED}),
    _R.REVEALED: frozenset({_R.COMPLETED, _R.ABORTED}),
    _R.RESULT_UPLOAD_REQUESTED: frozenset({_R.RESULT_UPLOADING, _R.FAILED, _R.ABORTED}),
    _R.RESULT_UPLOADING: frozenset({_R.RESULT_UPLOADED, _R.FAILED, _R.ABORTED}),
    _R.RESULT_UPLOADED: frozenset({_R.COMPLETED, _R.ABORTED}),
    _R.COMPLETED: frozenset(),
    _R.DECLINED: frozenset(),
    # a failed run may still contribute its error result, and a worker taken for lost may come back with its work
    _R.FAILED: frozenset({_R.CONTRIBUTING, _R.ABORTED}),
    _R.ABORTED: frozenset({_R.COMPLETED}),
    _R.WORKER_LOST: frozenset({*_BEFORE_CONTRIBUTION, _R.CONTRIBUTING, _R.FAILED, _R.ABORTED}),
}

#: No slot, no heartbeat and no replacement is owed to a replicate in one of these.
FINAL_REPLICATE = frozenset({_R.COMPLETED, _R.DECLINED, *_ENDS})

#: Replicates that may still bring a contribution without further prompting.
PENDING_REPLICATE = frozenset({_R.CREATED, *_BEFORE_CONTRIBUTION, _R.CONTRIBUTING})

FINAL_TASK = frozenset({TaskStatus.COMPLETED, TaskStatus.FAILED})


def worker_may_report(current: ReplicateStatus, new: ReplicateStatus) -> bool:
    """Whether a worker may report `new` while its replicate is in `current`."""
    return new in WORKER_MOVES[current]
