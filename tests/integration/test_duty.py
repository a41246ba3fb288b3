"""A worker with sensors: it analyses its own footage with the real dapp; paid work comes first, and may read them."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from chain.client import Chain
from ops.console import ROOT
from poco.states import ContributionStatus
from sdk.builder.image import Builder
from tests.integration.worker_net import Net, Process, finish, network, processes
from worker.sensors.avi import frames
from worker.sensors.config import Keep
from worker.sensors.reading import from_csv
from worker.sensors.store import Store

pytestmark = [pytest.mark.docker, pytest.mark.chain]

WEATHER = {"backends": [{"kind": "simulated"}], "sample_seconds": 0.5}


@pytest.fixture(scope="module")
def net(hub: Chain, registry: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    with network(hub, registry, tmp_path_factory.mktemp("net")) as made:
        yield made


@pytest.fixture
def workers(net: Net, docker_client: docker.DockerClient) -> Iterator[Callable[..., Process]]:
    with processes(net, docker_client) as make:
        yield make


@pytest.fixture(scope="module")
def dapps(registry: str) -> dict[str, dict[str, str]]:
    """Both dapps as the configuration names them."""
    builder, found = Builder(ROOT), {}
    for name in ("motion-detection", "weather-station"):
        pushed = builder.push(builder.build(name), registry)
        checksum = "0x" + pushed.digest.removeprefix("sha256:")
        found[name.replace("-", "_")] = {"image": pushed.reference, "checksum": checksum}
    return found


def command(worker: Process, *given: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "worker", *given, "--config", str(worker.config)]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)


def analysis(worker: Process, kind: str = "camera") -> dict[str, Any] | None:
    path = worker.data / "sensors" / "readings.db"
    if not path.exists():
        return None
    store = Store(path, Keep(), read_only=True)
    try:
        found = store.last_analysis(kind)
    finally:
        store.close()
    return found[2] if found else None


def test_the_device_works_for_itself_until_paid_work_comes(
    net: Net,
    workers: Callable[..., Process],
    dapps: dict[str, dict[str, str]],
    docker_client: docker.DockerClient,
    tmp_path: Path,
) -> None:
    worker = workers(
        docker={"memory_mb": 128, "output_mb": 16},
        sensors={
            "weather": WEATHER,
            "camera": {
                "kind": "simulated", "width": 320, "height": 240, "fps": 10, "clip_seconds": 5, "period_seconds": 5,
            },
            "motion_detection": dapps["motion_detection"],
            "weather_station": {**dapps["weather_station"], "every_seconds": 3, "last_seconds": 600},
        },
    ).start()  # fmt: skip
    me, scheduler = worker.wallet.address, net.scheduler
    scheduler.free(me)
    found = scheduler.until(lambda: analysis(worker), "the analysis of a clip", 90)
    assert found["events"] >= 1, (found, "somebody walks through every clip")
    with zipfile.ZipFile(worker.data / "sensors" / "results" / found["result"]) as archive:
        events = json.loads(archive.read("events.json"))["events"]
        assert archive.read("event-001.jpg").startswith(b"\xff\xd8")
    assert len(events) == found["events"]
    said = scheduler.until(lambda: analysis(worker, "weather"), "the analysis of the readings")
    with zipfile.ZipFile(worker.data / "sensors" / "results" / said["result"]) as archive:
        station = json.loads(archive.read("summary.json"))["stations"][0]
        assert station["samples"] > 1 and station["quality"]["wind_ms"]["measured"] == station["samples"]

    task_id = scheduler.start(me, net.deal("sleep 5"))
    mine = {"label": f"pew.worker={me}"}
    scheduler.until(
        lambda: docker_client.containers.list(filters={"label": f"pew.task={task_id}"}), "the paid task's container"
    )
    end = time.monotonic() + 3
    while time.monotonic() < end:
        names = {container.labels["pew.task"] for container in docker_client.containers.list(filters=mine)}
        assert names <= {task_id}, "paid work comes first: nothing else runs beside it"
        time.sleep(0.3)
    finish(net, worker, task_id)
    before = analysis(worker)
    scheduler.until(lambda: analysis(worker) != before, "its own work to go on", 60)

    for kind, name in (("weather", "w.csv"), ("camera", "c.avi")):
        done = command(worker, "export", "--sensor", kind, "--last", "60", "--output", str(tmp_path / name))
        told = json.loads(done.stdout)
        content = (tmp_path / name).read_bytes()
        assert told["sha256"] == "0x" + hashlib.sha256(content).hexdigest() and told["bytes"] == len(content)
    assert len(list(from_csv((tmp_path / "w.csv").read_text().splitlines(), "w.csv"))) > 10
    assert len(list(frames(tmp_path / "c.avi"))) >= 40
    told = worker.tell("status")["sensors"]
    assert told["reading"]["temperature_c"] is not None and told["unsent"] == 0 and told["analyses"]["camera"]
    again = command(worker, "export", "--output", str(tmp_path / "w.csv"))
    assert again.returncode == 2 and "is there already" in again.stderr

    findings = {each["what"]: each for each in worker.tell("doctor")}
    for what in ("sensor simulated", "camera simulated", "motion detection", "weather station"):
        assert findings[what]["ok"], findings[what]
    assert worker.kill(15) == 0
    assert not docker_client.containers.list(all=True, filters=mine), "nothing of its own work is left behind"


def test_a_paid_task_reads_the_sensors_of_its_device(net: Net, workers: Callable[..., Process]) -> None:
    worker = workers(sensors={"weather": WEATHER}).start()
    me, scheduler = worker.wallet.address, net.scheduler
    scheduler.free(me)
    time.sleep(2)
    deal = net.deal("copy", params={"iexec_input_files": ["sensor://weather?last=600"]})
    task_id = scheduler.start(me, deal)
    scheduler.reported(me, task_id, "CONTRIBUTED")
    files = finish(net, worker, task_id)
    rows = list(from_csv(files["result.txt"].decode().splitlines(), "result"))
    assert rows and abs(rows[-1][0] - time.time()) < 60 and rows[-1][1]["temperature_c"] is not None

    # what nobody can agree on, or understand, is an invalid description
    for trust, url, said in (
        (4, "sensor://weather?last=60", "never measure"),
        (1, "sensor://mood?last=60", "no sensor"),
    ):
        deal = net.deal("copy", trust=trust, params={"iexec_input_files": [url]})
        update = scheduler.reported(me, scheduler.start(me, deal), "FAILED")
        assert update.cause == "TASK_DESCRIPTION_INVALID" and said in update.reason


@pytest.mark.parametrize(
    ("sensors", "url", "said"),
    [
        (None, "sensor://weather?last=60", "no sensors"),
        ({"camera": {"kind": "simulated"}}, "sensor://camera?last=60", "to itself"),
    ],
)
def test_elsewhere_it_is_declined_before_anything_is_staked(
    net: Net, workers: Callable[..., Process], sensors: dict[str, Any] | None, url: str, said: str
) -> None:
    worker = workers(**({"sensors": sensors} if sensors else {})).start()
    me, scheduler = worker.wallet.address, net.scheduler
    scheduler.free(me)
    task_id = scheduler.start(me, net.deal("copy", params={"iexec_input_files": [url]}))
    update = scheduler.reported(me, task_id, "DECLINED")
    assert update.cause == "SENSOR_UNAVAILABLE" and said in update.reason
    assert net.chain.account(me).locked == 0
    assert net.chain.contribution(task_id, me).status is ContributionStatus.UNSET
