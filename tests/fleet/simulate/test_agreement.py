"""The same pool twice: as daemons on a chain with the sun sped up, and in the simulator.

Both get the same site, boards, gate and orders. What must agree, and how well:

- tasks: to one in ten, at least one (who is asked first depends on polls that are milliseconds apart, and a battery
  that stands at a threshold decides either way);
- energy harvested and used: to 5 % (a second of the daemons is minutes of sun: when a program begins and ends is known
  to a second of the meter, and three workers do not start in the same second);
- the mean state of charge at the end: to 0.03.
"""

from __future__ import annotations

import csv
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest

from chain.client import Chain
from poco import ids
from poco.states import ChainTaskStatus
from simulator.scenario import load
from simulator.world import World
from tests.integration.whole_pool import RealScheduler, scheduling
from tests.integration.worker_net import RLC, Net, Process, network, processes
from worker.journal import Journal

pytestmark = [pytest.mark.docker, pytest.mark.chain, pytest.mark.long]

SPEED = 300
WORKERS = 3
#: A day from the afternoon on: the night empties the batteries below what new work asks for.
SECONDS = 86_400 / SPEED
RUN_SECONDS = 15
EVERY_SECONDS = 6.0
ENERGY = {"board": "pi-4b", "panel_wp": 25, "battery_wh": 500, "soc": 0.53, "start": "2001-06-21T15:00", "speed": SPEED}


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


def test_simulator_and_daemons_agree(
    net: Net, scheduler: RealScheduler, workers: Callable[..., Process], tmp_path: Path
) -> None:
    made = [begin(net, workers(scheduler_url=scheduler.url, energy=ENERGY, meter_seconds=0.5)) for _ in range(WORKERS)]
    net.scheduler.until(lambda: waiting(scheduler) == WORKERS, "all workers to wait for work", 120)
    began = time.time()
    ordered: dict[str, float] = {}
    while time.time() < began + SECONDS - 2 * RUN_SECONDS:
        deal = net.deal(f"sleep {RUN_SECONDS}", initialize=False)
        ordered[ids.task_id(deal.id, 0)] = time.time()
        time.sleep(max(0.0, began + len(ordered) * EVERY_SECONDS - time.time()))
    time.sleep(max(0.0, began + SECONDS - time.time()))
    finished = sum(net.chain.task(task_id).status is ChainTaskStatus.COMPLETED for task_id in ordered)
    for worker in made:
        worker.kill(signal.SIGTERM)
    lives = [Life.of(worker) for worker in made]
    real = {
        "finished": finished,
        "harvested_wh": sum(life.harvested_wh for life in lives),
        "consumed_wh": sum(life.consumed_wh for life in lives),
        "soc": sum(life.soc for life in lives) / WORKERS,
    }
    first = sum(life.began for life in lives) / WORKERS
    lived = sum(life.seconds for life in lives) / WORKERS
    at = [instant - first for instant in ordered.values()]
    simulated = simulate(
        tmp_path, at, lived,
        run=took(made, "RUNNING", "PROVING"),
        upload=took(made, "DELIVERING", "FINALIZING"),
        block=took(made, "FINALIZING", "SETTLING"),
    )  # fmt: skip
    sys.stdout.write(f"{len(at)} ordered; daemons {real}; simulator {simulated}\n")
    assert len(at) > 20 and 5 < finished < len(at), "too easy, or too hard, to tell anything"
    assert simulated["finished"] == pytest.approx(finished, abs=max(1, finished // 10))
    for name in ("harvested_wh", "consumed_wh"):
        assert simulated[name] == pytest.approx(real[name], rel=0.05), name
    assert simulated["soc"] == pytest.approx(real["soc"], abs=0.03)


def begin(net: Net, worker: Process) -> Process:
    """Start a worker that has run the app before: it knows that it takes less than its category allows."""
    worker.data.mkdir()
    journal = Journal(worker.data / "journal.db")
    journal.set_note(f"seconds.{net.app}", str(float(RUN_SECONDS)))
    journal.close()
    return worker.start()


@dataclass(frozen=True)
class Life:
    """What a worker's journal says of it in the end. `began` and `seconds` are on its own clock."""

    began: float
    seconds: float
    harvested_wh: float
    consumed_wh: float
    soc: float

    @classmethod
    def of(cls, worker: Process) -> Life:
        journal = Journal(worker.data / "journal.db", read_only=True)
        source, meter, said = (journal.energy_snapshot(name) or {} for name in ("source", "meter", "summary"))
        journal.close()
        seconds = (source["at"] - meter["since"]) / SPEED
        return cls(source["wall"] - seconds, seconds, said["harvested_wh"], said["consumed_wh"], said["soc"])


def waiting(scheduler: RealScheduler) -> int:
    return sum(worker["presence"] in ("WAITING", "BUSY") for worker in scheduler.get("/status")["workers"])


def took(made: list[Process], begins: str, ends: str) -> float:
    """Mean seconds between two stages, by the workers' own logs."""
    spans, since = [], {}
    for worker in made:
        for line in worker.logged():
            if line["event"] != "stage":
                continue
            if line["stage"] == begins:
                since[line["task"]] = line["ts"]
            elif line["stage"] == ends and line["task"] in since:
                spans.append(line["ts"] - since[line["task"]])
    assert spans, (begins, ends)
    return sum(spans) / len(spans)


def simulate(folder: Path, at: list[float], lived: float, *, run: float, upload: float, block: float) -> dict[str, Any]:
    """The same orders at the same instants, with the delays (seconds) that this machine had."""
    file = folder / "orders.csv"
    with file.open("w", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(["at_seconds", "category", "trust", "reward_rlc", "run_seconds"])
        rows.writerows([instant, "XS", 1, 1, run] for instant in at)
    energy = {key: ENERGY[key] for key in ("board", "panel_wp", "battery_wh", "soc")}
    scenario = {
        "workers": WORKERS, "days": lived * SPEED / 86_400, "speed": SPEED, "start": ENERGY["start"],
        "sites": [{"skies": 1, "tilt": 35, "azimuth": 180}],
        "machine": {**energy, "soc_spread": 0, "switches_off": False},
        "work": {"file": str(file)},
        "terms": {
            "block_seconds": block, "latency_seconds": 0.2, "upload_seconds": upload, "experienced": True,
            "deposit_nrlc": RLC, "poll_seconds": 2,
        },
    }  # fmt: skip
    world = World(load(None, scenario))
    world.run()
    result = world.result()
    socs = [device.source.read(world.clock.now).battery_soc or 0.0 for device in world.devices]
    return {
        "finished": result["tasks"]["finished"],
        **{name: result["energy"][name] for name in ("harvested_wh", "consumed_wh")},
        "soc": sum(socs) / len(socs),
        "declined": result["tasks"]["declined"],
    }
