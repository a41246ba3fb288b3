"""The pool's MQTT broker, beside HTTP: presence, telemetry, and commands and hints that come early.

The broker is not trusted, and nothing depends on it. What it brings is obeyed only where the pool's owner has signed
it for this worker, counts once, and is bounded in size and number; without it the worker polls as it always does.
"""

from __future__ import annotations

import random
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from chain.wallet import recover_typed
from poco.errors import BadInputError, PewError
from poco.topics import (
    MAX_COMMAND_BYTES,
    AckNote,
    BrokerAccess,
    Contact,
    Leaf,
    PollNow,
    PresenceNote,
    TelemetryNote,
    poll_now_data,
    topic,
)
from poco.wire import MAX_SAMPLES, QUARTER_S
from worker.commands import Judge
from worker.config import MessagingConfig
from worker.core import Event, Worker
from worker.link import Backoff, Link, SchedulerRefusedError
from worker.log import Log
from worker.postbox import Postbox

#: Messages that are looked at within ten minutes; a broker that sends more is left alone for an hour.
MOST_MESSAGES = 100
MOST_SECONDS = 600.0
REST_SECONDS = 3600.0
#: Hints that are followed: so many at once, and one more in so many seconds.
HINTS, HINT_SECONDS = 3, 60.0
#: Clocks of a scheduler and a worker that talk to each other differ by less.
CLOCK_SECONDS = 300
_LOOP_SECONDS = 1.0
_PART_SECONDS = 5.0
_QUARTERS_SECONDS = 30.0
_CONNECT_SECONDS = 15.0
_LONGEST_PAUSE = 300.0


class Bounds:
    """What a broker may ask of this worker's radio and processor. Instants are monotonic seconds."""

    def __init__(self) -> None:
        self._came: deque[float] = deque()
        self._hints, self._since = float(HINTS), 0.0
        self._last_hint = 0

    def message(self, now: float) -> bool:
        """A message came; False where there were too many lately."""
        while self._came and now - self._came[0] >= MOST_SECONDS:
            self._came.popleft()
        self._came.append(now)
        return len(self._came) <= MOST_MESSAGES

    def hint(self, at: int, clock: float, now: float) -> bool:
        """Whether to follow a hint made at the Unix second `at`: a new one, of now, and not too many."""
        if at <= self._last_hint or abs(clock - at) > CLOCK_SECONDS:
            return False
        self._last_hint = at
        self._hints = min(float(HINTS), self._hints + (now - self._since) / HINT_SECONDS)
        self._since = now
        if self._hints < 1:
            return False
        self._hints -= 1
        return True


