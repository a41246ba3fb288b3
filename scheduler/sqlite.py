"""SQLite (WAL, synchronous=FULL): one process, many readers, writers in groups."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event

from scheduler.commits import GroupCommit
from scheduler.schema import upgrade

#: Connections kept open; each reading thread needs one.
_POOL = 48


class Sqlite:
    """The database file at `path` (created and migrated when opened)."""

    def __init__(self, path: Path) -> None:
        self._reader = _engine(path, "BEGIN")
        self._writer = _engine(path, "BEGIN IMMEDIATE")
        self._group = GroupCommit(self._writer)
        with self._writer.begin() as connection:
            upgrade(connection)

    def write(self) -> AbstractContextManager[Connection]:
        return self._group.write()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with self._reader.begin() as connection:
            yield connection

    def close(self) -> None:
        self._writer.dispose()
        self._reader.dispose()


def _engine(path: Path, begin: str) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}", pool_size=_POOL, connect_args={"timeout": 30, "check_same_thread": False}
    )

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # SQLAlchemy says when a transaction begins
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine
