"""`scheduler.yaml`: one file says all; what is wrong in it is said by name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from sqlalchemy import URL

from chain.settings import Endpoints, FeeSettings
from poco.errors import BadInputError
from poco.wire import Address
from scheduler import postgres
from scheduler.offers import Template
from scheduler.owners import OwnerRule

Port = Annotated[int, Field(ge=1, le=65535)]
Span = Annotated[float, Field(gt=0, le=86_400)]


class Tls(BaseModel):
    """PEM files; both are needed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    certificate: Path
    key: Path


class Keep(BaseModel):
    """How long what is kept (days after a task's final deadline), and how many bytes of results; 0: as many as come."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    result_days: Annotated[int, Field(ge=0, le=36_500)] = 30
    result_bytes: Annotated[int, Field(ge=0, le=2**50)] = 0
    log_days: Annotated[int, Field(ge=0, le=36_500)] = 3
    #: quarter hours that workers tell of; of one worker at most a month of them
    telemetry_days: Annotated[int, Field(ge=1, le=36_500)] = 31
    #: files that requesters send for their tasks: days, and bytes of one wallet and of all; 0 bytes: none are taken
    input_days: Annotated[int, Field(ge=0, le=36_500)] = 7
    input_wallet_bytes: Annotated[int, Field(ge=0, le=2**50)] = 2**30
    input_bytes: Annotated[int, Field(ge=0, le=2**50)] = 10 * 2**30


class BrokerConfig(BaseModel):
    """An MQTT broker beside the pool: where it is (`public_*`: for workers), and who may use it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str
    port: Port = 8883
    public_host: str = ""
    public_port: Port | None = None
    tls: bool = True
    #: PEM: who may vouch for the broker; the system's authorities where empty
    ca_file: Path | None = None
    #: the scheduler writes it for the broker; where `pid_file` names its process Mosquitto gets SIGHUP, NATS SIGTERM
    users_file: Path | None = None
    users_format: Literal["mosquitto", "nats"] = "mosquitto"
    pid_file: Path | None = None
    #: told to workers: how often a connection says that it lives
    keepalive_seconds: Annotated[int, Field(ge=10, le=3600)] = 300
    #: told to workers: how long those without a task may have a poll held while they are connected
    poll_seconds: Annotated[int, Field(ge=0, le=3600)] = 1800


class Config(Endpoints):
    """All settings. Relative paths are relative to the configuration file; spans are seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    deployment: Path
    workerpool: Address
    keystore: Path
    password_file: Path
    data_dir: Path
    #: PostgreSQL, for several schedulers of one pool (postgresql://user@host/name); SQLite in `data_dir` where empty
    database_url: str = ""
    database_password_file: Path | None = None
    #: results, logs and ledgers; the same folder for all schedulers of a pool, `data_dir` where there is one
    shared_dir: Path | None = None
    #: how long the pool is without a leader after its process has died
    lease_seconds: Annotated[float, Field(ge=1, le=300)] = 10
    host: str = "127.0.0.1"
    port: Port = 8400
    tls: Tls | None = None
    #: where clients reach this scheduler, where that is not the address they asked (behind a proxy)
    public_url: Annotated[str, Field(pattern=r"^https?://[^/]+/?$")] | None = None
    #: how long a poll is held open where nothing happens, told to workers
    poll_seconds: Annotated[int, Field(ge=1, le=120)] = 20
    #: how many polls are held open at once; more are sent away with `Retry-After`
    max_open_polls: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    #: how often the chain is asked for new blocks
    chain_poll_seconds: Span = 0.5
    #: silence after which a worker is UNKNOWN, and after which its tasks go to others
    unknown_after: Span = 30
    lost_after: Span = 120
    fees: FeeSettings = FeeSettings()
    max_result_bytes: Annotated[int, Field(ge=1024, le=2**40)] = 256 * 2**20
    retention: Keep = Keep()
    #: wallets that may log in; all where empty
    allowed_workers: list[Address] = Field(default_factory=list)
    #: MQTT beside HTTP; none where it is left out
    broker: BrokerConfig | None = None
    #: wallets that may command the pool's workers and log in to its page; the scheduler's own where empty
    operators: list[Address] = Field(default_factory=list)
    #: what the pool sells: the scheduler keeps an order for each of these in its book
    orders: tuple[Template, ...] = ()
    #: whose workers are taken for one owner's: no owner gets two votes on a task
    owners: OwnerRule = OwnerRule()

    @property
    def database(self) -> Path | URL:
        """The file of SQLite, or the address of PostgreSQL with its password."""
        if not self.database_url:
            return self.data_dir / "scheduler.db"
        return postgres.with_password(postgres.parse(self.database_url), self.database_password_file)

    @property
    def files(self) -> Path:
        """The folder of results, logs and ledgers."""
        return self.shared_dir or self.data_dir

    @field_validator("lost_after")
    @classmethod
    def _after_unknown(cls, value: float, info: object) -> float:
        unknown = getattr(info, "data", {}).get("unknown_after", 0)
        if value <= unknown:
            raise ValueError(f"must be longer than unknown_after ({unknown:g})")
        return value


def load(path: Path) -> Config:
    """Read and check the file; BadInputError names the setting that is wrong."""
    try:
        data = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise BadInputError(f"there is no configuration {path}", hint="see docs/reference/scheduler.md") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInputError(f"{path} cannot be read: {error}", hint="it must be YAML") from None
    if not isinstance(data, dict):
        raise BadInputError(f"{path} holds no settings", hint="see docs/reference/scheduler.md")
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'settings'}: {e['msg']}" for e in error.errors())
        raise BadInputError(f"{path}: {said}", hint="see docs/reference/scheduler.md") from None
    base = path.resolve().parent
    where: dict[str, object] = {
        name: base / getattr(config, name) for name in ("deployment", "keystore", "password_file", "data_dir")
    }
    for name in ("database_password_file", "shared_dir"):
        if getattr(config, name):
            where[name] = base / getattr(config, name)
    if config.database_url:
        postgres.parse(config.database_url)
    if config.broker:
        named = {key: getattr(config.broker, key) for key in ("ca_file", "users_file", "pid_file")}
        paths = {key: base / path for key, path in named.items() if path}
        where["broker"] = config.broker.model_copy(update=paths)
    if config.tls:
        where["tls"] = Tls(certificate=base / config.tls.certificate, key=base / config.tls.key)
    return config.model_copy(update=where)
