"""What is removed, what is not, and that it is said."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update

from poco.states import TaskStatus
from poco.wire import Logs
from scheduler import model as m
from scheduler import retention, store
from scheduler import tables as t
from scheduler.config import Keep
from scheduler.inputs import Inputs
from scheduler.logs import TaskLogs
from scheduler.partials import Partials
from scheduler.retention import DAY, Retention
from scheduler.store import Store

WORKER = "0x" + "01" * 20
NOW = 1_000 * DAY
TERMS = m.TaskTerms("0x" + "11" * 32, "0x" + "33" * 20, False, 1, 50, 300, NOW - 40 * DAY, NOW - 40 * DAY)


class Shelf:
    """A scheduler's files and rows, without the rest of it."""

    def __init__(self, folder: Path, **keep: int) -> None:
        self.store = Store(folder / "scheduler.db")
        self.results = folder / "results"
        self.results.mkdir()
        self.logs = TaskLogs(folder / "logs")
        self.partials = Partials(self.results / ".incoming")
        engine: Any = SimpleNamespace(store=self.store, now=lambda: NOW)
        uploads: Any = SimpleNamespace(folder=self.results, partials=self.partials)
        chain: Any = None
        inputs = Inputs(chain, folder / "inputs", 1000, Keep(**keep))
        self.retention = Retention(engine, uploads, self.logs, Keep(**keep), inputs)

    def put(self, number: int, ended: int, status: TaskStatus = TaskStatus.COMPLETED, **more: Any) -> m.Task:
        """A task whose final deadline was `ended` days ago, with a result of 100 bytes."""
        task = replace(TERMS.task(number), status=status, final_deadline=NOW - ended * DAY)
        row = {"task_id": task.id, "cid": f"cid{number}", "worker": WORKER, "size": 100, "stored_at": NOW - ended * DAY}
        row |= more
        with self.store.write() as db:
            store.add_tasks(db, [task], 0)
            db.execute(insert(t.results).values(**row))
        (self.results / str(row["cid"])).write_bytes(bytes(100))
        return task

    def kept(self) -> list[str]:
        return sorted(path.name for path in self.results.iterdir() if not path.name.startswith("."))

    def removed(self) -> list[str]:
        with self.store.read() as db:
            gone = select(t.results.c.cid).where(t.results.c.removed_at == NOW)
            return sorted(db.scalars(gone))


def test_by_age_and_only_what_is_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shelf = Shelf(tmp_path, result_days=30)
    shelf.put(1, ended=31)
    shelf.put(2, ended=29)
    shelf.put(3, ended=31, status=TaskStatus.RESULT_UPLOADED)
    shelf.put(4, ended=31, status=TaskStatus.CONSENSUS_REACHED)
    shelf.put(5, ended=31, status=TaskStatus.FAILED)
    assert shelf.retention.step(NOW)["results"] == 2
    assert shelf.removed() == ["cid1", "cid5"] and shelf.kept() == ["cid2", "cid3", "cid4"]
    said = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    events = [(line["event"], line["cid"], line["bytes"], line["why"]) for line in said]
    assert events == [("result_removed", "cid1", 100, "age"), ("result_removed", "cid5", 100, "age")]
    assert shelf.retention.step(NOW)["results"] == 0


def test_by_bytes_the_oldest_first(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, result_days=3000, result_bytes=250)
    for number, ended in enumerate((5, 9, 7, 3)):
        shelf.put(number, ended)
    shelf.put(9, ended=20, status=TaskStatus.RESULT_UPLOADED)
    assert shelf.retention.step(NOW)["results"] == 3
    assert shelf.kept() == ["cid3", "cid9"], "the oldest of all stays: its task is not finalized"
    shelf.put(10, ended=-5, stored_at=NOW - 60)
    shelf.put(11, ended=-5, stored_at=NOW - 60)
    assert shelf.retention.step(NOW)["results"] == 1
    assert shelf.kept() == ["cid10", "cid11", "cid9"], "what was just stored stays, whatever the bound"


def test_equal_results_are_one_file(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, result_days=30)
    shelf.put(1, ended=31, cid="same")
    shelf.put(2, ended=29, cid="same")
    assert shelf.retention.step(NOW)["results"] == 1
    assert shelf.kept() == ["same"]
    shelf.put(3, ended=40, cid="same")
    with shelf.store.write() as db:
        db.execute(t.tasks.update().values(final_deadline=NOW - 50 * DAY))
    assert shelf.retention.step(NOW)["results"] == 2
    assert shelf.kept() == []


def test_in_small_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "STEP", 3)
    shelf = Shelf(tmp_path, result_days=1)
    for number in range(7):
        shelf.put(number, ended=100)
    assert [shelf.retention.step(NOW)["results"] for _ in range(4)] == [3, 3, 1, 0]


def test_logs_until_days_past_the_final_deadline(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    old, young = shelf.put(1, ended=4), shelf.put(2, ended=2)
    unknown, fresh = "0x" + "77" * 32, "0x" + "88" * 32
    for task_id in (old.id, young.id, unknown, fresh):
        shelf.logs.finish(task_id, WORKER, Logs(stdout="x"))
    os.utime(tmp_path / "logs" / "77" / unknown, (NOW - 10 * DAY, NOW - 10 * DAY))
    os.utime(tmp_path / "logs" / "88" / fresh, (NOW - 1 * DAY, NOW - 1 * DAY))
    assert sum(shelf.retention.step(NOW)["logs"] for _ in range(256)) == 2
    assert shelf.logs.read(old.id, WORKER) is None and shelf.logs.read(unknown, WORKER) is None
    assert shelf.logs.read(young.id, WORKER) and shelf.logs.read(fresh, WORKER)


def test_files_that_no_result_needs_are_removed_after_a_day(tmp_path: Path) -> None:
    """A scheduler that was killed between the file and its row left them, or one that removed the row first."""
    shelf = Shelf(tmp_path)
    shelf.put(1, ended=2)
    shelf.put(2, ended=2, removed_at=NOW)
    lost = shelf.put(3, ended=2)
    with shelf.store.write() as db:  # an older copy of the database was put back; the chain told the location again
        db.execute(delete(t.results).where(t.results.c.task_id == lost.id))
        db.execute(update(t.tasks).where(t.tasks.c.id == lost.id).values(location="/ipfs/cid3"))
    for name in ("old", "new"):
        (shelf.results / name).write_bytes(b"x")
    before = time.time() - DAY - 60
    for name in ("old", "cid1", "cid2", "cid3"):
        os.utime(shelf.results / name, (before, before))
    assert sum(shelf.retention.step(NOW).get("strays", 0) for _ in range(256)) == 2
    assert shelf.kept() == ["cid1", "cid3", "new"]
