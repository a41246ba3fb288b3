"""The worker as a process: real chain and contracts, real engine and registry; the scheduler is played by the test."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

import docker
import pytest

from chain.client import Chain
from poco.states import ChainTaskStatus
from tests.integration.worker_net import PRICE, RLC, STAKE, Net, Process, finish, network, processes

pytestmark = [pytest.mark.docker, pytest.mark.chain]


@pytest.fixture(scope="module")
def net(hub: Chain, registry: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    with network(hub, registry, tmp_path_factory.mktemp("net")) as made:
        yield made


@pytest.fixture
def workers(net: Net, docker_client: docker.DockerClient) -> Iterator[Callable[..., Process]]:
    with processes(net, docker_client) as make:
        yield make


def test_from_offer_to_pay(net: Net, workers: Callable[..., Process]) -> None:
    worker = workers().start()
    me = worker.wallet.address
    net.scheduler.free(me)
    assert net.chain.account(me).stake == RLC, "it has deposited its stake by itself"
    deal = net.deal("ok")
    task_id = net.scheduler.start(me, deal)
    update = net.scheduler.reported(me, task_id, "CONTRIBUTED")
    assert update.tx_hash is not None
    assert net.chain.account(me).locked == STAKE
    files = finish(net, worker, task_id)
    assert files["result.txt"] == b"hello"
    assert net.scheduler.statuses(me, task_id) == [
        "STARTED", "APP_DOWNLOADED", "DATA_DOWNLOADED", "COMPUTING", "COMPUTED", "CONTRIBUTING", "CONTRIBUTED",
        "REVEALING", "REVEALED", "RESULT_UPLOADING", "RESULT_UPLOADED", "COMPLETED",
    ]  # fmt: skip
    computed = net.scheduler.reported(me, task_id, "COMPUTED")
    assert computed.exit_code == 0 and computed.logs is not None and computed.logs.stdout == "done\n"
    reward = PRICE * 99 // 100
    assert net.chain.account(me).stake == RLC + reward
    assert net.chain.task(task_id).status is ChainTaskStatus.COMPLETED
    told = worker.tell("status")
    assert told["earnings"]["reward_nrlc"] == reward and told["earnings"]["seized_nrlc"] == 0
    assert told["tasks"][0]["stage"] == "ENDED" and told["tasks"][0]["reward_nrlc"] == reward
    assert told["energy"]["consumed_wh"] > 0
    assert not list((worker.data / "tasks").iterdir()), "nothing is left behind"
    assert worker.kill(signal.SIGTERM) == 0
    assert net.scheduler.members[me].polls[-1].presence == "DRAINING"
