"""Row 17: logs to the requester.

Parity: the deal's requester reads stdout and stderr of each worker by an EIP-712 challenge, as iExec's client asks for
it; everybody else is refused. Beat: what a running program writes can be seen while it runs, by offset, and nothing is
said twice; a challenge names its pool; nothing is stored for who only asks.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
import requests

from chain.client import Chain
from chain.wallet import Wallet, typed_hash
from ops.console import ROOT
from poco import ids
from poco.errors import BadInputError, Cause
from poco.hexes import to_hex
from sdk.service import Service
from sdk.tasklogs import TaskLogs
from tests.integration.scheduler_pool import Market, Pool, ScriptedWorker, until
from tests.integration.whole_pool import scheduling
from tests.integration.worker_net import network, processes

pytestmark = pytest.mark.chain


@pytest.fixture(scope="module")
def pool(hub: Chain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    made = Pool(Market(hub, tmp_path_factory.mktemp("market")), tmp_path_factory.mktemp("pool"))
    made.start()
    yield made
    assert made.stop() == 0


def running(pool: Pool, name: str) -> tuple[ScriptedWorker, str]:
    """A worker that has begun to compute a task."""
    pool.dismiss()
    worker = pool.worker(name).join()
    (task,) = pool.deal()
    worker.expect("START", task)
    for status in ("STARTED", "APP_DOWNLOADED", "DATA_DOWNLOADED", "COMPUTING"):
        worker.verdict(task, status)
    return worker, task


def authorization(pool: Pool, wallet: Wallet) -> str:
    """What iExec's client (npm package iexec, getAuthorization) makes of a challenge."""
    asked = {"chainId": pool.chain.deployment.chain_id, "address": wallet.address}
    challenge = requests.get(f"{pool.url}/tasks/logs/challenge", params=asked, timeout=10).json()
    assert challenge["domain"] == {"name": "iExec Core", "version": "1", "chainId": asked["chainId"]}
    return f"{to_hex(typed_hash(challenge))}_{wallet.sign_typed(challenge)}_{wallet.address}"


def ask(pool: Pool, path: str, authorization: str = "", **query: Any) -> requests.Response:
    return requests.get(pool.url + path, params=query, headers={"Authorization": authorization}, timeout=10)


def tell(
    worker: ScriptedWorker, task: str, at: int, text: str, *, attempt: int = 1, err: str = ""
) -> requests.Response:
    chunk = {"attempt": attempt, "stdout_at": at, "stdout": text, "stderr_at": 0, "stderr": err}
    return worker.call("PUT", f"/tasks/{task}/output", json=chunk)


def test_only_the_requester_by_a_fresh_signature(pool: Pool) -> None:
    worker, task = running(pool, "quiet")
    mine = authorization(pool, pool.requester)
    path = f"/tasks/{task}/logs"

    def refused(answer: requests.Response, status: int, code: str) -> None:
        assert (answer.status_code, answer.json()["error"]) == (status, code), answer.text

    digest, signature, wallet = mine.split("_")
    refused(ask(pool, path), 401, "NOT_SIGNED")
    refused(ask(pool, path, "Bearer x"), 401, "NOT_SIGNED")
    refused(ask(pool, path, f"0x{'11' * 32}_{signature}_{wallet}"), 401, "SIGNATURE")
    refused(ask(pool, path, f"{digest}_0x{'22' * 65}_{wallet}"), 401, "SIGNATURE")
    refused(ask(pool, path, f"{digest}_{signature}_{worker.wallet.address}"), 401, "SIGNATURE")
    refused(ask(pool, path, authorization(pool, worker.wallet)), 403, "NOT_REQUESTER")
    refused(ask(pool, f"/tasks/0x{'33' * 32}/logs", mine), 404, "NO_SUCH_TASK")
    refused(ask(pool, path, mine), 404, "NO_LOGS")
    refused(ask(pool, f"/tasks/{task}/replicates/{worker.wallet.address}/logs", mine), 404, "NO_LOGS")
    assert ask(pool, "/tasks/logs/challenge", address="x").status_code == 400
    assert ask(pool, "/tasks/logs/challenge", address=wallet, chainId=5).status_code == 400
    worker.fail(task, Cause.APP_COMPUTE_FAILED)


