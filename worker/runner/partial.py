"""A download that is under way: what has come of it is on disk, with what it is of, so that it can go on later."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from worker.runner.errors import RunError

_CHUNK = 1024 * 1024
#: What a power cut may cost.
_SYNC_BYTES = 8 * 1024 * 1024


class PartialFile:
    """`<target>.part`, and `<target>.part.json` with its source, the source's mark of this version (`validator`), and
    how many bytes are safely on disk. A context manager: what was refused is removed, what was interrupted stays.
    """

    def __init__(self, target: Path, url: str) -> None:
        self._target, self._url = target, url
        self.folder = target.parent
        self._path = target.with_name(f"{target.name}.part")
        self._note = target.with_name(f"{target.name}.part.json")
        self._file = os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b")
        self.size = 0
        self.validator = ""
        self._synced = 0
        self._hash = hashlib.sha256()
        self._take_up()

    def __enter__(self) -> PartialFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._file.close()
        if kind is not None and issubclass(kind, RunError):
            for path in (self._path, self._note):
                path.unlink(missing_ok=True)

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._hash.update(data)
        self.size += len(data)
        if self.size - self._synced >= _SYNC_BYTES:
            self._sync()

    def restart(self) -> None:
        """Forget what has come: it is of another file, or nobody knows."""
        self._file.seek(0)
        self._file.truncate()
        self._note.unlink(missing_ok=True)
        self.size, self._synced, self.validator = 0, 0, ""
        self._hash = hashlib.sha256()

    def finish(self) -> bytes:
        """Move the whole file into place; returns its sha-256."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._path.chmod(0o644)
        self._path.replace(self._target)
        self._note.unlink(missing_ok=True)
        return self._hash.digest()

    def _sync(self) -> None:
        self._file.flush()
        os.fdatasync(self._file.fileno())
        self._synced = self.size
        fresh = self._note.with_suffix(".new")
        fresh.write_text(json.dumps({"url": self._url, "validator": self.validator, "size": self.size}))
        fresh.replace(self._note)

    def _take_up(self) -> None:
        """Go on with what an earlier process has on disk of the same source."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            note = json.loads(self._note.read_text())
            if note["url"] == self._url and 0 < note["size"] <= os.fstat(self._file.fileno()).st_size:
                left = int(note["size"])
                while left and (chunk := self._file.read(min(left, _CHUNK))):
                    self._hash.update(chunk)
                    left -= len(chunk)
                self.size = self._synced = int(note["size"])
                self.validator = str(note["validator"])
                self._file.truncate(self.size)
                return
        self.restart()
