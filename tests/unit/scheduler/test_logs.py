"""Logs of tasks: pieces in any order and number give what was written; the end of it, where it was too much."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poco.logtext import plain
from poco.transfers import LogChunk
from poco.wire import MAX_LOG_CHARS, Logs
from scheduler import logs
from scheduler.challenges import TooManyError
from scheduler.logs import Stream, TaskLogs

TASK, WORKER = "0x" + "ab" * 32, "0x" + "CD" * 20
letters = st.text(alphabet="ab\n", max_size=300)


@given(text=letters, data=st.data())
def test_pieces_that_come_twice_or_overlap_are_there_once(text: str, data: st.DataObject) -> None:
    stream, sent = Stream(), 0
    while sent < len(text):
        begin = data.draw(st.integers(0, sent))
        end = data.draw(st.integers(sent, len(text)))
        stream = stream.add(begin, text[begin:end])
        sent = max(sent, end)
        assert stream == Stream(0, text[:sent])
        if end == sent == begin:
            break


@given(text=letters, cut=st.integers(0, 300))
def test_the_whole_log_goes_on_where_the_pieces_ended(text: str, cut: int) -> None:
    assert Stream().add(0, text[:cut]).whole(text) == Stream(0, text)


def test_of_a_long_log_the_end_is_kept() -> None:
    text = "".join(f"{n:09}\n" for n in range(30_000))
    stream = Stream()
    for at in range(0, len(text), 32_768):
        stream = stream.add(at, text[at : at + 32_768])
    assert stream == Stream(len(text) - MAX_LOG_CHARS, text[-MAX_LOG_CHARS:])
    seen = Stream(0, text[:150_000]).add(150_000, "")
    assert seen.begin == 50_000
    end = seen.whole(text[-MAX_LOG_CHARS:])
    assert end.text == text[-MAX_LOG_CHARS:] and end.begin >= 50_000
    # only a part is known again: what follows on it is new
    assert Stream(1000, text[1000:9000]).whole(text[5000:20_000]) == Stream(1000, text[1000:20_000])
    assert stream.since(len(text) - 10).text == "000029999\n"
    assert stream.since(0) == stream and stream.since(10**9).text == ""


def test_a_gap_ends_what_was_known() -> None:
    assert Stream(0, "abc").add(10, "xyz") == Stream(10, "xyz")


def chunk(at: int, text: str, attempt: int = 1) -> LogChunk:
    return LogChunk(attempt=attempt, stdout_at=at, stdout=text, stderr_at=0)


def test_files_attempts_and_the_pace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "SHORTEST_SECONDS", 0.0)
    kept = TaskLogs(tmp_path)
    now = time.time() + 5
    assert kept.read(TASK, WORKER) is None and kept.workers(TASK) == []
    assert kept.append(TASK, WORKER, chunk(0, "one"), now).wait_seconds == logs.UNFOLLOWED_SECONDS
    kept.follow(TASK)
    assert kept.append(TASK, WORKER, chunk(3, "two"), now).wait_seconds == logs.FOLLOWED_SECONDS
    assert TaskLogs(tmp_path).read(TASK, WORKER).stdout.text == "onetwo"  # type: ignore[union-attr]
    assert kept.workers(TASK) == [WORKER]
    kept.append(TASK, WORKER, chunk(0, "anew", 2), now)
    kept.append(TASK, WORKER, chunk(3, "late", 1), now)
    assert kept.read(TASK, WORKER).stdout.text == "anew"  # type: ignore[union-attr]
    kept.finish(TASK, WORKER, Logs(stdout="anew and over", stderr="e"))
    kept.append(TASK, WORKER, chunk(4, " never", 2), now)
    done = kept.read(TASK, WORKER)
    assert done is not None and done.over and (done.stdout.text, done.stderr.text) == ("anew and over", "e")
    kept.finish(TASK, WORKER, Logs(stdout="another run"))
    assert kept.read(TASK, WORKER).stdout.text == "another run"  # type: ignore[union-attr]
    assert [path.name for path in (tmp_path / "ab" / TASK).iterdir() if path.name != "followed"] == [f"{WORKER}.json"]
    assert list(kept.shard(0xAB)) == [TASK] and not list(kept.shard(0))
    kept.remove(TASK)
    assert kept.read(TASK, WORKER) is None


def test_a_worker_may_not_write_all_the_time(tmp_path: Path) -> None:
    kept = TaskLogs(tmp_path)
    kept.append(TASK, WORKER, chunk(0, "one"), time.time())
    with pytest.raises(TooManyError):
        kept.append(TASK, WORKER, chunk(3, "two"), time.time())
    kept.append(TASK, WORKER, chunk(3, "two"), time.time() + 2)
    followed = tmp_path / "ab" / TASK / "followed"
    followed.touch()
    os.utime(followed, (time.time() - 100, time.time() - 100))
    assert kept.append(TASK, WORKER, chunk(6, ""), time.time()).wait_seconds == logs.UNFOLLOWED_SECONDS


@pytest.mark.parametrize("content", ["", "{", "[]", '{"attempt": 1}', '{"stdout": 1, "stderr": 2}', "null"])
def test_a_file_that_a_power_cut_spoilt_is_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "ab" / TASK / f"{WORKER}.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    assert TaskLogs(tmp_path).read(TASK, WORKER) is None
    TaskLogs(tmp_path).finish(TASK, WORKER, Logs(stdout="x"))
    assert TaskLogs(tmp_path).read(TASK, WORKER).stdout.text == "x"  # type: ignore[union-attr]


@given(st.text(max_size=200))
def test_no_control_characters_get_through(text: str) -> None:
    shown = plain(text)
    assert len(shown) == len(text)
    assert not any((ord(c) < 32 and c not in "\n\t\r") or 0x7F <= ord(c) < 0xA0 for c in shown)
    assert plain(shown) == shown
    shown.encode()


def test_the_largest_report_fits_into_a_request() -> None:
    """Whatever a program writes, its worker's report is not refused for its size."""
    for char in ("\x01", "\U0001f600", '"', "\\", "\x7f", "\ud800"):
        said = Logs(stdout=plain(char * MAX_LOG_CHARS), stderr=plain(char * MAX_LOG_CHARS))
        assert len(said.model_dump_json().encode()) < 2**20 - 10_000
