"""The same promises on Mosquitto and on NATS: queued commands, early and once; nobody else's topics; lies refused."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from eth_account import Account
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from chain.wallet import Wallet
from poco.commands import Command, CommandKind, CommandState, SignedCommand, command_typed_data
from poco.topics import Leaf, PollNow, poll_now_data, topic, user_of
from poco.wire import Sample
from scheduler import fleet_commands, telemetry
from scheduler.broker_users import SCHEDULER
from tests.fleet.messaging.brokers import CHAIN_ID, POOL, PoolEnd, TheBroker, WorkerEnd, certificate, until
from worker.config import MessagingConfig
from worker.messaging import HINTS, MOST_MESSAGES

Make = Callable[[], WorkerEnd]


class Client:
    """Somebody at the broker with a name and a password."""

    def __init__(self, broker: TheBroker, user: str, password: str, *, client_id: str = "") -> None:
        self.heard: list[tuple[str, bytes, bool]] = []
        self.refused = self.connected = False
        self.granted: list[Any] = []
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id or user, protocol=paho.MQTTv311)
        self.client.username_pw_set(user, password)
        self.client.tls_set(ca_certs=str(broker.tls[0]))
        self.client.on_connect = self._on_connect
        self.client.on_subscribe = lambda _c, _d, _m, codes, _p: self.granted.extend(codes)
        self.client.on_message = lambda _c, _d, m: self.heard.append((m.topic, m.payload, m.retain))
        until(lambda: self._reaches(broker.port), "the broker")
        self.client.loop_start()
        until(lambda: self.refused or self.connected, "an answer to CONNECT")

    def _reaches(self, port: int) -> bool:
        with suppress(OSError):  # it is just started again
            return self.client.connect("127.0.0.1", port, 30) == 0
        return False

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self.refused, self.connected = bool(reason.is_failure), not reason.is_failure

    def publish(self, where: str, payload: bytes | str, *, qos: int = 0, retain: bool = False) -> None:
        self.client.publish(where, payload, qos=qos, retain=retain).wait_for_publish(10)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def issue(pool: PoolEnd, worker: WorkerEnd, kind: str, **arguments: Any) -> int:
    (number,) = fleet_commands.send(pool.engine, [worker.wallet], kind, arguments, by=pool.owner.address)
    return number


def liar(pool: PoolEnd, broker: TheBroker) -> Client:
    """Whoever has the broker: it may write everything, and keeps the bridge away from it."""
    pool.resign()
    return Client(broker, SCHEDULER, pool.broker.users.password(SCHEDULER))


def test_commands_come_early_once_and_in_order(pool: PoolEnd, workers: Make) -> None:
    worker = workers().start().connected()
    for kind, arguments in (("DRAIN", {}), ("RESUME", {}), ("PAUSE", {"until": int(time.time()) + 900})):
        issue(pool, worker, kind, **arguments)
    until(lambda: len(worker.replies) == 3, "three commands")
    assert [reply.state for reply in worker.replies] == [CommandState.DONE] * 3
    assert worker.state.orders.paused(time.time()) and not worker.state.orders.drain
    assert worker.state.acked == 0, "what the poll tells is told by the poll"
    told = pool.engine.fetch(worker.wallet, 0)
    assert [n.seq for n in told] == [reply.seq for reply in worker.replies]


def test_a_sleeper_says_so_and_finds_its_commands_when_it_wakes(pool: PoolEnd, workers: Make) -> None:
    worker = workers().start().connected()
    resume_at = int(time.time()) + 600
    worker.asleep(resume_at)
    until(lambda: not worker.messenger.hold_seconds, "the connection to end")
    issue(pool, worker, "DRAIN")
    pool.resign()  # the broker alone has it now
    time.sleep(2)
    assert worker.replies == []
    worker.asleep(None)
    until(lambda: worker.state.orders.drain, "the queued command")


def test_presence_by_last_will_only_makes_the_scheduler_ask(pool: PoolEnd, broker: TheBroker, workers: Make) -> None:
    worker = workers().start().connected()
    seen = pool.engine.roll.get(worker.wallet)
    assert seen is not None and seen.until > time.time() + 1000, "its poll is held for long"
    watcher = Client(broker, SCHEDULER, pool.broker.users.password(SCHEDULER), client_id="watcher")
    watcher.client.subscribe(topic(POOL, "+", Leaf.PRESENCE), qos=1)
    if broker.kind == "mosquitto":  # a user has one client there: the bridge gives way to the watcher, and comes back
        watcher.close()
        time.sleep(3)
    pool.register(worker.wallet)
    until(lambda: pool.bridge and worker.wallet in pool.bridge._online, "the bridge to know it")
    worker.messenger._flooded = False
    worker.over.set()  # its process ends: the retained word is "unknown"
    until(lambda: (found := pool.engine.roll.get(worker.wallet)) and found.until < time.time() + 60, "a doubt")
    pool.register(worker.wallet)
    again = pool.engine.roll.get(worker.wallet)
    assert again is not None and again.until > time.time() + 1000, "HTTP is the truth"
    watcher.close()


def test_telemetry_arrives_once_and_is_let_go(pool: PoolEnd, workers: Make) -> None:
    worker = workers()
    samples = [Sample(at=900 * n, soc=0.5, action="run", reason="sun", harvested_wh=1.25) for n in range(5)]
    worker.journal.energy_kept({}, samples=samples)
    worker.start().connected()

    def recorded() -> list[Sample]:
        with pool.database.read() as db:
            return telemetry.day(db, worker.wallet, 0)

    until(lambda: recorded() == samples, "the quarter hours", 60)
    until(lambda: worker.postbox.waiting() == 0, "them to be let go", 60)


def test_telemetry_waits_in_the_broker_for_whoever_leads_next(pool: PoolEnd, workers: Make) -> None:
    worker = workers().start().connected()
    assert pool.bridge is not None
    until(lambda: pool.bridge and worker.wallet in pool.bridge._online, "the bridge to have subscribed")
    pool.resign()
    samples = [Sample(at=900 * n, soc=0.25) for n in range(4)]
    worker.journal.energy_kept({}, samples=samples)
    until(lambda: worker.postbox.waiting() == 0, "the broker to have them", 90)
    with pool.database.read() as db:
        assert telemetry.latest(db, worker.wallet) is None
    pool.lead()

    def recorded() -> list[Sample]:
        with pool.database.read() as db:
            return telemetry.day(db, worker.wallet, 0)

    until(lambda: recorded() == samples, "the next leader to have them", 60)


def test_a_worker_reaches_its_own_topics_alone(pool: PoolEnd, broker: TheBroker, workers: Make) -> None:
    one, other = workers(), workers()
    bad = Client(broker, user_of(one.wallet), "guessed")
    assert bad.refused
    bad.close()
    one.start().connected()  # the broker knows both by now
    one.stop()
    password = pool.broker.users.password(user_of(other.wallet))
    assert password != pool.broker.users.password(user_of(one.wallet))
    spy = Client(broker, user_of(other.wallet), password)
    assert spy.connected
    spy.client.subscribe(
        [("#", 1), (topic(POOL, one.wallet, Leaf.COMMAND), 1), (topic(POOL, one.wallet, Leaf.TELEMETRY), 1)]
    )
    forged = json.dumps({"samples": [{"at": 900, "soc": 0.1}]})
    spy.publish(topic(POOL, one.wallet, Leaf.TELEMETRY), forged)
    spy.publish(topic(POOL, one.wallet, Leaf.PRESENCE), '{"presence": "unknown"}')
    spy.publish(topic(POOL, other.wallet, Leaf.COMMAND), "mine to read, not to write")
    issue(pool, one, "DRAIN")
    one.start().connected()
    until(lambda: one.state.orders.drain, "its own command")
    time.sleep(1)
    with pool.database.read() as db:
        assert telemetry.latest(db, one.wallet) is None
    mine = topic(POOL, other.wallet, Leaf.COMMAND)
    assert [where for where, _, _ in spy.heard if where != mine] == []
    assert not any(b"not to write" in payload for _, payload, _ in spy.heard)
    spy.close()


def test_nobody_without_tls_or_with_another_certificate(
    pool: PoolEnd, broker: TheBroker, workers: Make, tmp_path: Path
) -> None:
    worker = workers()
    (tmp_path / "other").mkdir()
    worker.messenger._config = MessagingConfig(ca_file=certificate(tmp_path / "other")[0])
    worker.start()
    until(lambda: any("CERTIFICATE_VERIFY_FAILED" in line for line in worker.log), "the refusal")
    assert not worker.messenger.hold_seconds
    plain = paho.Client(CallbackAPIVersion.VERSION2, client_id="plain")
    answers: list[Any] = []
    plain.on_connect = lambda *given: answers.append(given[3])
    plain.connect("127.0.0.1", broker.port)
    end = time.monotonic() + 3
    while time.monotonic() < end:
        plain.loop(0.2)
    assert not any(not reason.is_failure for reason in answers)


def test_nonsense_is_refused_on_both_sides(pool: PoolEnd, broker: TheBroker, workers: Make) -> None:
    worker = workers().start().connected()
    hostile = liar(pool, broker)
    for payload in (b"", b"{}", b"null", b"\xff" * 200, b"[" * 3000, b"x" * 100_000):
        for leaf in Leaf:
            hostile.publish(topic(POOL, worker.wallet, leaf), payload)
    hostile.close()
    pool.lead()
    issue(pool, worker, "DRAIN")
    until(lambda: worker.state.orders.drain, "an honest command after all that", 60)
    assert len(worker.replies) == 1
    with pool.database.read() as db:
        assert telemetry.latest(db, worker.wallet) is None


def test_lies_of_a_broker(pool: PoolEnd, broker: TheBroker, workers: Make) -> None:
    """Forged, replayed, reordered, meant for others, too late, and far too often."""
    worker, other = workers().start().connected(), workers()
    now = int(time.time())

    def signed(seq: int, previous: int, *, by: Wallet | None = None, to: str = "", expires: int = now + 600) -> str:
        made = Command(seq=seq, previous=previous, kind=CommandKind.DRAIN, arguments={}, expires=expires)
        typed = command_typed_data(CHAIN_ID, POOL, to or worker.wallet, made)
        return SignedCommand(**made.model_dump(), signature=(by or pool.owner).sign_typed(typed)).model_dump_json()

    where = topic(POOL, worker.wallet, Leaf.COMMAND)
    hostile = liar(pool, broker)
    hostile.publish(where, signed(5, 0, by=Wallet(Account.create())))
    hostile.publish(where, signed(5, 0, to=other.wallet))
    hostile.publish(where, signed(5, 0).replace('"seq":5', '"seq":6'))
    hostile.publish(where, signed(1000 * (now + 10**6), 0))
    time.sleep(1.5)
    assert worker.replies == [] and worker.state.commanded == 0
    polled = worker.polled
    hostile.publish(where, signed(9, 8))  # one before it was withheld: the poll brings both
    until(lambda: worker.polled > polled, "a poll")
    assert worker.replies == []
    hostile.publish(where, signed(5, 0, expires=now - 1))
    until(lambda: worker.replies, "an answer")
    assert worker.replies[0].state is CommandState.EXPIRED and not worker.state.orders.drain
    for _ in range(3):
        hostile.publish(where, signed(7, 5))
    until(lambda: worker.state.orders.drain, "the genuine one")
    time.sleep(1)
    assert len(worker.replies) == 2, "a replay changes nothing"
    polled = worker.polled
    hint_at = now
    for _ in range(HINTS + 5):
        hint_at += 1
        note = PollNow(
            poll_now=hint_at,
            signature=pool.owner.sign_typed(poll_now_data(CHAIN_ID, POOL, worker.wallet, hint_at)),
        )
        hostile.publish(where, note.model_dump_json())
        hostile.publish(where, note.model_dump_json())
    time.sleep(2)
    assert worker.polled - polled <= HINTS + 1, "a battery is not drained by hints"
    for _ in range(MOST_MESSAGES):
        hostile.publish(where, b"{}")
    until(lambda: not worker.messenger.hold_seconds, "the worker to leave a broker that floods it")
    assert any("broker_floods" in line for line in worker.log)
    hostile.close()


def test_a_broker_that_was_away_is_found_again(pool: PoolEnd, broker: TheBroker, workers: Make) -> None:
    worker = workers().start().connected()
    polled = worker.polled
    broker.stop()
    until(lambda: not worker.messenger.hold_seconds, "the loss to be seen")
    until(lambda: worker.polled > polled, "the long poll to be ended")
    issue(pool, worker, "DRAIN")
    time.sleep(2)
    broker.start()
    worker.connected()
    until(lambda: worker.state.orders.drain, "the command, from the database", 90)
