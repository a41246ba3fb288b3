"""A copy of PostgreSQL: whole though it is written to, put back into an empty database alone, refused elsewhere."""

from __future__ import annotations

import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from sqlalchemy import create_engine, insert, inspect, select, text

from ops.console import ROOT
from ops.postgres import Postgres, start_postgres
from ops.stack import Stack
from poco.errors import BadInputError, PewError
from poco.wire import NotificationType
from scheduler import model as m
from scheduler import schema, sharing, store
from scheduler import tables as t
from scheduler.backup import backup, restore
from scheduler.config import Config
from scheduler.store import Store

W = "0x" + "01" * 20
TERMS = m.TaskTerms("0x" + "11" * 32, "0x" + "33" * 20, False, 1, 50, 300, 2**40, 2**41)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with Stack(tmp_path_factory.mktemp("copies"), handle_signals=False) as stack:
        yield start_postgres(stack)


def settings(folder: Path, url: str) -> Config:
    named = {name: str(folder / name) for name in ("deployment", "keystore", "password_file", "data_dir")}
    return Config.model_validate(
        {"rpc_url": "http://127.0.0.1:1", "workerpool": "0x" + "22" * 20, "database_url": url, **named}
    )


@pytest.fixture
def copied(server: Postgres, tmp_path: Path) -> Iterator[tuple[Config, Path]]:
    """A pool with a task, a notification, an outbox row and a result, and a copy of it."""
    here = settings(tmp_path / "here", server.create(f"here{abs(hash(tmp_path))}"))
    database = Store(here.database)
    sharing.require_same(database, "a pool", here.files)
    (here.files / "results").mkdir()
    (here.files / "results" / "bafk").write_bytes(b"zip")
    with database.write() as db:
        store.add_tasks(db, [TERMS.task(0)], 5)
        store.add_notification(db, m.Notify(W, NotificationType.REVEAL, TERMS.task(0).id, {"odd": 'a\t"\\\n\u2603'}), 5)
        db.execute(insert(t.secrets).values(kind="x", owner=W, name="n", sealed=b"\x00\xff\\x", set_at=1))
        store.queue_transactions(db, [m.Send(m.Tx.FINALIZE, TERMS.task(0).id, "/ipfs/x")], 5)
    backup(here, tmp_path / "copy")
    yield here, tmp_path / "copy"
    database.close()


def test_everything_comes_back_and_goes_on(server: Postgres, copied: tuple[Config, Path], tmp_path: Path) -> None:
    here, folder = copied
    there = settings(tmp_path / "there", server.create(f"there{abs(hash(tmp_path))}"))
    restore(there, folder)
    old, new = Store(here.database), Store(there.database)
    with old.read() as before, new.read() as after:
        for table in t.metadata.sorted_tables:
            rows = [{tuple(map(repr, row)) for row in db.execute(select(table))} for db in (before, after)]
            if table.name == "workers":
                continue  # next_seq goes on
            assert rows[0] == rows[1], table.name
        (first,) = store.unacked(before, W)
    sharing.require_same(new, "a pool", there.files)
    assert (there.files / "results" / "bafk").read_bytes() == b"zip"
    with new.write() as db:
        store.add_notification(db, m.Notify(W, NotificationType.COMPLETE, TERMS.task(0).id), 5)
        assert [one.seq > first.seq for one in store.unacked(db, W)] == [False, True]
        # numbers that the database gives out are above those that came with the copy
        store.queue_transactions(db, [m.Send(m.Tx.CLAIM, TERMS.task(0).id, None)], 5)
        assert len(set(db.scalars(select(t.outbox.c.id)))) == 2
    old.close()
    new.close()


