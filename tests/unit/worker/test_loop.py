"""The loop around the core: effects that a stake depends on are never lost, whatever comes between."""

from __future__ import annotations

import io
import queue
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chain import wallet as keystores
from chain.wallet import Wallet
from poco.errors import Cause
from poco.hexes import ZERO_ADDRESS
from poco.wire import Notification, NotificationType
from worker import core
from worker.config import WorkerConfig
from worker.core import Facts, Notified, Replicate, Worker
from worker.journal import Journal
from worker.link import Link
from worker.log import Log
from worker.loop import Loop
from worker.runner.errors import RunError
from worker.table import Stage

TASK = "0x" + "11" * 32
TX = "0x" + "aa" * 32
POOL = "0x" + "22" * 20
FACTS = Facts(
    app=ZERO_ADDRESS, image="r/a:1", checksum="0x" + "22" * 32, run_seconds=300,
    contribution_deadline=2**40, final_deadline=2**40,
)  # fmt: skip


class Node:
    """A chain that has the contribution; before it says so it fails as often as it is told, unexpectedly."""

    def __init__(self, wallet: Wallet) -> None:
        self.sender = SimpleNamespace(wallet=wallet)
        self.deployment = SimpleNamespace(energy_ledger=None, hub=POOL, chain_id=1337)
        self.me = wallet.address
        self.failures = 0

    def contribute(self, *_: object) -> str:
        if self.failures:
            self.failures -= 1
            raise OSError(28, "No space left on device")
        return TX


class Engine:
    """A runtime that does not answer for some time."""

    def __init__(self) -> None:
        self.silent = 0
        self.removed: list[str] = []

    def remove(self, task_id: str) -> None:
        if self.silent:
            self.silent -= 1
            raise RunError(Cause.INTERNAL_ERROR, "the Docker Engine fails")
        self.removed.append(task_id)

    def prune(self, _alive: object) -> list[str]:
        return []

    def trim(self, _unused: object) -> list[str]:
        return []


class Rig:
    """A loop that was loaded from a journal with one replicate."""

    def __init__(self, folder: Path, stage: Stage) -> None:
        wallet = keystores.create(folder / "k", "p", iterations=1024)
        config = WorkerConfig.model_validate(
            {
                "rpc_urls": ["http://127.0.0.1:9"], "scheduler_url": "http://127.0.0.1:9", "deployment": folder / "d",
                "keystore": folder / "k", "password_file": folder / "p", "data_dir": folder / "data", "name": "w",
                "workerpool": POOL,
            }
        )  # fmt: skip
        self.journal = Journal(folder / "data" / "journal.db")
        self.node, self.engine = Node(wallet), Engine()
        work = Replicate(
            task_id=TASK, run=1, stage=stage, deal_id="0x" + "22" * 32, index=0, authorization="0x" + "44" * 65,
            enclave_challenge=ZERO_ADDRESS, facts=FACTS, digest="0x" + "33" * 32,
        )  # fmt: skip
        self.journal.commit(Worker(slots=1), Worker(slots=1, replicates={TASK: work}), [], 1)
        link = Link("http://127.0.0.1:9", wallet, 1337, POOL, POOL)
        node: Any = self.node
        engine: Any = self.engine
        self.loop = Loop(config, journal=self.journal, chain=node, link=link, runner=engine, log=Log(io.StringIO()))
        self._seq = 1000 * int(time.time())

    @property
    def state(self) -> Worker:
        return self.loop._state

    def resume(self) -> None:
        for effect in core.resume(self.state):
            self.loop._begin(self.state, effect)

    def told(self, type_: NotificationType, **data: object) -> None:
        self._seq += 1
        news = Notification(seq=self._seq, type=type_, task_id=TASK, data=data)
        self.loop._handle(Notified(news))

    def until(self, stage: Stage | None, seconds: float = 10) -> Stage | None:
        """Handle what happens until the replicate is there (None: ended), or time is up; where it is."""
        end = time.monotonic() + seconds
        while True:
            found = self.state.replicates.get(TASK)
            now = found.stage if found is not None else None
            if now is stage or time.monotonic() > end:
                return now
            try:
                event, _ = self.loop._events.get(timeout=0.1)
            except queue.Empty:
                continue
            if event is not None:
                self.loop._handle(event)


def test_an_abort_forgets_no_contribution_that_waits_for_a_thread(tmp_path: Path) -> None:
    """After a restart many tasks are taken up at once: the abort comes before the contribution was looked for."""
    rig = Rig(tmp_path, Stage.CONTRIBUTING)
    rig.journal.transaction_prepared(TASK, "contribute", TX, b"signed", 1)
    rig.resume()
    rig.told(NotificationType.ABORT, cause=Cause.CONSENSUS_REACHED)
    rig.loop._lanes.start()
    assert rig.until(Stage.CONTRIBUTED) is Stage.CONTRIBUTED, "a stake is locked, and nobody would reveal"
    rig.loop._lanes.close()


def test_an_abort_forgets_no_contribution_that_has_just_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk was full for a moment, and the abort comes while it is waited for."""
    monkeypatch.setattr("worker.loop._REDO_SECONDS", 0.3)
    rig = Rig(tmp_path, Stage.CONTRIBUTING)
    rig.journal.transaction_prepared(TASK, "contribute", TX, b"signed", 1)
    rig.node.failures = 2
    rig.resume()
    rig.loop._lanes.start()
    while rig.node.failures == 2:
        time.sleep(0.01)
    rig.told(NotificationType.ABORT, cause=Cause.CONSENSUS_REACHED)
    rig.node.failures = 0
    assert rig.until(Stage.CONTRIBUTED) is Stage.CONTRIBUTED
    rig.loop._lanes.close()


def test_what_a_silent_engine_keeps_is_removed_when_it_is_back(tmp_path: Path) -> None:
    """The engine restarts just when a task is given up: its container must not run on until this worker restarts."""
    rig = Rig(tmp_path, Stage.RUNNING)
    rig.engine.silent = 2
    rig.loop._lanes.start()
    rig.told(NotificationType.ABORT, cause=Cause.TASK_NOT_ACTIVE)
    assert rig.until(None) is None
    end = time.monotonic() + 10
    while not rig.engine.removed and time.monotonic() < end:
        time.sleep(0.05)
        rig.loop._ticks()
    assert rig.engine.removed == [TASK]
    rig.loop._lanes.close()


def test_all_that_tasks_may_write_leaves_room_for_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Output, checkpoint and zip: a program within its bounds must not fill the disk, or the worker ends."""
    rig = Rig(tmp_path, Stage.CONTRIBUTED)
    limit = rig.loop._config.docker.output_mb
    written = {"out": limit, "checkpoint": limit, "result.zip": limit}
    free = (sum(written.values()) + 1) * 1_048_576
    monkeypatch.setattr("worker.loop.shutil.disk_usage", lambda _: SimpleNamespace(free=free))
    assert "tasks may take" in rig.loop._full()
    free += 100 * 1_048_576
    assert rig.loop._full() == ""


def test_what_a_disk_brings_along_keeps_no_worker_from_its_stake(tmp_path: Path) -> None:
    """A disk of its own for the tasks has lost+found; what an earlier process left is removed all the same."""
    rig = Rig(tmp_path, Stage.CONTRIBUTED)
    tasks = rig.loop._config.data_dir / "tasks"
    left = tasks / ("0x" + "ff" * 32)
    for folder in (tasks / "lost+found", left, tasks / TASK):
        folder.mkdir(parents=True)
    rig.loop._prune()
    assert sorted(folder.name for folder in tasks.iterdir()) == [TASK, "lost+found"]
