"""What an idle worker's radio does in a day: with the long poll alone, and with the pool's broker beside it.

A real worker process talks to a real scheduler and a real Mosquitto through relays that count, without TLS. What one
exchange costs is measured in some minutes in which exchanges come often; a day is that cost times how often they come
by the settings of a pool (`DAY`).
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from benchmarks.fleet.wire_meter import WireMeter
from benchmarks.scale.ground import Ground
from ops.console import ROOT
from ops.mosquitto import start_pool_broker
from ops.ports import free_port
from ops.stack import Stack
from poco.errors import PewError
from scripts.localstack import Ports

FOLDER = ROOT / "build" / "bench-fleet-radio"
DAY_S = 86_400
#: Defaults of `broker` and of workers: what a pool does that has set nothing.
DAY = {"poll_seconds": 20, "broker_poll_seconds": 1800, "keepalive_seconds": 300, "telemetry_seconds": 3600}
SECONDS = 150.0
_SETTLE = 15.0
#: In the measured minutes: a connection says that it lives, a poll ends and a batch of telemetry goes so often.
_KEEPALIVE, _HELD, _SPEED = 10, 15, 180
_ENERGY: dict[str, Any] = {"soc": 0.95, "battery_wh": 2000}


def measure(folder: Path = FOLDER, *, seconds: float = SECONDS) -> dict[str, Any]:
    """Measure both ways of an idle worker.

    Returns:
        `bytes_per_day`, `wakeups_per_day`: with the broker (bytes with TCP and IP headers, both ways; a wake-up is an
        exchange after silence). `long_poll_alone`: the same at the default cadence without one, and with polls of
        120 s. `exchanges`: what was measured, bytes of one each. `resident_mb`: of the worker, both ways. `how`.

    Raises:
        PewError: a process ends by itself, or nothing is exchanged.
    """
    shutil.rmtree(folder, ignore_errors=True)
    with Stack(folder, handle_signals=False) as stack:
        ground = Ground(stack, Ports.free())
        ground.start_chain()
        for name in ("scheduler", "plain", "messaging"):
            ground.make_wallet(name)
            ground.fund(name, rlc=10**9)
        pool, mqtt_port, users = ground.pool("radio"), free_port(), folder / "users"
        broker = start_pool_broker(stack, mqtt_port, users)
        with WireMeter(ground.ports.scheduler) as http, WireMeter(mqtt_port, mqtt=True) as mqtt:
            ground.start_scheduler(
                pool,
                broker={
                    "host": "127.0.0.1", "port": mqtt_port, "public_port": mqtt.port, "tls": False,
                    "users_file": str(users), "pid_file": str(stack.run_dir / "mosquitto" / "pid"),
                    "keepalive_seconds": _KEEPALIVE, "poll_seconds": _HELD,
                },
            )  # fmt: skip
            url = f"http://127.0.0.1:{http.port}"
            common: dict[str, Any] = {"scheduler_url": url, "runtime": "auto"}
            plain = ground.start_worker("plain", pool, "linux/amd64", {**_ENERGY, "speed": 1}, **common)
            alone = _watch(stack, seconds, http)
            alone["resident_mb"] = _resident_mb(plain.pid)
            ground.retire(["plain"])
            common["messaging"] = {"plain": True}
            worker = ground.start_worker("messaging", pool, "linux/amd64", {**_ENERGY, "speed": _SPEED}, **common)
            both = _watch(stack, seconds, http, mqtt)
            both["resident_mb"] = _resident_mb(worker.pid)
            if not broker.alive:
                raise PewError("the broker has ended")
            return _day(alone, both)


def _watch(stack: Stack, seconds: float, http: WireMeter, mqtt: WireMeter | None = None) -> dict[str, Any]:
    """What passes in that time, once the worker has settled."""
    time.sleep(_SETTLE)
    meters = [http] if mqtt is None else [http, mqtt]
    for meter in meters:
        meter.reset()
    time.sleep(seconds)
    stack.check()
    polls = http.requests["POST /poll"]
    if not polls or (mqtt is not None and not mqtt.packets["PINGREQ"]):
        raise PewError("the worker has said nothing", hint=f"see its log in {stack.logs}")
    found: dict[str, Any] = {"poll": http.on_air / polls, "polls": polls, "bursts": http.bursts}
    if mqtt is not None:
        exchanges = mqtt.packets["PINGREQ"] + mqtt.packets["PUBACK"]
        around = (mqtt.on_air - mqtt.payload) / exchanges
        batches = max(mqtt.packets["PUBACK"], 1)
        found["ping"] = 4 + around
        found["telemetry"] = (mqtt.packet_bytes["PUBLISH"] + mqtt.packet_bytes["PUBACK"]) / batches + around
        found |= {"pings": mqtt.packets["PINGREQ"], "batches": mqtt.packets["PUBACK"]}
    return found


def _day(alone: dict[str, Any], both: dict[str, Any]) -> dict[str, Any]:
    """A day of 86,400 s at the cadence `DAY`, from what one exchange costs."""
    often = {name: DAY_S / span for name, span in DAY.items()}
    polls, pings, batches = often["broker_poll_seconds"], often["keepalive_seconds"], often["telemetry_seconds"]
    # the scheduler spreads the polls: they are held for 0.9 of what is said, in the mean
    usual = often["poll_seconds"] / 0.9
    exchanges = {name: round(both[name]) for name in ("poll", "ping", "telemetry")}
    return {
        "bytes_per_day": round(polls * both["poll"] + pings * both["ping"] + batches * both["telemetry"]),
        "wakeups_per_day": round(polls + pings + batches),
        "long_poll_alone": {
            "bytes_per_day": round(usual * alone["poll"]),
            "wakeups_per_day": round(usual),
            "of_120_s": {
                "bytes_per_day": round(DAY_S / 120 / 0.9 * alone["poll"]),
                "wakeups_per_day": round(DAY_S / 120 / 0.9),
            },
        },
        "exchanges": {**exchanges, "poll_alone": round(alone["poll"])},
        "counted": {
            "polls_alone": alone["polls"], "polls": both["polls"], "pings": both["pings"], "batches": both["batches"],
        },
        "resident_mb": {"long_poll_alone": alone["resident_mb"], "with_broker": both["resident_mb"]},
        "how": "bytes of counted exchanges of a real worker on loopback, without TLS, times how often a day has them",
    }  # fmt: skip


def _resident_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return round(int(next(line for line in lines if line.startswith("VmRSS:")).split()[1]) / 1024, 1)
