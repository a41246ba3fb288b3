"""Texas Instruments INA219 and INA226: voltage and current over a shunt, by I2C.

Data sheets: SBOS448G (INA219), SBOS547A (INA226). The current is computed here from the shunt's voltage, so that no
calibration register can be lost in a brown-out.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from worker.energy.hardware.measures import Measures
from worker.i2c import DeviceError, I2cBus, talking

EXAMPLE = """\
- driver: ina226        # or ina219
  measures: panel       # panel: what the charge controller gives; battery: into (+) it; load: what the device draws;
                        # mains: what a charger on the mains gives, if there is one
  bus: 1                # /dev/i2c-1
  address: 0x40         # set by the solder bridges A0 and A1: 0x40 to 0x4f
  shunt_ohm: 0.1        # the resistor on the board: R100 is 0.1 ohm, R010 is 0.01
  invert: false         # true where the wires were swapped
"""

_CONFIG, _SHUNT, _BUS, _MAKER, _DIE = 0x00, 0x01, 0x02, 0xFE, 0xFF


class InaConfig(BaseModel):
    """One INA219 or INA226."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    driver: Literal["ina219", "ina226"]
    measures: Literal["panel", "battery", "load", "mains"]
    bus: int = Field(1, ge=0, le=255)
    address: int = Field(0x40, ge=0x40, le=0x4F)
    shunt_ohm: float = Field(0.1, gt=0, le=10)
    invert: bool = False


class Ina:
    """One of these chips between two parts of the system."""

    def __init__(self, config: InaConfig, bus: I2cBus) -> None:
        self._config, self._bus = config, bus
        if config.driver == "ina226":
            # 64 averages of 1.1 ms conversions, continuous; shunt 2.5 uV, bus 1.25 mV a bit
            self._setting, self._shunt_v, self._full_scale = 0x4727, 2.5e-6, 0x7FFF
        else:
            # 32 V and +-320 mV ranges, 32 samples of both, continuous; shunt 10 uV, bus 4 mV a bit
            self._setting, self._shunt_v, self._full_scale = 0x3EEF, 10e-6, 32_000

    @property
    def name(self) -> str:
        return f"{self._config.driver.upper()} of the {self._config.measures}"

    def check(self) -> str:
        if self._config.driver == "ina226":
            maker, die = self._word(_MAKER), self._word(_DIE)
            if (maker, die & 0xFFF0) != (0x5449, 0x2260):
                raise DeviceError(
                    f"what answers as {self.name} is no INA226 (maker 0x{maker:04x}, die 0x{die:04x})",
                    "check `address`, or set driver: ina219",
                )
        self._prepare()
        seen = self.measure()
        power = next(w for w in (seen.harvest_w, seen.battery_w, seen.load_w, seen.mains_w) if w is not None)
        return f"{seen.battery_v:.2f} V, {power:.2f} W"

    def measure(self) -> Measures:
        if self._word(_CONFIG) != self._setting:  # it was without power in between
            self._prepare()
        shunt = _signed(self._word(_SHUNT))
        if abs(shunt) >= self._full_scale:
            limit = self._full_scale * self._shunt_v / self._config.shunt_ohm
            raise DeviceError(
                f"{self.name}: more current than {limit:.1f} A, which is all that its shunt can show",
                "take a smaller shunt, or check `shunt_ohm`",
            )
        amperes = shunt * self._shunt_v / self._config.shunt_ohm * (-1 if self._config.invert else 1)
        volts = self._volts()
        watts = amperes * volts
        match self._config.measures:
            case "panel":
                return Measures(harvest_w=max(0.0, watts), battery_v=volts)
            case "battery":
                return Measures(battery_w=watts, battery_v=volts)
            case "mains":
                return Measures(mains_w=max(0.0, watts), battery_v=volts)
            case "load":
                return Measures(load_w=max(0.0, watts), battery_v=volts)

    def _volts(self) -> float:
        raw = self._word(_BUS)
        if self._config.driver == "ina226":
            return raw * 1.25e-3
        if raw & 1:
            raise DeviceError(f"{self.name} reports an overflow", "check its wiring: it stands at most 26 V")
        return (raw >> 3) * 4e-3

    def _prepare(self) -> None:
        with self._talking():
            self._bus.write_i2c_block_data(self._config.address, _CONFIG, list(self._setting.to_bytes(2, "big")))
        found = self._word(_CONFIG)
        if found != self._setting:
            raise DeviceError(
                f"{self.name} does not keep its settings (0x{found:04x})",
                f"another device may answer at 0x{self._config.address:02x}: check `address` and `driver`",
            )

    def _word(self, register: int) -> int:
        with self._talking():
            return int.from_bytes(bytes(self._bus.read_i2c_block_data(self._config.address, register, 2)), "big")

    def _talking(self) -> AbstractContextManager[None]:
        return talking(self.name, self._config.bus, self._config.address)


def _signed(word: int) -> int:
    return word - 0x10000 if word & 0x8000 else word
