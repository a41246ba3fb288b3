"""What a broker can and cannot do to either side, without one: topics, bounds, users, doubts, cut polls."""

from __future__ import annotations

import asyncio
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from chain.wallet import Wallet
from poco.hexes import address
from poco.topics import Leaf, parse, topic, user_of
from poco.wire import Poll, WorkerInfo
from scheduler.bell import Bell
from scheduler.broker_users import SCHEDULER, BrokerUsers
from scheduler.config import BrokerConfig
from scheduler.presence import Roll
from scheduler.store import Store
from worker.link import Link, SchedulerDownError
from worker.messaging import CLOCK_SECONDS, HINT_SECONDS, HINTS, MOST_MESSAGES, MOST_SECONDS, Bounds
from worker.transport import Scissors

POOL = "0x5FC8d32690cc91D4c39d9d3abcBD16989F875707"
NOW = 1_700_000_000


@given(wallet=st.binary(min_size=20, max_size=20), leaf=st.sampled_from(Leaf), noise=st.text(max_size=4))
def test_a_topic_is_read_as_it_was_written_and_nothing_else_is_one(wallet: bytes, leaf: Leaf, noise: str) -> None:
    who = address("0x" + wallet.hex())
    name = topic(POOL, who, leaf)
    assert parse(name) == (POOL, who, leaf)
    assert user_of(who) == name.split("/")[3]
    for other in (name + "/" + noise, name + "\n", noise + "/" + name, name.replace(leaf, "#"), name.upper()):
        assert parse(other) is None


def test_a_flood_is_noticed_and_passes() -> None:
    bounds = Bounds()
    assert all(bounds.message(n * 0.01) for n in range(MOST_MESSAGES))
    assert not bounds.message(2.0)
    assert bounds.message(2.0 + MOST_SECONDS)


def test_hints_are_new_of_now_and_few() -> None:
    bounds = Bounds()
    assert not bounds.hint(NOW - CLOCK_SECONDS - 1, NOW, 0.0)
    assert not bounds.hint(NOW + CLOCK_SECONDS + 1, NOW, 0.0)
    assert [bounds.hint(NOW + n, NOW, 1.0) for n in range(HINTS + 3)] == [True] * HINTS + [False] * 3
    assert not bounds.hint(NOW, NOW, 1e6), "a replay"
    later = 1.0 + HINT_SECONDS
    assert [bounds.hint(NOW + 100 + n, NOW + 100, later) for n in range(2)] == [True, False]


def test_passwords_are_of_one_user_and_the_same_for_all_schedulers(tmp_path: Path) -> None:
    database = Store(tmp_path / "db")
    users, again = BrokerUsers(database, POOL), BrokerUsers(database, POOL)
    wallets = [Account.create().address for _ in range(3)]
    names = [SCHEDULER, *map(user_of, wallets)]
    assert len({users.password(name) for name in names}) == 4
    assert [users.password(name) for name in names] == [again.password(name) for name in names]
    other = BrokerUsers(database, wallets[0])
    assert other.password(SCHEDULER) != users.password(SCHEDULER)
    assert not any(users.password(name) in users.mosquitto(wallets) for name in names)
    file = tmp_path / "users"
    config = BrokerConfig(host="127.0.0.1", users_file=file)
    assert users.write(config, wallets) and not again.write(config, reversed(wallets))
    assert [line.split(":")[0] for line in file.read_text().splitlines()] == [SCHEDULER, *sorted(names[1:])]
    assert file.stat().st_mode & 0o007 == 0
    nats = users.nats(wallets[:1])
    for leaf in (Leaf.PRESENCE, Leaf.TELEMETRY, Leaf.ACK, Leaf.COMMAND):
        assert topic(POOL, wallets[0], leaf).replace("/", ".") in nats
    assert users.write(BrokerConfig(host="127.0.0.1", users_file=file, users_format="nats"), wallets)
    assert not users.write(BrokerConfig(host="127.0.0.1"), wallets)
    database.close()


def test_a_doubt_shortens_belief_and_a_poll_restores_it() -> None:
    roll = Roll(30, 120)
    wallet = Account.create().address
    roll.register(wallet, WorkerInfo(name="roof", platforms=["linux/arm64"], cpus=1, memory_mb=1, disk_mb=1), NOW)
    poll = Poll(presence="WAITING", free_slots=1, acked=0, wait_seconds=1800)
    roll.heard(wallet, poll, NOW, NOW + 1800)

    def presence(at: int) -> str:
        seen = roll.get(wallet)
        assert seen is not None
        return roll.presence(seen, at).value

    assert presence(NOW + 1800) == "WAITING"
    roll.doubt(wallet, NOW + 30)
    assert (presence(NOW + 60), presence(NOW + 61), presence(NOW + 151)) == ("WAITING", "UNKNOWN", "LOST")
    roll.heard(wallet, poll, NOW + 40, NOW + 1840)
    assert presence(NOW + 1000) == "WAITING"
    roll.doubt("0x" + "0" * 40, NOW)


def test_a_nudge_ends_a_poll_and_a_ring_is_told_to_who_listens() -> None:
    bell, heard = Bell(), list[str]()
    listener = heard.append
    bell.nudge("a")  # nobody waits
    bell.listen(listener)

    async def wait() -> bool:
        with bell.waiting("a") as rung:
            threading.Timer(0.05, bell.nudge, ["a"]).start()
            await asyncio.wait_for(rung.wait(), 5)
            return bell.nudged(rung)

    assert asyncio.run(wait())
    bell.ring("b")
    bell.unlisten(print)  # somebody else's end is not this one's
    bell.ring("c")
    bell.unlisten(listener)
    bell.ring("d")
    assert heard == ["b", "c"]
    assert bell.mail() == {"b", "c", "d"}


def test_a_held_request_is_cut_from_another_thread_whenever_that_is() -> None:
    class Slow(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            time.sleep(20)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    link = Link(f"http://127.0.0.1:{server.server_port}", Wallet(Account.create()), 1, POOL, POOL)
    scissors = Scissors()
    for early in (False, True):
        scissors.used = False
        if early:
            scissors.snip()  # before there is anything to cut
        else:
            threading.Timer(0.2, scissors.snip).start()
        begun = time.monotonic()
        with scissors.blades(), pytest.raises(SchedulerDownError):
            link.config()
        assert time.monotonic() - begun < 5 and scissors.used
    server.shutdown()
