"""The prepared machine, for real: the engine, foreign binaries in containers, the registry, Ganache."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
import urllib.request
from dataclasses import replace
from pathlib import Path

import docker
import pytest
from docker.errors import NotFound

from ops import emulation, engine
from ops.ports import free_port
from ops.services import CHAIN_ID, start_registry
from ops.stack import RUN_LABEL, Stack

NEVER_ENDING = "pew-test-never-ending"


@pytest.mark.docker
@pytest.mark.emulation
def test_status_proves_all_platforms() -> None:
    facts = engine.status()
    assert facts["engine"]
    assert facts["platforms"] == ["linux/amd64", "linux/arm64", "linux/arm/v7"]


@pytest.mark.docker
@pytest.mark.emulation
@pytest.mark.parametrize("target", emulation.PLATFORMS, ids=lambda each: each.qemu)
def test_foreign_binary_runs_in_a_container(target: emulation.Platform, docker_client: docker.DockerClient) -> None:
    assert emulation.runs_in_container(target, {"DOCKER_HOST": engine.engine_host()})
    assert not docker_client.images.list(name=emulation.PROBE_IMAGE)


@pytest.mark.docker
def test_ensure_changes_nothing_the_second_time(docker_client: docker.DockerClient) -> None:
    before = docker_client.info()["ID"], engine._running_dockerd()
    done = subprocess.run(
        [sys.executable, "-m", "ops.engine", "ensure", "--json"], cwd=engine.ROOT, capture_output=True, check=True
    )
    assert json.loads(done.stdout)["engine"] == docker_client.version()["Version"]
    assert (docker_client.info()["ID"], engine._running_dockerd()) == before


def test_an_engine_that_does_not_answer_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ops.engine", "ensure"],
        cwd=engine.ROOT,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/nonexistent", "DOCKER_HOST": "tcp://127.0.0.1:9"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "error: no Docker Engine answers at DOCKER_HOST=tcp://127.0.0.1:9" in done.stderr
    assert "hint:  start it, or unset DOCKER_HOST" in done.stderr
    assert "Traceback" not in done.stderr


def test_registry_is_empty_and_allows_deletion(tmp_path: Path) -> None:
    with Stack(tmp_path, handle_signals=False) as stack:
        registry = start_registry(stack, free_port(), tmp_path / "images").removeprefix("http://")
        with urllib.request.urlopen(f"http://{registry}/v2/_catalog") as answer:
            assert json.load(answer) == {"repositories": []}
        missing = f"http://{registry}/v2/none/manifests/sha256:{'0' * 64}"
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(urllib.request.Request(missing, method="DELETE"))
    assert refused.value.code == 404  # 405 where deletion is not enabled


def test_ganache_is_fresh_and_has_the_known_accounts(ganache: str) -> None:
    from web3 import Web3

    chain = Web3(Web3.HTTPProvider(ganache))
    assert chain.eth.chain_id == CHAIN_ID
    assert len(chain.eth.accounts) == 20
    assert chain.eth.accounts[0] == "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
    assert chain.eth.get_balance(chain.eth.accounts[19]) <= 1000 * 10**18


def test_a_runs_containers_end_with_it(docker_client: docker.DockerClient, tmp_path: Path) -> None:
    docker_client.api.import_image_from_data(never_ending_image(), repository=NEVER_ENDING, tag="1")
    try:
        with Stack(tmp_path, handle_signals=False) as stack:
            mine = docker_client.containers.create(f"{NEVER_ENDING}:1", "/wait", labels={RUN_LABEL: stack.run_id})
            other = docker_client.containers.create(f"{NEVER_ENDING}:1", "/wait", labels={RUN_LABEL: "another"})
            mine.start()
            mine.reload()
            assert mine.status == "running"
        with pytest.raises(NotFound):
            docker_client.containers.get(mine.id)
        other.reload()
        assert other.status == "created"
        other.remove()
    finally:
        docker_client.images.remove(f"{NEVER_ENDING}:1", force=True)


def never_ending_image() -> bytes:
    """A tar with one program: a branch to itself."""
    native = next(each for each in emulation.PLATFORMS if emulation._is_native(each))
    loop = {"x86_64": bytes.fromhex("ebfe"), "aarch64": bytes.fromhex("00000014"), "arm": bytes.fromhex("feffffea")}
    binary = emulation.probe_binary(replace(native, code=loop[native.qemu]))
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo("wait")
        entry.size, entry.mode = len(binary), 0o755
        tar.addfile(entry, io.BytesIO(binary))
    return archive.getvalue()