def test_a_copy_of_a_busy_database_is_of_one_instant(server: Postgres, tmp_path: Path) -> None:
    here = settings(tmp_path / "here", server.create("busy"))
    there = settings(tmp_path / "there", server.create("quiet"))
    database = Store(here.database)
    stop, begun = threading.Event(), threading.Event()

    def pairs() -> None:
        number = 0
        while not stop.is_set():
            with database.write() as db:
                store.set_meta(db, f"a{number}", "1")
            with database.write() as db:
                store.add_tasks(db, [TERMS.task(number)], 5)
            number += 1
            begun.set()

    writing = threading.Thread(target=pairs)
    writing.start()
    try:
        assert begun.wait(30)
        for _ in range(3):
            backup(here, tmp_path / "copy")
    finally:
        stop.set()
        writing.join()
    restore(there, tmp_path / "copy")
    with Store(there.database).read() as db:
        names = [name for name in db.scalars(select(t.meta.c.name)) if name.startswith("a")]
        tasks = len(list(db.scalars(select(t.tasks.c.id))))
    assert tasks and 0 <= len(names) - tasks <= 1
    database.close()


def test_what_would_do_harm_is_refused_and_changes_nothing(
    server: Postgres, copied: tuple[Config, Path], tmp_path: Path
) -> None:
    here, folder = copied
    with pytest.raises(BadInputError, match="not empty"):
        restore(here, folder)
    empty = settings(tmp_path / "there", server.create(f"empty{abs(hash(tmp_path))}"))
    with pytest.raises(BadInputError, match="no scheduler's data"):
        backup(empty, tmp_path / "nothing")
    kept = empty.files / "results"
    kept.mkdir(parents=True)
    (kept / "bafkother").write_bytes(b"another pool's")
    with pytest.raises(BadInputError, match="files of another pool"):
        restore(empty, folder)
    assert not inspect(create_engine(empty.database)).get_table_names(), "all or nothing"
    (kept / "bafkother").unlink()
    whole = (folder / "database.zip").read_bytes()
    for damaged, said in (
        (whole[: len(whole) // 2], "damaged"),
        (whole[:99] + b"\x00\x01" + whole[101:], "damaged|whole"),
    ):
        (folder / "database.zip").write_bytes(damaged)
        with pytest.raises(PewError, match=said):
            restore(empty, folder)
        assert not inspect(create_engine(empty.database)).get_table_names()
    (folder / "database.zip").write_bytes(whole)
    later = tmp_path / "later"
    later.mkdir()
    with zipfile.ZipFile(folder / "database.zip") as old, zipfile.ZipFile(later / "database.zip", "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b'"revision": "0', b'"revision": "9'))
    with pytest.raises(BadInputError, match="later version"):
        restore(empty, later)
    restore(empty, folder)


def test_a_copy_of_an_older_version_is_brought_up_to_date(server: Postgres, tmp_path: Path) -> None:
    here = settings(tmp_path / "here", server.create("first"))
    there = settings(tmp_path / "there", server.create("newest"))
    wallet = {"wallet": W, "name": "a", "platforms": "[]", "cpus": 1, "memory_mb": 1, "disk_mb": 1, "energy": "{}"}
    wallet |= {"presence": "WAITING", "free_slots": 1, "last_seen": 7, "next_seq": 9, "registered": True}
    names = f"INSERT INTO workers ({', '.join(wallet)}) VALUES ({', '.join(f':{n}' for n in wallet)})"  # noqa: S608
    with create_engine(here.database).begin() as db:
        schema.upgrade(db, "0001")
        db.execute(text(names), wallet)
    backup(here, tmp_path / "copy")
    restore(there, tmp_path / "copy")
    database = Store(there.database)
    with database.read() as db:
        assert db.execute(select(t.workers.c.wallet, t.workers.c.faults)).one() == (W, 0)
    database.close()


def test_the_command_says_in_words_what_is_wrong(server: Postgres, copied: tuple[Config, Path], tmp_path: Path) -> None:
    here, folder = copied
    said = {"rpc_url": "http://127.0.0.1:1", "workerpool": here.workerpool, "deployment": "d", "keystore": "k"}
    said |= {"password_file": "p", "data_dir": "data"}
    for number, (url, words) in enumerate(
        ((here.database_url, "is not empty"), (server.create("gone").replace("/gone?", "/nowhere?"), "does not do it"))
    ):
        config = tmp_path / f"{number}.yaml"
        config.write_text(yaml.safe_dump({**said, "database_url": url}))
        argv = [sys.executable, "-m", "scheduler", "--config", config, "restore", folder]
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode in {1, 2}, done
        assert words in done.stderr and "hint: " in done.stderr and "Traceback" not in done.stderr, done.stderr
