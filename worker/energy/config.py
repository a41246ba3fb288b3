"""The `energy` section of the worker's YAML, and what is built from it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

from poco.energy import Profile
from poco.errors import BadInputError
from poco.sun import sun_position
from worker.energy.battery import Battery
from worker.energy.device import Load, board
from worker.energy.forecast import Forecaster
from worker.energy.gate import Gate
from worker.energy.hardware import HardwareConfig, create_hardware
from worker.energy.learnt import Learnt
from worker.energy.ledger import LedgerConfig
from worker.energy.meter import Meter
from worker.energy.outside import OutsideForecast
from worker.energy.panel import Panel
from worker.energy.planner import create_planner
from worker.energy.record import Record, open_record
from worker.energy.replay import Replay
from worker.energy.simulated import SimulatedPower
from worker.energy.situation import GateConfig
from worker.energy.source import PowerSource

SOURCES = ("simulated", "hardware")


class EnergyConfig(BaseModel):
    """Panel, battery, board, power source and gate of one worker; every field has a default that works."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = "simulated"
    board: str = "pi-4b"
    panel_wp: float = Field(60.0, gt=0, le=10_000)
    battery_wh: float = Field(256.0, gt=0, le=100_000)
    hardware: HardwareConfig | None = Field(None, description="what measures and what wakes, with source: hardware")
    latitude: float | None = Field(None, ge=-90, le=90, description="default: the record's")
    longitude: float | None = Field(None, ge=-180, le=180, description="default: the record's")
    tilt: float = Field(35.0, ge=0, le=90)
    azimuth: float = Field(180.0, ge=0, le=360)
    record: str = "pvlib:723170TYA.CSV"
    start: str = "2001-06-21T12:00"
    speed: float = Field(60.0, gt=0, le=100_000)
    soc: float = Field(0.6, ge=0, le=1, description="state of charge at the first start")
    controller_efficiency: float = Field(0.95, gt=0, le=1)
    forecast: Path | None = Field(None, description="a weather service's forecast, kept fresh by a tool of yours")
    gate: GateConfig = GateConfig()
    ledger: LedgerConfig = LedgerConfig()

    @field_validator("start", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        """YAML reads an instant as a date; it is meant as text."""
        return value.isoformat() if hasattr(value, "isoformat") else value


def create_learnt(config: EnergyConfig) -> Learnt:
    """What a device of that configuration learns of its parts; at first it knows them as they are rated."""
    cells = config.hardware.cells if config.hardware else Battery.cells
    return Learnt(_panel(config), Battery(config.battery_wh, cells=cells))


def create_power_source(config: EnergyConfig, learnt: Learnt | None = None) -> PowerSource:
    """The power source that the configuration names.

    Args:
        config: the `energy` section.
        learnt: what is known of the battery better than its rating; meters without a charge of their own count with it.

    Raises:
        BadInputError: unknown source, board or record, a broken record, a start outside of it, a panel at another
        place.
    """
    if config.source not in SOURCES:
        raise BadInputError(
            f"unknown power source {config.source!r}",
            hint="known power sources: " + ", ".join(SOURCES),
            code="UNKNOWN_POWER_SOURCE",
        )
    if config.source == "hardware":
        if config.hardware is None:
            raise BadInputError(
                "energy.source is hardware, but energy.hardware names no meters",
                hint="docs/reference/hardware.md has an example for every meter",
                code="NO_METERS",
            )
        battery = (learnt or create_learnt(config)).battery
        return create_hardware(config.hardware, battery, board(config.board), config.panel_wp)
    record = _record(config.record)
    return SimulatedPower(
        Replay(record, _panel(config)),
        Battery(config.battery_wh),
        board(config.board),
        start=record.instant(config.start),
        speed=config.speed,
        soc=config.soc,
    )


def create_gate(config: EnergyConfig, power: PowerSource, learnt: Learnt | None = None) -> Gate:
    """The gate of that configuration, on the clock of its power source, with the parts as they are known by now."""
    known = learnt or create_learnt(config)
    panel, battery = known.panel, known.battery
    device, gate = board(config.board), config.gate
    planner = create_planner(gate, battery, device, panel)
    outside = OutsideForecast(config.forecast, panel) if config.forecast is not None else None
    return Gate(gate, battery, device, Forecaster(panel, outside=outside), planner=planner, speed=power.speed)


def create_meter(config: EnergyConfig) -> Meter:
    """The meter for that place's sun."""
    latitude, longitude = _place(config)
    return Meter(sun=lambda at: max(0.0, sun_position(at, latitude, longitude).cos_zenith))


def profile_of(config: EnergyConfig, power: PowerSource) -> Profile:
    """What the ledger says of this device; the place to a tenth of a degree."""
    latitude, longitude = _place(config)
    battery, most = Battery(config.battery_wh), board(config.board).power_w(Load.COMPUTING)
    return Profile(
        source=config.source,
        speed=round(power.speed * 1000),
        latitude=round(latitude * 10) * 10,
        longitude=round(longitude * 10) * 10,
        tilt=round(config.tilt),
        azimuth=round(config.azimuth) % 360,
        panel=round(config.panel_wp * 1000),
        battery=round(config.battery_wh * 1000),
        charge_efficiency=round(battery.charge_efficiency * 1000),
        discharge_efficiency=round(battery.discharge_efficiency * 1000),
        self_discharge=round(battery.self_discharge_per_month * 1000),
        max_load=round(most * 1000),
        unknown_load=round((config.ledger.unknown_load_w or most) * 1000),
    )


@lru_cache(maxsize=1)
def _record(reference: str) -> Record:
    return open_record(reference)


def _panel(config: EnergyConfig) -> Panel:
    latitude, longitude = _place(config)
    return Panel(
        config.panel_wp,
        latitude,
        longitude,
        config.tilt,
        config.azimuth,
        controller_efficiency=config.controller_efficiency,
    )


def _place(config: EnergyConfig) -> tuple[float, float]:
    if config.source != "simulated":
        if config.latitude is None or config.longitude is None:
            raise BadInputError(
                "energy.latitude and energy.longitude say where the panel stands: one is missing",
                hint="set both, in degrees north and east",
                code="NO_PLACE",
            )
        return config.latitude, config.longitude
    record = _record(config.record)
    places = (("latitude", config.latitude, record.latitude), ("longitude", config.longitude, record.longitude))
    for name, configured, recorded in places:
        if configured is not None and abs(configured - recorded) > 0.5:
            raise BadInputError(
                f"energy.{name} is {configured}, but the record {record.name} was taken at {recorded}",
                hint=f"leave energy.{name} out, or take a record of that place",
                code="WRONG_PLACE",
            )
    return record.latitude, record.longitude
