"""The `sensors` section of the worker's YAML. Every field says why it is as it is; `commented` prints them as YAML."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from poco.wire import Bytes32


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Bme280(_Section):
    """Temperature, humidity and pressure (Bosch BME280) over I2C."""

    kind: Literal["bme280"] = "bme280"
    bus: int = Field(1, ge=0, le=255, description="/dev/i2c-<bus>; the pin header of a Raspberry Pi is bus 1")
    address: int = Field(
        0x76, ge=0x03, le=0x77, description="118 (0x76) with SDO at ground, 119 (0x77) with SDO at 3.3 V"
    )


class Bh1750(_Section):
    """Irradiance from illuminance (Rohm BH1750) over I2C, under a diffuser."""

    kind: Literal["bh1750"] = "bh1750"
    bus: int = Field(1, ge=0, le=255, description="/dev/i2c-<bus>")
    address: int = Field(
        0x23, ge=0x03, le=0x77, description="35 (0x23) with ADDR at ground, 92 (0x5c) with ADDR at 3.3 V"
    )
    lux_per_wm2: float = Field(116.0, gt=0, le=1e6, description="of daylight; a diffuser's loss comes off: calibrate")


class ReferenceCell(_Section):
    """Irradiance from the short-circuit current of a small solar cell, by an INA219 over I2C."""

    kind: Literal["reference-cell"] = "reference-cell"
    bus: int = Field(1, ge=0, le=255, description="/dev/i2c-<bus>")
    address: int = Field(0x40, ge=0x03, le=0x77, description="64 (0x40) without solder bridges on A0 and A1")
    shunt_ohms: float = Field(0.1, gt=0, le=100, description="the resistor on the board")
    amperes_at_1000: float = Field(0.1, gt=0, le=100, description="the cell's short-circuit current at 1000 W/m2")


class Anemometer(_Section):
    """Wind speed and gust from a cup anemometer that closes a contact."""

    kind: Literal["anemometer"] = "anemometer"
    pin: int = Field(5, ge=0, le=53, description="GPIO number (BCM); the other wire goes to ground")
    ms_per_hz: float = Field(0.667, gt=0, le=100, description="m/s at one contact a second, from its data sheet")
    bounce_ms: float = Field(2.0, ge=0, le=1000, description="contacts that follow faster are bounces")


class RainGauge(_Section):
    """Rain from a tipping bucket that closes a contact."""

    kind: Literal["rain"] = "rain"
    pin: int = Field(6, ge=0, le=53, description="GPIO number (BCM); the other wire goes to ground")
    mm_per_tip: float = Field(0.2794, gt=0, le=100, description="from its data sheet")
    bounce_ms: float = Field(100.0, ge=0, le=10_000, description="contacts that follow faster are bounces")


class WindVane(_Section):
    """Wind direction from a vane of sixteen resistances, by an ADS1115 over I2C."""

    kind: Literal["wind-vane"] = "wind-vane"
    bus: int = Field(1, ge=0, le=255, description="/dev/i2c-<bus>")
    address: int = Field(0x48, ge=0x03, le=0x77, description="72 (0x48) with ADDR at ground")
    input: int = Field(0, ge=0, le=3, description="A0 to A3; the vane's other wire goes to ground")
    pull_up_ohms: float = Field(10_000.0, gt=0, le=1e6, description="from the input to the supply")
    supply_volts: float = Field(3.3, gt=0, le=4.0, description="above the pull-up")
    north_deg: float = Field(0.0, ge=0, lt=360, description="where its mark of north points to, degrees from north")


class WeatherReplay(_Section):
    """A recorded CSV, again and again."""

    kind: Literal["replay"] = "replay"
    path: Path = Field(
        Path("weather.csv"), description="columns as in docs/reference/sensors.md; relative to this file"
    )


class WeatherSimulated(_Section):
    """Weather that was never there: a day's course, fronts, gusts and showers from a seed."""

    kind: Literal["simulated"] = "simulated"
    seed: int = Field(1, ge=0, description="the same seed and time give the same weather")


WeatherBackend = Annotated[
    Bme280 | Bh1750 | ReferenceCell | Anemometer | WindVane | RainGauge | WeatherReplay | WeatherSimulated,
    Field(discriminator="kind"),
]


