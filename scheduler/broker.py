"""The leader's end of the MQTT broker: commands and hints out, presence and telemetry in.

Nothing depends on it: commands lie in the database and are told at every poll, and what the broker says of a worker
only makes the scheduler ask sooner. A broker that lies can withhold, repeat and delay; it cannot command a worker, nor
take a task from one.
"""

from __future__ import annotations

import queue
import random
import ssl
import threading
import time
from contextlib import suppress
from typing import Any

from pydantic import BaseModel, ValidationError

from chain.wallet import Wallet
from poco.commands import SignedCommand
from poco.errors import BadInputError
from poco.topics import (
    MAX_TELEMETRY_BYTES,
    AckNote,
    BrokerAccess,
    Contact,
    Leaf,
    PollNow,
    PresenceNote,
    TelemetryNote,
    parse,
    poll_now_data,
    topic,
    user_of,
)
from poco.wire import NotificationType
from scheduler import telemetry
from scheduler.broker_users import SCHEDULER, BrokerUsers
from scheduler.config import BrokerConfig
from scheduler.engine import Engine
from scheduler.log import log

#: A worker whose notifications lie so long though it is connected is told to poll now, and so often at most.
HINT_SECONDS = 3.0
HINT_AGAIN_SECONDS = 60.0
#: How often a worker is doubted by its last will, at most.
DOUBT_SECONDS = 60.0
#: The broker is told of new users so often at most.
USERS_SECONDS = 3.0
_LOOK_SECONDS = 1.0
_CONNECT_SECONDS = 10.0
_LONGEST_PAUSE = 60.0
#: Messages that wait to be looked at; more are dropped (telemetry is told again by nobody, but must not fill memory).
_MOST_WAITING = 10_000


class Broker:
    """The pool's broker, as `scheduler.yaml` says; a worker's access to it is `access`.

    Raises:
        BadInputError: paho-mqtt is not installed.
    """

    def __init__(self, config: BrokerConfig, engine: Engine, chain_id: int, workerpool: str) -> None:
        try:
            import paho.mqtt.client as _paho  # noqa: F401  (where no broker is configured it is not needed)
        except ImportError:
            raise BadInputError(
                "broker needs the package paho-mqtt", hint="pip install -r requirements-messaging.txt"
            ) from None
        self.config, self._engine, self._chain_id, self._pool = config, engine, chain_id, workerpool
        self.users = BrokerUsers(engine.store, workerpool)
        self._written: frozenset[str] | None = None
        self._written_at = -USERS_SECONDS
        self._held = 0 if engine.store.shared is not None else config.poll_seconds

    def access(self, wallet: str) -> BrokerAccess:
        """What that worker needs; the leader lets it in within a second or two."""
        config, user = self.config, user_of(wallet)
        return BrokerAccess(
            host=config.public_host or config.host,
            port=config.public_port or config.port,
            tls=config.tls,
            username=user,
            password=self.users.password(user),
            keepalive_seconds=config.keepalive_seconds,
            poll_seconds=self._held,
        )

    def write_users(self) -> None:
        """Every registered worker is in the broker's file."""
        wallets = frozenset(seen.wallet for seen in self._engine.roll.all() if seen.registered)
        if wallets == self._written or time.monotonic() - self._written_at < USERS_SECONDS:
            return
        self._written, self._written_at = wallets, time.monotonic()
        if self.users.write(self.config, wallets):
            log("broker_users_written", file=str(self.config.users_file))

    def bridge(self) -> Bridge:
        """For a leader, not started."""
        return Bridge(self, self._engine, self._engine.wallet, self._chain_id, self._pool)


