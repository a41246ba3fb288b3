"""An SQLite file that any thread of one process may use: what the journal and the store of readings have in common."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from poco.errors import BadInputError


class Database:
    """One file and one connection; a subclass opens it as it needs and has its methods."""

    _db: sqlite3.Connection

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()

    def close(self) -> None:
        """End; nothing is lost without."""
        with self._lock:
            self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, on disk when it ends."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._db.execute(query, values).fetchall()


def connect(path: Path) -> sqlite3.Connection:
    """A connection that writes; transactions are begun by hand."""
    return sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=30)


def connect_to_read(path: Path, what: str) -> sqlite3.Connection:
    """A connection that writes nothing; BadInputError where the file has never been made."""
    if not path.exists():
        raise BadInputError(f"there {what} {path}", hint="start the worker once: python -m worker")
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True, check_same_thread=False)
