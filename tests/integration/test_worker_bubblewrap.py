"""A whole task in bubblewrap: from the deal to the payment, through the sudden death of the worker."""

from __future__ import annotations

import json
from pathlib import Path

import docker
import pytest

from chain.client import Chain
from poco import ids
from tests.integration.scheduler_pool import until
from tests.integration.whole_pool import scheduling
from tests.integration.worker_net import PRICE, RLC, network, processes

pytestmark = [pytest.mark.docker, pytest.mark.chain, pytest.mark.bubblewrap]


def test_a_worker_that_dies_in_a_run_goes_on_and_is_paid_once(
    hub: Chain, registry: str, docker_client: docker.DockerClient, tmp_path: Path
) -> None:
    with (
        network(hub, registry, tmp_path) as net,
        processes(net, docker_client) as make,
        scheduling(net, tmp_path / "scheduler") as scheduler,
    ):
        worker = make(scheduler_url=scheduler.url, runtime="bubblewrap").start()
        me = worker.wallet.address
        until(lambda: hub.account(me).stake == RLC, 60)
        task_id = ids.task_id(net.deal("sleep 6", initialize=False).id, 0)
        (state,) = until(lambda: list(worker.data.glob("runs/*/state.json")), 60)
        first = json.loads(state.read_text())["first"]
        worker.kill()
        assert Path(f"/proc/{first}").exists(), "the program goes on without its worker"
        worker.start()
        until(lambda: scheduler.status_of(task_id) == "COMPLETED", 90)
        until(lambda: worker.stage(task_id) == "ENDED", 30)
        assert any(line["event"] == "started" and line["runtime"] == "bubblewrap" for line in worker.logged())
        assert worker.tell("status")["earnings"]["tasks"] == 1
        account = hub.account(me)
        assert (account.stake, account.locked) == (RLC + PRICE * 99 // 100, 0), "paid, and once"
        assert not list((worker.data / "runs").iterdir()) and not list((worker.data / "tasks").iterdir())
