"""Group commit: writers that wait for each other share one transaction, so that one fsync makes them all durable."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine

from poco.errors import PewError

#: A group is committed after so many writers or seconds, even where more wait.
MAX_WRITERS = 256
MAX_SECONDS = 0.02


class CommitError(PewError):
    """The changes were not taken: nothing of them is in the database."""


class _Turn:
    """One writer. `woken` is a lock that another thread opens: first to let it write, then when all is durable."""

    __slots__ = ("group", "woken")

    def __init__(self) -> None:
        self.woken = threading.Lock()
        self.woken.acquire()
        self.group: _Group | None = None


class _Group:
    """One open transaction and those who have written in it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.opened = time.monotonic()
        self.writers = 0
        self.done: list[_Turn] = []
        #: why nothing of this group can be kept
        self.error: BaseException | None = None

    def has_room(self) -> bool:
        return self.error is None and self.writers < MAX_WRITERS and time.monotonic() - self.opened < MAX_SECONDS


class GroupCommit:
    """Lets the threads of a process write one after the other, in the order in which they came.

    Each works in a savepoint of the open transaction and hands it to the next that waits; the last one commits and
    wakes them all. While it commits, the next group gathers.

    Args:
        engine: each transaction it begins must exclude all other writers of the database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._mutex = threading.Lock()
        self._waiting: deque[_Turn] = deque()
        self._busy = False
        self._writer: int | None = None

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Work alone in the database; returns when that is durable.

        An exception takes back what its own writer has done, nothing else.

        Raises:
            CommitError: the transaction could not be committed, for this writer and all of its group.
        """
        if self._writer == threading.get_ident():
            raise RuntimeError("a write inside of a write would wait for itself")
        turn = _Turn()
        group = self._enter(turn)
        begun = False
        try:
            group.connection.exec_driver_sql("SAVEPOINT writer")
            begun = True
            yield group.connection
            group.connection.exec_driver_sql("RELEASE writer")
        except BaseException as error:
            try:
                if not begun:
                    group.error = error
                else:
                    group.connection.exec_driver_sql("ROLLBACK TO writer")
                    group.connection.exec_driver_sql("RELEASE writer")
            except Exception as lost:  # the database has given up the whole transaction, as on a full disk
                group.error = lost
            self._leave(turn, group, wrote=False)
            raise
        self._leave(turn, group, wrote=True)

    def _enter(self, turn: _Turn) -> _Group:
        with self._mutex:
            waits, self._busy = self._busy, True
            if waits:
                self._waiting.append(turn)
        if waits:
            turn.woken.acquire()
        try:
            group = turn.group or self._open()
        except BaseException:
            self._call_next()
            raise
        self._writer = threading.get_ident()
        group.writers += 1
        return group

    def _open(self) -> _Group:
        connection = self._engine.connect()
        try:
            connection.begin()
        except BaseException:
            connection.close()
            raise
        return _Group(connection)

    def _leave(self, turn: _Turn, group: _Group, *, wrote: bool) -> None:
        self._writer = None
        if wrote:
            group.done.append(turn)
        with self._mutex:
            following = self._waiting.popleft() if self._waiting and group.has_room() else None
        if following is None:
            self._commit(group)
        else:
            following.group = group
            following.woken.release()
            if wrote:
                turn.woken.acquire()
        if wrote and group.error is not None:
            raise CommitError(
                f"the database did not take the changes: {group.error}", hint="see whether its disk is full or failing"
            ) from group.error

    def _commit(self, group: _Group) -> None:
        """End the transaction, let the next group begin, then tell the writers of this one."""
        try:
            if group.error is None:
                group.connection.commit()
            else:
                group.connection.rollback()
        except BaseException as error:
            group.error = group.error or error
            group.connection.invalidate()
        finally:
            group.connection.close()
            self._call_next()
            for turn in group.done:
                turn.woken.release()

    def _call_next(self) -> None:
        with self._mutex:
            following = self._waiting.popleft() if self._waiting else None
            self._busy = following is not None
        if following is not None:
            following.woken.release()
