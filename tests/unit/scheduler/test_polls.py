"""A poll ends when it is rung for, when its time is over, when its worker is gone and when the scheduler stops."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop
from starlette.requests import Request
from starlette.responses import Response

from poco.states import Presence
from poco.wire import Notification, NotificationType, PollAnswer, PoolConfig, WorkerInfo
from scheduler.bell import Bell
from scheduler.config import Config
from scheduler.load import Load
from scheduler.polls import Polls
from scheduler.presence import Roll
from scheduler.settings import Settings
from scheduler.web import HttpError

A, W = "0x" + "11" * 20, "0x" + "01" * 20
NEWS = Notification(seq=5, type=NotificationType.COMPLETE, task_id="0x" + "22" * 32)


class Desk:
    """What `Polls` asks of the engine; `mail` is what lies in the store, `asked` how often that was read."""

    def __init__(self) -> None:
        self.roll, self.bell, self.clock = Roll(30, 120), Bell(), time.time
        self.store = SimpleNamespace(shared=None)
        self.roll.register(W, WorkerInfo(name="w", platforms=["linux/arm64"], cpus=1, memory_mb=1, disk_mb=1), 1)
        self.mail: list[Notification] = []
        self.asked = 0

    def now(self) -> int:
        return int(self.clock())

    def acknowledged(self, wallet: str, acked: int) -> None:
        assert wallet == W
        self.mail = [one for one in self.mail if one.seq > acked]

    def fetch(self, _wallet: str, acked: int) -> list[Notification]:
        self.asked += 1
        return [one for one in self.mail if one.seq > acked]

    def arrived(self, wallet: str) -> None:
        assert wallet == W


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def polls(desk: Desk) -> Polls:
    where: dict[str, Any] = {name: Path("x") for name in ("deployment", "keystore", "password_file", "data_dir")}
    config = Config(rpc_urls=["http://x"], workerpool=A, **where)
    pool = PoolConfig(protocol=1, chain_id=1, hub=A, workerpool=A, scheduler=A, poll_seconds=20)
    return Polls(desk, Settings(config, pool), Load(2))  # type: ignore[arg-type]


def ask(polls: Polls, gone: asyncio.Event | None = None, **fields: Any) -> Awaitable[Response]:
    body = {"presence": Presence.WAITING, "free_slots": 1, "acked": 0, "wait_seconds": 1, **fields}
    sent = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]

    async def receive() -> dict[str, Any]:
        if sent:
            return sent.pop()
        await (gone or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    return polls.answer(Request({"type": "http", "method": "POST", "headers": []}, receive), W)


def run(work: Callable[[], Awaitable[Any]]) -> Any:
    async def bounded() -> Any:
        return await asyncio.wait_for(work(), 10)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(bounded())


def said(response: Response) -> PollAnswer:
    return PollAnswer.model_validate_json(bytes(response.body))


def test_a_quiet_poll_lasts_as_asked_and_asks_the_store_for_nothing(desk: Desk, polls: Polls) -> None:
    begun = time.monotonic()
    answer = run(lambda: ask(polls))
    assert 0.99 <= time.monotonic() - begun < 5
    assert said(answer).notifications == []
    assert 16 <= (said(answer).wait_seconds or 0) <= 20
    assert desk.asked == 0
    assert answer.headers["Server-Timing"] == "wait;dur=1000.0"


def test_a_timer_that_is_early_ends_the_wait_all_the_same(polls: Polls) -> None:
    async def early() -> Response:
        response = asyncio.ensure_future(ask(polls, wait_seconds=100))
        await asyncio.sleep(0.05)
        for handle in made:
            handle()
        return await response

    made: list[Callable[[], None]] = []

    async def with_timers() -> Response:
        loop = asyncio.get_running_loop()

        class Early:
            def __getattr__(self, name: str) -> Any:
                return getattr(loop, name)

            def call_later(self, _delay: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
                made.append(callback)
                return loop.call_later(1000, callback)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("scheduler.polls.asyncio.get_running_loop", Early)
            return await early()

    assert said(run(with_timers)).notifications == []


def test_a_ring_ends_the_wait_and_what_is_not_acknowledged_comes_again(desk: Desk, polls: Polls) -> None:
    async def rung() -> tuple[Response, Response, Response]:
        waiting = asyncio.ensure_future(ask(polls, wait_seconds=60))
        await asyncio.sleep(0.05)
        desk.mail.append(NEWS)
        desk.bell.ring(W)
        return await waiting, await ask(polls, wait_seconds=60), await ask(polls, acked=5, wait_seconds=0)

    first, again, after = map(said, run(rung))
    assert first.notifications == again.notifications == [NEWS]
    assert after.notifications == []
    assert desk.bell.collect(W) is None


def test_what_could_not_be_read_is_read_at_the_next_poll(desk: Desk, polls: Polls) -> None:
    desk.mail.append(NEWS)
    desk.bell.ring(W)
    read, desk.fetch = desk.fetch, lambda *_: 1 / 0  # type: ignore[method-assign,assignment]
    with pytest.raises(ZeroDivisionError):
        run(lambda: ask(polls))
    desk.fetch = read  # type: ignore[method-assign]
    assert said(run(lambda: ask(polls))).notifications == [NEWS]


def test_a_worker_that_hangs_up_and_a_scheduler_that_stops_end_the_wait(desk: Desk, polls: Polls) -> None:
    async def ended() -> None:
        gone = asyncio.Event()
        waiting = asyncio.ensure_future(ask(polls, gone, wait_seconds=100))
        await asyncio.sleep(0.05)
        gone.set()
        await waiting
        waiting = asyncio.ensure_future(ask(polls, wait_seconds=100))
        await asyncio.sleep(0.05)
        polls.stopping.set()
        desk.bell.wake_all()
        await waiting

    run(ended)
    assert desk.bell.open_polls() == set()


def test_a_nudge_ends_the_wait_at_once_and_loses_nothing(desk: Desk, polls: Polls) -> None:
    async def nudged() -> float:
        asyncio.get_running_loop().call_later(0.1, desk.bell.nudge, W)
        begun = time.monotonic()
        await ask(polls, wait_seconds=3600)
        return time.monotonic() - begun

    assert run(nudged) < 5
    desk.mail = [NEWS]
    desk.bell.ring(W)
    assert said(run(lambda: ask(polls))).notifications == [NEWS]


def test_beyond_the_limit_and_unregistered_workers_are_refused(desk: Desk, polls: Polls) -> None:
    async def three() -> list[Any]:
        return await asyncio.gather(*(ask(polls) for _ in range(3)), return_exceptions=True)

    (refused,) = [one for one in run(three) if isinstance(one, HttpError)]
    assert (refused.status, refused.code) == (503, "TOO_MANY_POLLS")
    desk.roll = Roll(30, 120)
    with pytest.raises(HttpError, match="not registered"):
        run(lambda: ask(polls))


def test_a_nudge_ends_every_poll_that_a_worker_seems_to_hold(desk: Desk, polls: Polls) -> None:
    """One of them may hang on a connection that is long broken."""

    async def nudged() -> float:
        begun = time.monotonic()
        both = asyncio.gather(ask(polls, wait_seconds=9), ask(polls, wait_seconds=9))
        asyncio.get_running_loop().call_later(0.1, desk.bell.nudge, W)
        await both
        return time.monotonic() - begun

    assert run(nudged) < 5