class Weather(_Section):
    """The weather station."""

    backends: tuple[WeatherBackend, ...] = Field(min_length=1, max_length=16)
    sample_seconds: float = Field(60.0, ge=0.1, le=3600, description="how often a reading is taken and kept")
    for_tasks: bool = Field(True, description="give readings to paid tasks that ask for sensor://weather")


class _Pictures(_Section):
    width: int = Field(640, ge=32, le=4096, description="pixels; analysis shrinks larger pictures anyway")
    height: int = Field(480, ge=32, le=4096, description="pixels")
    fps: float = Field(2.0, ge=0.1, le=30, description="pictures a second that are kept")
    clip_seconds: float = Field(60.0, ge=1, le=600, description="one file each; a power cut loses at most the open one")
    for_tasks: bool = Field(
        False, description="let pictures leave this device in paid tasks that ask for sensor://camera"
    )


class RpiCamera(_Pictures):
    """A Raspberry Pi camera module, through libcamera's `rpicam-vid` (or `libcamera-vid`)."""

    kind: Literal["rpicam"] = "rpicam"
    quality: int = Field(70, ge=1, le=100, description="of the JPEGs")
    camera: int = Field(0, ge=0, le=7, description="which one, where there are two")


class V4l2Camera(_Pictures):
    """A USB camera that gives MJPEG, through `v4l2-ctl` (package v4l-utils)."""

    kind: Literal["v4l2"] = "v4l2"
    device: Path = Field(Path("/dev/video0"), description="`v4l2-ctl --list-devices` lists them")
    device_fps: float = Field(10.0, ge=1, le=120, description="what the camera is asked for; fps of them are kept")


class CameraReplay(_Pictures):
    """Recorded footage, again and again: an MJPEG AVI or a folder of JPEGs."""

    kind: Literal["replay"] = "replay"
    path: Path = Field(Path("footage.avi"), description="relative to this file")


class CameraSimulated(_Pictures):
    """A drawn scene in which somebody walks by now and then."""

    kind: Literal["simulated"] = "simulated"
    period_seconds: float = Field(20.0, ge=1, le=3600, description="from one passer-by to the next")


CameraBackend = Annotated[
    RpiCamera | V4l2Camera | CameraReplay | CameraSimulated,
    Field(discriminator="kind"),
]


class Keep(_Section):
    """How much is kept on the device; the oldest goes first."""

    days: float = Field(365.0, gt=0, le=36_500, description="of readings")
    readings_mb: float = Field(64.0, ge=1, le=1_048_576, description="readings, analyses and unsent messages")
    clips_mb: float = Field(256.0, ge=1, le=1_048_576, description="footage")
    results_mb: float = Field(128.0, ge=1, le=1_048_576, description="what the analyses wrote")
    unsent: int = Field(20_000, ge=1, le=10_000_000, description="messages that wait for the broker")


class Mqtt(_Section):
    """A broker, and what is published there. Nothing of the camera unless it is named in `publish`."""

    host: str = Field("127.0.0.1", min_length=1, description="of the broker")
    port: int = Field(1883, ge=1, le=65_535, description="8883 with tls")
    tls: bool = Field(False, description="check the broker's certificate against this system's authorities")
    username: str = Field("", description="empty: none")
    password_file: Path | None = Field(None, description="chmod 600; relative to this file")
    topic: str = Field(
        "pew", pattern=r"^[^/+#\s][^+#\s]*$", description="messages go to <topic>/<name of the worker>/..."
    )
    discovery_prefix: str = Field(
        "homeassistant", pattern=r"^[^/+#\s]*$", description="of Home Assistant; empty: no discovery"
    )
    publish: tuple[Literal["weather", "motion", "pictures"], ...] = Field(
        ("weather",), description="motion: when something moved; pictures: what moved"
    )
    keepalive_seconds: int = Field(30, ge=5, le=3600, description="how soon a lost device is noticed")


