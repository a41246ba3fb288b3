"""PiJuice HAT: charge, voltage and estimated currents, by I2C with a check byte.

Its currents are the firmware's estimates (it has no shunt), so put a shunt meter before it in `meters`: the first that
knows a value wins. Its alarm is a DS1339 clock, which the kernel drives: use the alarm `rtc`.
"""

from __future__ import annotations

from functools import reduce
from operator import xor
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from worker.energy.device import CONVERTER_EFFICIENCY
from worker.energy.hardware.measures import Measures
from worker.i2c import DeviceError, I2cBus, talking

EXAMPLE = """\
- driver: pijuice
  bus: 1
  address: 0x14
"""

_STATUS, _CHARGE, _TEMPERATURE, _BATTERY_MV, _BATTERY_MA, _IO_MV, _IO_MA = 0x40, 0x41, 0x47, 0x49, 0x4B, 0x4D, 0x4F
_NO_BATTERY = 3
_TRIES = 3
#: More than the board can carry: such a current is a failure of the estimate.
_MAX_MA = 6000


class PiJuiceConfig(BaseModel):
    """One PiJuice."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    driver: Literal["pijuice"]
    bus: int = Field(1, ge=0, le=255)
    address: int = Field(0x14, ge=0x03, le=0x77)


class PiJuice:
    """Battery and load of a board on a PiJuice."""

    def __init__(self, config: PiJuiceConfig, bus: I2cBus) -> None:
        self._config, self._bus = config, bus

    @property
    def name(self) -> str:
        return "PiJuice"

    def check(self) -> str:
        if self._bytes(_STATUS, 1)[0] >> 2 & 3 == _NO_BATTERY:
            raise DeviceError("the PiJuice sees no battery", "insert one, and choose its profile in `pijuice_cli`")
        seen = self.measure()
        return f"{seen.battery_v:.2f} V, charge {seen.battery_soc:.0%}"

    def measure(self) -> Measures:
        if self._bytes(_STATUS, 1)[0] >> 2 & 3 == _NO_BATTERY:
            return Measures()
        battery_v = self._signed(_BATTERY_MV) / 1000
        battery_a, load_a = self._amperes(_BATTERY_MA), self._amperes(_IO_MA)
        return Measures(
            battery_soc=min(100, self._bytes(_CHARGE, 1)[0]) / 100,
            battery_v=battery_v,
            battery_w=None if battery_a is None else -battery_a * battery_v,
            # current that flows the other way is a supply on the Pi's own USB: what the Pi draws is then not seen
            load_w=None
            if load_a is None or load_a < 0
            else load_a * self._signed(_IO_MV) / 1000 / CONVERTER_EFFICIENCY,
            temperature_c=float(self._signed(_TEMPERATURE)),
        )

    def _amperes(self, command: int) -> float | None:
        milli = self._signed(command)
        return milli / 1000 if abs(milli) <= _MAX_MA else None

    def _signed(self, command: int) -> int:
        return int.from_bytes(self._bytes(command, 2), "little", signed=True)

    def _bytes(self, command: int, length: int) -> bytes:
        for _ in range(_TRIES):
            with talking(self.name, self._config.bus, self._config.address):
                *data, check = self._bus.read_i2c_block_data(self._config.address, command, length + 1)
            if reduce(xor, data, 0xFF) == check:
                return bytes(data)
        raise DeviceError(
            f"{_TRIES} answers of the PiJuice came with a wrong check byte", "check its seat, lower the bus's speed"
        )
