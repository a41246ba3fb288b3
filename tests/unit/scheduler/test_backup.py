"""Copies of a pool's data: taken while it is written to, put back, and refused where they would do harm."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from sqlalchemy import select

from poco.errors import BadInputError
from poco.wire import NotificationType
from scheduler import lock, store
from scheduler import model as m
from scheduler import tables as t
from scheduler.backup import backup, restore
from scheduler.config import Config
from scheduler.store import Store

W = "0x" + "01" * 20
TERMS = m.TaskTerms("0x" + "11" * 32, "0x" + "33" * 20, False, 1, 50, 300, 2100, 3000)


def settings(folder: Path, **more: object) -> Config:
    named = {name: str(folder / name) for name in ("deployment", "keystore", "password_file", "data_dir")}
    return Config.model_validate({"rpc_url": "http://127.0.0.1:1", "workerpool": "0x" + "22" * 20, **named, **more})


def test_a_copy_of_a_busy_database_is_whole_and_comes_back(tmp_path: Path) -> None:
    here, there = settings(tmp_path / "here"), settings(tmp_path / "there")
    results = here.files / "results"
    results.mkdir(parents=True)
    (results / "bafk").write_bytes(b"zip")
    (results / ".incoming").mkdir()
    (results / ".incoming" / "half").write_bytes(b"z")
    database = Store(here.data_dir / "scheduler.db")
    stop = threading.Event()

    def pair() -> None:
        """Two rows a transaction: a copy has both or none."""
        number = 0
        while not stop.is_set():
            with database.write() as db:
                store.set_meta(db, f"a{number}", "1")
                store.set_meta(db, f"b{number}", "1")
            number += 1

    with database.write() as db:
        store.add_tasks(db, [TERMS.task(0)], 5)
        store.add_notification(db, m.Notify(W, NotificationType.REVEAL, TERMS.task(0).id), 5)
        last = store.unacked(db, W)[-1].seq
    writing = threading.Thread(target=pair)
    writing.start()
    try:
        assert backup(here, tmp_path / "copy")["files"] == 1
        assert backup(here, tmp_path / "copy")["files"] == 0, "what is there is not copied again"
    finally:
        stop.set()
        writing.join()
    assert restore(there, tmp_path / "copy")["files"] == 1
    assert (there.files / "results" / "bafk").read_bytes() == b"zip"
    with Store(there.data_dir / "scheduler.db").write() as db:
        names = set(db.scalars(select(t.meta.c.name)))
        assert {f"b{name[1:]}" for name in names if name[0] == "a"} == {name for name in names if name[0] == "b"}
        assert store.load_task(db, TERMS.task(0).id) == TERMS.task(0)
        # what the lost days have told a worker had higher numbers than the copy knows
        store.add_notification(db, m.Notify(W, NotificationType.COMPLETE, TERMS.task(0).id), 5)
        assert store.unacked(db, W)[-1].seq > last + 1000


def test_what_would_do_harm_is_refused(tmp_path: Path) -> None:
    here = settings(tmp_path / "here")
    with pytest.raises(BadInputError, match="there is no"):
        backup(here, tmp_path / "copy")
    with pytest.raises(BadInputError, match="holds no backup"):
        restore(here, tmp_path / "copy")
    here.data_dir.mkdir(parents=True)
    Store(here.data_dir / "scheduler.db").close()
    backup(here, tmp_path / "copy")
    with pytest.raises(BadInputError, match="there already"):
        restore(here, tmp_path / "copy")
    held = lock.acquire(here.data_dir)
    with pytest.raises(BadInputError, match="another scheduler"):
        restore(here, tmp_path / "copy")
    held.close()
    (tmp_path / "copy" / "scheduler.db").unlink()
    (tmp_path / "copy" / "database.zip").touch()
    with pytest.raises(BadInputError, match="of PostgreSQL"):
        restore(settings(tmp_path / "there"), tmp_path / "copy")
    with pytest.raises(BadInputError, match="another database"):
        backup(here, tmp_path / "copy")
    pool = settings(tmp_path / "there", database_url="postgresql://h/pool")
    with pytest.raises(BadInputError, match="damaged"):
        restore(pool, tmp_path / "copy")