class Program(_Section):
    """A dapp that this device runs for itself, as it is registered on chain."""

    image: str = Field(min_length=1, description="host[:port]/repo:tag")
    checksum: Bytes32 = Field(description="sha256 of its index: `pew app show` prints it")
    args: str = Field("", max_length=4096, description="command line, split as a shell would")
    seconds: int = Field(300, ge=1, le=86_400, description="longest run")


class WeatherProgram(Program):
    """The weather station's analysis."""

    every_seconds: int = Field(3600, ge=1, le=86_400, description="from one run to the next")
    last_seconds: int = Field(86_400, ge=1, le=30 * 86_400, description="the readings it is given")


class SensorsConfig(_Section):
    """Sensors of this device, what is kept and sent of them, and what is computed on them."""

    weather: Weather | None = None
    camera: CameraBackend | None = None
    keep: Keep = Keep()
    mqtt: Mqtt | None = None
    motion_detection: Program | None = Field(None, description="run on every clip of the camera")
    weather_station: WeatherProgram | None = Field(None, description="run on the latest readings")

    @model_validator(mode="after")
    def _complete(self) -> SensorsConfig:
        for program, sensor, name in (
            (self.motion_detection, self.camera, "camera"),
            (self.weather_station, self.weather, "weather"),
        ):
            if program is not None and sensor is None:
                raise ValueError(f"{program.image} needs a `{name}` section")
        return self

    def at(self, base: Path) -> SensorsConfig:
        """The same with paths that are relative to `base`."""
        changes: dict[str, Any] = {}
        if self.weather is not None:
            backends = tuple(_placed(backend, base) for backend in self.weather.backends)
            changes["weather"] = self.weather.model_copy(update={"backends": backends})
        if self.camera is not None:
            changes["camera"] = _placed(self.camera, base)
        if self.mqtt is not None:
            changes["mqtt"] = _placed(self.mqtt, base)
        return self.model_copy(update=changes)


def _placed(section: Any, base: Path) -> Any:
    found = {name: getattr(section, name, None) for name in ("path", "password_file")}
    return section.model_copy(update={n: base / p.expanduser() for n, p in found.items() if isinstance(p, Path)})


#: Where each part stands in the YAML; the parts that are one of several carry their `kind`.
WEATHER_BACKENDS: tuple[type[BaseModel], ...] = (
    Bme280,
    Bh1750,
    ReferenceCell,
    Anemometer,
    WindVane,
    RainGauge,
    WeatherReplay,
    WeatherSimulated,
)
CAMERA_BACKENDS: tuple[type[BaseModel], ...] = (RpiCamera, V4l2Camera, CameraReplay, CameraSimulated)


def commented() -> str:
    """The whole section as YAML with every default and its comment; alternatives stand one after the other."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "sensors:"
    yield from ("  weather:", *_fields(Weather, "    "), "    backends:  # one or more")
    for backend in WEATHER_BACKENDS:
        yield f"      # {_said(backend)}"
        first, *rest = _fields(backend, "        ")
        yield from ("      - " + first.strip(), *rest)
    for number, camera in enumerate(CAMERA_BACKENDS):
        yield f"  # {_said(camera)}"
        off = "  # " if number else "  "
        yield from (off + line for line in ("camera:", *_fields(camera, "  ")))
    for name, part in (("keep", Keep), ("mqtt", Mqtt)):
        yield from (f"  # {_said(part)}", f"  {name}:", *_fields(part, "    "))
    for name, program in (("motion_detection", Program), ("weather_station", WeatherProgram)):
        yield from (f"  # {_said(program)}", f"  # {name}:", *("  # " + line for line in _fields(program, "  ")))


def _said(part: type[BaseModel]) -> str:
    return (part.__doc__ or "").strip().splitlines()[0]


def _fields(part: type[BaseModel], indent: str) -> Iterator[str]:
    for name, field in sorted(part.model_fields.items(), key=lambda item: item[0] != "kind"):
        if name == "backends":
            continue
        value = '""' if field.is_required() else _yaml(field.default)
        why = f"  # {field.description}" if field.description else ""
        yield f"{indent}{name}: {value}{why}"


def _yaml(value: Any) -> str:
    if isinstance(value, Path):
        return str(value)
    return json.dumps(list(value) if isinstance(value, tuple) else value)
