"""`POST /poll`: held open until something lies ready for the worker. A quiet poll touches neither store nor thread."""

from __future__ import annotations

import asyncio
import random
import time
from http import HTTPStatus

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import Response

from poco.states import Presence
from poco.wire import Notification, Poll, PollAnswer, Sample
from scheduler import telemetry, web
from scheduler.engine import Engine
from scheduler.load import Load
from scheduler.presence import Seen
from scheduler.settings import Settings
from scheduler.web import HttpError

#: How far the waits that workers are told lie apart: they shall not come all at once.
SPREAD = 0.2
#: Threads that read notifications.
READERS = 8
_WILLING = frozenset({Presence.WAITING, Presence.WORKING})


class Polls:
    """Answers polls, inside the server's event loop.

    Args:
        settings: what may change while the scheduler runs.
        load: counts the polls and bounds them.
    """

    def __init__(self, engine: Engine, settings: Settings, load: Load) -> None:
        self._engine = engine
        self._settings = settings
        self._load = load
        self._dice = random.Random()  # noqa: S311  (spreads load, guards nothing)
        #: of their own: reports that wait for the chain hold the common threads
        self._readers = CapacityLimiter(READERS)
        #: set when the scheduler ends: nobody is held any longer
        self.stopping = asyncio.Event()

    async def answer(self, request: Request, wallet: str) -> Response:
        """The worker's notifications, once there are some or its wait is over."""
        body = web.parse(Poll, await request.body())
        engine = self._engine
        seen = engine.roll.get(wallet)
        if (seen is None or not seen.registered) and engine.store.shared is not None:
            # it may have registered at another process just now
            seen = await to_thread.run_sync(self._look_elsewhere, wallet, limiter=self._readers)
        if seen is None or not seen.registered:
            raise HttpError(
                HTTPStatus.CONFLICT, "NOT_REGISTERED", "this worker is not registered", "PUT /workers/me first"
            )
        if body.telemetry:
            await to_thread.run_sync(self._record, wallet, body.telemetry, limiter=self._readers)
        with self._load.poll():
            begun = time.monotonic()
            number = engine.roll.heard(wallet, body, engine.now(), engine.clock() + body.wait_seconds)
            try:
                found, ready = await self._wait(request, wallet, body, begun + body.wait_seconds)
            finally:
                engine.roll.hung_up(wallet, engine.now(), number)
            ready = max(begun, min(ready, time.monotonic()))
            self._load.answered("poll", time.monotonic() - ready)
        waited = ready - begun if found else body.wait_seconds
        now = engine.roll.get(wallet)
        return self._reply(found, waited, now.reason if now is not None and not found else "")

    def _record(self, wallet: str, samples: list[Sample]) -> None:
        self._engine.store.transact(lambda db: telemetry.record_all(db, wallet, samples))

    def _look_elsewhere(self, wallet: str) -> Seen | None:
        with self._engine.store.read() as db:
            self._engine.roll.merge(db, self._engine.now())
        return self._engine.roll.get(wallet)

    async def _wait(self, request: Request, wallet: str, body: Poll, end: float) -> tuple[list[Notification], float]:
        """(notifications, the monotonic instant since which there was something to answer)."""
        bell = self._engine.bell
        with bell.waiting(wallet) as rung:
            found, since = await self._collect(wallet, body.acked)
            if not found and body.presence in _WILLING and body.free_slots:
                self._engine.arrived(wallet)
            if found or self.stopping.is_set() or time.monotonic() >= end:
                return found, since
            gone = asyncio.ensure_future(_disconnected(request))
            gone.add_done_callback(lambda _: rung.set())
            over = False

            def expire() -> None:
                nonlocal over  # and not the clock: a timer may be early by a millisecond
                over = True
                rung.set()

            timer = asyncio.get_running_loop().call_later(end - time.monotonic(), expire)
            try:
                while not (found or over or self.stopping.is_set()):
                    await rung.wait()
                    rung.clear()
                    if gone.done() or bell.nudged(rung):
                        return [], time.monotonic()
                    found, since = await self._collect(wallet, body.acked)
            finally:
                timer.cancel()
                gone.cancel()
        return found, since if found else end

    async def _collect(self, wallet: str, acked: int) -> tuple[list[Notification], float]:
        self._engine.acknowledged(wallet, acked)
        since = self._engine.bell.collect(wallet)
        if since is None:
            return [], time.monotonic()
        found = None
        try:
            found = await to_thread.run_sync(self._engine.fetch, wallet, acked, limiter=self._readers)
        finally:
            if found is None or found:  # not read, or not acknowledged yet
                self._engine.bell.keep(wallet)
        return found, since

    def _reply(self, found: list[Notification], waited: float, no_work: str) -> Response:
        settings = self._settings
        spread = self._dice.uniform(1 - SPREAD, 1)
        answer = PollAnswer(
            notifications=found,
            server_time=self._engine.now(),
            config=settings.version,
            wait_seconds=max(1, round(settings.pool.poll_seconds * spread)),
            no_work=no_work[:1000],
        )
        headers = {"Server-Timing": f"wait;dur={waited * 1000:.1f}"}
        return Response(answer.model_dump_json(), media_type="application/json", headers=headers)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
