"""Rings are not lost, and no store is asked for a worker that was not rung for."""

from __future__ import annotations

import asyncio
import threading
import time

from scheduler.bell import Bell

W, V = "0x" + "01" * 20, "0x" + "02" * 20


def test_mail_stays_until_it_is_collected_and_says_since_when() -> None:
    bell = Bell()
    assert bell.collect(W) is None
    before = time.monotonic()
    bell.ring(W)
    first = time.monotonic()
    bell.ring(W)
    since = bell.collect(W)
    assert since is not None
    assert before <= since <= first
    assert bell.collect(W) is None
    bell.keep(W)
    assert bell.collect(W) is not None
    assert bell.collect(V) is None


def test_what_lay_ready_before_the_start_is_collected() -> None:
    bell = Bell()
    bell.load([W])
    assert bell.counts() == (0, 1)
    assert bell.collect(W) is not None


def test_a_ring_from_another_thread_wakes_the_poll() -> None:
    bell = Bell()

    async def poll() -> bool:
        with bell.waiting(W) as rung:
            assert bell.open_polls() == {W}
            threading.Timer(0.02, bell.ring, [W]).start()
            await asyncio.wait_for(rung.wait(), 5)
            return bell.collect(W) is not None

    assert asyncio.run(poll())
    assert bell.open_polls() == set()


def test_a_ring_between_two_waits_is_not_lost() -> None:
    bell = Bell()

    async def poll() -> None:
        with bell.waiting(W) as rung:
            bell.ring(W)
            await asyncio.sleep(0)
            await asyncio.wait_for(rung.wait(), 5)
            rung.clear()
            bell.wake_all()
            await asyncio.wait_for(rung.wait(), 5)

    asyncio.run(poll())
