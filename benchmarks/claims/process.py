"""One scheduler process of the campaign, with the workers that poll it: `python -m benchmarks.claims.process`.

Store, leasing, notifications and signals are the scheduler's own. Left out are HTTP, the chain (every worker has stake
enough) and the signature of the leave to contribute. A worker writes each START into its journal before it
acknowledges it, and reports it again after a kill, as a real one does; the journal is what is counted at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from eth_account import Account
from sqlalchemy import func, select

from chain.wallet import Wallet
from poco.states import Presence, ReplicateStatus, TaskStatus
from poco.wire import NotificationType, Poll, WorkerInfo
from scheduler import model as m
from scheduler import postgres, store
from scheduler import tables as t
from scheduler.engine import Engine, Wake
from scheduler.funds import Funds, Standing
from scheduler.presence import Roll
from scheduler.sharing import own_name
from scheduler.signals import Signals
from scheduler.store import Store

#: Tasks that wait for a worker at a time; a leader initializes no more ahead either.
AHEAD = 2000
SLOTS = 4
#: A worker counts as being at it for the category's time; then another is sought. Nobody is to be replaced here.
RUN_SECONDS = 10**6
TERMS = m.TaskTerms("0x" + "11" * 32, "0x" + "33" * 20, False, 1, 50, RUN_SECONDS, 2**40, 2**41)
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT
#: Of a journal: task, wallet, sequence number.
Line = tuple[str, str, int]
INFO = WorkerInfo(name="claims", platforms=["linux/amd64"], cpus=1, memory_mb=1024, disk_mb=1024)


class Rich(Funds):
    """Everybody has what is needed: the chain is not part of this."""

    def __init__(self) -> None:
        """There is no chain to ask."""

    def standing(self, wallet: str) -> Standing | None:  # noqa: ARG002
        return Standing(10**9, 2)

    def known_weight(self, wallet: str) -> int:  # noqa: ARG002
        return 2

    def is_green(self, wallet: str) -> bool | None:  # noqa: ARG002
        return True

    def forget(self, wallet: str) -> None:
        """Nothing is remembered."""


class Unsigned(Wallet):
    """Signs nothing: five milliseconds of arithmetic a claim would hide what is measured."""

    def sign_message(self, digest: str) -> str:  # noqa: ARG002
        return "0x" + "00" * 65


class Process:
    """A scheduler without chain and HTTP, and its workers.

    Args:
        wallets: of the workers.
        journal: what they were given, a line each: task, wallet, sequence number.
    """

    def __init__(self, database: Store, wallets: list[str], journal: Path) -> None:
        self.engine = Engine(database, Roll(1e9, 2e9), Rich(), Unsigned(Account.create()))
        self.wallets = wallets
        self._acked = dict.fromkeys(wallets, 0)
        reported = journal.with_suffix(".reported")
        told = set(read_journal(reported))
        self._untold = [line for line in read_journal(journal) if line not in told]
        for _, wallet, seq in read_journal(journal):
            self._acked[wallet] = max(self._acked[wallet], seq)
        self._journal, self._reported = (os.open(path, _APPEND) for path in (journal, reported))
        self._signals: Signals | None = None
        if database.shared is not None:
            self._signals = Signals(database.shared, own_name(), self.engine.heard, self.engine.leasing.doubt)
            self.engine.elsewhere = self._signals.tell
            self._signals.start()

    async def run(self) -> None:
        """Lease and work until the process is ended."""
        now = self.engine.now()
        with self.engine.store.write() as db:
            for wallet in self.wallets:
                store.ensure_worker(db, wallet, now)
                self.engine.roll.register(wallet, INFO, now)
            self.engine.roll.flush(db, now)
        with self.engine.store.read() as db:
            self.engine.bell.load(store.waiting_workers(db))
        self._report(self._untold)
        async with asyncio.TaskGroup() as together:
            together.create_task(asyncio.to_thread(self._lease))
            for wallet in self.wallets:
                together.create_task(self._work(wallet))

    def _lease(self) -> None:
        flushed = looked = 0.0
        while True:
            self.engine.work_to_lease.wait(0.2)
            self.engine.work_to_lease.clear()
            now = time.monotonic()
            again = now - looked >= 1
            looked = now if again else looked
            self.engine.leasing.lease(everybody=again)
            if now - flushed >= 2:
                flushed = now
                self.engine.flush()
                with self.engine.store.read() as db:
                    waiting = store.waiting_workers(db)
                for wallet in waiting & self.engine.bell.open_polls():
                    self.engine.bell.ring(wallet)

    async def _work(self, wallet: str) -> None:
        engine = self.engine
        while True:
            poll = Poll(presence=Presence.WAITING, free_slots=SLOTS, acked=self._acked[wallet])
            engine.roll.heard(wallet, poll, engine.now(), engine.clock() + 20)
            with engine.bell.waiting(wallet) as rung:
                if engine.bell.collect(wallet) is None:
                    engine.arrived(wallet)
                    await rung.wait()
            await asyncio.to_thread(self._take, wallet)

    def _take(self, wallet: str) -> None:
        found = self.engine.fetch(wallet, self._acked[wallet])
        starts = [one for one in found if one.type is NotificationType.START]
        lines = [(str(one.task_id), wallet, one.seq) for one in starts]
        _write(self._journal, lines)
        self._report(lines)
        if found:
            self._acked[wallet] = found[-1].seq
            self.engine.acknowledged(wallet, found[-1].seq)

    def _report(self, lines: list[Line]) -> None:
        for task_id, wallet, _ in lines:
            self.engine.report(task_id, wallet, m.Reported(wallet, ReplicateStatus.STARTED, None))
        _write(self._reported, lines)

    def feed(self, tasks: int) -> None:
        """Keep the pool in tasks until there were so many."""
        with self.engine.store.read() as db:
            made = db.scalar(select(func.count()).select_from(t.tasks)) or 0
        while made < tasks:
            with self.engine.store.read() as db:
                wanted = db.scalar(select(func.count()).select_from(t.tasks).where(t.tasks.c.wanted)) or 0
            count = min(AHEAD - wanted, tasks - made)
            if count > 0:
                new = [replace(TERMS.task(made + n), status=TaskStatus.INITIALIZED) for n in range(count)]
                with self.engine.store.write() as db:
                    store.add_tasks(db, new, self.engine.now())
                made += count
                fresh = Wake(tasks=frozenset(task.id for task in new), lease=True)
                self.engine.heard(fresh)
                if self.engine.elsewhere is not None:
                    self.engine.elsewhere(fresh)
            time.sleep(0.1)


def _write(journal: int, lines: list[Line]) -> None:
    os.write(journal, "".join(f"{task_id} {wallet} {seq}\n" for task_id, wallet, seq in lines).encode())


def read_journal(path: Path) -> Iterator[Line]:
    """Each whole line; a kill may have cut the last one."""
    if path.exists():
        for line in path.read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                task_id, wallet, seq = line.split()
                yield task_id, wallet, int(seq)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.claims.process", description=__doc__)
    parser.add_argument("--database", required=True, help="an address of PostgreSQL, or a file")
    parser.add_argument("--journal", required=True, type=Path)
    parser.add_argument("--workers", required=True, help="first and last number, as 0-99")
    parser.add_argument("--feed", type=int, default=0, help="make so many tasks")
    given = parser.parse_args()
    where = postgres.parse(given.database) if "://" in given.database else Path(given.database)
    first, last = map(int, given.workers.split("-"))
    process = Process(Store(where), [f"0x{number:040x}" for number in range(first, last + 1)], given.journal)
    if given.feed:
        threading.Thread(target=process.feed, args=(given.feed,), daemon=True).start()
    asyncio.run(process.run())


if __name__ == "__main__":
    main()
