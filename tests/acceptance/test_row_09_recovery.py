"""Row 9: recovery.

Parity: a worker that comes back goes on. Beat: it finds its container and goes on watching it, pauses it by the energy
gate, gives back what it cannot finish in time, finishes what it can when it is stopped, and keeps its journal when it
is stopped for good; a stake is revealed though the scheduler is gone.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import docker
import pytest
import yaml

from chain.client import Chain
from poco import ids
from poco.states import ChainTaskStatus, ContributionStatus
from tests.integration.whole_pool import scheduling
from tests.integration.worker_net import RLC, Net, Process, network, processes

pytestmark = [pytest.mark.docker, pytest.mark.chain]


@pytest.fixture(scope="module")
def net(hub: Chain, registry: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    with network(hub, registry, tmp_path_factory.mktemp("net")) as made:
        yield made


@pytest.fixture
def workers(net: Net, docker_client: docker.DockerClient) -> Iterator[Callable[..., Process]]:
    with processes(net, docker_client) as make:
        yield make


def containers(client: docker.DockerClient, task_id: str) -> list[Any]:
    return list(client.containers.list(all=True, filters={"label": f"pew.task={task_id}"}, ignore_removed=True))


def running(client: docker.DockerClient, task_id: str) -> list[Any]:
    return [container for container in containers(client, task_id) if container.status == "running"]


def test_a_stake_is_revealed_though_the_scheduler_is_gone(
    net: Net, workers: Callable[..., Process], docker_client: docker.DockerClient
) -> None:
    with scheduling(net, net.folder / "scheduler") as scheduler:
        worker = workers(scheduler_url=scheduler.url).start()
        me, played = worker.wallet.address, net.scheduler
        played.until(lambda: net.chain.account(me).stake == RLC, "the stake")
        task_id = ids.task_id(net.deal("sleep 2", initialize=False, trust=2).id, 0)
        played.until(lambda: running(docker_client, task_id), "the container")
        scheduler.stop(signal.SIGKILL)
        played.until(lambda: net.chain.contribution(task_id, me).status is ContributionStatus.PROVED, "the reveal")
        scheduler.start()
        played.until(lambda: scheduler.status_of(task_id) == "COMPLETED", "the end, once it is back")
        assert net.chain.account(me).locked == 0


def test_a_container_is_taken_up_again_paused_by_the_gate_and_given_back(
    net: Net, workers: Callable[..., Process], docker_client: docker.DockerClient
) -> None:
    worker = workers(drain_seconds=30).start()
    me, played = worker.wallet.address, net.scheduler
    played.free(me)
    task_id = played.start(me, net.deal("sleep 60"))
    (before,) = played.until(lambda: running(docker_client, task_id), "the container")
    worker.kill()
    assert containers(docker_client, task_id)[0].status == "running", "the program goes on without its worker"
    # the operator wants more left in the battery: what runs stands still
    config = yaml.safe_load(worker.config.read_text())
    config["energy"]["gate"] = {"start_above": 0.99, "continue_above": 0.98, "reserve_soc": 0.95}
    worker.config.write_text(yaml.safe_dump(config))
    worker.start()
    played.until(lambda: containers(docker_client, task_id)[0].status == "paused", "the pause")
    assert containers(docker_client, task_id)[0].id == before.id
    asked = time.monotonic()
    assert worker.kill(signal.SIGTERM) == 0
    assert time.monotonic() - asked < 15, "what stands still does not keep a stopped worker"
    update = played.reported(me, task_id, "FAILED")
    assert update.cause in ("WORKER_STOPPED", "ENERGY") and update.reason
    assert not containers(docker_client, task_id)
    assert net.chain.account(me).locked == 0


def test_a_stopped_worker_finishes_what_is_nearly_done_and_a_second_stop_ends_it_at_once(
    net: Net, workers: Callable[..., Process], docker_client: docker.DockerClient
) -> None:
    worker = workers(drain_seconds=30).start()
    me, played = worker.wallet.address, net.scheduler
    played.free(me)
    first = played.start(me, net.deal("ok"), finalize=True)  # it learns how long this app takes
    played.reported(me, first, "COMPLETED")
    played.free(me)
    task_id = played.start(me, net.deal("sleep 3"), finalize=True)
    played.until(lambda: running(docker_client, task_id), "the container")
    assert worker.kill(signal.SIGTERM) == 0
    assert net.chain.task(task_id).status is ChainTaskStatus.COMPLETED, "finished, finalized and paid"
    assert played.members[me].polls[-1].presence == "DRAINING"
    played.reported(me, task_id, "COMPLETED", 1)

    worker.start()
    played.free(me)
    task_id = played.start(me, net.deal("sleep 60"), finalize=True)
    played.until(lambda: running(docker_client, task_id), "the container")
    assert worker.process is not None
    worker.process.send_signal(signal.SIGTERM)
    played.until(lambda: any(line["event"] == "draining" for line in worker.logged()[-20:]), "the drain")
    asked = time.monotonic()
    assert worker.kill(signal.SIGTERM) == 0
    assert time.monotonic() - asked < 5
    assert worker.stage(task_id) == "RUNNING", "the journal has it"
    (kept,) = containers(docker_client, task_id)
    worker.start()
    played.until(lambda: any(line["event"] == "resumed" for line in worker.logged()[-20:]), "the next start")
    played.tell(me, "ABORT", task_id, cause="CONSENSUS_REACHED")
    played.reported(me, task_id, "ABORTED")
    played.until(lambda: not containers(docker_client, task_id), "the end of the container it had left")
    assert kept.id
