"""Publishing to a real broker (Mosquitto): discovery, states, a last will, outages, and the camera's privacy."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from ops.console import ROOT
from ops.mosquitto import find_mosquitto, start_mosquitto
from ops.ports import free_port
from ops.stack import Stack
from poco.errors import PewError
from worker.log import Log
from worker.sensors.config import Mqtt, SensorsConfig
from worker.sensors.homeassistant import Topics, discovery, weather_state
from worker.sensors.mqtt import Publisher, check
from worker.sensors.reading import clean
from worker.sensors.store import Store

T0 = 1_700_000_000
#: Where there is neither the program nor a way to it, the broker is a container.
pytestmark = [] if find_mosquitto() or shutil.which("apt-get") else [pytest.mark.docker]


def until(condition: Callable[[], Any], what: str, seconds: float = 30) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds} s for: {what}")


class Listener:
    """Somebody who subscribes to everything."""

    def __init__(self, port: int) -> None:
        self.heard: list[tuple[str, bytes, bool]] = []
        self.client = paho.Client(CallbackAPIVersion.VERSION2)
        self.client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self.client.on_message = lambda _c, _d, m: self.heard.append((m.topic, m.payload, m.retain))
        self.client.reconnect_delay_set(1, 1)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def payloads(self, topic: str) -> list[bytes]:
        return [payload for where, payload, _ in self.heard if where == topic]

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def port(stack: Stack) -> Iterator[int]:
    number = free_port()
    start_mosquitto(stack, number)
    yield number
    stack.stop_process("mosquitto")


@pytest.fixture
def listener(port: int) -> Iterator[Listener]:
    made = Listener(port)
    yield made
    made.close()


def section(port: int, **mqtt: Any) -> SensorsConfig:
    return SensorsConfig.model_validate(
        {
            "weather": {"backends": [{"kind": "simulated"}], "sample_seconds": 0.2},
            "camera": {"kind": "simulated", "width": 64, "height": 48, "fps": 10, "clip_seconds": 1},
            "mqtt": {"port": port, "keepalive_seconds": 5, **mqtt},
        }
    )


@pytest.fixture
def publishing(port: int, tmp_path: Path) -> Iterator[tuple[Store, Topics]]:
    config = section(port)
    assert config.mqtt is not None
    store, topics = Store(tmp_path / "r.db", config.keep), Topics(config.mqtt, "roof")
    hello = discovery(config, config.mqtt, "roof")
    assert hello is not None
    over = threading.Event()
    publisher = Publisher(config.mqtt, "roof", [hello], store, Log((tmp_path / "log").open("w")))
    thread = threading.Thread(target=publisher.run, args=(over,))
    thread.start()
    yield store, topics
    over.set()
    thread.join(15)
    assert not thread.is_alive()


def keep(store: Store, topics: Topics, number: int) -> None:
    reading = clean({"temperature_c": float(number % 60)})
    store.reading_kept(T0 + number, reading, lambda rain: (weather_state(topics, T0 + number, reading, rain),))


def seconds_of(listener: Listener, topics: Topics) -> list[int]:
    times = [json.loads(payload)["time"] for payload in listener.payloads(topics.weather)]
    return [int(t[17:19]) + 60 * int(t[14:16]) for t in times]


def test_an_outage_loses_nothing(stack: Stack, port: int, listener: Listener, publishing: tuple[Store, Topics]) -> None:
    """The broker goes away and comes back: what was measured meanwhile arrives, in order."""
    store, topics = publishing
    until(lambda: listener.payloads(topics.availability) == [b"online"], "the device to be there")
    body = json.loads(listener.payloads(topics.discovery)[0])
    assert body["availability_topic"] == topics.availability and len(body["cmps"]) == 8
    for number in range(3):
        keep(store, topics, number)
    until(lambda: len(listener.payloads(topics.weather)) == 3, "three readings")
    stack.stop_process("mosquitto", kill=True)
    for number in range(3, 60):
        keep(store, topics, number)
    assert len(store.waiting(1000)) == 57
    heard = len(listener.heard)
    start_mosquitto(stack, port)
    until(lambda: not store.waiting(1), "the store to be empty", 60)
    base = seconds_of(listener, topics)[0]
    until(lambda: set(range(60)) <= {s - base for s in seconds_of(listener, topics)}, "all readings")
    arrived = [second - base for second in seconds_of(listener, topics)]
    firsts = sorted(set(arrived), key=arrived.index)
    assert firsts == list(range(60)), "in order, none missing"
    assert b"online" in [payload for topic, payload, _ in listener.heard[heard:] if topic == topics.availability]
    late = Listener(port)
    try:
        until(lambda: late.payloads(topics.weather), "the retained state")
        assert json.loads(late.payloads(topics.weather)[0])["temperature_c"] == 59.0, "the newest is retained"
        assert late.payloads(topics.discovery), "a Home Assistant that starts later finds the device"
    finally:
        late.close()


def test_doctor_on_brokers(port: int, stack: Stack) -> None:
    assert "takes this device" in check(Mqtt(port=port), "roof")
    with pytest.raises(PewError, match="no broker answers") as caught:
        check(Mqtt(port=free_port()), "roof")
    assert "mosquitto" in caught.value.hint


def test_a_broker_that_wants_a_password(stack: Stack, tmp_path: Path) -> None:
    number = free_port()
    start_mosquitto(stack, number, name="guarded", users={"roof": "secret"})
    try:
        with pytest.raises(PewError, match="refuses") as caught:
            check(Mqtt(port=number), "roof")
        assert "password_file" in caught.value.hint
        (tmp_path / "password").write_text("secret\n")
        assert "takes this device" in check(
            Mqtt(port=number, username="roof", password_file=tmp_path / "password"), "roof"
        )
        with pytest.raises(PewError, match="cannot read"):
            check(Mqtt(port=number, username="roof", password_file=tmp_path / "none"), "roof")
    finally:
        stack.stop_process("guarded")


def test_the_shipped_rules_keep_devices_apart(stack: Stack, tmp_path: Path) -> None:
    """With ops/mosquitto/pew.acl a device writes below its own name only, and reads nobody's."""
    number = free_port()
    users = {"roof": "a", "shed": "b", "homeassistant": "c"}
    start_mosquitto(stack, number, name="ruled", users=users, acl=ROOT / "ops" / "mosquitto" / "pew.acl")
    heard: dict[str, list[str]] = {}
    clients = {}
    for user, password in users.items():
        client = paho.Client(CallbackAPIVersion.VERSION2)
        client.username_pw_set(user, password)
        ready = threading.Event()
        client.on_subscribe = lambda *_, ready=ready: ready.set()
        heard[user] = []
        client.on_message = lambda _c, _d, m, to=heard[user]: to.append(m.topic)
        client.connect("127.0.0.1", number)
        client.loop_start()
        client.subscribe("#", qos=1)
        assert ready.wait(10)
        clients[user] = client
    own = ["pew/roof/weather", "homeassistant/device/pew_roof/config", "pew/roof/motion"]
    for topic in ("pew/shed/weather", "homeassistant/device/pew_shed/config", "elsewhere", *own):
        clients["roof"].publish(topic, "x", qos=1).wait_for_publish(10)
    until(lambda: heard["homeassistant"][-1:] == own[-1:], "the last message")
    assert heard == {"homeassistant": own, "roof": [], "shed": []}
    for client in clients.values():
        client.disconnect()
        client.loop_stop()
    stack.stop_process("ruled")


