"""What is told of a running program: what is new, in order, seldom; whatever becomes of the log's beginning."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from poco.transfers import MAX_CHUNK_CHARS, LogAnswer, LogChunk
from poco.wire import Logs
from worker.config import LiveLogs
from worker.journal import ContainerRow
from worker.link import SchedulerDownError, SchedulerRefusedError
from worker.runner.protocol import Control
from worker.tail import Tail, Written

ROW = ContainerRow("name", 1, "boot", "image", 0.0, 0.0)


@given(st.lists(st.text(alphabet="abc\n", max_size=50), max_size=8), st.integers(20, 200))
def test_all_that_is_written_is_told_once(pieces: list[str], window: int) -> None:
    stream, written, told = Written(), "", ""
    for piece in pieces:
        written += piece
        before = stream.text
        stream.look(written[-window:])
        grown = len(written) <= window or before in written[-window:]
        at, new = stream.news()
        stream.told = stream.count
        if len(written) <= window:
            told += new
            assert told == written and at == len(written) - len(new)
        elif not grown:
            return


def test_a_log_whose_beginning_goes_away() -> None:
    whole = "".join(f"{n:07}\n" for n in range(40_000))
    stream = Written()
    for end in range(20_000, len(whole), 20_000):
        stream.look(whole[max(0, end - 100_000) : end])
        at, new = stream.news()
        stream.told = stream.count
        assert whole[at : at + len(new)] == new and at + len(new) == end


def test_more_than_a_piece_is_cut_to_its_end() -> None:
    stream = Written()
    stream.look("x" * 50_000)
    at, new = stream.news()
    assert (at, len(new)) == (50_000 - MAX_CHUNK_CHARS, MAX_CHUNK_CHARS)
    assert Written().news() == (0, "")
    stream.look("x" * 50_000 + "\ufffd")
    assert stream.count == 50_000, "half of a character waits for the other"


class Heard:
    """Plays scheduler, runner and journal for a tail."""

    def __init__(self, *answers: Exception | int) -> None:
        self.answers = list(answers)
        self.chunks: list[LogChunk] = []
        self.text = ""
        self.row: ContainerRow | None = ROW
        self.halted = False
        self.enough = threading.Event()

    def write_log(self, _task: str, chunk: LogChunk) -> LogAnswer:
        self.chunks.append(chunk)
        self.text += "more\n"
        answer = self.answers.pop(0) if self.answers else 1
        if not self.answers:
            self.enough.set()
        if isinstance(answer, Exception):
            raise answer
        return LogAnswer(wait_seconds=answer)

    def tail(self) -> Tail:
        runner: Any = SimpleNamespace(output=lambda _task: Logs(stdout=self.text))
        replicate: Any = SimpleNamespace(task_id="0x" + "11" * 32, run=7)
        link: Any = self
        control = Control(lambda: False, lambda: self.halted, lambda: self.row, lambda _row: None)
        return Tail(link, runner, replicate, control, LiveLogs(first_seconds=0.1, shortest_seconds=0.1))


def test_what_did_not_arrive_is_told_again() -> None:
    heard = Heard(SchedulerDownError("away"), 1, 1)
    heard.text = "first\n"
    with heard.tail():
        assert heard.enough.wait(10)
    said = [(one.stdout_at, one.stdout) for one in heard.chunks[:2]]
    assert said == [(0, "first\n"), (0, "first\nmore\n")]
    assert heard.chunks[0].attempt == 7 * 16 + 1


def test_who_does_not_want_it_is_not_told_again() -> None:
    heard = Heard(SchedulerRefusedError(404, "no", "", "NO_SUCH_TASK"), 1, 1)
    heard.text = "first\n"
    with heard.tail() as tail:
        tail.join(5)
        assert not tail.is_alive() and len(heard.chunks) == 1


def test_nothing_is_told_of_what_stands_still_or_says_nothing() -> None:
    for changes in ({"halted": True}, {"row": None}, {"text": ""}):
        heard = Heard(1)
        heard.text = "first\n"
        for name, value in changes.items():
            setattr(heard, name, value)
        with heard.tail():
            assert not heard.enough.wait(0.5)
        assert not heard.chunks
