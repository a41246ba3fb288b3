"""Row 10: contribute, reveal, contributeAndFinalize.

Parity: a result is staked on, revealed and paid. Beat: every task of trust 1, callbacks too, takes one transaction in
place of three, nothing is ever staked on it, and whatever speaks against it leads back to the usual way.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator

import docker
import pytest
import requests

from chain.client import Chain
from poco import ids
from poco.hexes import keccak, to_hex
from poco.result import cid_of, on_chain_location
from poco.states import ChainTaskStatus, ContributionStatus
from tests.integration.whole_pool import RealScheduler, scheduling
from tests.integration.worker_net import PRICE, RLC, Net, Process, finish, network, processes

pytestmark = [pytest.mark.docker, pytest.mark.chain]


@pytest.fixture(scope="module")
def net(hub: Chain, registry: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    with network(hub, registry, tmp_path_factory.mktemp("net")) as made:
        yield made


@pytest.fixture(scope="module")
def scheduler(net: Net) -> Iterator[RealScheduler]:
    with scheduling(net, net.folder / "scheduler") as made:
        yield made


@pytest.fixture
def workers(net: Net, docker_client: docker.DockerClient) -> Iterator[Callable[..., Process]]:
    with processes(net, docker_client) as make:
        yield make


def completed(net: Net, scheduler: RealScheduler, task_id: str, seconds: float = 60) -> None:
    net.scheduler.until(lambda: scheduler.status_of(task_id) == "COMPLETED", f"the end of {task_id}", seconds)


def test_trust_1_takes_one_transaction_and_no_stake(
    net: Net, scheduler: RealScheduler, workers: Callable[..., Process]
) -> None:
    eth = net.chain.web3.eth
    worker = workers(scheduler_url=scheduler.url).start()
    me, owner = worker.wallet.address, scheduler.get("/config")["scheduler"]
    net.scheduler.until(lambda: net.chain.account(me).stake == RLC, "the stake")
    before = eth.get_transaction_count(me), eth.get_transaction_count(owner)
    task_id = ids.task_id(net.deal("ok", initialize=False).id, 0)
    completed(net, scheduler, task_id)
    net.scheduler.until(lambda: worker.stage(task_id) == "ENDED", "the worker's end")
    sent = eth.get_transaction_count(me) - before[0], eth.get_transaction_count(owner) - before[1]
    assert sent == (1, 1), "contributeAndFinalize of the worker, initialize of the scheduler"
    task = net.chain.task(task_id)
    assert (task.status, task.contributors) == (ChainTaskStatus.COMPLETED, (me,))
    account = net.chain.account(me)
    assert (account.stake, account.locked) == (RLC + PRICE * 99 // 100, 0)
    location = on_chain_location(task.results)
    content = requests.get(scheduler.url + str(location), timeout=10).content
    assert content.startswith(b"PK") and f"/ipfs/{_cid(content)}" == location
    told = worker.tell("status")
    assert told["earnings"]["reward_nrlc"] == PRICE * 99 // 100
    assert scheduler.replicate(task_id, me)["currentStatus"] == "COMPLETED"
    assert not any(line["level"] in ("error", "warning") for line in worker.logged())


def test_a_callback_is_delivered_in_the_same_transaction(
    net: Net, scheduler: RealScheduler, workers: Callable[..., Process]
) -> None:
    worker = workers(scheduler_url=scheduler.url).start()
    net.scheduler.until(lambda: net.chain.account(worker.wallet.address).stake == RLC, "the stake")
    called = net.actor("called", rlc=0, ether=0).address
    task_id = ids.task_id(net.deal("callback", initialize=False, callback=called).id, 0)
    completed(net, scheduler, task_id)
    assert net.chain.task(task_id).digest == to_hex(keccak(b"\x2a"))
    assert net.chain.contribution(task_id, worker.wallet.address).status is ContributionStatus.PROVED


def test_an_error_result_goes_the_same_way(net: Net, scheduler: RealScheduler, workers: Callable[..., Process]) -> None:
    worker = workers(scheduler_url=scheduler.url).start()
    me = worker.wallet.address
    net.scheduler.until(lambda: net.chain.account(me).stake == RLC, "the stake")
    task_id = ids.task_id(net.deal("exit 3", initialize=False).id, 0)
    completed(net, scheduler, task_id)
    assert net.chain.web3.eth.get_transaction_count(me) == 2, "deposit and contributeAndFinalize"


def test_higher_trust_goes_the_usual_way(net: Net, scheduler: RealScheduler, workers: Callable[..., Process]) -> None:
    worker = workers(scheduler_url=scheduler.url).start()
    me = worker.wallet.address
    net.scheduler.until(lambda: net.chain.account(me).stake == RLC, "the stake")
    task_id = ids.task_id(net.deal("ok", initialize=False, trust=2).id, 0)
    completed(net, scheduler, task_id)
    assert net.chain.web3.eth.get_transaction_count(me) == 3, "deposit, contribute, reveal"
    assert net.chain.account(me).stake == RLC + PRICE * 99 // 100


def test_what_speaks_against_it_leads_back_to_the_usual_way(net: Net, workers: Callable[..., Process]) -> None:
    """A scheduler that no longer takes the delivery; one that asks for it where the chain does not allow it."""
    worker = workers().start()
    me, played = worker.wallet.address, net.scheduler
    played.free(me)
    played.refuse_deliveries = "NOT_ALONE"
    task_id = played.start(me, net.deal("ok"), finalize=True)
    finish(net, worker, task_id)
    played.refuse_deliveries = ""
    played.free(me)
    task_id = played.start(me, net.deal("ok", trust=2), finalize=True)
    finish(net, worker, task_id)
    assert net.chain.account(me).stake == RLC + 2 * (PRICE * 99 // 100)


def test_a_scheduler_that_names_another_place_gets_nothing_on_chain(net: Net, workers: Callable[..., Process]) -> None:
    worker = workers().start()
    me, played = worker.wallet.address, net.scheduler
    played.free(me)
    played.false_location = "/ipfs/bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
    task_id = played.start(me, net.deal("ok"), finalize=True)
    update = played.reported(me, task_id, "FAILED")
    played.false_location = ""
    assert update.cause == "RESULT_UPLOAD_FAILED" and "the scheduler says that the result lies at" in update.reason
    assert net.chain.web3.eth.get_transaction_count(me) == 1, "the deposit alone"
    time.sleep(1)
    assert net.chain.task(task_id).contributors == ()


def _cid(content: bytes) -> str:
    return cid_of(hashlib.sha256(content).digest())
