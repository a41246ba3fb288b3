"""The journal: what is in it after any crash, and whose it is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from poco.errors import BadInputError
from poco.hexes import ZERO_ADDRESS
from poco.states import ReplicateStatus
from poco.wire import StatusUpdate
from worker.core import Replicate, Report, Worker
from worker.database import exclusive
from worker.journal import ContainerRow, Journal, ResultRow
from worker.table import Stage

TASK = "0x" + "11" * 32
OTHER = "0x" + "22" * 32


def replicate(task_id: str = TASK, run: int = 1, stage: Stage = Stage.VERIFYING) -> Replicate:
    return Replicate(
        task_id=task_id, run=run, stage=stage, deal_id=OTHER, index=0, authorization="0x" + "44" * 65,
        enclave_challenge=ZERO_ADDRESS,
    )  # fmt: skip


def report(status: ReplicateStatus = ReplicateStatus.STARTED) -> Report:
    return Report(TASK, StatusUpdate(status=status, at=1))


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "data" / "journal.db")


def again(journal: Journal) -> Journal:
    journal.close()
    return Journal(journal.path)


def test_what_is_committed_is_on_the_disk_itself(journal: Journal) -> None:
    """A kill loses nothing that the kernel has; a power cut does, unless each commit is synced."""
    assert journal.rows("PRAGMA synchronous") == [(2,)]
    assert again(journal).rows("PRAGMA synchronous") == [(2,)]


def test_state_and_reports_come_back(journal: Journal) -> None:
    empty = Worker(slots=2)
    state = Worker(slots=2, acked=7, replicates={TASK: replicate(), OTHER: replicate(OTHER, 2, Stage.CONTRIBUTED)})
    journal.commit(empty, state, [report(), report(ReplicateStatus.APP_DOWNLOADED)], 5)
    journal = again(journal)
    assert journal.load(2) == state
    number, task, update = journal.next_report() or (0, "", None)
    assert (task, update) == (TASK, report().update)
    journal.report_done(number)
    assert (journal.next_report() or (0, "", report().update))[2].status == "APP_DOWNLOADED"
    ended = state.model_copy(update={"replicates": {OTHER: state.replicates[OTHER]}})
    journal.commit(state, ended, [], 6)
    assert journal.load(2) == ended
    assert [(t["task_id"], t["stage"]) for t in journal.tasks()] == [(TASK, "ENDED"), (OTHER, "CONTRIBUTED")]


def test_a_second_run_of_a_task_replaces_the_first(journal: Journal) -> None:
    first = Worker(slots=1, replicates={TASK: replicate(stage=Stage.FAILED)})
    second = Worker(slots=1, replicates={TASK: replicate(run=2)})
    journal.commit(Worker(slots=1), first, [], 1)
    journal.commit(first, second, [], 2)
    assert journal.load(1) == second


def test_the_private_is_private(journal: Journal) -> None:
    assert journal.path.stat().st_mode & 0o077 == 0
    assert journal.path.parent.stat().st_mode & 0o077 == 0


def test_transactions_containers_results(journal: Journal) -> None:
    journal.transaction_prepared(TASK, "contribute", OTHER, b"raw", 1)
    journal.transaction_prepared(TASK, "contribute", OTHER, b"raw", 1)
    journal = again(journal)
    (sent,) = journal.open_transactions()
    assert (sent.raw, sent.state, sent.step) == (b"raw", "OPEN", "contribute")
    journal.transaction_ended(OTHER, "MINED", 12, 10**20)
    assert journal.sent(TASK, "contribute")[0].block == 12
    assert not journal.open_transactions()
    assert journal.gas_wei() == 10**20
    row = ContainerRow("name", 1, "boot", "image", 1.5, 3.0)
    assert journal.container(TASK, 1) is None
    journal.container_kept(TASK, 1, row)
    assert (journal.container(TASK, 1), journal.container(TASK, 2)) == (row, None)
    journal.result_kept(TASK, 1, ResultRow(OTHER, "ff", 9))
    journal.upload_begins(TASK, 1, 5)
    journal.upload_done(TASK, 1, "/ipfs/x")
    assert again(journal).result(TASK, 1) == ResultRow(OTHER, "ff", 9, "/ipfs/x")


def test_earnings_count_once(journal: Journal) -> None:
    for _ in range(2):
        journal.earned(TASK, 1, "COMPLETED", 10, 0)
    journal.earned(OTHER, 1, "COMPLETED", 0, 3)
    assert journal.earnings() == {"tasks": 2, "reward_nrlc": 10, "seized_nrlc": 3}


def test_images_that_nobody_needs_by_age(journal: Journal) -> None:
    for number, (name, used) in enumerate((("a", 1.0), ("b", 2.0), ("a", 3.0), ("c", 4.0))):
        journal.image_pulled("0x" + f"{number:064x}", 1, name, used)
    assert journal.unused_images() == ["b", "a", "c"]
    journal.image_pulled(TASK, 1, "b", 5.0)
    assert journal.image(TASK, 1) == "b"
    assert journal.image(TASK, 2) == ""
    running = Worker(slots=1, replicates={TASK: replicate(stage=Stage.RUNNING)})
    journal.commit(Worker(slots=1), running, [], 1)
    assert journal.unused_images() == ["a", "c"], "a task needs b"
    journal.commit(running, Worker(slots=1), [], 2)
    assert journal.unused_images() == ["a", "c", "b"]
    journal.image_gone("b")
    assert journal.unused_images() == ["a", "c"]


def test_old_tasks_are_forgotten_and_their_earnings_are_not(journal: Journal) -> None:
    state = Worker(slots=1, replicates={TASK: replicate(), OTHER: replicate(OTHER)})
    journal.commit(Worker(slots=1), state, [], 1)
    after = Worker(slots=1, replicates={OTHER: state.replicates[OTHER]})
    journal.commit(state, after, [], 100)
    for task in (TASK, OTHER):
        journal.transaction_prepared(task, "contribute", task, b"x", 1)
    journal.earned(TASK, 100, "COMPLETED", 5, 0)
    journal.forget(100)
    assert len(journal.tasks()) == 2
    journal.forget(101)
    assert [task["task_id"] for task in journal.tasks()] == [OTHER], "what is open is never forgotten"
    assert not journal.sent(TASK, "contribute") and journal.sent(OTHER, "contribute")
    assert journal.earnings()["reward_nrlc"] == 5


def test_it_belongs_to_one_wallet_and_chain(journal: Journal) -> None:
    journal.bind(wallet="w", chain="c")
    journal.bind(wallet="w", chain="c")
    with pytest.raises(BadInputError, match="another wallet"):
        journal.bind(wallet="x", chain="c")
    with pytest.raises(BadInputError, match="another chain"):
        journal.bind(wallet="w", chain="d")


def test_another_version_is_refused(journal: Journal) -> None:
    journal.set_note("version", "0")
    with pytest.raises(BadInputError, match="another version"):
        again(journal)


def test_reading_needs_a_journal(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no journal"):
        Journal(tmp_path / "nothing.db", read_only=True)


def test_one_process_for_one_folder(tmp_path: Path) -> None:
    hold = "import sys,time,pathlib\nfrom worker.database import exclusive\n"
    hold += "with exclusive(pathlib.Path(sys.argv[1])):\n print('held', flush=True)\n time.sleep(60)"
    other = subprocess.Popen([sys.executable, "-c", hold, str(tmp_path / "d")], stdout=subprocess.PIPE)
    try:
        assert other.stdout is not None and other.stdout.readline() == b"held\n"
        with pytest.raises(BadInputError) as caught, exclusive(tmp_path / "d"):
            pass
        assert f"process {other.pid}" in caught.value.message
        assert f"kill {other.pid}" in caught.value.hint
    finally:
        other.kill()
        other.wait()
    with exclusive(tmp_path / "d"):
        pass


WRITER = """
import os, sys
from pathlib import Path
from worker.journal import Journal
from worker.core import Worker, Replicate, Report
from worker.table import Stage
from poco.wire import StatusUpdate
sys.path.insert(0, {tests!r})
from test_journal import replicate, report, TASK
journal = Journal(Path(sys.argv[1]))
state = journal.load(1)
number = int(journal.note("n") or 0)
while True:
    number += 1
    after = Worker(slots=1, acked=number, replicates={{TASK: replicate(run=number)}})
    journal.commit(state, after, [report()], number)
    state = after
    journal.transaction_prepared(TASK, "contribute", hex(number), b"x", number)
    journal.set_note("n", str(number))
    os.write(1, b"%d\\n" % number)
"""


def test_what_was_committed_survives_a_kill_at_any_time(tmp_path: Path) -> None:
    """What the writer said it had done is there after kill -9, whole, and no half of anything else."""
    path = tmp_path / "journal.db"
    for _ in range(6):
        code = WRITER.format(tests=str(Path(__file__).parent))
        writer = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, cwd=Path.cwd())
        assert writer.stdout is not None
        last = 0
        for _ in range(15):
            last = int(writer.stdout.readline())
        os.kill(writer.pid, signal.SIGKILL)
        said = [int(line) for line in writer.stdout.read().split()]
        writer.wait()
        last = max([last, *said])
        journal = Journal(path)
        state = journal.load(1)
        (only,) = state.replicates.values()
        assert state.acked >= last
        assert only.run == state.acked
        assert len(journal.sent(TASK, "contribute")) in (state.acked, state.acked - 1)
        journal.close()
