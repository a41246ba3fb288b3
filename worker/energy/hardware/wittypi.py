"""UUGear Witty Pi 4: input and output of the board's supply, low-voltage cut-off, scheduled wake-up.

A microcontroller that answers single-byte reads; its clock (PCF85063A) is mapped behind its own registers.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from worker.energy.device import CONVERTER_EFFICIENCY
from worker.energy.hardware.measures import Measures
from worker.i2c import DeviceError, I2cBus, talking

EXAMPLE = """\
- driver: witty-pi-4    # also Mini and L3V7
  bus: 1
  address: 0x08
  low_voltage_v: null   # cut the power below this (2.0 to 25.0 V); null leaves the board's own setting
  recovery_voltage_v: null  # and switch it on again above this
"""

_FIRMWARE = {0x26: "Witty Pi 4", 0x36: "Witty Pi 4 Mini", 0x37: "Witty Pi 4 L3V7"}
_L3V7 = 0x37
_VIN, _VOUT, _IOUT, _MODE, _REASON = 1, 3, 5, 7, 11
_LOW, _RECOVERY, _OFF = 19, 22, 255
_ALARM1, _TEMPERATURE, _RTC_CONTROL2, _RTC = 27, 50, 55, 58
_ALARM_FLAG = 0x40
_REASONS = {
    1: "the startup alarm",
    2: "the shutdown alarm",
    3: "a click on its button",
    4: "low input voltage",
    5: "the input voltage that came back",
    6: "heat",
    7: "cold",
    8: "an alarm that was late",
    9: "USB 5 V",
    10: "power being connected",
    11: "a reboot",
    12: "the guaranteed wake-up",
}
_TRIES = 4
_T = TypeVar("_T")


class WittyPiConfig(BaseModel):
    """One Witty Pi 4."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    driver: Literal["witty-pi-4"]
    bus: int = Field(1, ge=0, le=255)
    address: int = Field(0x08, ge=0x03, le=0x77)
    low_voltage_v: float | None = Field(None, ge=2.0, le=25.0)
    recovery_voltage_v: float | None = Field(None, ge=2.0, le=25.0)

    @model_validator(mode="after")
    def _ordered(self) -> WittyPiConfig:
        low, back = self.low_voltage_v, self.recovery_voltage_v
        if low is not None and back is not None and back <= low:
            raise ValueError("recovery_voltage_v must be above low_voltage_v")
        return self


class WittyPi:
    """Meter of the board's supply, and the alarm that wakes it."""

    def __init__(self, config: WittyPiConfig, bus: I2cBus) -> None:
        self._config, self._bus = config, bus

    @property
    def name(self) -> str:
        return "Witty Pi 4"

    def check(self) -> str:
        firmware = self._byte(0)
        if firmware not in _FIRMWARE:
            raise DeviceError(
                f"what answers as {self.name} says 0x{firmware:02x}, which is no Witty Pi 4",
                "check `address`; Witty Pi 3 and 5 have other registers and are not supported",
            )
        self._threshold(_LOW, self._config.low_voltage_v)
        if firmware != _L3V7:  # there it means another thing: whether 5 V on USB wakes the board
            self._threshold(_RECOVERY, self._config.recovery_voltage_v)
        seen = self.measure()
        low = self._byte(_LOW)
        cut = "no low-voltage cut-off" if low == _OFF else f"cut-off at {low / 10:.1f} V"
        reason = _REASONS.get(self._byte(_REASON), "an unknown event")
        return f"{_FIRMWARE[firmware]}, {seen.battery_v:.2f} V in, {cut}, last action by {reason}"

    def measure(self) -> Measures:
        vin, vout, iout = (self._hundredths(register) for register in (_VIN, _VOUT, _IOUT))
        by_battery = self._byte(_MODE) == 1
        return Measures(
            load_w=vout * iout / CONVERTER_EFFICIENCY if by_battery else None,
            battery_v=vin if by_battery else None,
            temperature_c=self._temperature(),
        )

    def wake_in(self, seconds: float) -> None:
        # its clock may run in any time zone: what counts is the distance from its own now
        clock = self._steady(self._clock)
        wanted = clock + timedelta(seconds=seconds)
        fields = [_bcd(wanted.second), _bcd(wanted.minute), _bcd(wanted.hour), _bcd(wanted.day)]
        self._write(_RTC_CONTROL2, self._byte(_RTC_CONTROL2) & ~_ALARM_FLAG)
        for offset, value in enumerate(fields):
            self._write(_ALARM1 + offset, value)

    def _threshold(self, register: int, volts: float | None) -> None:
        if volts is not None and self._byte(register) != round(volts * 10):
            self._write(register, round(volts * 10))

    def _hundredths(self, register: int) -> float:
        """Integer and hundredths lie in two registers, which change between two reads."""
        whole, part = self._steady(lambda: (self._byte(register), self._byte(register + 1)))
        if part > 99:
            raise DeviceError(f"{self.name} answers nonsense ({whole}, {part})", "restart it, check its wiring")
        return whole + part / 100

    def _temperature(self) -> float:
        with self._talking():
            high, low = self._bus.read_i2c_block_data(self._config.address, _TEMPERATURE, 2)
        raw = (high << 8 | low) >> 5
        return (raw - 0x800 if raw & 0x400 else raw) * 0.125

    def _clock(self) -> datetime:
        second, minute, hour, day, _, month, year = (self._byte(_RTC + offset) for offset in range(7))
        try:
            return datetime(
                2000 + _number(year),
                _number(month & 0x1F),
                _number(day & 0x3F),
                _number(hour & 0x3F),
                _number(minute & 0x7F),
                _number(second & 0x7F),
            )
        except ValueError:
            raise DeviceError(
                f"the clock of {self.name} shows no time", "set it once: `wittyPi.sh`, 'Write system time to RTC'"
            ) from None

    def _steady(self, read: Callable[[], _T]) -> _T:
        """A value that was read twice alike."""
        last = read()
        for _ in range(_TRIES):
            again = read()
            if again == last:
                return again
            last = again
        raise DeviceError(f"{self.name} gives other values at every read", "check its wiring and supply")

    def _byte(self, register: int) -> int:
        with self._talking():
            return self._bus.read_byte_data(self._config.address, register)

    def _write(self, register: int, value: int) -> None:
        with self._talking():
            self._bus.write_byte_data(self._config.address, register, value)
        found = self._byte(register)
        if found != value:
            raise DeviceError(
                f"{self.name} did not keep {value} in register {register} ({found})",
                "another program may use it: stop Witty Pi's own daemon (`systemctl disable --now wittypi`)",
            )

    def _talking(self) -> AbstractContextManager[None]:
        return talking(self.name, self._config.bus, self._config.address)


def _bcd(number: int) -> int:
    return number // 10 << 4 | number % 10


def _number(bcd: int) -> int:
    high, low = bcd >> 4, bcd & 0x0F
    if high > 9 or low > 9:
        raise ValueError(f"0x{bcd:02x} is no decimal number")
    return 10 * high + low
