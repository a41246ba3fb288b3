"""Uploads that are under way: one file each, bounded in number and age, written by one connection at a time.

They lie in a folder that all replicas share, so that an upload that broke off at one goes on at another: the file's
size is how much is there, a lock on the file (`flock`) says that somebody writes it, nothing is known in memory alone.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from poco.errors import PewError
from scheduler.web import HttpError

#: Uploads that may be under way together; beyond it the one that was quiet longest is dropped.
MAX_PARTIALS = 256
#: What nobody goes on with for so long is dropped.
AGE_SECONDS = 86_400
_CHUNK = 2**20
#: What the kernel says when there is no room (any more).
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class BusyError(PewError):
    """Another connection writes this upload."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which upload: a worker's result of a task, told from other tries by its sha-256."""

    task_id: str
    worker: str
    sha256: bytes

    @property
    def name(self) -> str:
        return f"{self.of_worker}{self.sha256.hex()}"

    @property
    def of_worker(self) -> str:
        """What the names of all this worker's uploads for this task begin with."""
        return f"{self.task_id[2:]}-{self.worker[2:].lower()}-"


class Partial:
    """An upload that this process writes; `size` bytes of it are there. Closing it lets go of it."""

    def __init__(self, path: Path, handle: int) -> None:
        self.path = path
        self._handle = handle
        self.size = os.fstat(handle).st_size

    def begin_at(self, offset: int) -> None:
        """Forget what lies behind `offset`."""
        os.ftruncate(self._handle, offset)
        self.size = offset

    def write(self, data: bytes) -> None:
        """Append; HttpError 507 where the disk is full, and nothing of the upload is left then."""
        view = memoryview(data)
        try:
            while view:
                done = os.pwrite(self._handle, view, self.size)
                self.size += done
                view = view[done:]
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            self.drop()
            raise no_room() from None

    def settle(self) -> None:
        """On disk when it returns."""
        try:
            os.fdatasync(self._handle)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            self.drop()
            raise no_room() from None

    def sha256(self) -> bytes:
        """Of all that is there."""
        state, at = hashlib.sha256(), 0
        while chunk := os.pread(self._handle, _CHUNK, at):
            state.update(chunk)
            at += len(chunk)
        return state.digest()

    def drop(self) -> None:
        """Remove it."""
        with suppress(OSError):
            os.ftruncate(self._handle, 0)
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        os.close(self._handle)


class Partials:
    """The uploads under way in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def size(self, wanted: Wanted) -> int:
        """How much of an upload is there."""
        try:
            return (self.folder / wanted.name).stat().st_size
        except FileNotFoundError:
            return 0

    def open(self, wanted: Wanted) -> Partial:
        """Take an upload over, or begin it; other tries of that worker at that task are dropped.

        Raises:
            BusyError: another connection writes it.
            HttpError: 503 where too many others are under way, 507.
        """
        path = self.folder / wanted.name
        for other in self.folder.glob(f"{wanted.of_worker}*"):
            if other != path:
                _drop_unlocked(other)
        if not path.exists():
            self._make_room()
        while True:
            try:
                handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            except OSError as error:
                if error.errno not in _NO_ROOM:
                    raise
                raise no_room() from None
            if not _lock(handle):
                os.close(handle)
                raise BusyError("another connection sends this result", hint="go on in a moment", code="UPLOAD_BUSY")
            with suppress(FileNotFoundError):
                if path.stat().st_ino == os.fstat(handle).st_ino:
                    return Partial(path, handle)
            os.close(handle)  # it was finished or dropped between opening and locking

    def tidy(self, now: float) -> int:
        """Drop what nobody went on with for `AGE_SECONDS`; how many."""
        return sum(_drop_unlocked(path) for path in list(self.folder.iterdir()) if _touched(path) < now - AGE_SECONDS)

    def _make_room(self) -> None:
        there = sorted(self.folder.iterdir(), key=_touched)
        excess = len(there) - MAX_PARTIALS + 1
        for path in there:
            if excess <= 0:
                return
            excess -= _drop_unlocked(path)
        if excess > 0:
            raise HttpError(
                HTTPStatus.SERVICE_UNAVAILABLE, "TOO_MANY_UPLOADS", "too many uploads are under way", "try again later"
            )


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold a folder against other threads and processes while files and their rows are brought into line."""
    handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def no_room() -> HttpError:
    return HttpError(
        HTTPStatus.INSUFFICIENT_STORAGE, "DISK_FULL", "the scheduler has no room for the result", "try again later"
    )


def _lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _touched(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return time.time()


def _drop_unlocked(path: Path) -> bool:
    """Remove an upload that nobody writes."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        if not _lock(handle):
            return False
        path.unlink(missing_ok=True)
    finally:
        os.close(handle)
    return True
