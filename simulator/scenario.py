"""What is simulated: workers and their sites, the work that is ordered, money, and what things take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from poco.consensus import workers_needed
from poco.errors import BadInputError
from worker.energy.device import BOARDS
from worker.energy.situation import GateConfig

#: Longest run in seconds, by the name of the category (`scripts/deploy.py` puts them on chain).
CATEGORIES = {"XS": 300, "S": 1_200, "M": 3_600, "L": 10_800, "XL": 36_000}
CategoryName = Literal["XS", "S", "M", "L", "XL"]
DEFAULT_RECORD = "pvlib:723170TYA.CSV"
#: A search ends here.
MOST_WORKERS = 20_000


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Site(_Section):
    """A place with its sun. Where latitude and longitude are given, the record's clouds pass over that place.

    The workers of a site stand under `skies` different skies: each lives through the record's clouds so many days
    earlier or later, at most `spread_days`.
    """

    record: str = DEFAULT_RECORD
    latitude: float | None = Field(None, ge=-66, le=66)
    longitude: float | None = Field(None, ge=-180, le=180)
    share: float = Field(1.0, gt=0, description="of the workers, against the other sites")
    skies: int = Field(4, ge=1, le=64)
    spread_days: int = Field(10, ge=0, le=120)
    tilt: float | None = Field(None, ge=0, le=90, description="default: the latitude")
    azimuth: float | None = Field(None, ge=0, le=360, description="default: towards the equator")

    @model_validator(mode="after")
    def _place(self) -> Site:
        if (self.latitude is None) is not (self.longitude is None):
            raise ValueError("a place has a latitude and a longitude")
        return self


class Machine(_Section):
    """One worker's parts; states of charge at the start lie within `soc_spread` of `soc`."""

    board: str = "pi-4b"
    panel_wp: float = Field(60.0, gt=0, le=10_000)
    battery_wh: float = Field(256.0, gt=0, le=100_000)
    controller_efficiency: float = Field(0.95, gt=0, le=1)
    soc: float = Field(0.6, ge=0, le=1)
    soc_spread: float = Field(0.2, ge=0, le=0.5)
    slots: int = Field(1, ge=1, le=64)
    switches_off: bool = Field(True, description="a sleep switches the board off, and it boots at its end")

    @model_validator(mode="after")
    def _known(self) -> Machine:
        if self.board not in BOARDS:
            raise ValueError(f"unknown board {self.board!r}; known boards: {', '.join(sorted(BOARDS))}")
        return self


class TaskKind(_Section):
    """One sort of work. `run_seconds` is the median of how long its program computes (log-normal, `run_spread` the
    sigma of the log), never above what the category allows. `reward_nrlc` is the pool's price of a task. Tasks of one
    `app` have one image, and workers remember how long the last one took."""

    share: float = Field(1.0, gt=0)
    category: CategoryName = "S"
    app: str = Field("", description="default: one for each category and trust")
    run_seconds: float | None = Field(None, gt=0, description="default: half of what the category allows")
    run_spread: float = Field(0.2, ge=0, le=2)
    trust: int = Field(1, ge=1, le=1_000_000)
    reward_nrlc: int = Field(100_000_000, ge=0, le=2**53)

    @property
    def limit_seconds(self) -> int:
        return CATEGORIES[self.category]

    @property
    def app_name(self) -> str:
        return self.app or f"{self.category}/{self.trust}"

    @property
    def median_seconds(self) -> float:
        return min(self.run_seconds or self.limit_seconds / 2, float(self.limit_seconds))


class Work(_Section):
    """What is ordered: at random (Poisson) over the whole pool, or as a file says."""

    tasks_per_day: float = Field(100.0, ge=0, le=10_000_000)
    kinds: tuple[TaskKind, ...] = Field((TaskKind(),), min_length=1, max_length=100)
    file: Path | None = None


class Terms(_Section):
    """The pool's money and patience, and how long what lies between scheduler and worker takes (their clock)."""

    gas_nrlc: int = Field(0, ge=0, le=2**53, description="what a worker pays to contribute and reveal")
    stake_ratio: int = Field(30, ge=0, le=1000, description="per cent of the reward that a contribution locks")
    scheduler_reward_ratio: int = Field(1, ge=0, le=100)
    deposit_nrlc: int = Field(10_000_000_000, ge=0, le=2**53, description="each worker's stake in the escrow")
    workers_per_owner: int = Field(1, ge=1, le=100_000)
    wrong_results: float = Field(0.0, ge=0, le=1, description="share of runs with a result of their own")
    block_seconds: float = Field(5.0, gt=0, le=600, description="until a transaction is mined and seen")
    latency_seconds: float = Field(1.0, ge=0, le=60, description="until a worker that polls has a message")
    pull_seconds: float = Field(60.0, ge=0, le=86_400, description="an image that is not there yet")
    upload_seconds: float = Field(5.0, ge=0, le=86_400)
    experienced: bool = Field(False, description="workers have run the apps before: they know times and have images")
    poll_seconds: int = Field(20, ge=1, le=120)
    unknown_after: float = Field(30.0, gt=0)
    lost_after: float = Field(120.0, gt=0)


class Scenario(_Section):
    """All of it. The same scenario and seed give the same figures."""

    workers: Annotated[int, Field(ge=1, le=MOST_WORKERS)] = 100
    days: Annotated[float, Field(gt=0, le=3660)] = 30.0
    seed: Annotated[int, Field(ge=0, le=2**53)] = 1
    start: str = "2001-03-21T00:00"
    speed: Annotated[float, Field(gt=0, le=100_000)] = 1.0
    sites: tuple[Site, ...] = Field((Site(),), min_length=1, max_length=100)
    machine: Machine = Machine()
    gate: GateConfig = GateConfig()
    work: Work = Work()
    terms: Terms = Terms()

    @property
    def owners(self) -> int:
        return -(-self.workers // self.terms.workers_per_owner)

    def check(self) -> None:
        """BadInputError where a task could never be done: its trust asks for more owners than there are."""
        for kind in self.work.kinds if self.work.file is None else ():
            require_owners(self, kind.trust)


def require_owners(scenario: Scenario, trust: int) -> None:
    """BadInputError where that trust needs more new workers of different owners than the pool has."""
    needed = workers_needed(trust)
    if needed > scenario.owners:
        raise BadInputError(
            f"a trust of {trust} needs {needed} new workers of different owners, the pool has {scenario.owners}",
            hint="ask for less trust, or simulate more workers or fewer of one owner",
        )


def load(path: Path | None, changes: dict[str, Any]) -> Scenario:
    """The scenario of a YAML file (all defaults without one), with settings put over it (nested as in the file).

    Raises:
        BadInputError: not readable, or a setting is wrong; the message names it.
    """
    data: Any = {}
    if path is not None:
        try:
            data = yaml.safe_load(path.read_text()) or {}
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise BadInputError(f"{path} cannot be read: {error}", hint="it must be YAML") from None
        if not isinstance(data, dict):
            raise BadInputError(f"{path} holds no settings", hint="docs/how-to/size-a-fleet.md has an example")
    try:
        scenario = Scenario.model_validate(_merged(data, changes))
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'scenario'}: {e['msg']}" for e in error.errors())
        raise BadInputError(said, hint="docs/how-to/size-a-fleet.md describes the settings") from None
    scenario.check()
    return scenario


def _merged(data: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    out = dict(data)
    for name, value in changes.items():
        old = out.get(name)
        out[name] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return out
