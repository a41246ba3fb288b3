"""Tells the other schedulers on the same database what was committed (LISTEN/NOTIFY), so that no poll there waits.

A signal may be lost: what it announces lies in the database, and every process also looks there from time to time.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg

from scheduler.engine import Wake
from scheduler.log import log
from scheduler.postgres import Postgres

CHANNEL = "pew_scheduler"
#: A payload has at most 8,000 bytes.
_AT_ONCE = 60
#: Signals within so short a time travel together.
_GATHER_SECONDS = 0.005
_AGAIN_SECONDS = 1.0


class Signals:
    """One process's ears and voice.

    Args:
        me: names this process; it does not listen to itself.
        heard: is told whom another process's changes concern.
        missed: called where signals may have been lost.
    """

    def __init__(self, database: Postgres, me: str, heard: Callable[[Wake], None], missed: Callable[[], None]) -> None:
        self._database = database
        self._me = me
        self._heard = heard
        self._missed = missed
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._something = threading.Event()
        self._wanted = Wake()
        self._threads = [
            threading.Thread(target=self._run, args=(work,), name=name, daemon=True)
            for name, work in (("listener", self._listen), ("teller", self._tell))
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._something.set()
        for thread in self._threads:
            thread.join(10)

    def tell(self, concerned: Wake) -> None:
        """Let the others know; returns at once."""
        with self._lock:
            self._wanted |= concerned
        self._something.set()

    def _run(self, work: Callable[[psycopg.Connection[Any]], None]) -> None:
        while not self._stopping.is_set():
            try:
                with closing(self._connect()) as connection:
                    work(connection)
            except Exception as error:  # the database is away, or has ended the connection
                log("signals_failed", level="warning", error=f"{type(error).__name__}: {str(error).splitlines()[:1]}")
                self._stopping.wait(_AGAIN_SECONDS)

    def _connect(self) -> psycopg.Connection[Any]:
        borrowed = self._database.engine.raw_connection()
        connection: psycopg.Connection[Any] = borrowed.driver_connection  # type: ignore[assignment]
        borrowed.detach()
        connection.autocommit = True
        return connection

    def _listen(self, connection: psycopg.Connection[Any]) -> None:
        connection.execute(f"LISTEN {CHANNEL}")
        self._missed()
        while not self._stopping.is_set():
            for heard in connection.notifies(timeout=0.5):
                said = json.loads(heard.payload)
                if said["from"] != self._me:
                    workers, tasks = frozenset(said["workers"]), frozenset(said["tasks"])
                    self._heard(Wake(workers, tasks, said["lease"], said["send"]))

    def _tell(self, connection: psycopg.Connection[Any]) -> None:
        while not self._stopping.is_set():
            if not self._something.wait(30):
                connection.execute("SELECT 1")
                continue
            time.sleep(_GATHER_SECONDS)
            with self._lock:
                self._something.clear()
                wanted, self._wanted = self._wanted, Wake()
            workers, tasks = sorted(wanted.workers), sorted(wanted.tasks)
            for start in range(0, max(len(workers), len(tasks), 1), _AT_ONCE):
                end = start + _AT_ONCE
                said: dict[str, Any] = {"from": self._me, "workers": workers[start:end], "tasks": tasks[start:end]}
                said |= {"lease": wanted.lease, "send": wanted.send}
                connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, json.dumps(said)))
