"""Commands in a whole pool: chain, scheduler and worker as processes, killed and started; with and without a broker."""

from __future__ import annotations

import json
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
import requests

from chain.client import Chain
from ops.stack import Stack
from poco import ids
from poco.wire import operator_login_typed_data
from tests.fleet.messaging.brokers import KINDS, TheBroker
from tests.integration.scheduler_pool import until
from tests.integration.whole_pool import RealScheduler, scheduling
from tests.integration.worker_net import Net, Process, network, processes


@pytest.fixture(scope="module")
def net(hub: Chain, registry: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    with network(hub, registry, tmp_path_factory.mktemp("net")) as made:
        yield made


@pytest.fixture
def workers(net: Net, docker_client: docker.DockerClient) -> Iterator[Callable[..., Process]]:
    with processes(net, docker_client) as make:
        yield make


class Operator:
    """The pool's owner, logged in."""

    def __init__(self, net: Net, scheduler: RealScheduler) -> None:
        self.url, wallet = scheduler.url, net.senders["pool"].wallet
        asked = requests.post(f"{self.url}/operators/challenge", json={"wallet": wallet.address}, timeout=10).json()
        chain_id = net.chain.deployment.chain_id
        typed = operator_login_typed_data(chain_id, net.pool, wallet.address, asked["nonce"], asked["expires"])
        answer = {"wallet": wallet.address, **asked, "signature": wallet.sign_typed(typed)}
        token = requests.post(f"{self.url}/operators/login", json=answer, timeout=10).json()["token"]
        self.headers = {"Authorization": f"Bearer {token}"}

    def ask(self, worker: Process, kind: str, **arguments: Any) -> int:
        body = {"workers": [worker.wallet.address], "kind": kind, "arguments": arguments}
        answer = requests.post(f"{self.url}/fleet/commands", json=body, headers=self.headers, timeout=10)
        assert answer.status_code == 200, answer.text
        return int(answer.json()["commands"][0])

    def states(self, worker: Process) -> dict[int, dict[str, Any]]:
        asked = {"worker": worker.wallet.address}
        found = requests.get(f"{self.url}/fleet/commands", params=asked, headers=self.headers, timeout=10).json()
        return {each["id"]: each for each in found["commands"]}

    def answered(self, worker: Process, number: int, seconds: float = 40) -> dict[str, Any]:
        ended = {"DONE", "REFUSED", "EXPIRED"}
        return dict(until(lambda: (each := self.states(worker)[number]) and each["state"] in ended and each, seconds))

    def telemetry(self, worker: Process, day: int) -> list[dict[str, Any]]:
        asked: dict[str, Any] = {"worker": worker.wallet.address, "day": day}
        return list(requests.get(f"{self.url}/fleet/telemetry", params=asked, headers=self.headers, timeout=10).json())


def stored(scheduler: RealScheduler, question: str) -> Any:
    """One value of the scheduler's database."""
    with sqlite3.connect(scheduler.folder / "data" / "scheduler.db") as db:
        (found,) = db.execute(question).fetchone()
    return found


def presence(scheduler: RealScheduler, worker: Process) -> str:
    rows = scheduler.get("/status")["workers"]
    return next((str(row["presence"]) for row in rows if row["wallet"] == worker.wallet.address), "")


def test_commands_by_the_poll_alone_outlive_kill_9_of_both(
    net: Net, workers: Callable[..., Process], tmp_path: Path
) -> None:
    with scheduling(net, tmp_path / "scheduler") as scheduler:
        settings = {
            "scheduler_url": scheduler.url,
            "telemetry_seconds": 900,
            "obeys": ["DRAIN", "RESUME", "PAUSE", "CONFIGURE", "DIAGNOSE"],
        }
        worker = workers(energy={"soc": 0.95, "battery_wh": 2000, "speed": 900}, **settings).start()
        until(lambda: presence(scheduler, worker) == "WAITING", 60)
        operator = Operator(net, scheduler)
        drained = operator.answered(worker, operator.ask(worker, "DRAIN"))
        assert drained["state"] == "DONE"
        until(lambda: presence(scheduler, worker) == "DRAINING", 20)
        worker.kill()
        pending = [operator.ask(worker, "RESUME"), operator.ask(worker, "PAUSE", until=int(time.time()) + 3600)]
        diagnosis = operator.ask(worker, "DIAGNOSE")
        scheduler.stop(signal.SIGKILL)
        scheduler.start()
        assert [operator.states(worker)[number]["state"] for number in pending] == ["QUEUED", "QUEUED"]
        worker.start()
        time.sleep(1.5)
        worker.kill()  # perhaps in the middle of them
        worker.start()
        for number in pending:
            assert operator.answered(worker, number)["state"] == "DONE"
        until(lambda: presence(scheduler, worker) == "BUSY", 20)
        found = operator.answered(worker, diagnosis, 90)
        assert found["state"] == "DONE"
        assert {"chain", "scheduler", "energy"} <= {finding["what"] for finding in json.loads(found["answer"])}
        ordered = [line for line in worker.logged() if line["event"] == "orders"]
        assert len(ordered) == 3, "each was obeyed once"
        changed = operator.answered(worker, operator.ask(worker, "CONFIGURE", settings={"poll_seconds": 1}))
        assert changed["answer"] == "poll_seconds 1"
        refused = operator.answered(worker, operator.ask(worker, "WAKE_AT", at=int(time.time()) + 60))
        assert refused["state"] == "REFUSED" and "does not obey" in refused["answer"]
        operator.answered(worker, operator.ask(worker, "RESUME"))
        until(lambda: presence(scheduler, worker) == "WAITING", 20)
        until(lambda: stored(scheduler, "SELECT COUNT(*) FROM telemetry") >= 10, 40)
        day = stored(scheduler, "SELECT MAX(at) / 86400 FROM telemetry")  # its simulated clock runs on its own
        quarters = operator.telemetry(worker, day)
        assert quarters and all(each["at"] // 86_400 == day for each in quarters)
        assert {each["action"] for each in quarters} & {"decline", "run"}


def test_a_pause_halts_what_runs_and_it_ends_well(net: Net, workers: Callable[..., Process], tmp_path: Path) -> None:
    with scheduling(net, tmp_path / "scheduler") as scheduler:
        worker = workers(scheduler_url=scheduler.url).start()
        until(lambda: presence(scheduler, worker) == "WAITING", 60)
        operator = Operator(net, scheduler)
        deal = net.deal("sleep 6", initialize=False)
        task_id = _task(deal.id)
        until(lambda: worker.stage(task_id) == "RUNNING", 60)
        operator.answered(worker, operator.ask(worker, "PAUSE", until=int(time.time()) + 600))
        time.sleep(10)
        assert worker.stage(task_id) == "RUNNING", "it stands still"
        operator.answered(worker, operator.ask(worker, "RESUME"))
        until(lambda: scheduler.status_of(task_id) == "COMPLETED", 90)


@pytest.mark.parametrize("kind", KINDS)
def test_a_broker_lost_in_the_middle_of_a_task_stops_no_paid_work(
    net: Net, workers: Callable[..., Process], tmp_path: Path, stack: Stack, kind: str
) -> None:
    broker = TheBroker(stack, kind, tmp_path)
    config = json.loads(broker.config.model_dump_json(exclude_none=True))
    try:
        with scheduling(net, tmp_path / "scheduler", broker=config) as scheduler:
            plain = workers(scheduler_url=scheduler.url).start()
            until(lambda: presence(scheduler, plain) == "WAITING", 60)
            time.sleep(5)
            without = plain.resident_mb()
            plain.kill(signal.SIGTERM)
            worker = workers(scheduler_url=scheduler.url, messaging={"ca_file": str(broker.tls[0])}).start()

            def logged(event: str, of: Process = worker) -> list[dict[str, Any]]:
                return [line for line in of.logged() if line["event"] == event]

            until(lambda: logged("broker_connected"), 60)
            time.sleep(5)
            held = worker.resident_mb()
            assert held - without < 12, f"{without:.1f} MB without, {held:.1f} MB with messaging"
            operator = Operator(net, scheduler)
            begun = time.monotonic()
            assert operator.answered(worker, operator.ask(worker, "DRAIN"))["state"] == "DONE"
            operator.answered(worker, operator.ask(worker, "RESUME"))
            assert time.monotonic() - begun < 20
            deal = net.deal("sleep 6", initialize=False)
            task_id = _task(deal.id)
            until(lambda: worker.stage(task_id) == "RUNNING", 60)
            broker.stop()
            until(lambda: scheduler.status_of(task_id) == "COMPLETED", 90)
            second = _task(net.deal("ok", initialize=False).id)
            until(lambda: scheduler.status_of(second) == "COMPLETED", 90)
            connected = len(logged("broker_connected"))
            broker.start()
            until(lambda: len(logged("broker_connected")) > connected, 90)
            third = _task(net.deal("ok", initialize=False).id)
            until(lambda: scheduler.status_of(third) == "COMPLETED", 90)
            user = stored(scheduler, "SELECT wallet FROM workers WHERE registered ORDER BY last_seen DESC")
            secret = stored(scheduler, "SELECT value FROM meta WHERE name = 'broker_secret'")
            assert user == worker.wallet.address and secret not in worker.log.read_text()
    finally:
        broker.stop()


def _task(deal_id: str) -> str:
    return ids.task_id(deal_id, 0)
