"""What the journal keeps for the pool's operator: replies to commands and quarter hours, each until it was told."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from poco.commands import CommandAnswer, CommandState
from poco.wire import Sample
from worker.database import Database
from worker.orders import Orders, Reply

SCHEMA = """
CREATE TABLE IF NOT EXISTS replies (seq INTEGER PRIMARY KEY, state TEXT, answer TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS samples (at INTEGER PRIMARY KEY, body TEXT NOT NULL);
"""
#: Quarter hours that wait at most, the newest: a week.
MOST_SAMPLES = 672


def reply_kept(db: sqlite3.Connection, reply: Reply) -> None:
    """Inside the transaction of the state that the command led to."""
    state = None if reply.state is None else reply.state.value
    db.execute("INSERT OR REPLACE INTO replies VALUES (?, ?, ?)", (reply.seq, state, reply.answer))


def samples_kept(db: sqlite3.Connection, samples: Iterable[Sample]) -> None:
    """Inside the transaction that keeps the meter; the oldest go where too many wait."""
    added = False
    for sample in samples:
        added = True
        body = sample.model_dump_json(exclude_defaults=True)
        db.execute("INSERT OR REPLACE INTO samples VALUES (?, ?)", (sample.at, body))
    if added:
        newest = "SELECT at FROM samples ORDER BY at DESC LIMIT ?"
        db.execute(f"DELETE FROM samples WHERE at NOT IN ({newest})", (MOST_SAMPLES,))  # noqa: S608


class Postbox:
    """The part of a journal that holds what is to be told.

    Args:
        journal: any thread may use it.
        telemetry_seconds: quarter hours are told together, so many seconds of them.
    """

    def __init__(self, journal: Database, telemetry_seconds: int = 3600) -> None:
        self._journal, self._seconds = journal, telemetry_seconds

    def telemetry_seconds(self, orders: Orders) -> int:
        """How much of them is told together."""
        return orders.settings.telemetry_seconds or self._seconds

    def keep(self, reply: Reply) -> None:
        """A reply that took its time."""
        with self._journal.transaction() as db:
            reply_kept(db, reply)

    def unanswered(self) -> list[int]:
        """Commands for which the doctor has still to be asked."""
        return [seq for (seq,) in self._journal.rows("SELECT seq FROM replies WHERE state IS NULL ORDER BY seq")]

    def next_reply(self) -> tuple[int, CommandAnswer] | None:
        """The oldest answer that was not told, with the command's number."""
        rows = self._journal.rows("SELECT seq, state, answer FROM replies WHERE state IS NOT NULL ORDER BY seq LIMIT 1")
        return (rows[0][0], CommandAnswer(state=CommandState(rows[0][1]), answer=rows[0][2])) if rows else None

    def replied(self, seq: int) -> None:
        """That answer has arrived."""
        with self._journal.transaction() as db:
            db.execute("DELETE FROM replies WHERE seq = ?", (seq,))

    def samples(self, most: int) -> list[Sample]:
        """The oldest quarter hours that were not told."""
        rows = self._journal.rows("SELECT body FROM samples ORDER BY at LIMIT ?", most)
        return [Sample.model_validate_json(body) for (body,) in rows]

    def waiting(self) -> int:
        """How many quarter hours wait."""
        return int(self._journal.rows("SELECT COUNT(*) FROM samples")[0][0])

    def told(self, samples: Iterable[Sample]) -> None:
        """Those quarter hours have arrived."""
        with self._journal.transaction() as db:
            db.executemany("DELETE FROM samples WHERE at = ?", [(sample.at,) for sample in samples])
