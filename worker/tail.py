"""Tells the scheduler what a program writes while it runs, seldom and in small pieces: it costs energy.

The scheduler says how soon it would like to hear more (soon while the requester follows, else seldom); nothing is sent
where nothing was written, while the energy gate halts the program, or once the scheduler does not want it. The whole
log goes with the report of the end, so that nothing depends on this.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from types import TracebackType

from poco.errors import PewError
from poco.logtext import plain
from poco.transfers import MAX_CHUNK_CHARS, LogChunk
from worker.config import LiveLogs
from worker.core import Replicate
from worker.link import Link, SchedulerDownError
from worker.runner.protocol import Control, Runner

#: However long the scheduler does not answer.
LONGEST_SECONDS = 600.0
#: Attempts of one run are fewer.
_ATTEMPTS = 16
_OVERLAP = 1024
_END_SECONDS = 5.0


@dataclass(slots=True)
class Written:
    """What is known of one stream: how many characters there were, the end of them, how many the scheduler has."""

    count: int = 0
    text: str = ""
    told: int = 0

    def look(self, now: str) -> None:
        """Take in the stream's end as it is now."""
        now = now.rstrip("\ufffd")  # perhaps half of a character
        if now.startswith(self.text):
            new = len(now) - len(self.text)
        else:  # the beginning is not kept any more: what follows on what was last seen is new
            known = self.text[-_OVERLAP:]
            at = now.rfind(known)
            new = len(now) - (at + len(known) if at >= 0 else 0)
        if new:
            self.count, self.text = self.count + new, now

    def news(self) -> tuple[int, str]:
        """What the scheduler has not, or the end of it, and at which character it begins."""
        size = min(self.count - self.told, len(self.text), MAX_CHUNK_CHARS)
        return self.count - size, self.text[len(self.text) - size :]


class Tail(threading.Thread):
    """Follows one run; a context manager around it.

    Args:
        pace: the operator's. A program that ends before the first time is told of by its end alone.
    """

    def __init__(self, link: Link, runner: Runner, replicate: Replicate, control: Control, pace: LiveLogs) -> None:
        super().__init__(name=f"tail-{replicate.task_id[2:10]}", daemon=True)
        self._link, self._runner, self._control, self._pace = link, runner, control, pace
        self._task, self._first = replicate.task_id, replicate.run * _ATTEMPTS
        self._over = threading.Event()
        self._attempt = 0
        self._out, self._err = Written(), Written()

    def __enter__(self) -> Tail:
        self.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._over.set()
        self.join(_END_SECONDS)

    def run(self) -> None:
        wait = self._pace.first_seconds
        while not self._over.wait(wait):
            row = self._control.recall()
            if row is None or self._control.halted():
                continue
            try:
                wait = self._tell(min(row.attempt, _ATTEMPTS - 1), wait)
            except SchedulerDownError:
                wait = min(wait * 2, LONGEST_SECONDS)
            except PewError:
                return  # the scheduler or the runtime does not want it: the end of the run tells it all

    def _tell(self, attempt: int, wait: float) -> float:
        """Send what is new; the seconds to wait after it."""
        if attempt != self._attempt:
            self._attempt, self._out, self._err = attempt, Written(), Written()
        seen = self._runner.output(self._task)
        self._out.look(plain(seen.stdout))
        self._err.look(plain(seen.stderr))
        (stdout_at, stdout), (stderr_at, stderr) = self._out.news(), self._err.news()
        if not stdout and not stderr:
            return wait
        chunk = LogChunk(
            attempt=self._first + attempt, stdout=stdout, stdout_at=stdout_at, stderr=stderr, stderr_at=stderr_at
        )
        wanted = self._link.write_log(self._task, chunk).wait_seconds
        self._out.told, self._err.told = self._out.count, self._err.count
        return max(min(float(wanted), LONGEST_SECONDS), self._pace.shortest_seconds)
