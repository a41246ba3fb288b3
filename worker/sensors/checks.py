"""What `doctor` looks at: every instrument, the camera, the broker and the images of the device's own analyses."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from oci.registry import resolve
from poco.errors import PewError
from worker.sensors.camera import create_camera
from worker.sensors.config import Mqtt, Program, SensorsConfig
from worker.sensors.mqtt import check as check_broker
from worker.sensors.weather import create_weather


def examinations(sensors: SensorsConfig, name: str, platform: str) -> list[tuple[str, Callable[[], str]]]:
    """(what, how) for each part of the section; each says what was found or raises PewError with the way out.

    Args:
        sensors: the section.
        name: of the worker.
        platform: for which images are looked up.
    """
    found: list[tuple[str, Callable[[], str]]] = []
    if sensors.weather is not None:
        found += [(f"sensor {backend.kind}", create_weather(backend).check) for backend in sensors.weather.backends]
    if sensors.camera is not None:
        found.append((f"camera {sensors.camera.kind}", create_camera(sensors.camera).check))
    if sensors.mqtt is not None:
        found.append(("mqtt", partial(_broker, sensors.mqtt, name)))
    for what, program in (("motion detection", sensors.motion_detection), ("weather station", sensors.weather_station)):
        if program is not None:
            found.append((what, partial(_image, program, platform)))
    return found


def _broker(config: Mqtt, name: str) -> str:
    path = config.password_file
    if path is not None and path.exists() and path.stat().st_mode & 0o077:
        raise PewError(f"others may read {path}", hint=f"chmod 600 {path}")
    return check_broker(config, name)


def _image(program: Program, platform: str) -> str:
    image = resolve(program.image, platform, program.checksum)
    return f"{program.image} for {platform}, {image.compressed_bytes / 1e6:.1f} MB"
