"""The worker's memory: an SQLite file that is on disk (`synchronous=FULL`) before anything is done.

Every state that follows an event is committed together with the reports it causes; a signed transaction is committed
before it is sent, a container before it is started, an upload before its first byte. After a power cut the file says
what was begun, and each effect can be taken up again from there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from poco import energy
from poco.energy import DAY_S, Entry, Profile, Record
from poco.errors import BadInputError
from poco.wire import Sample, StatusUpdate
from worker import postbox
from worker.core import Replicate, Report, Worker
from worker.database import Database, connect, connect_to_read
from worker.orders import Orders, Reply
from worker.table import Stage

_SCHEMA = """
CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS replicates (
    task_id TEXT NOT NULL, run INTEGER NOT NULL, stage TEXT NOT NULL, body TEXT NOT NULL,
    began INTEGER NOT NULL, changed INTEGER NOT NULL, PRIMARY KEY (task_id, run));
CREATE INDEX IF NOT EXISTS replicates_by_stage ON replicates (stage);
CREATE TABLE IF NOT EXISTS reports (id INTEGER PRIMARY KEY AUTOINCREMENT, task_id TEXT NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS transactions (
    tx_hash TEXT PRIMARY KEY, task_id TEXT NOT NULL, step TEXT NOT NULL, raw BLOB NOT NULL, at INTEGER NOT NULL,
    state TEXT NOT NULL, block INTEGER, cost_wei TEXT);
CREATE TABLE IF NOT EXISTS containers (
    task_id TEXT NOT NULL, run INTEGER NOT NULL, name TEXT NOT NULL, attempt INTEGER NOT NULL, boot TEXT NOT NULL,
    image TEXT NOT NULL, ran_seconds REAL NOT NULL, at REAL NOT NULL, verdict TEXT, PRIMARY KEY (task_id, run));
CREATE TABLE IF NOT EXISTS results (
    task_id TEXT NOT NULL, run INTEGER NOT NULL, digest TEXT NOT NULL, sha256 TEXT NOT NULL, size INTEGER NOT NULL,
    began INTEGER, location TEXT, PRIMARY KEY (task_id, run));
CREATE TABLE IF NOT EXISTS uploads (
    task_id TEXT NOT NULL, run INTEGER NOT NULL, sent INTEGER NOT NULL, at INTEGER NOT NULL,
    PRIMARY KEY (task_id, run));
CREATE TABLE IF NOT EXISTS deliveries (
    task_id TEXT NOT NULL, run INTEGER NOT NULL, location TEXT NOT NULL, callback BLOB NOT NULL,
    PRIMARY KEY (task_id, run));
CREATE TABLE IF NOT EXISTS earnings (
    task_id TEXT PRIMARY KEY, at INTEGER NOT NULL, status TEXT NOT NULL, reward_nrlc INTEGER NOT NULL,
    seized_nrlc INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS pulled (
    task_id TEXT NOT NULL, run INTEGER NOT NULL, reference TEXT NOT NULL, PRIMARY KEY (task_id, run));
CREATE TABLE IF NOT EXISTS images (reference TEXT PRIMARY KEY, used REAL NOT NULL);
CREATE TABLE IF NOT EXISTS ledger (start INTEGER PRIMARY KEY, profile TEXT NOT NULL, line TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS profiles (hash TEXT PRIMARY KEY, line TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS ledger_notes (id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, line TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS ledger_notes_by_time ON ledger_notes (at);
"""
_SET_NOTE = "INSERT INTO notes VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
_VERSION = "1"


@dataclass(frozen=True, slots=True)
class SentTransaction:
    """A transaction that was signed: `state` is OPEN, MINED, REVERTED or GONE (its nonce went to another)."""

    tx_hash: str
    task_id: str
    step: str
    raw: bytes
    state: str
    block: int | None
    at: int


@dataclass(frozen=True, slots=True)
class ContainerRow:
    """A container of a run.

    It was made for the `attempt`-th time under the kernel boot `boot`, and had computed `ran_seconds` (pauses left out)
    at the Unix time `at`. `verdict` says how it ended once that is decided, as JSON.
    """

    name: str
    attempt: int
    boot: str
    image: str
    ran_seconds: float
    at: float
    verdict: str | None = None


@dataclass(frozen=True, slots=True)
class ResultRow:
    """A proven result: its digest, and size and hash of the zip."""

    digest: str
    sha256: str
    size: int
    location: str | None = None


class Journal(Database):
    """One worker's journal. Methods may be called from any thread; each is one transaction."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        super().__init__(path)
        if read_only:
            self._db = connect_to_read(path, "is no journal")
            return
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._db = connect(path)
        path.chmod(0o600)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(_SCHEMA + postbox.SCHEMA)
        version = self.note("version")
        if version not in (None, _VERSION):
            raise BadInputError(
                f"{path} was written by another version ({version})", hint="give this worker a new data_dir"
            )
        self.set_note("version", _VERSION)

    def _write(self, query: str, *values: Any) -> None:
        with self.transaction() as db:
            db.execute(query, values)

    # what this journal belongs to, and small things worth keeping

    def note(self, name: str) -> str | None:
        rows = self.rows("SELECT value FROM notes WHERE name = ?", name)
        return str(rows[0][0]) if rows else None

    def set_note(self, name: str, value: str) -> None:
        self._write(_SET_NOTE, name, value)

    def bind(self, **owner: str) -> None:
        """Tie the journal to one wallet, hub and chain; BadInputError when it is tied to others."""
        for name, value in owner.items():
            known = self.note(f"owner.{name}")
            if known is None:
                self.set_note(f"owner.{name}", value)
            elif known != value:
                raise BadInputError(
                    f"{self.path} belongs to another {name} ({known}, not {value})",
                    hint="give this worker a new data_dir, or use the old wallet and network",
                    code="OTHER_JOURNAL",
                )

    # state and reports

    def load(self, slots: int) -> Worker:
        """The state as it was when the process ended."""
        rows = self.rows("SELECT body FROM replicates WHERE stage != ? ORDER BY began, task_id", Stage.ENDED)
        replicates = [Replicate.model_validate_json(body) for (body,) in rows]
        return Worker(
            slots=slots,
            acked=int(self.note("acked") or 0),
            commanded=int(self.note("commanded") or 0),
            orders=Orders.model_validate_json(self.note("orders") or "{}"),
            replicates={r.task_id: r for r in replicates},
        )

    def commit(self, before: Worker, after: Worker, said: Iterable[Report | Reply], now: int) -> None:
        """Write what changed between two states, and what is said because of it, in one transaction."""
        said = list(said)
        changed = [r for key, r in after.replicates.items() if before.replicates.get(key) != r]
        ended = [
            old.model_copy(update={"stage": Stage.ENDED})
            for key, old in before.replicates.items()
            if key not in after.replicates or after.replicates[key].run != old.run
        ]
        heard = (before.acked, before.commanded, before.orders) != (after.acked, after.commanded, after.orders)
        if not (changed or ended or said or heard):
            return
        with self.transaction() as db:
            for replicate in (*ended, *changed):
                db.execute(
                    "INSERT INTO replicates VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (task_id, run)"
                    " DO UPDATE SET stage = excluded.stage, body = excluded.body, changed = excluded.changed",
                    (replicate.task_id, replicate.run, replicate.stage, replicate.model_dump_json(), now, now),
                )
            for each in said:
                if isinstance(each, Reply):
                    postbox.reply_kept(db, each)
                else:
                    body = each.update.model_dump_json(exclude_none=True)
                    db.execute("INSERT INTO reports (task_id, body) VALUES (?, ?)", (each.task_id, body))
            if heard:
                db.execute(_SET_NOTE, ("acked", str(after.acked)))
                db.execute(_SET_NOTE, ("commanded", str(after.commanded)))
                db.execute(_SET_NOTE, ("orders", after.orders.model_dump_json(exclude_none=True)))

    def forget(self, before: int) -> None:
        """Drop the details of tasks that ended before that Unix second; what they earned stays."""
        with self.transaction() as db:
            old = "SELECT task_id FROM replicates WHERE stage = ? AND changed < ?"
            for table in ("containers", "results", "uploads", "deliveries", "transactions", "pulled"):
                db.execute(f"DELETE FROM {table} WHERE task_id IN ({old})", (Stage.ENDED, before))  # noqa: S608
            db.execute("DELETE FROM replicates WHERE stage = ? AND changed < ?", (Stage.ENDED, before))

    def next_report(self) -> tuple[int, str, StatusUpdate] | None:
        """(id, task, update) of the oldest report that was not answered."""
        rows = self.rows("SELECT id, task_id, body FROM reports ORDER BY id LIMIT 1")
        return (rows[0][0], rows[0][1], StatusUpdate.model_validate_json(rows[0][2])) if rows else None

    def report_done(self, number: int) -> None:
        self._write("DELETE FROM reports WHERE id = ?", number)

    def tasks(self, limit: int = 100) -> list[dict[str, Any]]:
        """The latest tasks, newest first, for people."""
        rows = self.rows(
            "SELECT r.task_id, r.stage, r.began, r.changed, r.body, e.reward_nrlc, e.seized_nrlc, e.status"
            " FROM replicates r LEFT JOIN earnings e ON e.task_id = r.task_id ORDER BY r.began DESC LIMIT ?",
            limit,
        )
        return [
            {
                "task_id": task, "stage": stage, "began": began, "changed": changed,
                **{name: json.loads(body)[name] for name in ("digest", "cause", "facts")},
                "reward_nrlc": reward, "seized_nrlc": seized, "chain_status": status,
            }
            for task, stage, began, changed, body, reward, seized, status in rows
        ]  # fmt: skip

    # transactions

    def transaction_prepared(self, task_id: str, step: str, tx_hash: str, raw: bytes, now: int) -> None:
        """Keep a signed transaction before it is sent."""
        self._write(
            "INSERT OR REPLACE INTO transactions VALUES (?, ?, ?, ?, ?, 'OPEN', NULL, NULL)",
            tx_hash, task_id, step, raw, now,
        )  # fmt: skip

    def transaction_ended(
        self, tx_hash: str, state: str, block: int | None = None, cost_wei: int | None = None
    ) -> None:
        cost = None if cost_wei is None else str(cost_wei)
        self._write(
            "UPDATE transactions SET state = ?, block = ?, cost_wei = ? WHERE tx_hash = ?", state, block, cost, tx_hash
        )

    def sent(self, task_id: str, step: str) -> list[SentTransaction]:
        """The transactions of one step of a task, newest first."""
        rows = self.rows(
            "SELECT tx_hash, task_id, step, raw, state, block, at FROM transactions WHERE task_id = ? AND step = ?"
            " ORDER BY rowid DESC",
            task_id, step,
        )  # fmt: skip
        return [SentTransaction(*row) for row in rows]

    def open_transactions(self) -> list[SentTransaction]:
        """What was signed and is not known to be mined, oldest first."""
        rows = self.rows(
            "SELECT tx_hash, task_id, step, raw, state, block, at FROM transactions WHERE state = 'OPEN' ORDER BY rowid"
        )
        return [SentTransaction(*row) for row in rows]

    def gas_wei(self) -> int:
        """What all mined transactions cost."""
        return sum(int(cost) for (cost,) in self.rows("SELECT cost_wei FROM transactions WHERE cost_wei IS NOT NULL"))

    # containers and results

    def container(self, task_id: str, run: int) -> ContainerRow | None:
        rows = self.rows(
            "SELECT name, attempt, boot, image, ran_seconds, at, verdict FROM containers WHERE task_id = ? AND run = ?",
            task_id, run,
        )  # fmt: skip
        return ContainerRow(*rows[0]) if rows else None

    def container_kept(self, task_id: str, run: int, row: ContainerRow) -> None:
        """Keep a container before it is made, and later what became of it."""
        self._write(
            "INSERT OR REPLACE INTO containers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            task_id, run, row.name, row.attempt, row.boot, row.image, row.ran_seconds, row.at, row.verdict,
        )  # fmt: skip

    def image_pulled(self, task_id: str, run: int, reference: str, now: float) -> None:
        """Keep which image a run needs, and when it was needed last."""
        with self.transaction() as db:
            db.execute("INSERT OR REPLACE INTO pulled VALUES (?, ?, ?)", (task_id, run, reference))
            db.execute("INSERT OR REPLACE INTO images VALUES (?, ?)", (reference, now))

    def image(self, task_id: str, run: int) -> str:
        """The image that a run needs, by digest; empty where none was pulled."""
        rows = self.rows("SELECT reference FROM pulled WHERE task_id = ? AND run = ?", task_id, run)
        return str(rows[0][0]) if rows else ""

    def unused_images(self) -> list[str]:
        """Images that no open task needs, the one used longest ago first."""
        needed = (
            "SELECT p.reference FROM pulled p JOIN replicates r ON r.task_id = p.task_id AND r.run = p.run"
            " WHERE r.stage != ?"
        )
        query = f"SELECT reference FROM images WHERE reference NOT IN ({needed}) ORDER BY used"  # noqa: S608
        return [str(reference) for (reference,) in self.rows(query, Stage.ENDED)]

    def image_gone(self, reference: str) -> None:
        self._write("DELETE FROM images WHERE reference = ?", reference)

    def result(self, task_id: str, run: int) -> ResultRow | None:
        rows = self.rows("SELECT digest, sha256, size, location FROM results WHERE task_id=? AND run=?", task_id, run)
        return ResultRow(*rows[0]) if rows else None

    def result_kept(self, task_id: str, run: int, row: ResultRow) -> None:
        self._write(
            "INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?, ?, NULL, ?)",
            task_id, run, row.digest, row.sha256, row.size, row.location,
        )  # fmt: skip

    def upload_begins(self, task_id: str, run: int, now: int) -> None:
        self._write("UPDATE results SET began = ? WHERE task_id = ? AND run = ?", now, task_id, run)

    def upload_went(self, task_id: str, run: int, sent: int, at: int) -> None:
        """Keep how many bytes of a result the scheduler says it has."""
        self._write("INSERT OR REPLACE INTO uploads VALUES (?, ?, ?, ?)", task_id, run, sent, at)

    def uploaded(self, task_id: str, run: int) -> int:
        """How many bytes of a result the scheduler was last known to have."""
        rows = self.rows("SELECT sent FROM uploads WHERE task_id = ? AND run = ?", task_id, run)
        return int(rows[0][0]) if rows else 0

    def upload_done(self, task_id: str, run: int, location: str) -> None:
        self._write("UPDATE results SET location = ? WHERE task_id = ? AND run = ?", location, task_id, run)

    def delivery_kept(self, task_id: str, run: int, location: str, callback: bytes) -> None:
        """What `contributeAndFinalize` will put on chain: kept before the result is delivered."""
        self._write("INSERT OR REPLACE INTO deliveries VALUES (?, ?, ?, ?)", task_id, run, location, callback)

    def delivery(self, task_id: str, run: int) -> tuple[str, bytes] | None:
        """(location, callback data) of a result that was, or was about to be, delivered."""
        rows = self.rows("SELECT location, callback FROM deliveries WHERE task_id = ? AND run = ?", task_id, run)
        return (rows[0][0], rows[0][1]) if rows else None

    def expected_seconds(self, app: str) -> float | None:
        """How long the app's last run computed; None where it never ran here."""
        note = self.note(f"seconds.{app}")
        return float(note) if note else None

    def earned(self, task_id: str, at: int, status: str, reward_nrlc: int, seized_nrlc: int) -> None:
        """What the chain says a task brought; saying it twice changes nothing."""
        query = "INSERT OR REPLACE INTO earnings VALUES (?, ?, ?, ?, ?)"
        self._write(query, task_id, at, status, reward_nrlc, seized_nrlc)

    def earnings(self) -> dict[str, int]:
        rows = self.rows("SELECT COUNT(*), COALESCE(SUM(reward_nrlc), 0), COALESCE(SUM(seized_nrlc), 0) FROM earnings")
        tasks, reward, seized = rows[0]
        return {"tasks": tasks, "reward_nrlc": reward, "seized_nrlc": seized}

    def energy_kept(
        self,
        snapshots: Mapping[str, object],
        entries: Iterable[Entry] = (),
        notes: Iterable[dict[str, Any]] = (),
        samples: Iterable[Sample] = (),
    ) -> None:
        """Keep meter, gate and source, and with them what is to be told of it, so that none is lost or told twice."""
        with self.transaction() as db:
            for name, snapshot in snapshots.items():
                db.execute(_SET_NOTE, (f"energy.{name}", json.dumps(snapshot)))
            for entry in entries:
                line = energy.entry_line(entry)
                db.execute("INSERT INTO ledger VALUES (?, ?, ?)", (entry.record.start, entry.record.profile, line))
            for note in notes:
                db.execute("INSERT INTO ledger_notes (at, line) VALUES (?, ?)", (note["at"], energy.note_line(note)))
            postbox.samples_kept(db, samples)

    def energy_snapshot(self, name: str) -> dict[str, Any] | None:
        text = self.note(f"energy.{name}")
        return json.loads(text) if text else None

    def profile_kept(self, profile: Profile) -> None:
        """Keep a profile before the first record that refers to it."""
        self._write("INSERT OR IGNORE INTO profiles VALUES (?, ?)", profile.hash, energy.profile_line(profile))

    def last_record(self) -> Record | None:
        """The end of the ledger's chain."""
        rows = self.rows("SELECT line FROM ledger ORDER BY start DESC LIMIT 1")
        return energy.parse_entry(rows[0][0]).record if rows else None

    def ledger_days(self, first: int) -> list[int]:
        """Days (of the source's clock) that have records, from `first` on."""
        rows = self.rows("SELECT DISTINCT start / 86400 FROM ledger WHERE start >= ? ORDER BY 1", first * DAY_S)
        return [day for (day,) in rows]

    def ledger_lines(self, first: int = 0, last: int = 2**62) -> list[str]:
        """The ledger's lines for the instants `first` to before `last`, without a head: profiles, records, notes."""
        queries = (
            "SELECT line FROM profiles WHERE hash IN (SELECT profile FROM ledger WHERE start >= ? AND start < ?)",
            "SELECT line FROM ledger WHERE start >= ? AND start < ? ORDER BY start",
            "SELECT line FROM ledger_notes WHERE at >= ? AND at < ? ORDER BY id",
        )
        return [str(line) for query in queries for (line,) in self.rows(query, first, last)]
