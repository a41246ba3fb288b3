"""Takes readings and records footage: two loops, each for a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from poco.errors import PewError
from worker.i2c import DeviceError
from worker.log import Log
from worker.sensors.clips import Clips
from worker.sensors.config import CameraBackend, Weather
from worker.sensors.homeassistant import Topics, weather_state
from worker.sensors.protocol import Camera
from worker.sensors.reading import COLUMNS
from worker.sensors.store import Message, Store
from worker.sensors.weather import Station

_PRUNE_SECONDS = 600.0
_IDLE_SECONDS = 0.5
_TROUBLE_SECONDS = 10.0


class Sampler:
    """Keeps a reading every so often, and queues it for the broker.

    Args:
        config: the `weather` section.
        store: where readings go.
        topics: where they are published; None: nowhere.
        log: told when an instrument fails, and when it works again.
        wake: called when something was queued.
    """

    def __init__(
        self, config: Weather, store: Store, topics: Topics | None, log: Log, wake: Callable[[], None]
    ) -> None:
        self._seconds, self._store, self._topics, self._log, self._wake = (
            config.sample_seconds, store, topics, log, wake
        )  # fmt: skip
        self._station = Station(config)
        self._troubles: dict[str, str] = {}

    def run(self, over: threading.Event, awake: Callable[[], bool]) -> None:
        """Sample until `over`, while the device is awake."""
        pruned = float("-inf")
        try:
            while not over.is_set():
                if awake():
                    self.sample(time.time())
                if time.monotonic() - pruned > _PRUNE_SECONDS:
                    pruned = time.monotonic()
                    self._store.prune(time.time())
                over.wait(self._seconds - time.time() % self._seconds)
        finally:
            self._station.close()

    def sample(self, now: float) -> None:
        """Take one reading and keep it; one in which nothing is known is no reading."""
        reading = self._station.read(now)
        self._tell(self._station.troubles)
        if all(reading[name] is None for name in COLUMNS):
            return
        at, topics = int(now), self._topics

        def say(rain_total_mm: float) -> tuple[Message, ...]:
            return (weather_state(topics, at, reading, rain_total_mm),) if topics is not None else ()

        self._store.reading_kept(at, reading, say)
        self._wake()

    def _tell(self, troubles: dict[str, str]) -> None:
        for name, why in troubles.items():
            if self._troubles.get(name) != why:
                self._log.warning("sensor_fails", sensor=name, why=why)
        for name in self._troubles.keys() - troubles.keys():
            self._log.info("sensor_works", sensor=name)
        self._troubles = dict(troubles)


class Recorder:
    """Keeps footage in clips while it is allowed to.

    Args:
        config: the `camera` section.
        camera: made of it.
        clips: where footage goes.
        log: told when the camera fails, and when it works again.
    """

    def __init__(self, config: CameraBackend, camera: Camera, clips: Clips, log: Log) -> None:
        self._config, self._camera, self._clips, self._log = config, camera, clips, log
        self._trouble = ""

    def run(self, over: threading.Event, allowed: Callable[[], bool]) -> None:
        """Record until `over`, while it is allowed; the camera is off at other times."""
        try:
            while not over.is_set():
                if not allowed():
                    self._camera.close()
                    over.wait(_IDLE_SECONDS)
                elif not self._try(over, allowed):
                    over.wait(_TROUBLE_SECONDS)
        finally:
            self._camera.close()

    def _try(self, over: threading.Event, allowed: Callable[[], bool]) -> bool:
        try:
            self.record(lambda: allowed() and not over.is_set())
        except (PewError, OSError) as error:
            if str(error) != self._trouble:
                self._trouble = str(error)
                self._log.warning("sensor_fails", sensor="camera", why=self._trouble)
            with suppress(OSError):
                self._camera.close()
            return False
        if self._trouble:
            self._trouble = ""
            self._log.info("sensor_works", sensor="camera")
        return True

    def record(self, going: Callable[[], bool]) -> None:
        """One clip, shorter where `going` says no; raises what the camera or the disk says."""
        step, start, began = 1.0 / self._config.fps, time.time(), time.monotonic()
        with self._clips.begin(self._config.width, self._config.height) as writer:
            ticks, spent = 0, 0.0  # by the steady clock: the other one jumps when the network sets it
            while going() and not writer.full and spent < self._config.clip_seconds:
                picture = self._camera.frame(max(2.0, 2.0 * step))
                if picture is not None:
                    writer.add(picture)
                ticks += 1
                spent = time.monotonic() - began
                late = spent - ticks * step
                if late < 0:
                    time.sleep(-late)
                elif late > step:
                    ticks = int(spent / step)
            if not writer.frames and spent >= self._config.clip_seconds:
                raise DeviceError(
                    f"the camera gave no picture in {spent:.0f} s", "it is switched off and on again; check its cable"
                )
            self._clips.end(writer, start, start + time.monotonic() - began)
