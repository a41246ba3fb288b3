"""Bosch BME280: temperature, humidity and pressure over I2C.

Registers and compensation follow the data sheet BST-BME280-DS002 (revision 1.23): memory map in section 5.3,
calibration words in table 16, double-precision formulas in section 8.1. The settings are those it recommends for
weather monitoring (section 3.5.1): forced mode, oversampling 1, filter off.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from dataclasses import dataclass

from worker.i2c import DeviceError, I2cBus, LazyBus, open_bus, talking
from worker.sensors.config import Bme280 as Config
from worker.sensors.reading import Reading

CHIP_ID = 0x60
_OTHERS = {0x56: "BMP280", 0x57: "BMP280", 0x58: "BMP280", 0x61: "BME680"}
_ID, _CTRL_HUM, _STATUS, _CTRL_MEAS, _CONFIG, _DATA = 0xD0, 0xF2, 0xF3, 0xF4, 0xF5, 0xF7
_OVERSAMPLE_1, _FORCED = 0b001, 0b01
_MEASURING = 0b1000
#: A measurement takes at most 9.3 ms at oversampling 1 (appendix B).
_MEASURE_SECONDS = 0.010
_PATIENCE = 10
_SKIPPED_20, _SKIPPED_16 = 0x80000, 0x8000


@dataclass(frozen=True, slots=True)
class Calibration:
    """The words burnt in at the factory: dig_T1..T3, dig_P1..P9, dig_H1..H6."""

    t: tuple[int, ...]
    p: tuple[int, ...]
    h: tuple[int, ...]

    @classmethod
    def parse(cls, low: bytes, high: bytes) -> Calibration:
        """From registers 0x88-0xA1 (26 bytes) and 0xE1-0xE7 (7 bytes)."""
        words = struct.unpack("<HhhHhhhhhhhhxB", low)
        h2, h3, msb4, shared, msb5, h6 = struct.unpack("<hBbBbb", high)
        h4, h5 = msb4 << 4 | shared & 0x0F, msb5 << 4 | shared >> 4
        return cls(words[:3], words[3:12], (words[12], h2, h3, h4, h5, h6))

    def temperature(self, raw: int) -> tuple[float, float]:
        """(degrees Celsius, t_fine) of a raw value of 20 bits."""
        t1, t2, t3 = self.t
        first = (raw / 16384.0 - t1 / 1024.0) * t2
        second = (raw / 131072.0 - t1 / 8192.0) ** 2 * t3
        return (first + second) / 5120.0, first + second

    def pressure(self, raw: int, t_fine: float) -> float | None:
        """Pascal of a raw value of 20 bits; None where the words make no sense."""
        p1, p2, p3, p4, p5, p6, p7, p8, p9 = self.p
        first = t_fine / 2.0 - 64000.0
        second = first * first * p6 / 32768.0
        second = (second + first * p5 * 2.0) / 4.0 + p4 * 65536.0
        first = (1.0 + (p3 * first * first / 524288.0 + p2 * first) / 524288.0 / 32768.0) * p1
        if first == 0.0:
            return None
        pascal = (1048576.0 - raw - second / 4096.0) * 6250.0 / first
        return pascal + (p9 * pascal * pascal / 2147483648.0 + pascal * p8 / 32768.0 + p7) / 16.0

    def humidity(self, raw: int, t_fine: float) -> float:
        """Percent of relative humidity of a raw value of 16 bits."""
        h1, h2, h3, h4, h5, h6 = self.h
        warm = t_fine - 76800.0
        value = (raw - (h4 * 64.0 + h5 / 16384.0 * warm)) * (
            h2 / 65536.0 * (1.0 + h6 / 67108864.0 * warm * (1.0 + h3 / 67108864.0 * warm))
        )
        return min(100.0, max(0.0, value * (1.0 - h1 * value / 524288.0)))


class Bme280:
    """One BME280.

    Args:
        config: bus and address.
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
        self._words: Calibration | None = None

    def read(self, now: float) -> Reading:  # noqa: ARG002  (it measures when it is asked)
        """See `WeatherSensor.read`."""
        with talking("BME280", self._config.bus, self._config.address):
            bus, words = self._ready()
            where = self._config.address
            bus.write_byte_data(where, _CTRL_HUM, _OVERSAMPLE_1)
            bus.write_byte_data(where, _CTRL_MEAS, _OVERSAMPLE_1 << 5 | _OVERSAMPLE_1 << 2 | _FORCED)
            for _ in range(_PATIENCE):
                self._pause(_MEASURE_SECONDS)
                if not bus.read_byte_data(where, _STATUS) & _MEASURING:
                    break
            else:
                self.close()
                raise DeviceError("the BME280 does not end its measurement", "cut its power for a second")
            data = bytes(bus.read_i2c_block_data(where, _DATA, 8))
        return _compensated(words, data)

    def check(self) -> str:
        """See `WeatherSensor.check`."""
        found = self.read(0.0)
        self.close()
        return (
            f"BME280 at 0x{self._config.address:02x} of bus {self._config.bus}: "
            f"{_told(found, 'temperature_c')} C, {_told(found, 'humidity_pct')} %, {_told(found, 'pressure_hpa')} hPa"
        )

    def close(self) -> None:
        """See `WeatherSensor.close`."""
        self._bus.close()
        self._words = None

    def _ready(self) -> tuple[I2cBus, Calibration]:
        """The bus, and the words of the chip that was found there."""
        bus = self._bus.get()
        if self._words is None:
            where = self._config.address
            chip = bus.read_byte_data(where, _ID)
            if chip != CHIP_ID:
                name = _OTHERS.get(chip, "none of Bosch's")
                self.close()
                raise DeviceError(
                    f"the chip at address 0x{where:02x} has id 0x{chip:02x} ({name}), a BME280 has 0x{CHIP_ID:02x}",
                    "set `address` to the BME280's (0x76 or 0x77); a BMP280 looks alike and measures no humidity",
                )
            bus.write_byte_data(where, _CONFIG, 0)
            low = bytes(bus.read_i2c_block_data(where, 0x88, 26))
            self._words = Calibration.parse(low, bytes(bus.read_i2c_block_data(where, 0xE1, 7)))
        return bus, self._words


def _compensated(words: Calibration, data: bytes) -> Reading:
    raw_p = data[0] << 12 | data[1] << 4 | data[2] >> 4
    raw_t = data[3] << 12 | data[4] << 4 | data[5] >> 4
    raw_h = data[6] << 8 | data[7]
    if raw_t == _SKIPPED_20:
        return {}  # without it nothing else can be computed
    celsius, fine = words.temperature(raw_t)
    pascal = None if raw_p == _SKIPPED_20 else words.pressure(raw_p, fine)
    return {
        "temperature_c": round(celsius, 2),
        "humidity_pct": None if raw_h == _SKIPPED_16 else round(words.humidity(raw_h, fine), 2),
        "pressure_hpa": None if pascal is None else round(pascal / 100.0, 2),
    }


def _told(reading: Reading, name: str) -> str:
    value = reading.get(name)
    return "unknown" if value is None else f"{value:.1f}"
