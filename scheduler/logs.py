"""What programs write, kept for their requester: as it comes while they run, and whole when they have ended.

One small file for each task and worker, replaced as a whole (`<folder>/<2 digits>/<task>/<wallet>.json`), in a folder
that all replicas share. Offsets count characters from a program's beginning; the last `MAX_LOG_CHARS` of a stream are
kept.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from poco.transfers import LogAnswer, LogChunk
from poco.wire import MAX_LOG_CHARS, Logs
from scheduler.challenges import TooManyError

#: How soon a worker is asked to tell of a running program again: while its requester follows it, and else.
FOLLOWED_SECONDS, UNFOLLOWED_SECONDS = 5, 60
#: Whoever has not asked for so long does not follow any more.
PATIENCE_SECONDS = 60
#: A worker may not tell more often.
SHORTEST_SECONDS = 1.0
#: So much of what is known must come again in the whole log, to see where the new begins.
_OVERLAP = 1024
_FOLLOWED = "followed"


@dataclass(frozen=True, slots=True)
class Stream:
    """Characters `begin` to `end` of what a program wrote to one stream."""

    begin: int = 0
    text: str = ""

    @property
    def end(self) -> int:
        return self.begin + len(self.text)

    def add(self, at: int, text: str) -> Stream:
        """With the characters from `at` on: what is known is not taken twice, and a gap ends what was known."""
        if at > self.end:
            return Stream(at, text)._cut()
        return Stream(self.begin, self.text + text[self.end - at :])._cut()

    def whole(self, text: str) -> Stream:
        """With what the program wrote in all, as far as that was kept (the end of it, where it was too long)."""
        if self.begin == 0 and text.startswith(self.text):
            return Stream(0, text)._cut()
        known = self.text[-_OVERLAP:]
        at = text.rfind(known)
        return self.add(self.end, text[at + len(known) :] if at >= 0 else text)

    def since(self, offset: int) -> Stream:
        """What lies behind an offset, as far as it is kept."""
        skip = min(max(offset - self.begin, 0), len(self.text))
        return Stream(self.begin + skip, self.text[skip:])

    def _cut(self) -> Stream:
        excess = max(0, len(self.text) - MAX_LOG_CHARS)
        return Stream(self.begin + excess, self.text[excess:])


@dataclass(frozen=True, slots=True)
class Kept:
    """The log of one worker's run of a task; `over` once it is whole."""

    attempt: int = 0
    over: bool = False
    stdout: Stream = field(default_factory=Stream)
    stderr: Stream = field(default_factory=Stream)


class TaskLogs:
    """The logs in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def append(self, task_id: str, worker: str, chunk: LogChunk, now: float) -> LogAnswer:
        """Take over what is new; an earlier attempt's news changes nothing.

        Raises:
            TooManyError: this worker told of this task a moment ago.
        """
        kept = self.read(task_id, worker) or Kept()
        if chunk.attempt > kept.attempt:
            kept = Kept(chunk.attempt)
        if (chunk.stdout or chunk.stderr) and chunk.attempt == kept.attempt and not kept.over:
            if now - self._written(task_id, worker) < SHORTEST_SECONDS:
                raise TooManyError("this log was added to a moment ago", hint="wait a second", code="TOO_MANY_CHUNKS")
            kept = replace(
                kept,
                stdout=kept.stdout.add(chunk.stdout_at, chunk.stdout),
                stderr=kept.stderr.add(chunk.stderr_at, chunk.stderr),
            )
            self._write(task_id, worker, kept)
        wait = FOLLOWED_SECONDS if self._is_followed(task_id, now) else UNFOLLOWED_SECONDS
        return LogAnswer(wait_seconds=wait)

    def finish(self, task_id: str, worker: str, logs: Logs) -> None:
        """The program has ended, and this is what it wrote."""
        kept = self.read(task_id, worker) or Kept()
        if kept.over:  # an earlier run's
            kept = Kept(kept.attempt)
        kept = replace(kept, over=True, stdout=kept.stdout.whole(logs.stdout), stderr=kept.stderr.whole(logs.stderr))
        self._write(task_id, worker, kept)

    def read(self, task_id: str, worker: str) -> Kept | None:
        """One worker's log; None where there is none (any more)."""
        try:
            data = json.loads(self._path(task_id, worker).read_text())
            return Kept(**{**data, "stdout": Stream(**data["stdout"]), "stderr": Stream(**data["stderr"])})
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError):  # a power cut can leave half of it
            return None

    def workers(self, task_id: str) -> list[str]:
        """Whose logs of a task there are."""
        with suppress(FileNotFoundError):
            return sorted(path.stem for path in self._of(task_id).iterdir() if path.suffix == ".json")
        return []

    def follow(self, task_id: str) -> None:
        """Somebody who may looks at this task's logs: its workers are asked to tell sooner."""
        with suppress(FileNotFoundError):
            (self._of(task_id) / _FOLLOWED).touch()

    def shard(self, number: int) -> Iterator[str]:
        """The tasks with logs in one of the 256 parts of the folder."""
        with suppress(FileNotFoundError):
            yield from sorted(path.name for path in (self.folder / f"{number:02x}").iterdir())

    def age(self, task_id: str, now: float) -> float:
        """Seconds since something was last written about a task."""
        with suppress(FileNotFoundError):
            return now - self._of(task_id).stat().st_mtime
        return 0.0

    def remove(self, task_id: str) -> None:
        shutil.rmtree(self._of(task_id), ignore_errors=True)

    def _of(self, task_id: str) -> Path:
        return self.folder / task_id[2:4] / task_id

    def _path(self, task_id: str, worker: str) -> Path:
        return self._of(task_id) / f"{worker}.json"

    def _is_followed(self, task_id: str, now: float) -> bool:
        return now - _mtime(self._of(task_id) / _FOLLOWED) < PATIENCE_SECONDS

    def _written(self, task_id: str, worker: str) -> float:
        return _mtime(self._path(task_id, worker))

    def _write(self, task_id: str, worker: str, kept: Kept) -> None:
        path = self._path(task_id, worker)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{secrets.token_hex(8)}")
        try:
            partial.write_text(json.dumps(asdict(kept)))
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def _mtime(path: Path) -> float:
    with suppress(FileNotFoundError):
        return path.stat().st_mtime
    return 0.0
