"""Meters and alarms on a real device, chosen by the `energy.hardware` section."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from worker.energy.battery import Battery
from worker.energy.device import Device
from worker.energy.hardware import ina, pijuice, rtc, victron, wittypi
from worker.energy.hardware.measures import Alarm, Meter
from worker.energy.hardware.source import HardwarePower
from worker.i2c import I2cBus, open_bus

MeterConfig = Annotated[
    ina.InaConfig | wittypi.WittyPiConfig | pijuice.PiJuiceConfig | victron.VictronConfig,
    Field(discriminator="driver"),
]
AlarmConfig = Annotated[wittypi.WittyPiConfig | rtc.RtcConfig, Field(discriminator="driver")]

#: The commented default configuration of every driver.
METER_EXAMPLES = (ina.EXAMPLE, wittypi.EXAMPLE, pijuice.EXAMPLE, victron.EXAMPLE)
ALARM_EXAMPLES = (wittypi.EXAMPLE.replace("- driver", "driver").replace("\n  ", "\n"), rtc.EXAMPLE)


class HardwareConfig(BaseModel):
    """What measures, in the order in which it is believed, and what wakes the board."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    meters: tuple[MeterConfig, ...] = Field(min_length=1)
    alarm: AlarmConfig | None = None
    shutdown: tuple[str, ...] = ("systemctl", "poweroff")
    cells: int = Field(4, ge=1, le=32, description="of the LiFePO4 pack, in series")


def create_hardware(config: HardwareConfig, battery: Battery, device: Device, panel_wp: float) -> HardwarePower:
    """The power source over these meters.

    Raises:
        BadInputError: a bus or port is not there, may not be used, or its package is not installed.
    """
    bus = lru_cache(open_bus)

    def meter(one: MeterConfig) -> Meter:
        match one:
            case ina.InaConfig():
                return ina.Ina(one, bus(one.bus))
            case wittypi.WittyPiConfig():
                return wittypi.WittyPi(one, bus(one.bus))
            case pijuice.PiJuiceConfig():
                return pijuice.PiJuice(one, bus(one.bus))
            case victron.VictronConfig():
                return victron.Victron(one, victron.open_port(one.port))

    alarm: Alarm | None = None
    match config.alarm:
        case wittypi.WittyPiConfig() as chosen:
            alarm = wittypi.WittyPi(chosen, bus(chosen.bus))
        case rtc.RtcConfig() as chosen:
            alarm = rtc.Rtc(chosen)
    return HardwarePower(
        [meter(one) for one in config.meters],
        battery,
        device,
        panel_wp=panel_wp,
        alarm=alarm,
        shutdown=config.shutdown,
    )


__all__ = ["ALARM_EXAMPLES", "METER_EXAMPLES", "HardwareConfig", "HardwarePower", "I2cBus", "create_hardware"]
