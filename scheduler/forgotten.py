"""Tasks that a worker has taken and no longer names among those it runs: its journal may be lost, and they with it."""

from __future__ import annotations

from sqlalchemy import Connection, select

from poco.states import PENDING_REPLICATE, TaskStatus
from poco.states import ReplicateStatus as R
from scheduler import tables as t
from scheduler.presence import Roll

#: A worker may be so late in naming a task that it runs.
UNNAMED_SECONDS = 30
#: How often all are looked at.
EVERY_SECONDS = 5

_AT_WORK = [status.value for status in PENDING_REPLICATE if status is not R.CREATED]


def find(db: Connection, roll: Roll, now: int) -> list[tuple[str, str]]:
    """(worker, task id), by the last poll of each worker; silent workers are lost by the clock, not by this."""
    r, task, note = t.replicates.c, t.tasks.c, t.notifications.c
    at_work = (
        select(r.worker, r.task_id, r.since)
        .join(t.tasks, task.id == r.task_id)
        .where(task.status == TaskStatus.RUNNING.value, r.status.in_(_AT_WORK), r.since < now - UNNAMED_SECONDS)
    )
    suspects = []
    for worker, task_id, since in db.execute(at_work):
        seen = roll.get(worker)
        if seen is not None and seen.heard_at > since + UNNAMED_SECONDS and task_id not in seen.running:
            suspects.append((worker, task_id))
    # what it has not been told yet, it cannot name
    return [
        (worker, task_id)
        for worker, task_id in suspects
        if db.scalar(select(note.seq).where(note.worker == worker, note.task_id == task_id).limit(1)) is None
    ]
