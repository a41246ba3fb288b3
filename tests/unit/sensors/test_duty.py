"""The device's own work: what is due, paid work first, what a failure changes; the programs are played by a runner."""

from __future__ import annotations

import io
import json
import threading
import time
import zipfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from poco.errors import Cause
from poco.wire import Logs
from worker.config import WorkerConfig
from worker.duty import Duty, Job, next_job
from worker.energy import Load, Sensing
from worker.log import Log
from worker.runner.errors import Interrupted, RunError
from worker.runner.protocol import Control, Finished, RunSpec
from worker.sensors import avi
from worker.sensors.jpeg import draw
from worker.sensors.reading import clean, from_csv

SUM = "0x" + "11" * 32
PICTURE = draw([[5] * 4] * 4)


@dataclass
class PlayedRunner:
    """Runs a function of the test in place of a container."""

    program: Callable[[RunSpec], None] = lambda _spec: None
    hold: bool = False
    specs: list[RunSpec] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    pulls: int = 0

    def pull(self, image: str, checksum: str, stop: Callable[[], bool]) -> str:
        self.pulls += 1
        return f"{image}@{checksum}"

    def run(self, spec: RunSpec, control: Control) -> Finished:
        self.specs.append(spec)
        while self.hold:
            if control.stop():
                raise Interrupted
            time.sleep(0.01)
        self.program(spec)
        return Finished(0, Logs())

    def trouble(self) -> str:
        return ""

    def trim(self, unused: Sequence[str]) -> list[str]:
        return []

    def remove(self, task_id: str) -> None:
        self.removed.append(task_id)

    def prune(self, alive: Collection[str]) -> list[str]:
        return []


@dataclass
class PlayedEnergy:
    allowed: bool = True
    asleep: bool = False
    loads: list[Load] = field(default_factory=list)

    def sense(self) -> Sensing:
        return Sensing(self.allowed, "as the test wants", "it changes its mind")

    def doing(self, duty: Load) -> None:
        if not self.loads or self.loads[-1] is not duty:
            self.loads.append(duty)


@dataclass
class World:
    folder: Path
    runner: PlayedRunner = field(default_factory=PlayedRunner)
    energy: PlayedEnergy = field(default_factory=PlayedEnergy)
    busy: bool = False
    log: io.StringIO = field(default_factory=io.StringIO)

    def duty(self, **mqtt: Any) -> Duty:
        program = {"image": "r/motion:1", "checksum": SUM, "args": "--gap '2.0'"}
        config = WorkerConfig.model_validate(
            {
                "scheduler_url": "http://a", "rpc_url": "http://b", "deployment": "d", "keystore": "k",
                "password_file": "p", "data_dir": str(self.folder), "name": "roof", "workerpool": "0x" + "22" * 20,
                "sensors": {
                    "weather": {"backends": [{"kind": "simulated"}], "sample_seconds": 0.2},
                    "camera": {"kind": "simulated", "width": 64, "height": 48, "fps": 20, "clip_seconds": 1},
                    "motion_detection": program,
                    "weather_station": {**program, "every_seconds": 100, "last_seconds": 1000},
                    **({"mqtt": mqtt} if mqtt else {}),
                },
            }
        )  # fmt: skip
        return Duty(config, self.runner, self.energy, lambda: self.busy, Log(self.log))

    def events(self) -> list[str]:
        return [json.loads(line)["event"] for line in self.log.getvalue().splitlines()]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def record(duty: Duty, start: float, end: float) -> None:
    assert duty.clips is not None
    writer = duty.clips.begin(32, 32)
    for _ in range(4):
        writer.add(PICTURE)
    duty.clips.end(writer, start, end)


