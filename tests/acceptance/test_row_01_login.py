"""Row 1: login.

Parity: a wallet proves itself and may be left out by a list. Beat: EIP-712 with a nonce that works once, for one pool
on one chain; sessions that outlive the scheduler's restart; TLS on both sides; and no secret in any log, container or
(but for what a crash must not lose) journal.
"""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
import requests

from chain.client import Chain
from chain.wallet import Wallet
from poco import ids
from poco.wire import login_typed_data
from sdk import cli
from tests.integration.whole_pool import RealScheduler, scheduling
from tests.integration.worker_net import RLC, Net, Process, network, processes

pytestmark = [pytest.mark.docker, pytest.mark.chain]


@pytest.fixture(scope="module")
def net(hub: Chain, registry: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    with network(hub, registry, tmp_path_factory.mktemp("net")) as made:
        yield made


def certificate(folder: Path, name: str) -> dict[str, str]:
    """A certificate for 127.0.0.1 that vouches for itself, and its key."""
    key, found = folder / f"{name}.key", folder / f"{name}.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
    made += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(found)]
    subprocess.run(made, check=True, capture_output=True)
    return {"certificate": str(found), "key": str(key)}


@pytest.fixture(scope="module")
def scheduler(net: Net) -> Iterator[RealScheduler]:
    with scheduling(net, net.folder / "scheduler", tls=certificate(net.folder, "pool")) as made:
        yield made


@pytest.fixture
def workers(net: Net, docker_client: docker.DockerClient) -> Iterator[Callable[..., Process]]:
    with processes(net, docker_client) as make:
        yield make


def login(
    scheduler: RealScheduler, wallet: Wallet, asked: dict[str, Any], *, name: str = "", **domain: Any
) -> requests.Response:
    """A login with that challenge, as `name` (its own wallet by default), for another domain where one is given."""
    name = name or wallet.address
    where = {"chain_id": scheduler.net.chain.deployment.chain_id, "workerpool": scheduler.net.pool, **domain}
    typed = login_typed_data(where["chain_id"], where["workerpool"], name, asked["nonce"], asked["expires"])
    body = {"wallet": name, **asked, "signature": wallet.sign_typed(typed)}
    return _post(scheduler, "/login", body)


def challenge(scheduler: RealScheduler, wallet: str) -> dict[str, Any]:
    return dict(_post(scheduler, "/login/challenge", {"wallet": wallet}).json())


def _post(scheduler: RealScheduler, path: str, body: dict[str, Any], **headers: str) -> requests.Response:
    ca_file = scheduler.settings["tls"]["certificate"]
    return requests.post(scheduler.url + path, json=body, headers=headers, verify=ca_file, timeout=10)


def test_a_signature_opens_one_session_for_one_wallet_of_one_pool(net: Net, scheduler: RealScheduler) -> None:
    one, other = net.actor("one"), net.actor("other")
    asked = challenge(scheduler, one.address)
    assert login(scheduler, one, asked).status_code == 200
    assert login(scheduler, one, asked).status_code == 401, "a nonce works once"
    lies: list[tuple[str, Callable[[dict[str, Any]], requests.Response]]] = [
        ("another's nonce", lambda a: login(scheduler, other, a)),
        ("another's name", lambda a: login(scheduler, other, a, name=one.address)),
        ("another chain", lambda a: login(scheduler, one, a, chain_id=1)),
        ("another pool", lambda a: login(scheduler, one, a, workerpool=net.app)),
        ("a later end", lambda a: login(scheduler, one, {**a, "expires": a["expires"] + 60})),
        ("no nonce of ours", lambda a: login(scheduler, one, {**a, "nonce": "0x" + "11" * 32})),
    ]
    for what, lie in lies:
        answer = lie(challenge(scheduler, one.address))
        assert (answer.status_code, answer.json()["error"]) == (401, "LOGIN"), what
    assert _post(scheduler, "/poll", {}, Authorization="Bearer " + "x" * 43).status_code == 401


