"""How long the last steps are tried again: often while a stake waits for its reveal, patiently otherwise."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chain.client import ChainUnreachableError
from poco.errors import BadInputError, Cause
from worker.chain import RefusalError
from worker.core import Facts, Happened, Replicate, about
from worker.finishing import Finisher, persist
from worker.journal import Journal
from worker.link import SchedulerDownError
from worker.log import Log
from worker.runner.folders import TaskFolder
from worker.table import TABLE, Stage, What

LATER = time.time() + 1e6


class Stop(threading.Event):
    """Nobody waits: pauses are noted, and it is set after `limit` of them."""

    def __init__(self, limit: int = 1000) -> None:
        super().__init__()
        self.pauses: list[float] = []
        self._limit = limit

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.pauses.append(timeout)
        if len(self.pauses) >= self._limit:
            self.set()
        return self.is_set()


def replicate(stage: Stage) -> Replicate:
    return Replicate(
        task_id="0x" + "11" * 32,
        run=1,
        stage=stage,
        deal_id="0x" + "22" * 32,
        index=0,
        authorization="0x",
        enclave_challenge="0x" + "00" * 20,
    )


def failing(times: int, work: Replicate, error: Exception) -> Callable[[], Happened]:
    left = iter(range(times))

    def call() -> Happened:
        if next(left, None) is not None:
            raise error
        return about(work, What.REVEALED)

    return call


def gone() -> ChainUnreachableError:
    return ChainUnreachableError("no node answers")


@pytest.mark.parametrize(("stage", "most"), [(Stage.REVEALING, 2), (Stage.CONTRIBUTING, 30)])
def test_pauses_grow_to_what_the_stage_can_bear(stage: Stage, most: float) -> None:
    work, stop = replicate(stage), Stop()
    happened = persist(Log(io.StringIO()), work, stop, LATER, failing(40, work, gone()))
    assert happened == about(work, What.REVEALED)
    assert len(stop.pauses) == 40
    assert stop.pauses[0] <= 0.5
    assert most / 2 <= max(stop.pauses[10:]) <= most


def test_a_reveal_is_tried_thirty_times_a_minute_and_more() -> None:
    work, stop = replicate(Stage.REVEALING), Stop()
    persist(Log(io.StringIO()), work, stop, LATER, failing(30, work, gone()))
    assert sum(stop.pauses) <= 60


def test_what_was_not_sent_is_given_up_when_it_is_of_no_use() -> None:
    work, stop = replicate(Stage.CONTRIBUTING), Stop(3)
    assert persist(Log(io.StringIO()), work, stop, LATER, failing(10, work, gone())) is None
    assert len(stop.pauses) == 3


def test_what_was_sent_is_followed_whatever_stop_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    work, stop = replicate(Stage.REVEALING), Stop(3)
    happened = persist(Log(io.StringIO()), work, stop, LATER, failing(10, work, gone()), committed=lambda: True)
    assert happened == about(work, What.REVEALED)


def test_after_its_time_the_trouble_is_told() -> None:
    work = replicate(Stage.REVEALING)
    with pytest.raises(RefusalError, match="no node answers") as raised:
        persist(Log(io.StringIO()), work, Stop(), time.time() - 1, failing(1, work, gone()))
    assert raised.value.cause is Cause.INTERNAL_ERROR


def test_a_failure_that_does_not_pass_is_told_at_once() -> None:
    work, stop = replicate(Stage.REVEALING), Stop()
    with pytest.raises(BadInputError):
        persist(Log(io.StringIO()), work, stop, LATER, failing(1, work, BadInputError("no", code="NOT_VERIFIED")))
    assert stop.pauses == []


TIRED = time.time() - 1
FACTS = Facts(
    app="0x" + "00" * 20, image="r/a:1", checksum="0x" + "22" * 32, run_seconds=300,
    contribution_deadline=int(TIRED) - 100, final_deadline=int(TIRED),
)  # fmt: skip


class Node:
    """A chain that answers from the `silent`-th question on; its own time is `now`, this machine's clock is later."""

    def __init__(self, silent: int, now: int) -> None:
        self._silent, self._now = silent, now
        self.asked = self.signed = 0

    def now(self) -> int:
        return self._now

    def reveal(self, _work: Replicate) -> str:
        self.asked += 1
        if self.asked <= self._silent:
            raise gone()
        return "0xaa"

    def contribute(self, work: Replicate, given_up: Callable[[], bool]) -> str:
        self.reveal(work)
        if given_up():
            raise RefusalError(Cause.TASK_NOT_ACTIVE, "given up before anything was sent")
        self.signed += 1
        return "0xaa"


