"""Row 15: datasets and input files.

Parity: a dataset is held against its registered sha-256, and a task that cannot have its data ends with an error
result. Beat: streamed within bounds of size and time, gone on with where a connection broke off, no gateway believed,
never read from the operator's own network.
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import docker
import pytest
import requests

from chain.client import Chain
from poco import ids
from poco.hexes import ZERO_BYTES32
from poco.result import cid_of
from tests.integration.scheduler_pool import until
from tests.integration.whole_pool import scheduling
from tests.integration.worker_net import network, processes
from tests.unit.worker.files_server import Answer, drip, serving

pytestmark = [pytest.mark.docker, pytest.mark.chain]


@pytest.mark.long
def test_a_pool_lives_with_hostile_and_broken_sources(
    hub: Chain, registry: str, docker_client: docker.DockerClient, tmp_path: Path
) -> None:
    data = os.urandom(3_000_000)
    cid = cid_of(hashlib.sha256(data).digest())
    with (
        network(hub, registry, tmp_path) as net,
        serving() as files,
        processes(net, docker_client) as make,
        scheduling(net, tmp_path / "scheduler") as scheduler,
    ):
        # breaks off twice; a gateway that lies before one that does not; more than the worker takes; another file
        files.play |= {
            "/broken": [Answer(data, cut=2_000_000), Answer(data, cut=500_000), Answer(data)],
            f"/liar/ipfs/{cid}": [Answer(b"poison")],
            f"/ipfs/{cid}": [Answer(data)],
            "/large": [Answer(bytes(6_000_000))],
            "/other": [Answer(data[::-1])],
        }
        files.raw["/hangs"] = lambda handler: drip(handler, b"HTTP/1.1 200 OK\r\nX-", b"x", 60)
        fetch = {
            "allow_private_addresses": True, "file_mb": 5, "seconds": 5,
            "ipfs_gateways": [f"{files.url}/liar", files.url],
        }  # fmt: skip
        make(scheduler_url=scheduler.url, fetch=fetch, slots=2).start()
        checksum = "0x" + hashlib.sha256(data).hexdigest()
        sets = {
            name: net.publish_data(name, where, checksum if name != "unchecked" else ZERO_BYTES32)
            for name, where in (
                ("broken", f"{files.url}/broken"), ("gateway", f"/ipfs/{cid}"), ("other", f"{files.url}/other"),
                ("large", f"{files.url}/large"), ("hangs", f"{files.url}/hangs"), ("unchecked", f"{files.url}/broken"),
            )
        }  # fmt: skip
        tasks = {
            name: ids.task_id(net.deal("environment", dataset=address, initialize=False).id, 0)
            for name, address in sets.items()
        }
        began = time.monotonic()
        for name, task in tasks.items():
            until(lambda task=task: scheduler.status_of(task) == "COMPLETED", 90)
            location = scheduler.get(f"/tasks/{task}")["resultLocation"]
            content = requests.get(scheduler.url + location, timeout=10).content
            cause = {
                "other": b"DATASET_FILE_BAD_CHECKSUM",
                "large": b"DATASET_FILE_DOWNLOAD_FAILED",
                "hangs": b"DATASET_FILE_DOWNLOAD_FAILED",
            }.get(name)
            error = scheduler.get(f"/tasks/{task}")["cause"]
            assert (error or "").encode() == (cause or b""), (name, error)
            assert content.startswith(b"PK")
        assert time.monotonic() - began < 150
        ranges = [asked for path, asked in files.asked if path == "/broken"]
        assert ranges[:3] == ["", "bytes=2000000-", "bytes=2500000-"], "what had come was not asked for again"