def until(condition: Callable[[], Any], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_readings_when_their_time_has_come_else_the_oldest_clip(world: World) -> None:
    duty = world.duty()
    sensors, store, clips = duty._sensors, duty.store, duty.clips
    assert next_job(sensors, store, clips, 5000.0) is None
    for start in (1000.0, 1060.0):
        record(duty, start, start + 60)
    for at in (4400, 4500):
        store.reading_kept(at, clean({"wind_ms": 1.0}), lambda _: ())
    seen = []
    for _ in range(3):
        job = next_job(sensors, store, clips, 5000.0)
        assert job is not None
        seen.append((job.kind, job.start))
        store.analysed(job.kind, job.start, job.end, {})
    assert seen == [("weather", 4000.0), ("camera", 1000.0), ("camera", 1060.0)]
    assert next_job(sensors, store, clips, 5099.0) is None
    assert next_job(sensors, store, clips, 5100.0) is not None, "its time has come again"
    assert next_job(sensors, store, clips, 5100.0, {"weather"}) is None


def motion(events: int) -> Callable[[RunSpec], None]:
    def program(spec: RunSpec) -> None:
        assert spec.argv == ["--gap", "2.0"] and not spec.network
        found = spec.folder.inputs / spec.env["IEXEC_INPUT_FILE_NAME_1"]
        assert list(avi.frames(found)) == [PICTURE] * 4
        (spec.folder.out / "events.json").write_text(json.dumps({"events": [{}] * events}))
        (spec.folder.out / "event-001.jpg").write_bytes(PICTURE)
        (spec.folder.out / "link.jpg").symlink_to("/etc/passwd")

    return program


def test_a_clip_is_analysed_and_its_result_kept(world: World) -> None:
    duty = world.duty(publish=["weather", "motion"])
    record(duty, 1000.0, 1060.0)
    world.runner.program = motion(2)
    job = next_job(duty._sensors, duty.store, duty.clips, 2000.0)
    assert job is not None
    duty.analyse(job, lambda: False)
    assert duty.store.last_analysis("camera") == (1000.0, 1060.0, {"events": 2, "result": "camera-0000001000000.zip"})
    with zipfile.ZipFile(world.folder / "sensors" / "results" / "camera-0000001000000.zip") as archive:
        assert sorted(archive.namelist()) == ["event-001.jpg", "events.json"], "no links"
    messages = [message for _, message in duty.store.waiting(10)]
    assert [m.topic for m in messages] == ["pew/roof/motion"] and json.loads(messages[0].payload)["motion"] == "ON"
    assert not list((world.folder / "duty").iterdir()) and world.runner.removed == [world.runner.specs[0].task_id]


@pytest.mark.parametrize(
    ("publish", "topics"),
    [
        (["weather"], []),
        (["pictures"], ["pew/roof/picture"]),
        (["motion", "pictures"], ["pew/roof/motion", "pew/roof/picture"]),
    ],
)
def test_of_the_camera_only_what_the_operator_named_is_published(
    world: World, publish: list[str], topics: list[str]
) -> None:
    duty = world.duty(publish=publish)
    record(duty, 1000.0, 1060.0)
    world.runner.program = motion(1)
    duty.analyse(Job("camera", duty._sensors.motion_detection, 1000.0, 1060.0, duty.clips.all()[0]), lambda: False)  # type: ignore[arg-type,union-attr]
    assert [message.topic for _, message in duty.store.waiting(10)] == topics


def test_readings_are_analysed_and_their_summary_published(world: World) -> None:
    duty = world.duty(publish=["weather"])
    for at in range(4000, 5000, 100):
        duty.store.reading_kept(at, clean({"wind_ms": 1.0}), lambda _: ())

    def program(spec: RunSpec) -> None:
        text = (spec.folder.inputs / spec.env["IEXEC_INPUT_FILE_NAME_1"]).read_text()
        assert len(list(from_csv(text.splitlines(), "input"))) == 10
        (spec.folder.out / "summary.json").write_text('{"mean": 1}')

    world.runner.program = program
    job = next_job(duty._sensors, duty.store, None, 5000.0)
    assert job is not None
    duty.analyse(job, lambda: False)
    assert [(m.topic, m.payload, m.retain) for _, m in duty.store.waiting(10)] == [
        ("pew/roof/weather/summary", b'{"mean": 1}', True)
    ]


def test_a_failure_of_the_program_is_kept_and_one_of_the_engine_is_tried_again(world: World) -> None:
    duty = world.duty()
    record(duty, 1000.0, 1060.0)

    def fails(cause: Cause) -> Callable[[RunSpec], None]:
        def program(_: RunSpec) -> None:
            raise RunError(cause, "no good")

        return program

    world.runner.program = fails(Cause.INTERNAL_ERROR)
    job = next_job(duty._sensors, duty.store, duty.clips, 2000.0)
    assert job is not None
    duty.analyse(job, lambda: False)
    assert duty.store.last_analysis("camera") is None
    world.runner.program = fails(Cause.APP_COMPUTE_FAILED)
    duty.analyse(job, lambda: False)
    assert world.runner.pulls == 2, "the image may be gone: it is looked up again"
    kept = duty.store.last_analysis("camera")
    assert kept is not None and kept[2]["failed"] == "APP_COMPUTE_FAILED"
    assert next_job(duty._sensors, duty.store, duty.clips, 2000.0) is None


def test_it_all_runs_and_paid_work_comes_first(world: World) -> None:
    duty = world.duty()
    world.runner.hold = True
    over = threading.Event()
    threads = [threading.Thread(target=body, daemon=True) for body in duty.bodies(over).values()]
    assert len(threads) == 3, "weather, footage and analyses; no broker"
    for thread in threads:
        thread.start()
    until(lambda: world.runner.specs)
    until(lambda: world.energy.loads[-1] is Load.COMPUTING)
    time.sleep(0.3)
    assert world.energy.loads[-1] is Load.COMPUTING, "as long as the program runs"
    world.busy = True
    until(lambda: world.runner.removed)
    assert "analysis_put_off" in world.events() and duty.store.last_analysis("camera") is None
    assert world.energy.loads[-1] is Load.SENSING, "the camera goes on"
    count = len(world.runner.specs)
    recorded = len(duty.clips.all())  # type: ignore[union-attr]
    until(lambda: len(duty.clips.all()) > recorded + 1)  # type: ignore[union-attr]
    assert len(world.runner.specs) == count, "nothing is analysed while there is paid work"
    world.busy, world.runner.hold, world.runner.program = False, False, lambda _spec: None
    until(lambda: duty.store.last_analysis("camera"))
    world.energy.allowed = False
    until(lambda: "duty_off" in world.events())
    time.sleep(0.3)
    recorded = len(duty.clips.all())  # type: ignore[union-attr]
    readings = duty.store.count(0, 2**40)
    time.sleep(1.3)
    assert len(duty.clips.all()) == recorded, "without the gate's leave the camera is off"  # type: ignore[union-attr]
    assert duty.store.count(0, 2**40) > readings, "readings cost next to nothing and go on"
    assert world.energy.loads[-1] is Load.IDLE
    world.energy.asleep = True
    time.sleep(0.3)
    readings = duty.store.count(0, 2**40)
    time.sleep(0.7)
    assert duty.store.count(0, 2**40) == readings, "asleep nothing is measured"
    over.set()
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()