class Runtime:
    def remove(self, _task_id: str) -> None:
        pass


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.db")


def finisher(journal: Journal, node: Node, tmp_path: Path, link: Any = None) -> Finisher:
    def folder(task_id: str) -> TaskFolder:
        return TaskFolder(tmp_path / "tasks", task_id)

    return Finisher(journal, node, link, Runtime(), Log(io.StringIO()), folder)  # type: ignore[arg-type]


def test_a_clock_that_is_fast_gives_up_no_reveal(journal: Journal, tmp_path: Path) -> None:
    """The clock has jumped past the final deadline, and the node is silent for a moment: a stake waits for it."""
    work = replicate(Stage.REVEALING).model_copy(update={"facts": FACTS})
    hands = finisher(journal, Node(silent=3, now=FACTS.contribution_deadline), tmp_path)
    assert hands.reveal(work, Stop()) == about(work, What.REVEALED, tx_hash="0xaa")
    late = finisher(journal, Node(silent=3, now=FACTS.final_deadline + 1), tmp_path)
    with pytest.raises(RefusalError):
        late.reveal(work, Stop())


def test_a_clock_that_is_fast_forgets_no_contribution_that_was_sent(journal: Journal, tmp_path: Path) -> None:
    work = replicate(Stage.CONTRIBUTING).model_copy(update={"facts": FACTS})
    with pytest.raises(RefusalError):  # nothing was sent: it is too late for it
        finisher(journal, Node(silent=3, now=FACTS.contribution_deadline), tmp_path).contribute(work, Stop())
    journal.transaction_prepared(work.task_id, "contribute", "0xaa", b"signed", 1)
    hands = finisher(journal, Node(silent=3, now=FACTS.contribution_deadline), tmp_path)
    assert hands.contribute(work, Stop()) == about(work, What.CONTRIBUTED, tx_hash="0xaa")


def test_an_abort_is_obeyed_after_a_restart(journal: Journal, tmp_path: Path) -> None:
    """Killed between the abort and the effect that it was to stop: the next process signs nothing."""
    work = replicate(Stage.CONTRIBUTING).model_copy(update={"facts": FACTS, "aborted": Cause.CONSENSUS_REACHED})
    node = Node(silent=0, now=FACTS.contribution_deadline)
    with pytest.raises(RefusalError) as raised:
        finisher(journal, node, tmp_path).contribute(work, Stop())
    assert raised.value.cause is Cause.CONSENSUS_REACHED
    assert (node.asked, node.signed) == (0, 0)


def test_an_upload_ends_when_the_scheduler_never_comes_back(journal: Journal, tmp_path: Path) -> None:
    """What it ends with is known to the table: else the task would stay, with its zip, for ever."""
    work = replicate(Stage.UPLOADING).model_copy(update={"facts": FACTS})

    class Silent:
        def upload(self, *_: object, **__: object) -> None:
            raise SchedulerDownError("no answer")

    hands = finisher(journal, Node(silent=0, now=0), tmp_path, Silent())
    hands.folder(work.task_id).make()
    hands.folder(work.task_id).zip.write_bytes(b"zip")
    happened = hands.upload(work, Stop())
    assert happened is not None
    assert TABLE[work.stage, happened.what].to is Stage.REVEALED