DEVICE = """
import sys, threading, yaml
from pathlib import Path
from worker.config import WorkerConfig
from worker.duty import Duty
from worker.energy import Sensing
from worker.log import Log

class Sunshine:
    asleep = False
    def sense(self): return Sensing(True, "sunshine", "night")
    def doing(self, duty): pass

config = WorkerConfig.model_validate(yaml.safe_load(Path(sys.argv[1]).read_text()))
duty = Duty(config, None, Sunshine(), lambda: False, Log())
over = threading.Event()
threads = [threading.Thread(target=body) for body in duty.bodies(over).values()]
[thread.start() for thread in threads]
sys.stdin.read()
over.set()
"""


@pytest.fixture
def device(port: int, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """A process that does what a worker does with its sensors; it ends when its standard input is closed."""
    made: list[subprocess.Popen[bytes]] = []

    def make(**mqtt: Any) -> subprocess.Popen[bytes]:
        config = {
            "scheduler_url": "http://a", "rpc_url": "http://b", "deployment": "d", "keystore": "k",
            "password_file": "p", "data_dir": str(tmp_path / "data"), "name": "roof", "workerpool": "0x" + "22" * 20,
            "sensors": section(port, **mqtt).model_dump(mode="json", exclude_none=True),
        }  # fmt: skip
        (tmp_path / "worker.yaml").write_text(yaml.safe_dump(config))
        argv = [sys.executable, "-c", DEVICE, str(tmp_path / "worker.yaml")]
        made.append(subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL))
        return made[-1]

    yield make
    for process in made:
        process.kill()
        process.wait()


def test_a_device_that_dies_is_reported_gone_and_its_camera_stays_private(
    listener: Listener, device: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    process = device()
    topics = Topics(Mqtt(), "roof")
    until(lambda: len(listener.payloads(topics.weather)) > 5, "readings")
    until(lambda: list((tmp_path / "data" / "sensors" / "clips").glob("*.avi")), "footage")
    process.send_signal(signal.SIGKILL)
    process.wait()
    until(lambda: listener.payloads(topics.availability)[-1] == b"offline", "its last will")
    assert {topic for topic, _, _ in listener.heard} == {topics.availability, topics.discovery, topics.weather}
    assert not [topic for topic, payload, _ in listener.heard if b"\xff\xd8" in payload], "no picture has left it"
    entities = json.loads(listener.payloads(topics.discovery)[0])["cmps"]
    assert "motion" not in entities and "picture" not in entities
    again = device()
    until(lambda: listener.payloads(topics.availability)[-1] == b"online", "the device to be back")
    assert again.stdin is not None
    again.stdin.close()
    assert again.wait(15) == 0
    until(lambda: listener.payloads(topics.availability)[-1] == b"offline", "its goodbye")