class Messenger:
    """This worker's connection to the broker.

    Args:
        config: the `messaging` section.
        pool: the workerpool.
        link: asks for the broker's address and this worker's password.
        state: gives the worker as it stands.
        owner: the pool's owner by the chain; empty before it is known.
        tell: puts an event and returns once it is in the journal.
        poll_now: is called for a hint, and when the connection begins or ends: the next poll is due.

    Raises:
        BadInputError: paho-mqtt is not installed.
    """

    def __init__(
        self,
        config: MessagingConfig,
        pool: str,
        *,
        link: Link,
        judge: Judge,
        postbox: Postbox,
        state: Callable[[], Worker],
        owner: Callable[[], str],
        tell: Callable[[Event], None],
        poll_now: Callable[[], None],
        log: Log,
    ) -> None:
        try:
            import paho.mqtt.client as _paho  # noqa: F401  (only workers whose configuration asks need it)
        except ImportError:
            raise BadInputError(
                "messaging needs the package paho-mqtt", hint="pip install -r requirements-messaging.txt"
            ) from None
        self._config, self._pool, self._link, self._judge = config, pool, link, judge
        self._postbox, self._state, self._owner, self._tell = postbox, state, owner, tell
        self._poll_now, self._log = poll_now, log
        self._bounds = Bounds()
        self._dice = random.SystemRandom()
        self._access: BrokerAccess | None = None
        self._subscribed = False
        self._flooded = False
        self._came: deque[bytes] = deque()
        self._look_at = 0.0
        self._in_flight: tuple[Any, list[Any]] | None = None
        self._trouble = ""

    @property
    def hold_seconds(self) -> int:
        """How long a poll may be held now; 0: as without a broker."""
        access = self._access
        return access.poll_seconds if access is not None and self._subscribed else 0

    def telemetry_by_broker(self) -> bool:
        """Whether quarter hours go out by the broker now."""
        return self._subscribed

    def run(self, over: threading.Event) -> None:
        """Be connected while awake, until `over`."""
        pauses = Backoff(1.0, _LONGEST_PAUSE)
        while not over.is_set():
            if self._state().stance.asleep or not self._owner():
                over.wait(1.0)
                continue
            lasted = time.monotonic()
            try:
                self._access = self._allowed()
                self._connected(self._access, over)
                if not self._state().stance.asleep and not over.is_set():
                    self._say(f"the broker at {self._access.host}:{self._access.port} is gone")
            except SchedulerRefusedError as error:
                self._say(error.message)
                over.wait(REST_SECONDS if error.status == 404 else pauses.pause())
                continue
            except PewError as error:
                self._say(error.message)
            except (OSError, ValueError) as error:
                self._say(f"no broker answers: {error}")
            if self._flooded:
                self._flooded = False
                self._log.warning("broker_floods", rests_seconds=REST_SECONDS)
                over.wait(REST_SECONDS)
            if time.monotonic() - lasted > 2 * _LONGEST_PAUSE:
                pauses.reset()
            over.wait(pauses.pause())

    def _allowed(self) -> BrokerAccess:
        access = self._link.broker()
        self._link.close()  # of this thread: it is not needed again soon
        if not access.tls and not self._config.plain:
            raise BadInputError(
                "the pool's broker has no TLS", hint="ask its operator for TLS; messaging.plain: true is for trials"
            )
        return access

    def _connected(self, access: BrokerAccess, over: threading.Event) -> None:
        """One connection, from its begin to its end, whoever ends it."""
        client = self._client(access)
        client.connect(access.host, access.port, access.keepalive_seconds)
        alive, begun = True, time.monotonic()
        try:
            while alive and not over.is_set() and not self._flooded and not self._state().stance.asleep:
                alive = client.loop(_LOOP_SECONDS) == 0
                if self._subscribed:
                    self._hear(client)
                    self._tell_quarters(client)
                elif time.monotonic() - begun > _CONNECT_SECONDS:
                    break
            if alive and self._subscribed:
                self._part(client)
        finally:
            was, self._subscribed, self._in_flight = self._subscribed, False, None
            client.disconnect()
            if was and not over.is_set():
                self._poll_now()

    def _client(self, access: BrokerAccess) -> Any:
        from paho.mqtt import client as paho
        from paho.mqtt.enums import CallbackAPIVersion

        # the session outlives the connection: what was sent meanwhile waits for a sleeper
        client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=access.username, protocol=paho.MQTTv311, clean_session=False
        )
        client.connect_timeout = _CONNECT_SECONDS
        client.username_pw_set(access.username, access.password)
        if access.tls:
            ca_file = self._config.ca_file
            client.tls_set(ca_certs=str(ca_file) if ca_file else None, tls_version=ssl.PROTOCOL_TLS_CLIENT)
        lost = PresenceNote(presence=Contact.UNKNOWN).model_dump_json(exclude_none=True)
        client.will_set(self._topic(Leaf.PRESENCE), lost, qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_subscribe = lambda *_: self._begin(client)
        client.on_message = self._on_message
        return client

    def _topic(self, leaf: Leaf) -> str:
        return topic(self._pool, self._link.wallet, leaf)

    def _on_connect(self, client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._say(f"the broker refuses: {reason}")
        else:
            client.subscribe(self._topic(Leaf.COMMAND), qos=1)

    def _begin(self, client: Any) -> None:
        self._publish(client, Leaf.PRESENCE, PresenceNote(presence=Contact.ONLINE), retain=True)
        self._subscribed, self._trouble = True, ""
        self._log.info("broker_connected")
        self._poll_now()

    def _part(self, client: Any) -> None:
        """Say how this worker leaves, and go only when that has arrived."""
        stance = self._state().stance
        note = PresenceNote(
            presence=Contact.ASLEEP if stance.asleep else Contact.UNKNOWN,
            resume_at=stance.resume_at if stance.asleep else None,
        )
        said, end = self._publish(client, Leaf.PRESENCE, note, retain=True), time.monotonic() + _PART_SECONDS
        while not said.is_published() and time.monotonic() < end and client.loop(0.2) == 0:
            pass

    def part(self) -> None:
        """Wait until a sleeper's connection has ended as it should, within bounds."""
        end = time.monotonic() + _PART_SECONDS + _LOOP_SECONDS
        while self._subscribed and time.monotonic() < end:
            time.sleep(0.05)

    def _publish(self, client: Any, leaf: Leaf, note: Any, *, retain: bool = False) -> Any:
        return client.publish(self._topic(leaf), note.model_dump_json(exclude_defaults=True), qos=1, retain=retain)

    # what comes

    def _on_message(self, _client: Any, _data: Any, message: Any) -> None:
        if not self._bounds.message(time.monotonic()):
            self._flooded = True
        elif message.topic == self._topic(Leaf.COMMAND) and len(message.payload) <= MAX_COMMAND_BYTES:
            self._came.append(message.payload)

    def _hear(self, client: Any) -> None:
        while self._came:
            payload, owner = self._came.popleft(), self._owner()
            if self._hinted(payload, owner):
                continue
            heard = self._judge.brought(payload, owner)
            if heard is None:
                self._log.warning("broker_message_refused", bytes=len(payload))
                continue
            self._tell(heard)
            state = self._state()
            if state.commanded >= heard.seq:
                self._publish(client, Leaf.ACK, AckNote(seq=heard.seq))
            elif self._bounds.hint(int(time.time()), time.time(), time.monotonic()):
                self._poll_now()  # one before it has not come: the poll brings both

    def _hinted(self, payload: bytes, owner: str) -> bool:
        """Whether that is a hint; one that counts is followed."""
        try:
            note = PollNow.model_validate_json(payload)
        except ValidationError:
            return False
        typed = poll_now_data(self._link.chain_id, self._pool, self._link.wallet, note.poll_now)
        try:
            genuine = recover_typed(typed, note.signature) == owner
        except PewError:
            genuine = False
        if genuine and self._bounds.hint(note.poll_now, time.time(), time.monotonic()):
            self._log.info("hinted")
            self._poll_now()
        elif not genuine:
            self._log.warning("broker_message_refused", bytes=len(payload))
        return True

    # what goes

    def _tell_quarters(self, client: Any) -> None:
        """Quarter hours, some together; they are let go once the broker has acknowledged them."""
        if self._in_flight is not None:
            said, samples = self._in_flight
            if said.is_published():
                self._postbox.told(samples)
                self._in_flight = None
        if self._in_flight is not None or time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + _QUARTERS_SECONDS
        if self._postbox.waiting() * QUARTER_S >= self._postbox.telemetry_seconds(self._state().orders):
            samples = self._postbox.samples(MAX_SAMPLES)
            self._in_flight = self._publish(client, Leaf.TELEMETRY, TelemetryNote(samples=samples)), samples

    def _say(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            self._log.warning("no_broker", why=trouble)
