"""What a worker may have written as the result of a task that it finalized alone: it must not stop the scheduler."""

from __future__ import annotations

from pathlib import Path

import pytest

from poco.ids import result_hash
from poco.states import TaskStatus
from scheduler import model as m
from scheduler import store
from scheduler.core import step
from scheduler.reorgs import meaning
from scheduler.store import Store

A = f"0x{10:040x}"
DIGEST = "0x" + "ab" * 32


@pytest.mark.parametrize(
    "results",
    [
        b"[" * 100_000,
        b'{"storage":"ipfs","location":' + b"[" * 100_000,
        b'{"storage":"ipfs","location":"/ipfs/\\ud800"}',
        b'{"storage":"ipfs","location":"/ipfs/\\u0000"}',
        b"\xff",
        b"1" * 10_000,
    ],
    ids=["deep", "deep inside", "surrogate", "nul", "no UTF-8", "long number"],
)
def test_any_bytes_are_a_result_without_a_location(tmp_path: Path, results: bytes) -> None:
    task = m.TaskTerms("0x" + "11" * 32, "0x" + "33" * 20, False, 1, 5, 60, 420, 600).task(0)
    args = {"taskid": task.id, "results": results.hex(), "worker": A, "digest": DIGEST}
    event = meaning("TaskFinalize", args)
    assert event == m.Finalized(None, A, DIGEST)
    database = Store(tmp_path / "db")
    with database.write() as db:
        store.add_tasks(db, [task], 0)
        after, _ = step(task, event, 1)
        store.save_task(db, task, after, 1)
        kept = store.load_task(db, task.id)
    assert kept is not None
    assert (kept.status, kept.consensus) == (TaskStatus.COMPLETED, result_hash(task.id, DIGEST))
