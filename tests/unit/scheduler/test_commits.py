"""Group commit on a real SQLite file: threads, failures, and a process killed under load."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, event, select

from scheduler import store
from scheduler import tables as t
from scheduler.commits import CommitError
from scheduler.postgres import StoreUnreachableError
from scheduler.store import Store
from scheduler.web import status_of


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("db") / "db")


def names(database: Store) -> set[str]:
    with database.read() as db:
        return set(db.scalars(select(t.meta.c.name)))


def commits(database: Store) -> Counter[str]:
    """Counts what is committed from now on."""
    counted: Counter[str] = Counter()

    def count(_connection: Connection) -> None:
        counted["commit"] += 1

    event.listen(database._database._writer, "commit", count)  # type: ignore[union-attr]
    return counted


def together(jobs: list[Callable[[], Any]]) -> list[Any]:
    """Run every job in a thread of its own; what each returned or raised."""
    outcomes: list[Any] = [None] * len(jobs)

    def run(number: int) -> None:
        try:
            outcomes[number] = jobs[number]()
        except Exception as error:
            outcomes[number] = error

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    return outcomes


class RefusedError(Exception):
    """A writer that changes its mind."""


def write(database: Store, name: str, fails: bool = False, pause: float = 0.0) -> bool:
    """Write a row; True when a new reader sees it right after."""
    with database.write() as db:
        store.set_meta(db, name, "1")
        time.sleep(pause)
        if fails:
            raise RefusedError
    return name in names(database)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.0005])), min_size=1, max_size=12))
@settings(max_examples=20, deadline=None)
def test_every_writer_that_returns_is_seen_and_none_that_raises(
    database: Store, plan: list[tuple[bool, float]]
) -> None:
    run = uuid.uuid4().hex
    jobs = [lambda n=n, p=p: write(database, f"{n}-{run}", p[0], p[1]) for n, p in enumerate(plan)]
    outcomes = together(jobs)
    for (fails, _), outcome in zip(plan, outcomes, strict=True):
        assert isinstance(outcome, RefusedError) if fails else outcome is True
    kept = {n for n, (fails, _) in enumerate(plan) if not fails}
    assert {int(name.split("-")[0]) for name in names(database) if name.endswith(run)} == kept


def test_writers_that_wait_share_a_commit(tmp_path: Path) -> None:
    database = Store(tmp_path / "db")
    counted = commits(database)
    entered = threading.Event()
    first = threading.Thread(target=_hold, args=(database, entered, 0.2))
    first.start()
    entered.wait(5)
    assert together([lambda n=n: write(database, f"w{n}") for n in range(40)]) == [True] * 40
    first.join()
    # one for the first (its time was over), one for those who waited meanwhile, and a few stragglers
    assert 2 <= counted["commit"] <= 8


def _hold(database: Store, entered: threading.Event, seconds: float) -> None:
    with database.write() as db:
        store.set_meta(db, "first", "1")
        entered.set()
        time.sleep(seconds)


def test_a_commit_that_fails_fails_all_of_its_group_and_no_other(tmp_path: Path) -> None:
    database = Store(tmp_path / "db")
    entered, broken = threading.Event(), threading.Event()

    def fail(_connection: Connection) -> None:
        if broken.is_set():
            broken.clear()
            raise OSError("no space left on device")

    def member(name: str) -> None:
        with database.write() as db:
            store.set_meta(db, name, "1")
            entered.set()
            time.sleep(0.005)
            broken.set()

    event.listen(database._database._writer, "commit", fail)  # type: ignore[union-attr]
    outcomes = together([lambda: member("a"), lambda: member("b")])
    failed = [outcome for outcome in outcomes if isinstance(outcome, CommitError)]
    assert failed
    assert "no space left" in failed[0].message
    assert len(names(database)) == len(outcomes) - len(failed)
    broken.clear()
    assert write(database, "after")


def test_a_database_that_gives_up_the_transaction_fails_those_who_wrote_before(tmp_path: Path) -> None:
    database = Store(tmp_path / "db")
    entered = threading.Event()

    def lose() -> None:
        with database.write() as db:
            db.exec_driver_sql("ROLLBACK")  # as SQLite does by itself when the disk is full
            raise RefusedError

    def first() -> None:
        with database.write() as db:
            store.set_meta(db, "first", "1")
            entered.set()
            while not database._database._group._waiting:  # type: ignore[union-attr]
                time.sleep(0.001)

    def second() -> None:
        entered.wait(5)
        lose()

    outcomes = together([first, second])
    assert isinstance(outcomes[0], CommitError)
    assert isinstance(outcomes[1], RefusedError)
    assert "first" not in names(database)
    assert write(database, "after")


def test_a_write_inside_of_a_write_is_refused_and_harms_nobody(database: Store) -> None:
    with pytest.raises(RuntimeError, match="inside"), database.write(), database.write():
        pass
    assert write(database, "after-nesting")


LOAD = """
import os, sys, threading
from pathlib import Path
from scheduler import store
from scheduler.store import Store

database = Store(Path(sys.argv[1]))
def work(number):
    for count in range(10**9):
        name = f"{number}-{count}"
        with database.write() as db:
            store.set_meta(db, name, "1")
        os.write(1, name.encode() + bytes([10]))
for number in range(16):
    threading.Thread(target=work, args=(number,), daemon=number > 0).start()
"""


@pytest.mark.parametrize("after", [0.05, 0.4])
def test_what_was_acknowledged_before_a_kill_is_there(tmp_path: Path, after: float) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", LOAD, str(tmp_path / "db")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    first = [process.stdout.readline() for _ in range(20)]
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    said = first + process.stdout.read().splitlines(keepends=True)
    process.wait()
    acknowledged = {line.strip() for line in said if line.endswith("\n")}
    assert len(acknowledged) >= 20, said
    have = names(Store(tmp_path / "db"))
    assert acknowledged <= have
    assert len(have - acknowledged) <= 32  # written, and killed before it was said


def test_a_caller_whose_change_was_not_taken_may_try_again() -> None:
    assert status_of(CommitError("no")) == status_of(StoreUnreachableError("no")) == 503
