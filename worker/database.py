"""An SQLite file that any thread of one process may use, for the journal and the store of readings; and its folder."""

from __future__ import annotations

import fcntl
import os
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

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """What a query finds."""
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


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold a data folder for one process; BadInputError when another worker has it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.pread(handle, 32, 0).decode("ascii", "replace").strip() or "unknown"
            raise BadInputError(
                f"another worker (process {owner}) uses {folder}",
                hint=f"stop it first (kill {owner}), or give this worker a data_dir of its own",
                code="DATA_DIR_IN_USE",
            ) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)
