"""Power meters as their data sheets describe them, for `tests.unit.sensors.fake_i2c.Bus`, and VE.Direct."""

from __future__ import annotations

from datetime import datetime, timedelta


class WordChip:
    """Registers of 16 bits, most significant byte first: the INA family."""

    def __init__(self, power_on: dict[int, int], read_only: frozenset[int]) -> None:
        self.power_on, self._read_only = power_on, read_only
        self.words = dict(power_on)

    def brown_out(self) -> None:
        """Supply lost and back: settings are those of power-on, the measured values stay what they are."""
        self.words[0] = self.power_on[0]

    def read(self, register: int, length: int) -> list[int]:
        return list((self.words.get(register, 0) & 0xFFFF).to_bytes(2, "big"))[:length]

    def write(self, register: int, data: bytes) -> None:
        if register not in self._read_only:
            self.words[register] = int.from_bytes(data, "big")


def ina226(volts: float, amperes: float, shunt_ohm: float = 0.1) -> WordChip:
    """SBOS547A: power-on setting 0x4127, shunt 2.5 uV and bus 1.25 mV a bit, saturating."""
    chip = WordChip({0: 0x4127, 0xFE: 0x5449, 0xFF: 0x2260}, frozenset({1, 2, 3, 4, 0xFE, 0xFF}))
    chip.words[1] = max(-0x8000, min(0x7FFF, round(amperes * shunt_ohm / 2.5e-6)))
    chip.words[2] = round(volts / 1.25e-3)
    return chip


def ina219(volts: float, amperes: float, shunt_ohm: float = 0.1) -> WordChip:
    """SBOS448G: power-on setting 0x399f, shunt 10 uV and bus 4 mV a bit, the bus in bits 15 to 3."""
    chip = WordChip({0: 0x399F}, frozenset({1, 2, 3, 4}))
    chip.words[1] = max(-32_000, min(32_000, round(amperes * shunt_ohm / 10e-6)))
    chip.words[2] = round(volts / 4e-3) << 3 | 2
    return chip


class WittyPiChip:
    """The microcontroller of a Witty Pi 4: bytes one by one, a clock that runs, a temperature of two bytes."""

    def __init__(self, *, firmware: int = 0x26, clock: datetime = datetime(2026, 1, 31, 23, 59, 30)) -> None:
        self.bytes = {0: firmware, 7: 1, 11: 1, 19: 255, 22: 255, 55: 0x40}
        self.clock = clock
        self.temperature_c = 21.5
        self.supply(13.2, 5.1, 0.5)

    def supply(self, vin: float, vout: float, iout: float) -> None:
        for register, value in ((1, vin), (3, vout), (5, iout)):
            hundredths = round(value * 100)
            self.bytes[register], self.bytes[register + 1] = divmod(hundredths, 100)

    def read(self, register: int, length: int) -> list[int]:
        if register == 50:
            raw = round(self.temperature_c / 0.125) << 5
            return list((raw & 0xFFFF).to_bytes(2, "big"))[:length]
        if length > 1:
            return [0xFF] * length
        if 58 <= register <= 64:
            self.clock += timedelta(milliseconds=1)
            now = self.clock
            fields = (now.second, now.minute, now.hour, now.day, now.weekday(), now.month, now.year - 2000)
            return [_bcd(fields[register - 58])]
        return [self.bytes.get(register, 0)]

    def write(self, register: int, data: bytes) -> None:
        if register > 15:  # the lower ones are read-only
            self.bytes[register] = data[0]

    def alarm(self) -> tuple[int, int, int, int]:
        """Day, hour, minute, second."""
        second, minute, hour, day = (10 * (b >> 4) + (b & 15) for b in (self.bytes[27 + n] for n in range(4)))
        return day, hour, minute, second


class PiJuiceChip:
    """The firmware of a PiJuice: little-endian values and a check byte, which `wrong` spoils so many times."""

    def __init__(
        self, *, charge: int = 80, mv: int = 3900, ma: int = -400, io_mv: int = 5100, io_ma: int = 600
    ) -> None:
        self.values = {0x40: [0], 0x41: [80], 0x47: [25, 0]}
        for command, value in ((0x49, mv), (0x4B, ma), (0x4D, io_mv), (0x4F, io_ma)):
            self.values[command] = list(value.to_bytes(2, "little", signed=True))
        self.wrong = 0

    def read(self, register: int, length: int) -> list[int]:
        data = self.values[register]
        check = 0xFF
        for byte in data:
            check ^= byte
        if self.wrong:
            self.wrong -= 1
            check ^= 0x80
        return [*data, check][:length]

    def write(self, register: int, data: bytes) -> None:
        """Nothing that the worker uses is written."""


def victron_frame(**fields: object) -> bytes:
    """One frame of VE.Direct's text protocol, its checksum right; `SER#` is written as `SER`."""
    body = b"".join(f"\r\n{label}\t{value}".encode() for label, value in fields.items()) + b"\r\nChecksum\t"
    return body + bytes([-sum(body) & 0xFF])


def _bcd(number: int) -> int:
    return number // 10 << 4 | number % 10
