"""Asleep, silent and lost are three different things, and survive a restart."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import select

from poco.states import Presence
from poco.wire import Energy, Poll, WorkerInfo
from scheduler import store
from scheduler import tables as t
from scheduler.presence import Roll
from scheduler.store import Store

W = "0x" + "01" * 20
INFO = WorkerInfo(name="pi", platforms=["linux/arm/v7"], cpus=4, memory_mb=900, disk_mb=5000)


def roll() -> Roll:
    made = Roll(unknown_after=30, lost_after=120)
    made.register(W, INFO, 1000)
    return made


def poll(presence: Presence, resume_at: int | None = None) -> Poll:
    return Poll(presence=presence, resume_at=resume_at, free_slots=1, acked=0, energy=Energy(soc=0.5, harvested_wh=2))


def presence(of: Roll, now: float) -> Presence:
    seen = of.get(W)
    assert seen is not None
    return of.presence(seen, now)


def test_an_open_poll_is_not_silence() -> None:
    r = roll()
    number = r.heard(W, poll(Presence.WAITING), 1000, open_until=1100)
    assert [presence(r, t) for t in (1000, 1100, 1130, 1131, 1220, 1221)] == [
        Presence.WAITING,
        Presence.WAITING,
        Presence.WAITING,
        Presence.UNKNOWN,
        Presence.UNKNOWN,
        Presence.LOST,
    ]
    r.hung_up(W, 1010, number)
    assert presence(r, 1041) is Presence.UNKNOWN


def test_an_announced_sleep_is_neither_silence_nor_loss() -> None:
    r = roll()
    r.heard(W, poll(Presence.ASLEEP, resume_at=9000), 1000, open_until=1000)
    assert presence(r, 8999) is Presence.ASLEEP
    assert presence(r, 9031) is Presence.UNKNOWN
    assert presence(r, 9121) is Presence.LOST


def test_who_was_draining_and_is_silent_has_gone() -> None:
    r = roll()
    r.heard(W, poll(Presence.DRAINING), 1000, open_until=1000)
    assert presence(r, 1030) is Presence.DRAINING
    assert presence(r, 1031) is Presence.LOST


def test_what_was_said_survives_a_restart(tmp_path: Path) -> None:
    database = Store(tmp_path / "db")
    with database.write() as db:
        store.ensure_worker(db, W, 1000)
        r = roll()
        r.heard(W, poll(Presence.ASLEEP, resume_at=9000), 1000, open_until=1000)
        assert r.dirty
        r.flush(db, 1001)
        assert not r.dirty
    again = Roll(30, 120)
    with database.read() as db:
        again.load(db, 5000)
    seen = again.get(W)
    assert seen is not None
    assert (seen.name, seen.platforms, seen.registered) == ("pi", ("linux/arm/v7",), True)
    assert seen.energy["soc"] == 0.5
    assert presence(again, 5000) is Presence.ASLEEP
    assert presence(again, 9200) is Presence.LOST


def test_nobody_is_lost_because_the_scheduler_was_away(tmp_path: Path) -> None:
    database = Store(tmp_path / "db")
    with database.write() as db:
        store.ensure_worker(db, W, 1000)
        r = roll()
        r.heard(W, poll(Presence.WORKING), 1000, open_until=1000)
        r.flush(db, 1001)
    again = Roll(30, 120)
    with database.read() as db:
        again.load(db, 50_000)
    assert presence(again, 50_000) is Presence.WORKING
    assert presence(again, 50_121) is Presence.LOST


def test_lost_and_unknown_survive_a_restart(tmp_path: Path) -> None:
    database = Store(tmp_path / "db")
    for silent, expected in ((60, Presence.UNKNOWN), (200, Presence.LOST)):
        r = roll()
        r.heard(W, poll(Presence.WAITING), 1000, open_until=1000)
        with database.write() as db:
            store.ensure_worker(db, W, 1000)
            r.flush(db, 1001)
        assert [p for _, p in r.turned(1000 + silent)] == [expected]
        with database.write() as db:
            r.flush(db, 1000 + silent)
        again = Roll(30, 120)
        with database.read() as db:
            again.load(db, 1001 + silent)
        assert presence(again, 1001 + silent) is expected


def test_a_turn_is_told_once() -> None:
    r = roll()
    r.heard(W, poll(Presence.WAITING), 1000, open_until=1000)
    assert [(s.wallet, p) for s, p in r.turned(1000)] == [(W, Presence.WAITING)]
    assert r.turned(1001) == []
    r.heard(W, poll(Presence.ASLEEP, resume_at=2000), 1001, open_until=1001)
    assert [p for _, p in r.turned(1001)] == [Presence.ASLEEP]
    r.heard(W, poll(Presence.ASLEEP, resume_at=3000), 1002, open_until=1002)
    assert [s.resume_at for s, _ in r.turned(1002)] == [3000]
    assert r.turned(1006) == []
    assert [p for _, p in r.turned(3031)] == [Presence.UNKNOWN], "time alone turns it"


def test_that_somebody_still_says_the_same_is_written_seldom(tmp_path: Path) -> None:
    database = Store(tmp_path / "db")

    def written(now: int) -> tuple[int, str]:
        with database.write() as db:
            r.flush(db, now)
        with database.read() as db:
            row = db.execute(select(t.workers)).mappings().one()
        return row["last_seen"], row["presence"]

    with database.write() as db:
        store.ensure_worker(db, W, 1000)
    r = roll()
    for now, expected in ((1000, 1000), (1001, 1000), (1009, 1000), (1010, 1010), (1011, 1010)):
        r.heard(W, poll(Presence.WAITING), now, open_until=now)
        assert written(now) == (expected, "WAITING")
    r.heard(W, poll(Presence.BUSY), 1012, open_until=1012)
    assert written(1012) == (1012, "BUSY"), "what it says anew is written at once"


def test_the_end_of_a_connection_that_broke_is_not_that_of_the_next() -> None:
    """The server notices late that a poll has gone, when the worker has long opened another one."""
    r = roll()
    first = r.heard(W, poll(Presence.WAITING), 1000, open_until=2800)
    second = r.heard(W, poll(Presence.WAITING), 1100, open_until=2900)
    r.hung_up(W, 1110, first)
    assert presence(r, 2900) is Presence.WAITING
    r.hung_up(W, 1200, second)
    assert presence(r, 1231) is Presence.UNKNOWN
