"""What stops a scheduler from starting is said in one line with the way out, and exits 2; SIGTERM ends it well."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import requests
import yaml

from chain.client import Chain
from ops.console import ROOT
from ops.ports import free_port
from tests.integration.scheduler_pool import RLC, Market, Pool


@pytest.fixture(scope="module")
def pool(hub: Chain, tmp_path_factory: pytest.TempPathFactory) -> Pool:
    return Pool(Market(hub, tmp_path_factory.mktemp("market")), tmp_path_factory.mktemp("pool"))


def start(pool: Pool, tmp_path: Path, **changes: object) -> subprocess.CompletedProcess[str]:
    path = pool.configure(data_dir=str(tmp_path / "data"), port=free_port(), **changes)
    argv = [sys.executable, "-m", "scheduler", "--config", str(path)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)


def refused(done: subprocess.CompletedProcess[str], *said: str) -> None:
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    lines = done.stderr.strip().splitlines()
    assert lines[-2].startswith("error: ")
    assert lines[-1].startswith("hint: ")
    for words in said:
        assert words in done.stderr


def test_a_port_that_is_taken(pool: Pool, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        path = pool.configure(port=port, data_dir=str(tmp_path / "data"))
        argv = [sys.executable, "-m", "scheduler", "--config", str(path)]
        refused(subprocess.run(argv, capture_output=True, text=True, timeout=60, cwd=ROOT, check=False), str(port))


def test_a_pool_of_somebody_else(pool: Pool, tmp_path: Path) -> None:
    other = pool.market.pool(pool.requester)
    refused(start(pool, tmp_path, workerpool=other), pool.requester.address, pool.owner.address)


def test_a_pool_that_is_none(pool: Pool, tmp_path: Path) -> None:
    refused(start(pool, tmp_path, workerpool=pool.app), "not a registered workerpool")


def test_another_chain(pool: Pool, tmp_path: Path) -> None:
    pool.configure()
    body = json.loads((pool.folder / "deployment.json").read_text())
    (tmp_path / "other.json").write_text(json.dumps({**body, "chain_id": 5}))
    refused(start(pool, tmp_path, deployment=str(tmp_path / "other.json")), "on chain 1337, not 5")


def test_a_chain_that_does_not_answer(pool: Pool, tmp_path: Path) -> None:
    done = start(pool, tmp_path, rpc_url=f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 1
    assert "error: no chain answers" in done.stderr
    assert "Traceback" not in done.stderr


def test_keystores_that_do_not_open(pool: Pool, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("wrong")
    refused(start(pool, tmp_path, password_file=str(tmp_path / "wrong")), "wrong password")
    refused(start(pool, tmp_path, keystore=str(tmp_path / "none.json")), "there is no keystore")
    refused(start(pool, tmp_path, keystore=str(tmp_path / "wrong")), "keystore")
    refused(start(pool, tmp_path, password_file=str(tmp_path / "none")), "password file")


def test_settings_that_are_wrong_are_named(pool: Pool, tmp_path: Path) -> None:
    refused(start(pool, tmp_path, surprise=1), "surprise")
    refused(start(pool, tmp_path, lost_after=10, unknown_after=20), "lost_after")


def test_an_owner_without_gas(pool: Pool, tmp_path: Path) -> None:
    market = pool.market
    broke = market.wallet("broke", ether=0)
    registry = pool.chain.contract("workerpool_registry", pool.chain.deployment.workerpool_registry).functions
    where = registry.predictWorkerpool(broke.address, "broke").call()
    registry.createWorkerpool(broke.address, "broke").transact({"from": market.deployer})
    keystore = str(market.folder / "broke.json")
    refused(start(pool, tmp_path, workerpool=where, keystore=keystore), broke.address, "no native currency")


def test_a_second_process_on_the_same_data(pool: Pool, tmp_path: Path) -> None:
    pool.start(data_dir=str(tmp_path / "data"))
    assert pool.process is not None
    number = pool.process.pid
    refused(start(pool, tmp_path), f"process {number}", "data_dir")
    began = time.monotonic()
    assert pool.stop() == 0
    assert time.monotonic() - began < 15
    assert '"stopped"' in pool.log.read_text()


def test_stopping_with_open_polls_answers_them(pool: Pool, tmp_path: Path) -> None:
    pool.start(data_dir=str(tmp_path / "data"))
    worker = pool.worker("polling", escrow=RLC).join()
    answers: list[object] = []
    thread = threading.Thread(target=lambda: answers.append(worker.poll(wait=60)))
    thread.start()
    time.sleep(1)
    began = time.monotonic()
    assert pool.stop() == 0
    thread.join(10)
    assert answers == [[]]
    assert time.monotonic() - began < 15


def test_it_speaks_tls(pool: Pool, tmp_path: Path) -> None:
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    argv += ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    argv += ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    subprocess.run(argv, check=True, capture_output=True)
    tls = {"certificate": str(tmp_path / "cert.pem"), "key": str(tmp_path / "key.pem")}
    path = pool.configure(data_dir=str(tmp_path / "data"), tls=tls)
    port = yaml.safe_load(path.read_text())["port"]
    process = subprocess.Popen([sys.executable, "-m", "scheduler", "--config", str(path)], cwd=ROOT)
    try:
        for _ in range(300):
            try:
                found = requests.get(f"https://127.0.0.1:{port}/config", verify=tls["certificate"], timeout=5).json()
                break
            except requests.ConnectionError:
                time.sleep(0.1)
        assert found["workerpool"] == pool.address
    finally:
        process.terminate()
        assert process.wait(20) == 0
