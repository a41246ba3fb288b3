"""How much the scheduler takes on at once, and how long it takes: what is beyond is sent away with `Retry-After`."""

from __future__ import annotations

import bisect
import random
import resource
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from poco.errors import BadInputError
from scheduler.log import log
from scheduler.web import HttpError, refusal

#: Calls other than polls that are worked on at once.
MAX_CALLS = 500
#: File descriptors beside the workers' connections: store, chain, results, log, short calls.
SPARE_FILES = MAX_CALLS + 150
#: Upper bounds of the classes of the latency histograms, seconds.
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
#: Who is sent away comes again at a time of its own between these, seconds.
RETRY_SECONDS = (2, 10)


class Load:
    """Counts what is open and what was answered; one in a process.

    Args:
        max_polls: how many polls are held open at once.
    """

    def __init__(self, max_polls: int) -> None:
        self.max_polls = max_polls
        #: polls held open, and other calls worked on, now
        self.polls = 0
        self.calls = 0
        #: answers by (method of the call, class of the status: 2, 4, 5)
        self.answers: Counter[tuple[str, int]] = Counter()
        #: calls that were sent away because of too much load
        self.sent_away = 0
        self._lock = threading.Lock()
        self._classes: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}

    @contextmanager
    def poll(self) -> Iterator[None]:
        """A poll is held open; HttpError 503 where too many are."""
        if self.polls >= self.max_polls:
            self.sent_away += 1
            raise HttpError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "TOO_MANY_POLLS",
                f"{self.max_polls} polls are open, more are not held",
                "come again; the pool's owner can raise max_open_polls",
                retry_after=again(),
            )
        self.polls += 1
        try:
            yield
        finally:
            self.polls -= 1

    def answered(self, kind: str, seconds: float) -> None:
        """One more latency for the histogram of that kind."""
        with self._lock:
            classes = self._classes.setdefault(kind, [0] * (len(BOUNDS) + 1))
            classes[bisect.bisect_left(BOUNDS, seconds)] += 1
            self._sums[kind] = self._sums.get(kind, 0.0) + seconds

    def histograms(self) -> dict[str, tuple[list[int], float]]:
        """By kind: how many in each class of `BOUNDS` and above, and the sum of seconds."""
        with self._lock:
            return {kind: (list(classes), self._sums[kind]) for kind, classes in self._classes.items()}


class Gate:
    """Middleware: counts and times calls, and sends away what comes beyond `MAX_CALLS`."""

    def __init__(self, app: ASGIApp, load: Load) -> None:
        self.app = app
        self._load = load

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        load, poll = self._load, scope["path"] == "/poll"

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                load.answers[scope["method"], message["status"] // 100] += 1
            await send(message)

        if not poll and load.calls >= MAX_CALLS:
            load.sent_away += 1
            said = refusal(
                HTTPStatus.SERVICE_UNAVAILABLE, "BUSY", "too many calls are worked on", "come again", again()
            )
            await said(scope, receive, counted)
            return
        begun = time.monotonic()
        load.calls += not poll
        try:
            await self.app(scope, receive, counted)
        finally:
            load.calls -= not poll
            if scope["method"] == "POST" and scope["path"].endswith("/status"):
                load.answered("status", time.monotonic() - begun)


def again() -> int:
    """Seconds after which to come again: not the same for all."""
    return random.randint(*RETRY_SECONDS)  # noqa: S311  (spreads load, guards nothing)


def open_files(max_polls: int) -> int:
    """Raise the limit of file descriptors as far as may be; how many polls it allows, at most `max_polls`.

    Raises:
        BadInputError: not even one poll could be held.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = max_polls + SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        wanted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        if wanted > soft:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return max_polls
    allowed = soft - SPARE_FILES
    way = f"raise the limit (ulimit -n {needed}, or LimitNOFILE= of the service)"
    if allowed < 1:
        raise BadInputError(
            f"this process may open {soft} files, it needs {SPARE_FILES} before the first worker comes",
            hint=way,
            code="FILE_LIMIT",
        )
    log("file_limit", level="warning", files=soft, max_open_polls=allowed, hint=way)
    return allowed
