"""`python -m worker doctor`: each thing that is missing is named, with its cure."""

from __future__ import annotations

import json
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from chain.client import Chain
from poco.errors import PewError
from tests.integration.worker_net import Net, Process, network
from worker.__main__ import main
from worker.config import load
from worker.runner import checks

Examine = Callable[..., dict[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def net(hub: Chain, registry: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    with network(hub, registry, tmp_path_factory.mktemp("net")) as made:
        yield made


@pytest.fixture
def worker(net: Net) -> Process:
    return Process(net, net.actor("worker"))


def configure(worker: Process, **changes: Any) -> Path:
    worker.config.write_text(yaml.safe_dump({**yaml.safe_load(worker.config.read_text()), **changes}))
    return worker.config


@pytest.fixture
def examine(worker: Process, capsys: pytest.CaptureFixture[str]) -> Examine:
    """The failures by name, and that the exit code says whether there are any."""

    def failures(**changes: Any) -> dict[str, dict[str, Any]]:
        code = main(["doctor", "--config", str(configure(worker, **changes)), "--json"])
        found = {each["what"]: each for each in json.loads(capsys.readouterr().out)}
        failed = {what: each for what, each in found.items() if not each["ok"]}
        assert code == bool(failed)
        return failed

    return failures


@pytest.mark.parametrize(
    ("changes", "what", "said", "cure"),
    [
        ({"docker_host": "unix:///nowhere.sock", "runtime": "docker"}, "runtime", "/nowhere.sock", "start Docker"),
        ({"platform": "linux/s390x"}, "platform", "cannot run linux/s390x", "qemu-user-static"),
        ({"slots": 256, "fetch": {"total_mb": 1_048_576}}, "data_dir", "MB free", "fetch.total_mb"),
        ({"docker": {"memory_mb": 1_048_576}}, "memory", "1048576 MB", "docker.memory_mb"),
    ],
    ids=["engine", "qemu", "disk", "memory"],
)
def test_what_this_machine_lacks(examine: Examine, changes: dict[str, Any], what: str, said: str, cure: str) -> None:
    found = examine(**changes)[what]
    assert said in found["said"] and cure in found["cure"]


def test_no_bubblewrap(examine: Examine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = examine(runtime="bubblewrap")["runtime"]
    assert (found["said"], found["cure"]) == ("bubblewrap is not installed", "apt-get install bubblewrap")
    # neither: both ways out are told
    found = examine(runtime="auto", docker_host="unix:///nowhere.sock")["runtime"]
    assert "start Docker" in found["cure"] and "bubblewrap" in found["cure"]


def test_a_socket_that_is_not_for_this_user(worker: Process) -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as engine:
        Path(folder).chmod(0o755)
        engine.bind(f"{folder}/docker.sock")
        Path(f"{folder}/docker.sock").chmod(0o000)
        config = load(configure(worker, docker_host=f"unix://{folder}/docker.sock", runtime="docker"))
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:  # as somebody who is not root, to whom every socket is open
            try:
                if os.geteuid() == 0:
                    os.setuid(65532)
                checks.runtime(config)
            except PewError as error:
                os.write(writing, f"{error.message}\n{error.hint}".encode())
            finally:
                os._exit(0)
        os.close(writing)
        os.waitpid(child, 0)
        with os.fdopen(reading) as answer:
            said, cure = answer.read().splitlines()
    assert "not open to this user" in said and "usermod -aG docker" in cure


def test_who_does_not_answer(examine: Examine) -> None:
    found = examine(scheduler_url="http://127.0.0.1:9")["scheduler"]
    assert "the scheduler does not answer" in found["said"] and found["cure"]
    found = examine(rpc_url="http://127.0.0.1:9")["chain"]
    assert "127.0.0.1:9" in found["said"] and found["cure"]


def test_an_empty_wallet_and_a_keystore_for_everybody(net: Net, capsys: pytest.CaptureFixture[str]) -> None:
    poor = Process(net, net.actor("poor", rlc=0, ether=0))
    keystore = Path(yaml.safe_load(poor.config.read_text())["keystore"])
    keystore.chmod(0o644)
    assert main(["doctor", "--config", str(poor.config)]) == 1
    said = capsys.readouterr().out
    assert f"FAIL keystore: others may read {keystore}\n     cure: chmod 600 {keystore}" in said
    keystore.chmod(0o600)
    assert main(["doctor", "--config", str(poor.config)]) == 1
    said = capsys.readouterr().out
    assert "FAIL stake: " in said and f"nRLC to {poor.wallet.address}" in said
    assert "FAIL gas: 0 wei for gas" in said and f"coin to {poor.wallet.address}" in said
