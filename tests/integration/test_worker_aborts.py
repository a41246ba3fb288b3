"""ABORT at every stage, by a real scheduler: another worker is first, and all that is going on here stops at once.

That an abort gives up no stake is tested with the reveals (test_worker_task.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import docker
import pytest

from chain.client import Chain
from chain.transactions import Sender
from poco import ids
from poco.hexes import ZERO_ADDRESS, to_bytes
from poco.states import ContributionStatus
from tests.flaky_rpc import FlakyRpc
from tests.integration.liar import Liar
from tests.integration.whole_pool import RealScheduler, scheduling
from tests.integration.worker_net import RLC, Net, Process, network, processes, push_image

pytestmark = [pytest.mark.docker, pytest.mark.chain]

#: From the consensus of the others to an idle worker, on two busy cores: the scheduler reads the chain ten times a
#: second, the worker's poll is open, a container is killed.
PROMPT_SECONDS = 6.0


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


def test_an_abort_is_obeyed_at_every_stage(
    net: Net, scheduler: RealScheduler, workers: Callable[..., Process], docker_client: docker.DockerClient
) -> None:
    played, chain = net.scheduler, net.chain
    line, files, images = Liar(scheduler.url), Liar(net.files), Liar(f"http://{net.registry}")
    node = FlakyRpc(chain.rpc_url)
    slow_app = net.publish("slow", *_elsewhere(push_image(net, "slow", "linux/amd64", b"\x7fELF"), images.address))
    worker = workers(scheduler_url=f"http://{line.address}", rpc_url=node.url).start()
    me = worker.wallet.address
    played.until(lambda: chain.account(me).stake == RLC, "the stake")
    other = net.actor("other", 100 * RLC)
    sender = Sender(chain, other)
    sender.transact(chain.rlc.functions.approveAndCall(chain.deployment.hub, 90 * RLC, b""))

    def hold_verify() -> None:
        node.change(delay=3.0, only=["eth_call"])

    data = {"iexec_input_files": [f"http://{files.address}/never"]}
    stages: dict[str, tuple[Callable[[], None], dict[str, Any]]] = {
        "VERIFYING": (hold_verify, {}),
        "PULLING": (lambda: images.stall("/v2/task/slow/"), {"app": slow_app}),
        "FETCHING": (lambda: files.stall("/never"), {"params": data}),
        "RUNNING": (lambda: None, {}),
        "DELIVERING": (lambda: line.stall("/results/"), {}),
    }
    took: dict[str, float] = {}
    for stage, (hold, terms) in stages.items():
        hold()
        program = "sleep 60" if stage == "RUNNING" else "ok"
        deal = net.deal(program, initialize=False, **terms)
        task_id = ids.task_id(deal.id, 0)
        played.until(lambda task_id=task_id, stage=stage: worker.stage(task_id) == stage, f"{stage} of {task_id}")
        if stage == "RUNNING":
            label = {"label": f"pew.task={task_id}"}
            played.until(lambda label=label: docker_client.containers.list(filters=label), "the container")
        leave = net.senders["pool"].wallet.sign_message(ids.authorization_hash(other.address, task_id))
        result, seal = "0x" + "77" * 32, "0x" + "99" * 32
        contribute = chain.hub.functions.contribute
        sender.transact(
            contribute(to_bytes(task_id), to_bytes(result), to_bytes(seal), ZERO_ADDRESS, b"", to_bytes(leave))
        )
        began = time.monotonic()
        if stage == "VERIFYING":
            node.mend()
        played.until(lambda task_id=task_id: worker.stage(task_id) == "ENDED", f"the end of {stage}", 30)
        label = {"label": f"pew.task={task_id}"}
        assert _gone(docker_client, label, 5), stage
        took[stage] = time.monotonic() - began
        assert chain.contribution(task_id, me).status is ContributionStatus.UNSET, "nothing was sent in vain"
        for each in (images, files, line):
            each.path = ""
            each.go.set()
    assert all(seconds < PROMPT_SECONDS for seconds in took.values()), took
    assert chain.web3.eth.get_transaction_count(me) == 1, "the deposit alone"
    print("seconds until the container is gone:", {stage: round(seconds, 2) for stage, seconds in took.items()})  # noqa: T201
    node.close()


def _elsewhere(image: tuple[str, str], address: str) -> tuple[str, str]:
    reference, checksum = image
    return f"{address}/{reference.partition('/')[2]}", checksum


def _gone(client: docker.DockerClient, label: dict[str, str], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not client.containers.list(all=True, filters=label, ignore_removed=True):
            return True
        time.sleep(0.1)
    return False
