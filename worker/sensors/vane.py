"""Wind direction: a vane that switches resistors, read by an ADS1115 converter over I2C.

The vane is that of the widespread weather meter kits (Argent Data Systems' data sheet, SparkFun SEN-15901): sixteen
directions, each another resistance, in a divider with a resistor to the supply. Registers: TI SBAS444 (ADS1113/4/5).
"""

from __future__ import annotations

import time
from collections.abc import Callable

from worker.i2c import DeviceError, I2cBus, LazyBus, open_bus, talking
from worker.sensors.config import WindVane as Config
from worker.sensors.reading import Reading

_CONVERSION, _CONFIG = 0x00, 0x01
#: Start one conversion, input against ground, +-4.096 V; at 128 samples a second, comparator off.
_START, _SETTINGS = 0b1100_0011, 0b1000_0011
_READY = 0x80
_VOLTS_PER_STEP = 4.096 / 32_768
_SECONDS, _PATIENCE = 0.009, 10
#: Ohms of each direction, degrees from north.
OHMS = {
    0.0: 33_000, 22.5: 6_570, 45.0: 8_200, 67.5: 891, 90.0: 1_000, 112.5: 688, 135.0: 2_200, 157.5: 1_410,
    180.0: 3_900, 202.5: 3_140, 225.0: 16_000, 247.5: 14_120, 270.0: 120_000, 292.5: 42_120, 315.0: 64_900,
    337.5: 21_880,
}  # fmt: skip
#: Share of the supply within which a direction is recognised; the nearest two are 0.009 apart.
_TOLERANCE = 0.006


class WindVane:
    """One vane.

    Args:
        config: bus, address, input, divider and how it is mounted.
        bus: opens an I2C bus by its number.
        pause: waits that many seconds.
    """

    def __init__(
        self,
        config: Config,
        bus: Callable[[int], I2cBus] = open_bus,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._config, self._bus, self._pause = config, LazyBus(config.bus, bus), pause

    def read(self, now: float) -> Reading:  # noqa: ARG002
        """See `WeatherSensor.read`; a voltage that no direction has (a broken wire, between two) is unknown."""
        return {"wind_dir_deg": self._direction(self._volts() / self._config.supply_volts)}

    def check(self) -> str:
        """See `WeatherSensor.check`."""
        volts = self._volts()
        found = self._direction(volts / self._config.supply_volts)
        self.close()
        said = f"wind vane at input {self._config.input} of the ADS1115 at 0x{self._config.address:02x}: {volts:.2f} V"
        if found is None:
            raise DeviceError(f"{said}, which no direction has", "check its wires, pull_up_ohms and supply_volts")
        return f"{said}, {found:g} degrees"

    def close(self) -> None:
        """See `WeatherSensor.close`."""
        self._bus.close()

    def _volts(self) -> float:
        where = self._config.address
        with talking("ADS1115", self._config.bus, where):
            bus = self._bus.get()
            bus.write_i2c_block_data(where, _CONFIG, [_START | self._config.input << 4, _SETTINGS])
            for _ in range(_PATIENCE):
                self._pause(_SECONDS)
                if bus.read_i2c_block_data(where, _CONFIG, 2)[0] & _READY:
                    break
            else:
                raise DeviceError("the ADS1115 does not end its conversion", "cut its power for a second")
            data = bytes(bus.read_i2c_block_data(where, _CONVERSION, 2))
        return int.from_bytes(data, "big", signed=True) * _VOLTS_PER_STEP

    def _direction(self, share: float) -> float | None:
        pull_up = self._config.pull_up_ohms
        degrees, ohms = min(OHMS.items(), key=lambda item: abs(item[1] / (item[1] + pull_up) - share))
        if abs(ohms / (ohms + pull_up) - share) > _TOLERANCE:
            return None
        return (degrees + self._config.north_deg) % 360.0