def test_a_whole_task_over_tls_leaves_no_secret_and_the_session_outlives_a_restart(
    net: Net,
    scheduler: RealScheduler,
    workers: Callable[..., Process],
    docker_client: docker.DockerClient,
    capfd: pytest.CaptureFixture[str],
) -> None:
    played, tls = net.scheduler, scheduler.settings["tls"]
    stranger = workers(scheduler_url=scheduler.url, ca_file=certificate(net.folder, "stranger")["certificate"]).start()
    worker = workers(scheduler_url=scheduler.url, ca_file=tls["certificate"]).start()
    me = worker.wallet.address
    played.until(lambda: net.chain.account(me).stake == RLC, "the stake")
    task_id = ids.task_id(net.deal("sleep 4", initialize=False).id, 0)
    label = {"label": f"pew.task={task_id}"}
    there = lambda: docker_client.containers.list(filters=label, ignore_removed=True)  # noqa: E731
    (container,) = played.until(there, "the container")
    inspected = json.dumps(docker_client.api.inspect_container(container.id))
    scheduler.stop(signal.SIGTERM)
    scheduler.start()
    played.until(lambda: scheduler.status_of(task_id) == "COMPLETED", "the end")
    assert [scheduler.log.read_text().count('"event": "started"'), _sessions(scheduler, me)] == [2, 1]
    common = ["--rpc", net.chain.rpc_url, "--deployment", str(net.folder / "deployment.json")]
    cli.main([*common, "--json", "task", "show", task_id])
    said = capfd.readouterr()
    worker.kill(signal.SIGTERM)

    played.until(lambda: any(line["event"] == "no_scheduler" for line in stranger.logged()), "the refusal")
    line = next(line for line in stranger.logged() if line["event"] == "no_scheduler")
    assert "SSLError" in line["why"]
    assert _sessions(scheduler, stranger.wallet.address) == 0, "it has told this scheduler nothing"
    stranger.kill(signal.SIGTERM)

    logs = worker.log.read_bytes() + stranger.log.read_bytes() + scheduler.log.read_bytes()
    logs += inspected.encode() + (said.out + said.err).encode()
    kept = b"".join(p.read_bytes() for p in worker.data.glob("journal.db*"))
    books = b"".join(p.read_bytes() for p in (scheduler.folder / "data").glob("scheduler.db*"))
    authorization = _authorization(worker)
    for secret in _secrets(net, worker):
        for where, what in ((logs, "logs and containers"), (kept, "the journal"), (books, "the scheduler's store")):
            assert secret not in where, f"a key or password is in {what}"
    assert authorization.encode() not in logs and authorization[2:].encode() not in logs
    assert authorization.encode() in kept, "the one thing that a crash must not lose: the file is its owner's alone"
    assert (worker.data / "journal.db").stat().st_mode & 0o077 == 0
    token = _post(scheduler, "/login", _signed(scheduler, net, worker)).json()["token"]
    time.sleep(0.2)
    assert token.encode() not in b"".join(p.read_bytes() for p in (scheduler.folder / "data").glob("scheduler.db*"))
    assert b"Bearer" not in logs and token.encode() not in scheduler.log.read_bytes()


def _signed(scheduler: RealScheduler, net: Net, worker: Process) -> dict[str, Any]:
    me, asked = worker.wallet.address, challenge(scheduler, worker.wallet.address)
    typed = login_typed_data(net.chain.deployment.chain_id, net.pool, me, asked["nonce"], asked["expires"])
    return {"wallet": me, **asked, "signature": worker.wallet.sign_typed(typed)}


def _sessions(scheduler: RealScheduler, wallet: str) -> int:
    with sqlite3.connect(f"file:{scheduler.folder}/data/scheduler.db?mode=ro", uri=True) as db:
        return int(db.execute("SELECT COUNT(*) FROM sessions WHERE wallet = ?", (wallet,)).fetchone()[0])


def _authorization(worker: Process) -> str:
    with sqlite3.connect(f"file:{worker.data}/journal.db?mode=ro", uri=True) as db:
        (body,) = db.execute("SELECT body FROM replicates").fetchone()
    return str(json.loads(body)["authorization"])


def _secrets(net: Net, worker: Process) -> list[bytes]:
    """Keys (as bytes and as text, of worker and pool) and passwords."""
    keys = [bytes(wallet._account.key) for wallet in (worker.wallet, net.senders["pool"].wallet)]
    return [*keys, *(key.hex().encode() for key in keys), *(key.hex().upper().encode() for key in keys), b"a password"]
