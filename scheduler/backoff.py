"""How long a worker is left alone that was of no use again and again, pure.

Each fault adds to a sum that halves every hour, and with each task that was paid. From the second on there is a pause,
twice as long with each further one.
"""

from __future__ import annotations

from poco.errors import LOCAL_CAUSES, TASK_CAUSES, Cause
from poco.states import ReplicateStatus as R
from poco.states import TaskStatus
from scheduler.model import Task

HALF_LIFE_SECONDS = 3600
#: So many faults are forgiven.
FORGIVEN = 1.5
FIRST_PAUSE_SECONDS = 10
LONGEST_PAUSE_SECONDS = 3600

#: Its result lost the vote, or it did not reveal: the task cost all others time.
REJECTED = 3.0
LOST = 1.0
FAILED = 1.0
DECLINED = 0.5

#: What the task, or the worker's place in the world, is to blame for.
_NOT_ITS_OWN = TASK_CAUSES | {Cause.APP_IMAGE_PLATFORM_UNSUPPORTED, Cause.CONTRIBUTION_TIMEOUT, Cause.CONSENSUS_REACHED}


def marks(before: Task, after: Task) -> dict[str, float]:
    """Faults by worker that this change of a task shows; 0 for a worker that was paid."""
    found: dict[str, float] = {}
    known = {r.worker: r for r in before.replicates}
    over = after.status is TaskStatus.COMPLETED and before.status is not TaskStatus.COMPLETED
    for r in after.replicates:
        old = known.get(r.worker)
        outvoted = over and r.result_hash is not None and r.result_hash != after.consensus
        if over and r.revealed:
            found[r.worker] = 0.0
        elif outvoted or (r.rejected and (old is None or not old.rejected)):
            found[r.worker] = REJECTED
        elif old is not None and (old.status, old.attempt) != (r.status, r.attempt) and r.result_hash is None:
            weight = _ended(r.status, r.cause)
            if weight:
                found[r.worker] = weight
    return found


def _ended(status: R, cause: Cause | None) -> float:
    if status is R.WORKER_LOST:
        return LOST
    if status is R.DECLINED:
        return DECLINED
    if status is R.FAILED and cause not in _NOT_ITS_OWN:
        return FAILED / 2 if cause in LOCAL_CAUSES else FAILED
    return 0.0


def decayed(faults: float, since: int, now: int) -> float:
    """What is left of a sum of faults that was counted at `since`."""
    return float(faults * 0.5 ** (max(now - since, 0) / HALF_LIFE_SECONDS))


def after_mark(faults: float, since: int, mark: float, now: int) -> float:
    """The sum with one more mark of `marks`."""
    left = decayed(faults, since, now)
    return left + mark if mark else left / 2


def until(faults: float, since: int) -> int:
    """Unix seconds until which a worker with that sum, counted at `since`, is given nothing; `since` for no pause."""
    if faults <= FORGIVEN:
        return since
    doublings = min(faults - FORGIVEN, 30.0)
    return since + int(min(FIRST_PAUSE_SECONDS * 2**doublings, LONGEST_PAUSE_SECONDS))
