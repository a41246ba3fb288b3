"""Uploads under way: files that are locked, bounded, and gone when the disk is full."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scheduler import partials
from scheduler.partials import BusyError, Partials, Wanted, exclusive
from scheduler.web import HttpError

TASK, WORKER = "0x" + "ab" * 32, "0x" + "CD" * 20
MINE = Wanted(TASK, WORKER, b"\1" * 32)


@pytest.fixture
def folder(tmp_path: Path) -> Partials:
    return Partials(tmp_path / ".incoming")


@contextmanager
def small_disk(most: int) -> Iterator[None]:
    """The kernel refuses this process files that are larger."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def locked_elsewhere(path: Path, seconds: float = 60) -> Iterator[None]:
    """Another process holds the lock of a file."""
    code = "import fcntl, sys, time; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True)"
    again = [sys.executable, "-S", "-c", f"{code}; time.sleep({seconds})", str(path)]
    with subprocess.Popen(again, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        try:
            yield
        finally:
            other.kill()


def test_what_was_written_is_there_for_the_next(folder: Partials) -> None:
    assert folder.size(MINE) == 0
    one = folder.open(MINE)
    one.write(b"first ")
    one.close()
    assert folder.size(MINE) == 6
    two = folder.open(MINE)
    two.begin_at(5)
    two.write(b"!")
    assert (two.size, two.path.read_bytes()) == (6, b"first!")
    two.drop()
    two.close()
    assert not list(folder.folder.iterdir())


def test_one_connection_at_a_time_also_across_processes(folder: Partials) -> None:
    held = folder.open(MINE)
    with pytest.raises(BusyError):
        folder.open(MINE)
    held.close()
    with locked_elsewhere(folder.folder / MINE.name):
        with pytest.raises(BusyError):
            folder.open(MINE)
        assert folder.tidy(time.time() + 2 * partials.AGE_SECONDS) == 0
    folder.open(MINE).close()


def test_another_try_of_the_same_worker_replaces_the_last(folder: Partials) -> None:
    folder.open(MINE).close()
    other = Wanted(TASK, WORKER, b"\2" * 32)
    folder.open(other).close()
    folder.open(Wanted(TASK, "0x" + "EE" * 20, b"\1" * 32)).close()
    assert not (folder.folder / MINE.name).exists()
    assert len(list(folder.folder.iterdir())) == 2, "another worker's stays"


def test_they_are_bounded_in_number_and_age(folder: Partials, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partials, "MAX_PARTIALS", 3)
    wanted = [Wanted(f"0x{n:064x}", WORKER, bytes(32)) for n in range(5)]
    now = time.time()
    for n, one in enumerate(wanted[:3]):
        made = folder.open(one)
        made.close()
        os.utime(made.path, (now - 100 + n, now - 100 + n))
    folder.open(wanted[3]).close()
    assert not (folder.folder / wanted[0].name).exists(), "the one that was quiet longest went"
    held = [folder.open(one) for one in wanted[1:4]]
    with pytest.raises(HttpError) as caught:
        folder.open(wanted[4])
    assert caught.value.status == 503
    assert folder.tidy(now + partials.AGE_SECONDS + 10) == 0, "what is written now is not old"
    for each in held:
        each.close()
    assert folder.tidy(now + partials.AGE_SECONDS - 200) == 0
    assert folder.tidy(now + partials.AGE_SECONDS + 10) == 3


def test_a_full_disk_leaves_nothing(folder: Partials) -> None:
    one = folder.open(MINE)
    with small_disk(100_000), pytest.raises(HttpError) as caught:
        for _ in range(20):
            one.write(bytes(10_000))
    one.close()
    assert (caught.value.status, caught.value.code) == (507, "DISK_FULL")
    assert not list(folder.folder.iterdir())


def test_who_finished_while_another_waited_is_not_overwritten(folder: Partials, tmp_path: Path) -> None:
    """The file that a late opener locks must be the one that has the name."""
    first = folder.open(MINE)
    first.write(b"whole")
    first.path.replace(tmp_path / "kept")
    late = folder.open(MINE)
    late.write(b"garbage")
    late.close()
    first.close()
    assert (tmp_path / "kept").read_bytes() == b"whole"


def test_a_folder_is_held_by_one(tmp_path: Path) -> None:
    with exclusive(tmp_path):
        pass
    with locked_elsewhere(tmp_path / ".lock", seconds=0.5):
        began = time.monotonic()
        with exclusive(tmp_path):
            assert time.monotonic() - began > 0.3
