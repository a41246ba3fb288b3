"""I2C devices as their data sheets describe them, on a bus that can be broken."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any


class Bus:
    """Devices by address; a missing one does not acknowledge, a stuck bus times out."""

    def __init__(self, **_: Any) -> None:
        self.devices: dict[int, Any] = {}
        self.stuck = False
        self.closed = 0

    def opener(self) -> Callable[[int], Bus]:
        return lambda _number: self

    def _device(self, address: int) -> Any:
        if self.stuck:
            raise OSError(errno.ETIMEDOUT, "Connection timed out")
        if address not in self.devices:
            raise OSError(errno.EREMOTEIO, "Remote I/O error")
        return self.devices[address]

    def read_byte_data(self, i2c_addr: int, register: int) -> int:
        return int(self._device(i2c_addr).read(register, 1)[0])

    def read_i2c_block_data(self, i2c_addr: int, register: int, length: int) -> list[int]:
        return list(self._device(i2c_addr).read(register, length))

    def write_byte(self, i2c_addr: int, value: int) -> None:
        self._device(i2c_addr).write(value, b"")

    def write_byte_data(self, i2c_addr: int, register: int, value: int) -> None:
        self._device(i2c_addr).write(register, bytes([value]))

    def write_i2c_block_data(self, i2c_addr: int, register: int, data: list[int]) -> None:
        self._device(i2c_addr).write(register, bytes(data))

    def close(self) -> None:
        self.closed += 1


class Bme280Chip:
    """The memory map of BST-BME280-DS002: it measures when forced mode is written, and takes its time.

    Calibration words of temperature and pressure are those of the worked example in BST-BMP280-DS001, section 3.12;
    both chips share these formulas.
    """

    T = (27504, 26435, -1000)
    P = (36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000)

    def __init__(
        self,
        *,
        adc_t: int = 519888,
        adc_p: int = 415148,
        adc_h: int = 0x6F00,
        h: tuple[int, ...] = (75, 361, 0, 324, 50, 30),
        chip_id: int = 0x60,
        busy_reads: int = 1,
    ) -> None:
        self.adc = (adc_p, adc_t, adc_h)
        self.busy_reads = busy_reads
        self.memory = bytearray(256)
        self.memory[0xD0] = chip_id
        words = b"".join(w.to_bytes(2, "little", signed=w < 0) for w in (*self.T, *self.P))
        self.memory[0x88 : 0x88 + len(words)] = words
        h1, h2, h3, h4, h5, h6 = h
        self.memory[0xA1] = h1
        self.memory[0xE1:0xE3] = h2.to_bytes(2, "little", signed=True)
        self.memory[0xE3] = h3
        self.memory[0xE4] = h4 >> 4 & 0xFF
        self.memory[0xE5] = (h4 & 0x0F) | (h5 & 0x0F) << 4
        self.memory[0xE6] = h5 >> 4 & 0xFF
        self.memory[0xE7] = h6 & 0xFF
        # after power-on nothing was measured (section 5.4.7 to 5.4.9)
        self.memory[0xF7:0xFF] = bytes((0x80, 0, 0, 0x80, 0, 0, 0x80, 0))
        self._left = 0
        self._humidity_on = False

    def write(self, register: int, data: bytes) -> None:
        if register == 0xF4:
            # ctrl_hum takes effect when ctrl_meas is written (section 5.4.3)
            self._humidity_on = bool(self.memory[0xF2] & 0b111)
            if data[0] & 0b11 in (0b01, 0b10):
                self._left = self.busy_reads
                self._measure(data[0])
        self.memory[register] = data[0]

    def read(self, register: int, length: int) -> bytes:
        if register == 0xF3:
            self.memory[0xF3] = 0b1000 if self._left > 0 else 0
            self._left -= 1
        return bytes(self.memory[register : register + length])

    def _measure(self, control: int) -> None:
        p, t, h = self.adc
        t = t if control >> 5 else 0x80000
        p = p if control >> 2 & 0b111 else 0x80000
        h = h if self._humidity_on else 0x8000
        self.memory[0xF7:0xFF] = bytes(
            (p >> 12, p >> 4 & 0xFF, (p & 0xF) << 4, t >> 12, t >> 4 & 0xFF, (t & 0xF) << 4, h >> 8, h & 0xFF)
        )


class Bh1750Chip:
    """Opcodes of ROHM 11046EDT01: nothing is measured while it is off; sensitivity follows the measurement time."""

    def __init__(self, lux: float) -> None:
        self.lux = lux
        self.on = False
        self.time = 69
        self.value = 0

    def write(self, code: int, _data: bytes) -> None:
        if code in (0x00, 0x01):
            self.on = bool(code)
        elif code & 0b1111_1000 == 0b0100_0000:
            self.time = (code & 0b111) << 5 | self.time & 0x1F
        elif code & 0b1110_0000 == 0b0110_0000:
            self.time = self.time & 0xE0 | code & 0x1F
        elif code == 0x20 and self.on:
            self.value = min(0xFFFF, round(self.lux * 1.2 * self.time / 69))
            self.on = False

    def read(self, code: int, length: int) -> bytes:
        self.write(code, b"")
        return self.value.to_bytes(length, "big")


class Ads1115Chip:
    """Registers of TI SBAS444: a conversion begins when the OS bit is written, and ends some reads later."""

    def __init__(self, volts: dict[int, float], busy_reads: int = 1) -> None:
        self.volts, self.busy_reads = volts, busy_reads
        self.config, self.value, self._left = 0x8583, 0, 0

    def write(self, register: int, data: bytes) -> None:
        assert register == 0x01
        self.config = int.from_bytes(data, "big")
        assert self.config >> 9 & 0b111 == 0b001 and self.config >> 8 & 1, "one conversion within 4.096 V"
        if self.config >> 15:
            channel = (self.config >> 12 & 0b111) - 4
            self.value = round(self.volts.get(channel, 0.0) / 4.096 * 32_768)
            self._left = self.busy_reads

    def read(self, register: int, length: int) -> bytes:
        if register == 0x00:
            return self.value.to_bytes(2, "big", signed=True)[:length]
        ready, self._left = self._left <= 0, self._left - 1
        return (self.config & 0x7FFF | ready << 15).to_bytes(2, "big")


class Ina219Chip:
    """The shunt voltage register of TI SBOS448: two's complement, 10 uV a step."""

    def __init__(self, volts: float) -> None:
        self.volts = volts

    def read(self, register: int, length: int) -> bytes:
        value = max(-32_000, min(32_000, round(self.volts / 10e-6)))
        return value.to_bytes(2, "big", signed=True)[:length] if register == 0x01 else bytes(length)
