"""Irradiance: a light meter under a diffuser (BH1750), or the short-circuit current of a small cell (INA219)."""

from __future__ import annotations

import time
from collections.abc import Callable

from worker.i2c import I2cBus, LazyBus, open_bus, talking
from worker.sensors.config import Bh1750 as Bh1750Config
from worker.sensors.config import ReferenceCell as CellConfig
from worker.sensors.reading import Reading

_POWER_DOWN, _POWER_ON, _ONCE, _MT_HIGH, _MT_LOW = 0x00, 0x01, 0x20, 0b01000_000, 0b011_00000
#: The least sensitive setting of the measurement time register; 69 is the default (data sheet ROHM 11046EDT01).
_MT, _MT_DEFAULT = 31, 69
#: Counts per lux at the default, and the longest measurement there, 180 ms.
_COUNTS_PER_LUX = 1.2
_SECONDS = 0.180 * _MT / _MT_DEFAULT
_FULL = 0xFFFF

_SHUNT_REGISTER = 0x01
#: Data sheet TI SBOS448: 10 uV a step, 16 bits with sign, 320 mV at most.
_VOLTS_PER_STEP = 10e-6
_SHUNT_FULL = 32_000


class Bh1750:
    """A BH1750 at its least sensitive, so that full sun (some 110,000 lx) is within its range."""

    def __init__(
        self,
        config: Bh1750Config,
        bus: Callable[[int], I2cBus] = open_bus,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._config, self._bus, self._pause = config, LazyBus(config.bus, bus), pause

    def read(self, now: float) -> Reading:  # noqa: ARG002
        """See `WeatherSensor.read`; light beyond its range is unknown."""
        where = self._config.address
        with talking("BH1750", self._config.bus, where):
            bus = self._bus.get()
            for code in (_POWER_ON, _MT_HIGH | _MT >> 5, _MT_LOW | _MT & 0x1F, _ONCE):
                bus.write_byte(where, code)
            self._pause(_SECONDS)
            # reading needs no register: switching on what is on keeps the result, and gives the bus a command to send
            high, low = bus.read_i2c_block_data(where, _POWER_ON, 2)
            bus.write_byte(where, _POWER_DOWN)
        counts = high << 8 | low
        if counts == _FULL:
            return {"irradiance_wm2": None}
        lux = counts / _COUNTS_PER_LUX * _MT_DEFAULT / _MT
        return {"irradiance_wm2": round(lux / self._config.lux_per_wm2, 1)}

    def check(self) -> str:
        """See `WeatherSensor.check`."""
        found = self.read(0.0)
        self.close()
        return f"BH1750 at 0x{self._config.address:02x} of bus {self._config.bus}: {_shown(found)}"

    def close(self) -> None:
        """See `WeatherSensor.close`."""
        self._bus.close()


class ReferenceCell:
    """A cell whose short-circuit current, measured by an INA219, is proportional to irradiance."""

    def __init__(self, config: CellConfig, bus: Callable[[int], I2cBus] = open_bus) -> None:
        self._config, self._bus = config, LazyBus(config.bus, bus)

    def read(self, now: float) -> Reading:  # noqa: ARG002
        """See `WeatherSensor.read`; a current beyond the range is unknown, a small negative one is an offset."""
        with talking("INA219", self._config.bus, self._config.address):
            bus = self._bus.get()
            high, low = bus.read_i2c_block_data(self._config.address, _SHUNT_REGISTER, 2)
        steps = int.from_bytes(bytes((high, low)), "big", signed=True)
        if abs(steps) >= _SHUNT_FULL:
            return {"irradiance_wm2": None}
        amperes = max(0.0, steps * _VOLTS_PER_STEP / self._config.shunt_ohms)
        return {"irradiance_wm2": round(1000.0 * amperes / self._config.amperes_at_1000, 1)}

    def check(self) -> str:
        """See `WeatherSensor.check`."""
        found = self.read(0.0)
        self.close()
        return f"INA219 at 0x{self._config.address:02x} of bus {self._config.bus}: {_shown(found)}"

    def close(self) -> None:
        """See `WeatherSensor.close`."""
        self._bus.close()


def _shown(reading: Reading) -> str:
    value = reading.get("irradiance_wm2")
    return "beyond its range" if value is None else f"{value:.0f} W/m2"
