"""The worker's YAML file."""

from __future__ import annotations

import os
import platform as machine
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from chain.settings import Endpoints, FeeSettings
from oci.platform import normalise
from oci.platform import parse as parse_platform
from poco.commands import CommandKind
from poco.errors import BadInputError
from poco.wire import Address, Declaration, Site
from worker.energy import EnergyConfig
from worker.sensors.config import SensorsConfig

NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DockerLimits(_Section):
    """What a stranger's container may use. `network_apps`: who may have the network, if its image asks."""

    memory_mb: int = Field(256, ge=8, le=1_048_576)
    cpus: float = Field(1.0, gt=0, le=1024)
    pids: int = Field(64, ge=4, le=65_536)
    tmp_mb: int = Field(16, ge=1, le=65_536)
    output_mb: int = Field(64, ge=1, le=1_048_576)
    output_files: int = Field(2000, ge=2, le=1_000_000)
    image_mb_max: int = Field(512, ge=1, le=1_048_576, description="compressed, as pulled")
    image_unpacked_mb_max: int = Field(2048, ge=1, le=1_048_576)
    images_keep_mb: int = Field(4096, ge=0, description="unpacked images kept for the next task")
    pull_seconds: int = Field(900, ge=10, le=86_400)
    network_apps: tuple[Address, ...] = ()


class FetchLimits(_Section):
    """What is downloaded for a task: datasets and input files."""

    file_mb: int = Field(256, ge=1, le=1_048_576)
    total_mb: int = Field(1024, ge=1, le=1_048_576)
    seconds: int = Field(900, ge=1, le=86_400)
    ipfs_gateways: tuple[str, ...] = ()
    allow_private_addresses: bool = Field(
        False, description="let tasks read from this machine and its network: for trials only"
    )


class LiveLogs(_Section):
    """When the scheduler is first told what a program writes, and how soon again at most."""

    first_seconds: float = Field(10.0, ge=0.1, le=86_400)
    shortest_seconds: float = Field(5.0, ge=0.1, le=86_400)


class Fees(FeeSettings):
    """What gas may cost, and what the native coin is worth."""

    nrlc_per_native: int = Field(0, ge=0, description="nRLC that one whole native coin is worth; 0: gas is free")


class MessagingConfig(_Section):
    """The pool's MQTT broker beside HTTP, where the pool has one; its address and password come from the scheduler."""

    ca_file: Path | None = Field(None, description="PEM: who may vouch for the broker; None: the system's")
    plain: bool = Field(False, description="use a broker without TLS too: for trials only")


class WorkerConfig(Endpoints):
    """Everything that one worker is told. Paths are relative to the file they stand in."""

    scheduler_url: str
    deployment: Path
    keystore: Path
    password_file: Path
    data_dir: Path
    name: Annotated[str, Field(pattern=NAME)]
    workerpool: Address
    platform: str = Field("", validate_default=True)
    runtime: Literal["auto", "docker", "bubblewrap"] = "auto"
    slots: int = Field(1, ge=1, le=256)
    operator_file: Path | None = Field(None, description="says whose this worker is: pew wallet declare")
    site: Site | None = Field(None, description="where it stands, for the map of its pool; None: it does not say")
    stake_nrlc: int = Field(0, ge=0, description="kept in the escrow: what is lacking is deposited from the wallet")
    ca_file: Path | None = Field(None, description="PEM: who may vouch for the scheduler; None: the system's")
    docker_host: str | None = None
    docker: DockerLimits = DockerLimits()
    fetch: FetchLimits = FetchLimits()
    live_logs: LiveLogs = LiveLogs()
    fees: Fees = Fees()
    energy: EnergyConfig = EnergyConfig()
    sensors: SensorsConfig | None = None
    messaging: MessagingConfig | None = None
    poll_seconds: int = Field(20, ge=1, le=120)
    watch_seconds: float = Field(10.0, gt=0, le=600)
    meter_seconds: float = Field(1.0, gt=0, le=60)
    drain_seconds: float = Field(60.0, ge=0, le=3600)
    telemetry_seconds: int = Field(3600, ge=900, le=86_400, description="quarter hours told together")
    obeys: tuple[CommandKind, ...] = Field(tuple(CommandKind), description="what the pool's operator may ask for")

    @field_validator("scheduler_url")
    @classmethod
    def _url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("an address starts with http:// or https://")
        return value.rstrip("/")

    def declaration(self) -> Declaration | None:
        """Whose this worker is, signed by its operator."""
        if self.operator_file is None:
            return None
        try:
            return Declaration.model_validate_json(self.operator_file.read_bytes())
        except (OSError, ValidationError) as error:
            raise BadInputError(
                f"operator_file {self.operator_file} holds no declaration: {str(error).splitlines()[0]}",
                hint="make it with the operator's wallet: pew wallet declare",
            ) from None

    @field_validator("platform")
    @classmethod
    def _platform(cls, value: str) -> str:
        try:
            return str(parse_platform(value)) if value else str(normalise("linux", machine.machine()))
        except BadInputError as error:
            raise ValueError(str(error)) from None


def load(path: Path) -> WorkerConfig:
    """Read a configuration; BadInputError names every wrong line and what it should be."""
    try:
        data = yaml.safe_load(path.read_text())
    except OSError as error:
        raise BadInputError(
            f"cannot read {path}: {error.strerror}", hint="docs/reference/worker.md has an example to start from"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInputError(f"{path} is not YAML: {str(error).splitlines()[0]}", hint="check its indentation") from None
    if not isinstance(data, dict):
        raise BadInputError(f"{path} holds no settings", hint="docs/reference/worker.md has an example to start from")
    try:
        config = WorkerConfig.model_validate(data)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(str(part) for part in item['loc'])}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors()
        )
        raise BadInputError(f"{path}: {wrong}", hint="see docs/reference/worker.md") from None
    base = path.resolve().parent
    places: dict[str, Any] = {
        key: Path(os.path.normpath(base / getattr(config, key).expanduser()))
        for key in ("deployment", "keystore", "password_file", "data_dir")
    }
    if config.operator_file is not None:
        places["operator_file"] = Path(os.path.normpath(base / config.operator_file.expanduser()))
    if config.ca_file is not None:
        places["ca_file"] = Path(os.path.normpath(base / config.ca_file.expanduser()))
        if not places["ca_file"].is_file():
            raise BadInputError(f"ca_file: there is no {places['ca_file']}", hint="copy the pool's certificate there")
    if config.messaging is not None and config.messaging.ca_file is not None:
        vouches = Path(os.path.normpath(base / config.messaging.ca_file.expanduser()))
        places["messaging"] = config.messaging.model_copy(update={"ca_file": vouches})
    if config.energy.forecast is not None:
        forecast = Path(os.path.normpath(base / config.energy.forecast.expanduser()))
        places["energy"] = config.energy.model_copy(update={"forecast": forecast})
    if config.sensors is not None:
        places["sensors"] = config.sensors.at(base)
    return config.model_copy(update=places)
