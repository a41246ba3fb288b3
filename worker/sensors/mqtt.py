"""Publishes what waits in the store over MQTT 3.1.1, in order, each until the broker has acknowledged it."""

from __future__ import annotations

import threading
from typing import Any

from poco.errors import BadInputError, PewError
from worker.log import Log
from worker.sensors.config import Mqtt
from worker.sensors.homeassistant import Topics
from worker.sensors.store import Message, Store

_AT_ONCE = 20
_ACKNOWLEDGED_SECONDS = 20.0
_CONNECT_SECONDS = 10.0
_LONGEST_PAUSE = 60


class Publisher:
    """A device's connection to its broker. The broker says "offline" for it when it is gone (its last will).

    Args:
        config: the `mqtt` section.
        name: of the worker; topics and the client's id are made of it.
        hello: published at every connection, such as the discovery.
        store: where messages wait.
        log: where connections are told.

    Raises:
        BadInputError: paho-mqtt is not installed, or the password cannot be read.
    """

    def __init__(self, config: Mqtt, name: str, hello: list[Message], store: Store, log: Log) -> None:
        self._config, self._hello, self._store, self._log = config, hello, store, log
        self._topics = Topics(config, name)
        self._connected = threading.Event()
        self._news = threading.Event()
        self._trouble = ""
        self._client = make_client(config, self._topics.id)
        self._client.will_set(self._topics.availability, "offline", qos=1, retain=True)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect

    def wake(self) -> None:
        """Something waits."""
        self._news.set()

    def run(self, over: threading.Event) -> None:
        """Publish until `over`."""
        self._client.reconnect_delay_set(1, _LONGEST_PAUSE)
        self._client.connect_async(self._config.host, self._config.port, self._config.keepalive_seconds)
        self._client.loop_start()
        while not over.is_set():
            if not self._connected.wait(0.5) or not self._deliver():
                self._news.wait(0.5)
                self._news.clear()
        if self._connected.is_set():
            self._client.publish(self._topics.availability, "offline", qos=1, retain=True)
        self._client.disconnect()
        self._client.loop_stop()

    def _deliver(self) -> bool:
        """Publish some of what waits; False when nothing could be done."""
        waiting = self._store.waiting(_AT_ONCE)
        sent = [(number, self._client.publish(m.topic, m.payload, qos=1, retain=m.retain)) for number, m in waiting]
        last = None
        for number, info in sent:
            try:
                info.wait_for_publish(_ACKNOWLEDGED_SECONDS)
            except (RuntimeError, ValueError):
                break
            if not info.is_published():
                break
            last = number
        if last is not None:
            self._store.delivered(last)
        return last is not None

    def _on_connect(self, client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._tell(f"the broker refuses: {reason}")
            return
        for message in self._hello:
            client.publish(message.topic, message.payload, qos=1, retain=message.retain)
        client.publish(self._topics.availability, "online", qos=1, retain=True)
        self._trouble = ""
        self._connected.set()
        self._log.info("mqtt_connected", broker=f"{self._config.host}:{self._config.port}")

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._connected.clear()
        self._tell(f"the connection is lost: {reason}")

    def _tell(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            self._log.warning("mqtt_disconnected", why=trouble)


def make_client(config: Mqtt, client_id: str) -> Any:
    """A client that is set up and not connected."""
    try:
        from paho.mqtt import client as paho
        from paho.mqtt.enums import CallbackAPIVersion
    except ImportError:
        raise BadInputError("MQTT needs the package paho-mqtt", hint="pip install paho-mqtt") from None
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv311)
    if config.username:
        client.username_pw_set(config.username, _password(config))
    if config.tls:
        client.tls_set()
    return client


def check(config: Mqtt, name: str) -> str:
    """Connect once, for `doctor`.

    Raises:
        PewError: what is wrong, and the way out.
    """
    where = f"{config.host}:{config.port}"
    client = make_client(config, f"{Topics(config, name).id}_doctor")  # its own id would throw the worker out
    answered = threading.Event()
    refused: list[str] = []

    def on_connect(_client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        refused.extend([str(reason)] if reason.is_failure else [])
        answered.set()

    client.on_connect = on_connect
    try:
        client.connect(config.host, config.port, 10)
    except (OSError, ValueError) as error:
        raise PewError(
            f"no broker answers at {where}: {error}",
            hint="start it (`systemctl start mosquitto`), or correct sensors.mqtt",
        ) from None
    client.loop_start()
    came = answered.wait(_CONNECT_SECONDS)
    client.disconnect()
    client.loop_stop()
    if not came:
        raise PewError(f"what listens at {where} is no MQTT broker", hint="check sensors.mqtt.port, and tls")
    if refused:
        raise PewError(f"the broker at {where} refuses: {refused[0]}", hint="check username and password_file")
    return f"{where} takes this device; published: {', '.join(config.publish) or 'nothing'}"


def _password(config: Mqtt) -> str | None:
    if config.password_file is None:
        return None
    try:
        return config.password_file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(
            f"cannot read {config.password_file}: {error}", hint="correct sensors.mqtt.password_file"
        ) from None