class Bridge(threading.Thread):
    """Carries messages while this process leads.

    Args:
        broker: whose configuration and users it is.
        wallet: the pool owner's; signs hints.
    """

    def __init__(self, broker: Broker, engine: Engine, wallet: Wallet, chain_id: int, workerpool: str) -> None:
        super().__init__(name="bridge", daemon=True)
        self._broker, self._engine, self._wallet = broker, engine, wallet
        self._chain_id, self._pool = chain_id, workerpool
        self._stopping = threading.Event()
        self._connected = threading.Event()
        #: wallets that were rung for, and messages that came
        self._rung: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._came: queue.Queue[tuple[str, bytes]] = queue.Queue(_MOST_WAITING)
        self._online: set[str] = set()
        self._published: dict[str, int] = {}
        self._rung_at: dict[str, float] = {}
        self._hinted: dict[str, float] = {}
        self._doubted: dict[str, float] = {}
        self._dice = random.Random()  # noqa: S311  (spreads load, guards nothing)

    @property
    def connected(self) -> bool:
        """Whether the broker is there now."""
        return self._connected.is_set()

    @property
    def online(self) -> int:
        """How many workers are connected to it, as far as they have said."""
        return len(self._online)

    def stop(self) -> None:
        self._stopping.set()
        if self.is_alive():
            self.join(10)

    def run(self) -> None:
        bell, pause = self._engine.bell, 1.0
        bell.listen(self._ring)
        try:
            while not self._stopping.is_set():
                client = self._client()
                try:
                    self._broker.write_users()
                    config = self._broker.config
                    client.connect(config.host, config.port, config.keepalive_seconds)
                    client.loop_start()
                    if self._connected.wait(_CONNECT_SECONDS):
                        pause = 1.0
                        self._serve(client)
                except (OSError, ValueError) as error:
                    log("no_broker", level="warning", error=str(error))
                except Exception as error:  # one bad message must not end it
                    log("bridge_failed", level="error", error=repr(error))
                finally:
                    client.disconnect()
                    client.loop_stop()
                    self._connected.clear()
                    self._lost()
                self._stopping.wait(pause * self._dice.uniform(0.5, 1.0))
                pause = min(2 * pause, _LONGEST_PAUSE)
        finally:
            bell.unlisten(self._ring)

    def _ring(self, wallet: str) -> None:
        self._rung.put(wallet)

    def _client(self) -> Any:
        from paho.mqtt import client as paho
        from paho.mqtt.enums import CallbackAPIVersion

        config = self._broker.config
        # its session outlives a connection, and the leader: telemetry waits for whoever leads next
        name = f"{SCHEDULER}-{self._pool.lower()}"
        if config.users_format == "mosquitto":
            name = SCHEDULER  # its broker lets a user take no other client id
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=paho.MQTTv311, clean_session=False)
        client.username_pw_set(SCHEDULER, self._broker.users.password(SCHEDULER))
        if config.tls:
            client.tls_set(
                ca_certs=str(config.ca_file) if config.ca_file else None, tls_version=ssl.PROTOCOL_TLS_CLIENT
            )
        client.on_connect = self._on_connect
        client.on_disconnect = lambda *_: self._connected.clear()
        client.on_message = self._on_message
        return client

    def _on_connect(self, client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            log("no_broker", level="warning", error=str(reason))
            return
        client.subscribe([(topic(self._pool, "+", leaf), 1) for leaf in (Leaf.PRESENCE, Leaf.TELEMETRY, Leaf.ACK)])
        log("broker_connected", host=self._broker.config.host, port=self._broker.config.port)
        self._connected.set()

    def _on_message(self, _client: Any, _data: Any, message: Any) -> None:
        if len(message.payload) <= MAX_TELEMETRY_BYTES:
            try:
                self._came.put_nowait((message.topic, message.payload))
            except queue.Full:
                log("broker_floods", level="warning", dropped=message.topic)

    def _serve(self, client: Any) -> None:
        """Carry, until the connection is lost."""
        self._published.clear()  # what was published when the last connection ended may be lost
        for wallet in self._engine.bell.mail():
            self._rung.put(wallet)
        users = 0.0
        while self._connected.is_set() and not self._stopping.is_set():
            with suppress(queue.Empty):
                self._hear(*self._came.get(timeout=_LOOK_SECONDS / 4))
            while not self._rung.empty():
                self._publish(client, self._rung.get())
            self._hint(client)
            if time.monotonic() - users >= _LOOK_SECONDS:
                users = time.monotonic()
                self._broker.write_users()

    def _publish(self, client: Any, wallet: str) -> None:
        """Commands that wait for that worker, each once in a connection; it obeys none twice."""
        self._rung_at.setdefault(wallet, time.monotonic())
        for told in self._engine.fetch(wallet, self._published.get(wallet, -1)):
            if told.type is NotificationType.COMMAND:
                text = _json(told.data)
                client.publish(topic(self._pool, wallet, Leaf.COMMAND), text, qos=1)
                self._published[wallet] = told.seq

    def _hint(self, client: Any) -> None:
        """Have those poll at once who are connected and leave their notifications lying."""
        now = time.monotonic()
        mail = self._engine.bell.mail() if self._rung_at else set()
        for wallet, since in list(self._rung_at.items()):
            if wallet not in mail:
                del self._rung_at[wallet]
            elif now - since >= HINT_SECONDS and now - self._hinted.get(wallet, -1e9) >= HINT_AGAIN_SECONDS:
                self.hint(client, wallet)

    def hint(self, client: Any, wallet: str) -> None:
        """Tell one worker to poll now."""
        self._hinted[wallet] = time.monotonic()
        if wallet not in self._online:
            return
        at = self._engine.now()
        signature = self._wallet.sign_typed(poll_now_data(self._chain_id, self._pool, wallet, at))
        note = PollNow(poll_now=at, signature=signature)
        client.publish(topic(self._pool, wallet, Leaf.COMMAND), note.model_dump_json(), qos=0)

    def _hear(self, name: str, payload: bytes) -> None:
        """One message of a worker: bounded, of a worker that is registered, and nothing but what its topic takes."""
        found = parse(name)
        if found is None or found[0] != self._pool:
            return
        _, wallet, leaf = found
        seen = self._engine.roll.get(wallet)
        if seen is None or not seen.registered:
            return
        try:
            note = _NOTES[leaf].model_validate_json(payload)
        except (ValidationError, KeyError):
            log("broker_message_refused", level="warning", worker=wallet, topic=leaf.value)
            return
        if isinstance(note, TelemetryNote):
            self._engine.store.transact(lambda db: telemetry.record_all(db, wallet, note.samples))
        elif isinstance(note, PresenceNote):
            self._presence(wallet, note)
        elif isinstance(note, AckNote) and note.seq >= self._published.get(wallet, 0):
            self._rung_at.pop(wallet, None)  # it has what was published: no hint is needed

    def _presence(self, wallet: str, note: PresenceNote) -> None:
        if note.presence is Contact.ONLINE:
            self._online.add(wallet)
            return
        was = wallet in self._online
        self._online.discard(wallet)
        if note.presence is Contact.UNKNOWN and was:
            self._doubt(wallet)

    def _doubt(self, wallet: str) -> None:
        """Its poll, which may be held for long, is answered at once: who lives polls again, who does not is missed."""
        now = time.monotonic()
        if now - self._doubted.get(wallet, -1e9) >= DOUBT_SECONDS:
            self._doubted[wallet] = now
            self._engine.doubt(wallet)

    def _lost(self) -> None:
        """The broker is away: nobody's last will is heard, so that whoever is connected there is asked now."""
        online, self._online = self._online, set()
        for wallet in online:
            self._engine.doubt(wallet)


_NOTES: dict[Leaf, type[BaseModel]] = {
    Leaf.PRESENCE: PresenceNote,
    Leaf.TELEMETRY: TelemetryNote,
    Leaf.ACK: AckNote,
}


def _json(data: dict[str, Any]) -> str:
    return SignedCommand.model_validate(data).model_dump_json()
