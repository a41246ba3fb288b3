"""The device at work for itself: it samples, records, analyses its own footage and readings, and publishes.

Analyses are the same images that paid tasks run, in the same hardened containers. They run one at a time, only while
the energy gate allows it and no paid work is at hand: when some comes, an analysis is given up and done again later.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from poco.errors import Cause, PewError
from poco.result import ResultError
from poco.sensors import SensorRequest
from worker.config import WorkerConfig
from worker.energy import Load, Sensing
from worker.log import Log
from worker.runner.errors import Interrupted, RunError
from worker.runner.folders import TaskFolder
from worker.runner.outputs import OutFolder, require_size, write_zip
from worker.runner.protocol import Control, Runner, RunSpec
from worker.sensors.camera import create_camera
from worker.sensors.clips import Clip, Clips
from worker.sensors.config import Program, SensorsConfig
from worker.sensors.homeassistant import Topics, discovery, motion_state
from worker.sensors.inputs import SensorInputs
from worker.sensors.mqtt import Publisher
from worker.sensors.station import Recorder, Sampler
from worker.sensors.store import Message, Store

_LOOK_SECONDS = 0.5
_RETRY_SECONDS = 60.0
_DAY = 86_400
_MB = 1_000_000
_MAX_SUMMARY = 256 * 1024
_MAX_PICTURE = 1024 * 1024
#: What says something about the program or its input: done again, it would end the same way.
_LASTING = frozenset(
    {Cause.APP_COMPUTE_FAILED, Cause.APP_COMPUTE_TIMEOUT, Cause.OUTPUT_TOO_LARGE, Cause.TASK_DESCRIPTION_INVALID}
)


class EnergyBudget(Protocol):
    """The energy gate as the duty sees it (`worker.power.Power`)."""

    def sense(self) -> Sensing: ...

    @property
    def asleep(self) -> bool: ...

    def doing(self, duty: Load) -> None: ...


@dataclass(frozen=True, slots=True)
class Job:
    """An analysis to make: `kind` is the sensor, `start` and `end` the span in Unix seconds."""

    kind: str
    program: Program
    start: float
    end: float
    clip: Clip | None = None


def next_job(
    config: SensorsConfig, store: Store, clips: Clips | None, now: float, put_off: Collection[str] = ()
) -> Job | None:
    """The analysis that is due: the readings when their time has come, else the oldest clip that was not analysed.

    Args:
        config: what is to be analysed, and how often.
        store: what was.
        clips: the footage.
        now: Unix seconds.
        put_off: sensors whose turn it is not.
    """
    program = config.weather_station
    if program is not None and "weather" not in put_off:
        done = store.last_analysis("weather")
        start = now - program.last_seconds
        if (done is None or now - done[1] >= program.every_seconds) and store.count(int(start), int(now)) > 1:
            return Job("weather", program, start, now)
    if config.motion_detection is not None and clips is not None and "camera" not in put_off:
        done = store.last_analysis("camera")
        clip = clips.after(done[0] if done else 0.0)
        if clip is not None:
            return Job("camera", config.motion_detection, clip.start, clip.end, clip)
    return None


class Duty:
    """Everything a worker does with its `sensors` section.

    Args:
        config: the worker's; its `sensors` must be there.
        runner: runs containers.
        energy: whether, and what it costs.
        busy: whether paid work is at hand.
        log: the worker's.
    """

    def __init__(
        self, config: WorkerConfig, runner: Runner, energy: EnergyBudget, busy: Callable[[], bool], log: Log
    ) -> None:
        if config.sensors is None:
            raise PewError("no sensors are configured", hint="add a `sensors` section")
        self._config, self._sensors = config, config.sensors
        self._runner, self._energy, self._busy, self._log = runner, energy, busy, log
        sensors, folder, mqtt = config.sensors, config.data_dir / "sensors", config.sensors.mqtt
        self._folder = folder
        self.store = Store(folder / "readings.db", sensors.keep)
        if self.store.set_aside is not None:
            log.error("readings_damaged", set_aside=str(self.store.set_aside))
        camera = sensors.camera
        self.clips = Clips(folder / "clips", sensors.keep.clips_mb) if camera is not None else None
        self.inputs = SensorInputs(sensors, self.store, self.clips)
        self._topics = Topics(mqtt, config.name) if mqtt is not None else None
        self._published = frozenset(mqtt.publish) if mqtt is not None else frozenset()
        self._publisher = None
        if mqtt is not None:
            hello = [message for message in (discovery(sensors, mqtt, config.name),) if message is not None]
            self._publisher = Publisher(mqtt, config.name, hello, self.store, log)
        self._sampler = None
        if sensors.weather is not None:
            topics = self._topics if "weather" in self._published else None
            self._sampler = Sampler(sensors.weather, self.store, topics, log, self._wake)
        self._recorder = None
        if camera is not None and self.clips is not None:
            self._recorder = Recorder(camera, create_camera(camera), self.clips, log)
        self._sensing = Sensing(False, "the energy gate was not asked yet", "it is")
        self._computing = False
        self._images: dict[str, str] = {}
        self._retry_at: dict[str, float] = {}

    def bodies(self, over: threading.Event) -> dict[str, Callable[[], None]]:
        """What is to run in threads, by name, until `over`."""
        sampler, recorder, publisher = self._sampler, self._recorder, self._publisher
        bodies: dict[str, Callable[[], None]] = {"duty": lambda: self._run(over)}
        if sampler is not None:
            bodies["weather"] = lambda: sampler.run(over, lambda: not self._energy.asleep)
        if recorder is not None:
            bodies["footage"] = lambda: recorder.run(over, lambda: self._sensing.allowed)
        if publisher is not None:
            bodies["mqtt"] = lambda: publisher.run(over)
        return bodies

    def _wake(self) -> None:
        if self._publisher is not None:
            self._publisher.wake()

    def _run(self, over: threading.Event) -> None:
        for left in self._analyses.iterdir() if self._analyses.exists() else ():
            TaskFolder(self._analyses, left.name).remove()
        while not over.wait(_LOOK_SECONDS):
            if not self._may_work():
                continue
            put_off = {kind for kind, at in self._retry_at.items() if time.monotonic() < at}
            job = next_job(self._sensors, self.store, self.clips, time.time(), put_off)
            if job is not None:
                self._computing = True
                try:
                    self.analyse(job, lambda: over.is_set() or not self._may_work())
                finally:
                    self._computing = False
        self._energy.doing(Load.IDLE)

    @property
    def _analyses(self) -> Path:
        return self._config.data_dir / "duty"

    def _may_work(self) -> bool:
        """Ask the gate, switch the camera accordingly, and see whether an analysis may run."""
        before, self._sensing = self._sensing, self._energy.sense()
        if before.allowed is not self._sensing.allowed:
            event = "duty_on" if self._sensing.allowed else "duty_off"
            self._log.info(event, reason=self._sensing.reason, until=self._sensing.until)
        may = self._sensing.allowed and not self._busy()
        if may and self._computing:
            self._energy.doing(Load.COMPUTING)
        else:
            recording = self._sensing.allowed and self._recorder is not None
            self._energy.doing(Load.SENSING if recording else Load.IDLE)
        return may

    def analyse(self, job: Job, stop: Callable[[], bool]) -> None:
        """Run a program on a span of the device's own data, and keep what it finds. Never raises for its failures."""
        name = "0x" + hashlib.sha256(f"{job.kind}/{job.start}".encode()).hexdigest()
        folder = TaskFolder(self._analyses, name)
        try:
            self._attempt(job, name, folder, stop)
        except Interrupted:
            self._log.info("analysis_put_off", sensor=job.kind)
        except (RunError, ResultError) as error:
            cause = error.cause
            self._log.warning("analysis_failed", sensor=job.kind, cause=cause, why=str(error))
            if cause in _LASTING:
                self.store.analysed(job.kind, job.start, job.end, {"failed": cause, "why": error.message[:300]})
            else:
                self._images.clear()
                self._retry_at[job.kind] = time.monotonic() + _RETRY_SECONDS
        except (PewError, OSError) as error:
            self._log.warning("analysis_failed", sensor=job.kind, why=str(error))
            self._retry_at[job.kind] = time.monotonic() + _RETRY_SECONDS
        finally:
            with suppress(RunError):
                self._runner.remove(name)
            folder.remove()

    def _attempt(self, job: Job, name: str, folder: TaskFolder, stop: Callable[[], bool]) -> None:
        began, program = time.time(), job.program
        key = f"{program.image}@{program.checksum}"
        if key not in self._images:
            self._images[key] = self._runner.pull(program.image, program.checksum, stop)
        folder.make()
        self._input(job, folder.inputs / job.kind)
        spec = RunSpec(
            task_id=name,
            image=self._images[key],
            argv=shlex.split(program.args),
            env=_environment(name, job.kind),
            folder=folder,
            seconds=program.seconds,
            deadline=int(began) + _DAY,
        )
        self._runner.run(spec, Control(stop, lambda: False))
        limits, tree = self._config.docker, OutFolder(folder.out)
        require_size(folder.out, limits.output_mb * 1_048_576, limits.output_files)
        results = self._folder / "results"
        results.mkdir(parents=True, exist_ok=True, mode=0o700)
        archive = results / f"{job.kind}-{round(job.start * 1000):013d}.zip"
        write_zip(tree, tree.files(), archive)
        found, messages = self._found(job, tree)
        self.store.analysed(job.kind, job.start, job.end, {**found, "result": archive.name}, *messages)
        self._wake()
        _trim(results, int(self._sensors.keep.results_mb * _MB))
        self._log.info("analysed", sensor=job.kind, seconds=round(time.time() - began, 1), **found)

    def _input(self, job: Job, target: Path) -> None:
        if job.clip is None:
            self.inputs.write(SensorRequest(job.kind, int(job.end - job.start)), target, job.end)
            return
        try:
            target.hardlink_to(job.clip.path)
        except FileNotFoundError:
            raise Interrupted from None  # pruned meanwhile
        target.chmod(0o644)

    def _found(self, job: Job, tree: OutFolder) -> tuple[dict[str, Any], list[Message]]:
        """What is worth keeping of a result in a few words, and what is published of it."""
        topics, messages = self._topics, []
        if job.kind == "weather":
            summary = _content(tree, PurePosixPath("summary.json"), _MAX_SUMMARY)
            if summary and topics is not None and "weather" in self._published:
                messages.append(Message(topics.summary, summary, retain=True))
            return {"summary": bool(summary)}, messages
        said = _json(_content(tree, PurePosixPath("events.json"), _MAX_SUMMARY))
        events = said.get("events")
        count = len(events) if isinstance(events, list) else 0
        if topics is not None and "motion" in self._published:
            messages.append(motion_state(topics, job.start, job.end, count))
        if topics is not None and "pictures" in self._published:
            pictures = (path for path in tree.files() if path.suffix == ".jpg")
            first = next(pictures, None)
            picture = _content(tree, first, _MAX_PICTURE) if first is not None else b""
            if picture:
                messages.append(Message(topics.picture, picture))
        return {"events": count}, messages


def _environment(name: str, kind: str) -> dict[str, str]:
    """iExec's variables, as for a task with one input file."""
    return {
        "IEXEC_TASK_ID": name,
        "IEXEC_IN": "/iexec_in",
        "IEXEC_OUT": "/iexec_out",
        "IEXEC_INPUT_FILES_FOLDER": "/iexec_in",
        "IEXEC_INPUT_FILES_NUMBER": "1",
        "IEXEC_INPUT_FILE_NAME_1": kind,
    }


def _content(tree: OutFolder, path: PurePosixPath, most: int) -> bytes:
    """A file's bytes; empty where it is missing or larger than `most`."""
    content = bytearray()
    for chunk in tree.chunks(path):
        content += chunk
        if len(content) > most:
            return b""
    return bytes(content)


def _json(text: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _trim(folder: Path, keep: int) -> None:
    """Remove the oldest results until the rest is within the budget."""
    files = sorted(folder.glob("*.zip"), key=lambda path: path.stat().st_mtime)
    total = sum(path.stat().st_size for path in files)
    for path in files[:-1]:
        if total <= keep:
            break
        total -= path.stat().st_size
        path.unlink()
