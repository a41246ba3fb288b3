"""Row 2: the configuration that scheduler and workers share.

Parity: a worker learns what pool it serves, and that it changed. Beat: the pool's owner changes limits and times in
`scheduler.yaml` and sends SIGHUP: they are in force at once, every worker learns of it with its next poll and takes it
over; nothing is restarted, no session or task is lost, and what needs a restart is said by name.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
import requests
import yaml

from chain.client import Chain
from poco.wire import PoolConfig
from tests.integration.scheduler_pool import Market, Pool, until
from tests.integration.whole_pool import RealScheduler, scheduling
from tests.integration.worker_net import Net, Process, network, processes

pytestmark = [pytest.mark.chain]


@pytest.fixture(scope="module")
def pool(hub: Chain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    made = Pool(Market(hub, tmp_path_factory.mktemp("market")), tmp_path_factory.mktemp("pool"))
    made.start(poll_seconds=7)
    yield made
    assert made.stop() == 0


def config_of(url: str) -> PoolConfig:
    return PoolConfig.model_validate(requests.get(f"{url}/config", timeout=5).json())


def change(path: Path, process: Any, **settings: Any) -> None:
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **settings}))
    process.send_signal(signal.SIGHUP)


def events(log: Path, name: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == name]


def test_a_change_is_in_force_without_a_restart_and_its_hash_tells_workers(pool: Pool) -> None:
    worker = pool.worker("reader").join()
    body = {"presence": "WAITING", "free_slots": 1, "acked": 0, "wait_seconds": 0}
    before = worker.call("POST", "/poll", json=body).json()
    assert before["config"] == config_of(pool.url).version()
    assert 5 <= before["wait_seconds"] <= 7
    path, reloads = pool.folder / "scheduler.yaml", len(events(pool.log, "config_reloaded"))
    change(path, pool.process, poll_seconds=50, unknown_after=3, lost_after=4, port=1)
    until(lambda: len(events(pool.log, "config_reloaded")) > reloads)
    said = events(pool.log, "config_reloaded")[-1]
    assert (said["changed"], said["needs_restart"]) == (["lost_after", "poll_seconds", "unknown_after"], ["port"])
    after = worker.call("POST", "/poll", json=body).json()
    assert after["config"] == config_of(pool.url).version() != before["config"]
    assert 40 <= after["wait_seconds"] <= 50
    until(lambda: pool.status()["workers"][-1]["presence"] == "LOST", 10)


def test_a_wrong_file_changes_nothing_and_says_what_is_wrong(pool: Pool) -> None:
    path = pool.folder / "scheduler.yaml"
    right, version = path.read_text(), config_of(pool.url).version()
    change(path, pool.process, poll_seconds=0)
    until(lambda: events(pool.log, "config_refused"))
    assert "poll_seconds" in events(pool.log, "config_refused")[-1]["error"]
    assert config_of(pool.url).version() == version
    path.write_text(right)


def test_who_may_no_longer_log_in_is_out_at_once(pool: Pool) -> None:
    stays, goes = pool.worker("stays").join(), pool.worker("goes").join()
    path, reloads = pool.folder / "scheduler.yaml", len(events(pool.log, "config_reloaded"))
    change(path, pool.process, allowed_workers=[stays.wallet.address])
    until(lambda: len(events(pool.log, "config_reloaded")) > reloads)
    assert stays.poll() == []
    refused = goes.call("POST", "/poll", json={"presence": "WAITING", "free_slots": 1, "acked": 0})
    assert refused.status_code == 401
    change(path, pool.process, allowed_workers=[])


@pytest.fixture(scope="module")
def net(hub: Chain, registry: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    with network(hub, registry, tmp_path_factory.mktemp("net")) as made:
        yield made


@pytest.fixture(scope="module")
def scheduler(net: Net) -> Iterator[RealScheduler]:
    with scheduling(net, net.folder / "scheduler", poll_seconds=1) as made:
        yield made


@pytest.fixture
def workers(net: Net, docker_client: docker.DockerClient) -> Iterator[Callable[..., Process]]:
    with processes(net, docker_client) as make:
        yield make


def test_a_real_worker_takes_it_over(net: Net, scheduler: RealScheduler, workers: Callable[..., Process]) -> None:
    worker = workers(scheduler_url=scheduler.url).start()
    until(lambda: any(line["event"] == "connected" for line in worker.logged()))
    change(scheduler.folder / "scheduler.yaml", scheduler.process, poll_seconds=2)
    taken = until(lambda: [line for line in worker.logged() if line["event"] == "pool_changed"])
    assert taken[-1]["poll_seconds"] == 2
    assert sum(line["event"] == "connected" for line in worker.logged()) == 1, "it went on, it did not begin anew"
