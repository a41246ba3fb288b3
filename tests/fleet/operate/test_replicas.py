"""Two schedulers behind the balancer: killed under load nothing is lost; polls and uploads outlast what they must."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from benchmarks.fleet import replicas
from benchmarks.fleet.cluster import Cluster, wait_for
from benchmarks.scale.fleet import wallet
from benchmarks.scale.ground import PRICE
from ops import haproxy
from ops.stack import Stack
from poco.wire import login_typed_data

#: Longer than any balancer waits by default, and within the 120 s that a poll may take.
LONG_POLL_SECONDS = 65


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Stack(tmp_path_factory.mktemp("balanced"), handle_signals=False) as stack:
        made = Cluster(stack, 2)
        for number in (0, 1):
            made.start_replica(number, poll_seconds=120)
        made.start_balancer()
        wait_for(lambda: requests.get(f"{made.scheduler_url}/config", timeout=5).ok, 20, "the balancer answers nothing")
        yield made


def test_the_configuration_is_valid() -> None:
    assert haproxy.check() == ""


def test_a_leader_and_a_follower_killed_under_load_lose_nothing(tmp_path: Path) -> None:
    found = replicas.measure(tmp_path / "run", workers=20, kills=4, seconds=5)
    assert (found["killed"], found["tasks_lost"], found["claims_twice"]) == (4, 0, 0), found
    assert found["tasks"] > 50
    # each task is paid once: the workers' part of the price, to the nRLC
    assert found["paid_nrlc"] == found["tasks"] * PRICE * 99 // 100


def session(cluster: Cluster, number: int = 0) -> requests.Session:
    """A worker that has logged in and registered, through the balancer."""
    made, me = requests.Session(), wallet(number)
    url = cluster.scheduler_url
    asked = made.post(f"{url}/login/challenge", json={"wallet": me.address}, timeout=10).json()
    chain_id = cluster.chain.deployment.chain_id
    typed = login_typed_data(chain_id, cluster.workerpool, me.address, asked["nonce"], asked["expires"])
    signed = {"wallet": me.address, **asked, "signature": me.sign_typed(typed)}
    token = made.post(f"{url}/login", json=signed, timeout=10).json()["token"]
    made.headers["Authorization"] = f"Bearer {token}"
    info = {"name": "one", "platforms": ["linux/arm64"], "cpus": 1, "memory_mb": 512, "disk_mb": 512}
    assert made.put(f"{url}/workers/me", json=info, timeout=10).status_code == 204
    return made


def test_a_long_poll_is_not_cut(cluster: Cluster) -> None:
    worker = session(cluster)
    body = {"presence": "BUSY", "free_slots": 0, "acked": 0, "wait_seconds": LONG_POLL_SECONDS}
    begun = time.monotonic()
    answer = worker.post(f"{cluster.scheduler_url}/poll", json=body, timeout=LONG_POLL_SECONDS + 20)
    assert answer.status_code == 200
    assert LONG_POLL_SECONDS - 1 < time.monotonic() - begun < LONG_POLL_SECONDS + 5


def test_a_slow_upload_is_not_cut(cluster: Cluster) -> None:
    """A requester's file, a byte every few seconds for a minute, through the balancer."""
    content = b"slow as a bad radio"
    cid_bytes = hashlib.sha256(content).digest()
    with socket.create_connection(("127.0.0.1", cluster.balancer_port), timeout=80) as connection:
        head = f"PUT /inputs/{_cid(cid_bytes)} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n\r\n"
        connection.sendall(head.encode())
        for number in range(len(content)):
            connection.sendall(content[number : number + 1])
            time.sleep(2.5)
        answer = connection.recv(4096).decode()
    # unsigned it is refused by the scheduler, which has then read all of it: the balancer has not given up before
    assert answer.startswith(("HTTP/1.1 401", "HTTP/1.1 400", "HTTP/1.1 403")), answer
    assert "server: uvicorn" in answer.lower(), answer


def test_a_poll_held_by_one_that_hangs_moves_on(cluster: Cluster) -> None:
    """SIGSTOP: connections stay open and nothing answers; the balancer closes them when the checks fail."""
    pid = cluster.stack.processes["replica-1"].pid
    worker = session(cluster, 1)
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_for(lambda: _servers(cluster) == 1, 20, "the balancer takes the hung one for well")
        body = {"presence": "BUSY", "free_slots": 0, "acked": 0, "wait_seconds": 1}
        for _ in range(6):
            assert worker.post(f"{cluster.scheduler_url}/poll", json=body, timeout=10).status_code == 200
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_for(lambda: _servers(cluster) == 2, 20, "the balancer does not take it back")


def test_workers_without_a_chain_are_still_served(cluster: Cluster) -> None:
    """`/health` says 503 of the chain: who is out is decided by store and threads alone."""
    anvil = cluster.stack.processes["anvil"].pid
    os.kill(anvil, signal.SIGSTOP)
    try:
        wait_for(lambda: _health(cluster) == 503, 60, "nobody notices that the chain is away")
        time.sleep(4)
        assert _servers(cluster) == 2
        assert requests.get(f"{cluster.scheduler_url}/config", timeout=10).status_code == 200
    finally:
        os.kill(anvil, signal.SIGCONT)
    wait_for(lambda: _health(cluster) == 200, 60, "it does not come back")


def test_what_is_not_for_the_world_stays_inside(cluster: Cluster) -> None:
    assert requests.get(f"{cluster.scheduler_url}/metrics", timeout=10).status_code == 404
    assert requests.get(f"{cluster.replica_url(0)}/metrics", timeout=10).status_code == 200


def _servers(cluster: Cluster) -> int:
    """How many the balancer takes for well, by its own figures."""
    text = requests.get(f"http://127.0.0.1:{cluster.balancer_metrics}/metrics", timeout=5).text
    return sum(
        line.startswith("haproxy_server_status{") and 'state="UP"' in line and line.endswith(" 1")
        for line in text.splitlines()
    )


def _health(cluster: Cluster) -> int:
    answer = requests.get(f"{cluster.scheduler_url}/health", timeout=10)
    json.loads(answer.text)
    return answer.status_code


def _cid(digest: bytes) -> str:
    from poco.result import cid_of

    return cid_of(digest)