def test_as_iexecs_client_reads_it(pool: Pool) -> None:
    worker, task = running(pool, "speaker")
    logs = {"stdout": "one\ntwo\x1b[31m\n", "stderr": "warned\n"}
    worker.verdict(task, "FAILED", cause="APP_COMPUTE_FAILED", exit_code=3, logs=logs)
    mine = authorization(pool, pool.requester)
    answer = ask(pool, f"/tasks/{task}/logs", mine)
    assert "application/json" in answer.headers["Content-Type"]
    (said,) = answer.json()["computeLogsList"]
    assert (said["walletAddress"], said["stderr"]) == (worker.wallet.address, "warned\n")
    assert said["stdout"] == "one\ntwo\ufffd[31m\n", "no control characters for a requester's terminal"
    task_json = requests.get(f"{pool.url}/tasks/{task}", timeout=10).json()
    assert task_json["currentStatus"] and task_json["dateStatusList"][0]["date"] > 10**12
    one = requests.get(f"{pool.url}/tasks/{task}/replicates/{worker.wallet.address}", timeout=10).json()
    assert (one["walletAddress"], one["appExitCode"], one["currentStatus"]) == (worker.wallet.address, 3, "FAILED")
    assert [update["status"] for update in one["statusUpdateList"]][:2] == ["CREATED", "STARTED"]
    assert requests.get(f"{pool.url}/tasks/{task}/replicates/0x{'44' * 20}", timeout=10).status_code == 404


def test_a_running_program_is_heard_by_offset_and_across_a_restart(pool: Pool) -> None:
    worker, task = running(pool, "live")
    mine, path = authorization(pool, pool.requester), f"/tasks/{task}/replicates/{worker.wallet.address}/logs"
    other = pool.worker("stranger").join()
    assert tell(other, task, 0, "lies").status_code == 409
    assert tell(worker, task, 0, "first ").json() == {"wait_seconds": 60}
    assert ask(pool, path, mine).json()["stdout"] == "first "
    assert tell(worker, task, 6, "too soon").status_code == 429
    assert pool.stop(9) != 0
    pool.start()
    time.sleep(1)
    assert ask(pool, path, mine).status_code == 200, "a challenge outlives the process that gave it"
    told = tell(worker, task, 3, "st second", err="e")
    assert told.json() == {"wait_seconds": 5}, "sooner while somebody follows"
    found = ask(pool, path, mine, stdout=6).json()
    assert (found["stdout"], found["stdoutOffset"], found["over"]) == ("second", 6, False), (
        "what came twice is there once"
    )
    time.sleep(1)
    tell(worker, task, 0, "again", attempt=2)
    assert ask(pool, path, mine).json()["stdout"] == "again"
    worker.verdict(task, "COMPUTED", logs={"stdout": "again and to the end", "stderr": ""})
    found = ask(pool, path, mine, stdout=5).json()
    assert (found["stdout"], found["over"]) == (" and to the end", True)
    assert tell(worker, task, 5, " nothing").status_code == 409


def test_the_command_follows_a_real_program(
    hub: Chain, registry: str, docker_client: docker.DockerClient, tmp_path: Path
) -> None:
    with (
        network(hub, registry, tmp_path) as net,
        processes(net, docker_client) as make,
        scheduling(net, tmp_path / "scheduler") as scheduler,
    ):
        worker = make(scheduler_url=scheduler.url, live_logs={"first_seconds": 0.5, "shortest_seconds": 0.5}).start()
        deal = net.deal("talk 30", initialize=False)
        task = ids.task_id(deal.id, 0)
        me = worker.wallet.address
        until(lambda: scheduler.replicate(task, me)["currentStatus"] == "COMPUTING", 60)
        requester = net.senders["requester"].wallet
        logs = TaskLogs(Service(scheduler.url), requester, deal, task, hub.deployment.chain_id)
        live: list[str] = []
        for piece in logs.follow(lambda _seconds: time.sleep(0.2)):
            if not piece.over:
                live.append(piece.stdout)
                assert "COMPUT" in scheduler.replicate(task, me)["currentStatus"]
        assert live and live[0].startswith("line 0\n"), "something was heard before the end"
        keystore = next(p for p in net.folder.glob("requester*.json") if "address" in p.read_text())
        command = [sys.executable, "-m", "sdk.cli", "--rpc", net.chain.rpc_url, "--deployment"]
        command += [str(next(net.folder.glob("deployment*.json"))), "--scheduler", scheduler.url]
        command += ["--wallet", str(keystore), "--password-file", str(keystore.with_suffix(".password"))]
        command += ["task", "logs", task, "--follow"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout == "".join(f"line {n}\n" for n in range(30))
        assert "".join(f"note {n}\n" for n in range(30)) in done.stderr
        with pytest.raises(BadInputError, match="only"):
            TaskLogs(Service(scheduler.url), worker.wallet, deal, task, hub.deployment.chain_id)
