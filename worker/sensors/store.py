"""What is kept of the sensors: readings, what waits for the broker, and what the analyses found.

SQLite with write-ahead log and `synchronous=FULL`: what was written is there after a power cut. The file is bounded:
old rows go first, and their space is given back. A file that the storage has damaged is set aside, not trusted.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.database import Database, connect, connect_to_read
from worker.sensors.config import Keep
from worker.sensors.reading import COLUMNS, Reading

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS readings (at INTEGER PRIMARY KEY, {", ".join(f"{name} REAL" for name in COLUMNS)});
CREATE TABLE IF NOT EXISTS outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, payload BLOB NOT NULL,
    retain INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS analyses (id INTEGER PRIMARY KEY AUTOINCREMENT, program TEXT NOT NULL, start REAL NOT NULL,
    end REAL NOT NULL, summary TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
_DAY = 86_400
_MB = 1_000_000
_WAL_BYTES = 1_000_000
#: Part of the rows that goes when the file is too large.
_SHARE = 20
#: Readings in memory at once.
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Message:
    """Something to publish."""

    topic: str
    payload: bytes
    retain: bool = False


class Store(Database):
    """One device's store. Methods may be called from any thread; each is one transaction.

    Args:
        path: of the file.
        keep: bounds.
    """

    def __init__(self, path: Path, keep: Keep, *, read_only: bool = False) -> None:
        super().__init__(path)
        self._keep = keep
        self.set_aside: Path | None = None
        if read_only:
            self._db = connect_to_read(path, "are no readings in")
            return
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            self._db = self._opened()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            self.set_aside = path.with_name(path.name + ".damaged")
            path.replace(self.set_aside)
            for suffix in ("-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            self._db = self._opened()

    def _opened(self) -> sqlite3.Connection:
        db = connect(self.path)
        try:
            self.path.chmod(0o600)
            db.execute("PRAGMA auto_vacuum=INCREMENTAL")
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            db.execute(f"PRAGMA journal_size_limit={_WAL_BYTES}")
            db.executescript(_SCHEMA)
            if db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                raise sqlite3.DatabaseError("damaged")
        except BaseException:
            db.close()
            raise
        return db

    # readings

    def reading_kept(self, at: int, reading: Reading, say: Callable[[float], tuple[Message, ...]]) -> None:
        """Keep a reading and what is to be published because of it.

        Args:
            at: Unix seconds.
            reading: all columns.
            say: the messages, told the millimetres of rain since the first reading.
        """
        with self.transaction() as db:
            marks = ", ".join("?" * (1 + len(COLUMNS)))
            values = (at, *(reading.get(name) for name in COLUMNS))
            db.execute(f"INSERT OR REPLACE INTO readings VALUES ({marks})", values)  # noqa: S608
            found = db.execute("SELECT value FROM notes WHERE name = 'rain_total_mm'").fetchone()
            total = round((float(found[0]) if found else 0.0) + (reading.get("rain_mm") or 0.0), 4)
            db.execute("INSERT OR REPLACE INTO notes VALUES ('rain_total_mm', ?)", (str(total),))
            self._queue(db, say(total))

    def readings(self, start: int, end: int) -> Iterator[tuple[int, dict[str, float | None]]]:
        """(Unix seconds, reading) from `start` to `end`, both included, in order; some at a time in memory."""
        query = f"SELECT * FROM readings WHERE at BETWEEN ? AND ? ORDER BY at LIMIT {_PAGE}"  # noqa: S608
        while rows := self.rows(query, start, end):
            for at, *values in rows:
                yield int(at), dict(zip(COLUMNS, values, strict=True))
            start = int(rows[-1][0]) + 1

    def count(self, start: int, end: int) -> int:
        """How many readings there are from `start` to `end`."""
        return int(self.rows("SELECT COUNT(*) FROM readings WHERE at BETWEEN ? AND ?", start, end)[0][0])

    def latest(self) -> tuple[int, dict[str, float | None]] | None:
        """The newest reading."""
        rows = self.rows("SELECT * FROM readings ORDER BY at DESC LIMIT 1")
        return (int(rows[0][0]), dict(zip(COLUMNS, rows[0][1:], strict=True))) if rows else None

    # what waits for the broker

    def queue(self, *messages: Message) -> None:
        """Let messages wait for the broker."""
        with self.transaction() as db:
            self._queue(db, messages)

    def _queue(self, db: sqlite3.Connection, messages: tuple[Message, ...]) -> None:
        db.executemany(
            "INSERT INTO outbox (topic, payload, retain) VALUES (?, ?, ?)",
            [(message.topic, message.payload, message.retain) for message in messages],
        )
        if messages:
            last = db.execute("SELECT MAX(id) FROM outbox").fetchone()[0]
            db.execute("DELETE FROM outbox WHERE id <= ?", (last - self._keep.unsent,))

    def waiting(self, limit: int) -> list[tuple[int, Message]]:
        """The oldest messages that were not delivered, with their numbers."""
        rows = self.rows("SELECT id, topic, payload, retain FROM outbox ORDER BY id LIMIT ?", limit)
        return [(number, Message(topic, bytes(payload), bool(retain))) for number, topic, payload, retain in rows]

    def unsent(self) -> int:
        """How many messages wait."""
        return int(self.rows("SELECT COUNT(*) FROM outbox")[0][0])

    def delivered(self, number: int) -> None:
        """The broker has this message and all before it."""
        with self.transaction() as db:
            db.execute("DELETE FROM outbox WHERE id <= ?", (number,))

    # analyses

    def analysed(
        self, program: str, start: float, end: float, summary: Mapping[str, object], *messages: Message
    ) -> None:
        """Keep what a program found in that span, and what is to be published because of it."""
        with self.transaction() as db:
            db.execute(
                "INSERT INTO analyses (program, start, end, summary) VALUES (?, ?, ?, ?)",
                (program, start, end, json.dumps(summary)),
            )
            self._queue(db, messages)

    def last_analysis(self, program: str) -> tuple[float, float, dict[str, Any]] | None:
        """(start, end, summary) of the program's newest span."""
        rows = self.rows("SELECT start, end, summary FROM analyses WHERE program = ? ORDER BY id DESC LIMIT 1", program)
        return (rows[0][0], rows[0][1], json.loads(rows[0][2])) if rows else None

    # bounds

    def prune(self, now: float) -> None:
        """Drop what is too old, and the oldest while the file is too large."""
        with self._lock:
            self._db.execute("DELETE FROM readings WHERE at < ?", (int(now - self._keep.days * _DAY),))
            self._db.execute("DELETE FROM analyses WHERE end < ?", (now - self._keep.days * _DAY,))
            while self.size() > self._keep.readings_mb * _MB - _WAL_BYTES:
                before = self._db.total_changes
                for table, key in (("readings", "at"), ("outbox", "id"), ("analyses", "id")):
                    oldest = f"SELECT {key} FROM {table} ORDER BY {key}"  # noqa: S608
                    count = f"(SELECT (COUNT(*) + {_SHARE - 1}) / {_SHARE} FROM {table})"  # noqa: S608
                    self._db.execute(f"DELETE FROM {table} WHERE {key} IN ({oldest} LIMIT {count})")  # noqa: S608
                self._vacuum()
                if self._db.total_changes == before:
                    break
            self._vacuum()

    def _vacuum(self) -> None:
        self._db.executescript("PRAGMA incremental_vacuum")  # `execute` would free one page
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def size(self) -> int:
        """Bytes of the file when all is written back."""
        pages, page = (self.rows(f"PRAGMA {name}")[0][0] for name in ("page_count", "page_size"))
        return int(pages) * int(page)
