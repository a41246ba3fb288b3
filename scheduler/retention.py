"""What is kept how long: results and logs are removed in small steps, and each removal is said.

A result is removed only when its task is over on chain (completed, or claimed); the oldest goes first where there are
too many bytes.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, func, select, update

from poco.states import FINAL_TASK
from scheduler import fleet_commands, telemetry
from scheduler import tables as t
from scheduler.config import Keep
from scheduler.engine import Engine
from scheduler.inputs import Inputs
from scheduler.log import log
from scheduler.logs import TaskLogs
from scheduler.partials import exclusive
from scheduler.uploads import Uploads

#: Results in one step, and the pause between two steps: requests are served in between.
STEP = 20
FIRST_SECONDS, PAUSE_SECONDS = 1.0, 10.0
#: What was just finalized stays a while even where there is no room: a reorganisation may take the finalization back.
SETTLED_SECONDS = 3600
DAY = 86_400
#: Files without a row are left for so long: one may just be written.
STRAY_SECONDS = DAY
#: So many files are looked up together.
LOOK = 500


class Retention(threading.Thread):
    """Removes what is not to be kept any longer.

    Args:
        keep: the operator's policy.
    """

    def __init__(self, engine: Engine, uploads: Uploads, logs: TaskLogs, keep: Keep, inputs: Inputs) -> None:
        super().__init__(name="retention", daemon=True)
        self._engine = engine
        self._uploads = uploads
        self._logs = logs
        self._inputs = inputs
        self.keep = keep
        self._stopping = threading.Event()
        self._shard = 0

    def run(self) -> None:
        pause = FIRST_SECONDS
        while not self._stopping.wait(pause):
            pause = PAUSE_SECONDS
            try:
                self.step(self._engine.now())
            except Exception as error:  # one bad round must not end it
                log("retention_failed", level="error", error=repr(error))

    def stop(self) -> None:
        self._stopping.set()
        self.join(10)

    def step(self, now: int) -> dict[str, int]:
        """One step; how many results, logs of tasks, unfinished uploads and so on were removed."""
        removed = self._results(now, self._too_old(now), "age") + self._results(now, self._too_many(now), "bytes")
        shard, self._shard = self._shard, (self._shard + 1) % 256
        return {
            "results": removed,
            "logs": self._old_logs(shard, now),
            "uploads": self._uploads.partials.tidy(time.time()),
            "inputs": self._inputs.tidy(time.time()),
            **({"strays": self._strays(time.time()), **self._fleet(now)} if shard == 0 else {}),
        }

    def _fleet(self, now: int) -> dict[str, int]:
        """Old telemetry and old commands, now and then."""
        before = int(time.time()) - self.keep.telemetry_days * DAY
        removed = self._engine.store.transact(
            lambda db: {"telemetry": telemetry.forget(db, before), "commands": fleet_commands.forget(db, now)}
        )
        if any(removed.values()):
            log("fleet_forgotten", telemetry=removed["telemetry"], commands=removed["commands"])
        return removed

    def _strays(self, now: float) -> int:
        """Remove files that no result needs: a crash came between a file and its row, or another took its place.

        Rows may be lost with an older copy of the database; what the chain names as a result stays.
        """
        folder, old = self._uploads.folder, []
        for path in folder.iterdir():
            with suppress(FileNotFoundError):
                if not path.name.startswith(".") and now - path.stat().st_mtime >= STRAY_SECONDS:
                    old.append(path.name)
        removed = 0
        for start in range(0, len(old), LOOK):
            for name in self._unneeded(old[start : start + LOOK]):
                with exclusive(folder):
                    if self._unneeded([name]):
                        (folder / name).unlink(missing_ok=True)
                        removed += 1
                        log("stray_removed", file=name)
        return removed

    def _unneeded(self, cids: list[str]) -> list[str]:
        r, location = t.results.c, t.tasks.c.location
        with self._engine.store.read() as db:
            rows = db.execute(select(r.cid, r.removed_at).where(r.cid.in_(cids))).all()
            kept, known = {row.cid for row in rows if row.removed_at is None}, {row.cid for row in rows}
            lost = [f"/ipfs/{cid}" for cid in cids if cid not in known]
            named = set(db.scalars(select(location).where(location.in_(lost)))) if lost else set()
        return [cid for cid in cids if cid not in kept and f"/ipfs/{cid}" not in named]

    def _too_old(self, now: int) -> list[Any]:
        r, task = t.results.c, t.tasks.c
        old = _removable().where(task.final_deadline < now - self.keep.result_days * DAY)
        with self._engine.store.read() as db:
            return list(db.execute(old.order_by(r.stored_at).limit(STEP)).mappings())

    def _too_many(self, now: int) -> list[Any]:
        """The oldest beyond the bytes that may be kept."""
        if not self.keep.result_bytes:
            return []
        r = t.results.c
        with self._engine.store.read() as db:
            excess = _bytes_kept(db) - self.keep.result_bytes
            if excess <= 0:
                return []
            over = _removable().where(r.stored_at < now - SETTLED_SECONDS).order_by(r.stored_at).limit(STEP)
            rows = list(db.execute(over).mappings())
        chosen = []
        for row in rows:
            if excess <= 0:
                break
            chosen.append(row)
            excess -= row["size"]
        return chosen

    def _results(self, now: int, rows: list[Any], why: str) -> int:
        r, folder = t.results.c, self._uploads.folder
        done = 0
        for row in rows:
            with exclusive(folder):
                with self._engine.store.write() as db:
                    mine = (r.task_id == row["task_id"]) & (r.cid == row["cid"]) & r.removed_at.is_(None)
                    if not db.execute(update(t.results).where(mine).values(removed_at=now)).rowcount:
                        continue  # another replica was faster, or it was delivered anew
                    needed = db.scalar(
                        select(func.count()).where(r.cid == row["cid"], r.removed_at.is_(None)).select_from(t.results)
                    )
                if not needed:
                    (folder / row["cid"]).unlink(missing_ok=True)
            done += 1
            log("result_removed", task=row["task_id"], cid=row["cid"], bytes=row["size"], why=why)
        return done

    def _old_logs(self, shard: int, now: int) -> int:
        done = 0
        limit = now - self.keep.log_days * DAY
        for task_id in self._logs.shard(shard):
            with self._engine.store.read() as db:
                end = db.scalar(select(t.tasks.c.final_deadline).where(t.tasks.c.id == task_id))
            if end < limit if end is not None else self._logs.age(task_id, now) > self.keep.log_days * DAY:
                self._logs.remove(task_id)
                log("logs_removed", task=task_id)
                done += 1
        return done


def _removable() -> Any:
    """Results of tasks that are over."""
    r, task = t.results.c, t.tasks.c
    joined = t.results.join(t.tasks, r.task_id == task.id)
    final = [status.value for status in FINAL_TASK]
    columns = (r.task_id, r.cid, r.size, r.stored_at)
    return select(*columns).select_from(joined).where(r.removed_at.is_(None), task.status.in_(final))


def _bytes_kept(db: Connection) -> int:
    """Of all results; equal ones are there once."""
    r = t.results.c
    files = select(r.cid, func.max(r.size).label("size")).where(r.removed_at.is_(None)).group_by(r.cid).subquery()
    return int(db.scalar(select(func.coalesce(func.sum(files.c.size), 0))) or 0)
