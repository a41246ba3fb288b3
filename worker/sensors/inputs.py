"""Readings and footage as files: for paid tasks that ask for `sensor://...`, and for their owner."""

from __future__ import annotations

from pathlib import Path

from poco.errors import Cause, PewError
from poco.sensors import SensorRequest
from worker.runner.errors import RunError
from worker.sensors.clips import Clips, join
from worker.sensors.config import SensorsConfig
from worker.sensors.reading import to_csv
from worker.sensors.store import Store


class SensorInputs:
    """What this device can give of its sensors.

    Args:
        config: what there is, and what may leave the device.
        store: the readings.
        clips: the footage; None without a camera.
    """

    def __init__(self, config: SensorsConfig, store: Store, clips: Clips | None) -> None:
        self._config, self._store, self._clips = config, store, clips

    def lacking(self, request: SensorRequest, now: float) -> str:
        """Why a task cannot have what it asks for; empty when it can."""
        sensor = self._config.weather if request.kind == "weather" else self._config.camera
        if sensor is None:
            return f"this device has no {request.kind} sensor"
        if not sensor.for_tasks:
            return f"this device keeps what its {request.kind} sensor sees to itself"
        if not self._available(request, now):
            return f"this device has nothing of its {request.kind} sensor from the last {request.last} s"
        return ""

    def _available(self, request: SensorRequest, now: float) -> bool:
        if request.kind == "weather":
            return self._store.count(int(now) - request.last, int(now)) > 0
        camera = self._config.camera
        if self._clips is None or camera is None:
            return False
        return bool(self._clips.latest(request.last, now, camera.clip_seconds))

    def give(self, request: SensorRequest, target: Path, now: float) -> None:
        """Write what a task asks for.

        Raises:
            RunError: INPUT_FILES_DOWNLOAD_FAILED, when this device cannot give it (any more).
        """
        trouble = self.lacking(request, now)
        if trouble:
            raise RunError(Cause.INPUT_FILES_DOWNLOAD_FAILED, trouble, "ask a device that has it")
        self.write(request, target, now)

    def write(self, request: SensorRequest, target: Path, now: float) -> int:
        """Write the last readings (CSV) or footage (MJPEG AVI); returns how many readings or pictures that were.

        Raises:
            PewError: there are none.
        """
        if request.kind == "weather":
            rows = self._store.readings(int(now) - request.last, int(now))
            with target.open("w", encoding="utf-8", newline="") as file:
                count = sum(1 for line in to_csv(rows) if file.write(line)) - 1
        else:
            camera = self._config.camera
            if self._clips is None or camera is None:
                raise PewError("this device has no camera", hint="add sensors.camera to its configuration")
            clips = self._clips.latest(request.last, now, camera.clip_seconds)
            count = join(clips, target, camera.width, camera.height) if clips else 0
        if not count:
            target.unlink(missing_ok=True)
            raise PewError(
                f"there is nothing of the {request.kind} sensor from the last {request.last} s",
                hint="let the worker run with its sensors, or ask for more seconds",
            )
        target.chmod(0o644)
        return count
