"""Runs the processes, kills some, and counts."""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from benchmarks.claims.process import read_journal
from ops.console import ROOT
from ops.stack import Stack
from poco.errors import PewError
from scheduler import postgres
from scheduler import tables as t
from scheduler.store import Store


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do: `workers` are those of one process; `kills` are spread evenly over the claims."""

    claims: int
    processes: int
    workers: int
    kills: int
    seed: int
    patience_s: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it.

    `twice`: tasks that were given more than once, by the workers' journals or by the database. `lost`: tasks that are
    in no journal. `disagreeing`: tasks of which journal and database say different things.
    """

    claims: int
    processes: int
    workers: int
    kills: int
    seed: int
    twice: int
    lost: int
    disagreeing: int
    seconds: float
    claims_per_s: float

    @property
    def ok(self) -> bool:
        return not (self.twice or self.lost or self.disagreeing)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Campaign:
    """One run on one database.

    Args:
        database: an address of PostgreSQL, or a file.
        folder: for journals.
    """

    def __init__(self, stack: Stack, database: str, folder: Path, plan: Plan) -> None:
        self._stack = stack
        self._database = database
        self._folder = folder
        self._plan = plan
        self._dice = random.Random(plan.seed)

    def run(self) -> Outcome:
        """Raises PewError where the claims are not all made in time, or a process ends by itself."""
        plan = self._plan
        self._folder.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        for number in range(plan.processes):
            self._start(number)
        killed = 0
        while (done := self._lines()) < plan.claims:
            if killed < plan.kills and done >= (killed + 1) * plan.claims // (plan.kills + 1):
                number = self._dice.randrange(plan.processes)
                self._stack.stop_process(self._name(number), kill=True)
                self._start(number)
                killed += 1
            self._stack.check()
            if time.monotonic() - started > plan.patience_s:
                raise PewError(f"{done} of {plan.claims} claims were made in {plan.patience_s:.0f} s")
            time.sleep(0.1)
        seconds = time.monotonic() - started
        time.sleep(1)  # whoever would claim a second time has the chance to
        for number in range(plan.processes):
            self._stack.stop_process(self._name(number))
        return self._count(killed, seconds)

    def _name(self, number: int) -> str:
        return f"{self._folder.name}-{number}"

    def _start(self, number: int) -> None:
        first = number * self._plan.workers
        argv = [sys.executable, "-m", "benchmarks.claims.process", "--database", self._database]
        argv += ["--journal", str(self._folder / f"{number}.journal")]
        argv += ["--workers", f"{first}-{first + self._plan.workers - 1}"]
        if number == 0:
            argv += ["--feed", str(self._plan.claims)]
        self._stack.start(self._name(number), argv, cwd=ROOT)

    def _lines(self) -> int:
        return sum(path.read_bytes().count(b"\n") for path in self._folder.glob("*.journal"))

    def _count(self, kills: int, seconds: float) -> Outcome:
        plan = self._plan
        given = [line for path in self._folder.glob("*.journal") for line in read_journal(path)]
        times = Counter(task_id for task_id, _, _ in given)
        worker_of = {task_id: wallet for task_id, wallet, _ in given}
        database = Store(postgres.parse(self._database) if "://" in self._database else Path(self._database))
        with database.read() as db:
            r = t.replicates.c
            rows = {
                row.task_id: row
                for row in db.execute(
                    select(
                        r.task_id,
                        func.count().label("n"),
                        func.max(r.worker).label("worker"),
                        func.max(r.attempt).label("attempt"),
                    ).group_by(r.task_id)
                )
            }
            tasks = set(db.scalars(select(t.tasks.c.id)))
        database.close()
        twice = {task_id for task_id, count in times.items() if count > 1}
        twice |= {task_id for task_id, row in rows.items() if row.n > 1}
        disagreeing = {x for x, wallet in worker_of.items() if x not in rows or rows[x].worker != wallet}
        disagreeing |= tasks - rows.keys()
        return Outcome(
            claims=len(times),
            processes=plan.processes,
            workers=plan.workers * plan.processes,
            kills=kills,
            seed=plan.seed,
            twice=len(twice),
            lost=len(tasks - times.keys()) + plan.claims - len(tasks),
            disagreeing=len(disagreeing),
            seconds=round(seconds, 1),
            claims_per_s=round(len(times) / seconds, 1),
        )
