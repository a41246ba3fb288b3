"""The I2C bus of the board, shared by power meters and sensors, with errors that say what to do."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, cast

from poco.errors import BadInputError, PewError

_NOBODY = frozenset({errno.EREMOTEIO, errno.ENXIO, errno.ENODEV})


class I2cBus(Protocol):
    """What drivers use of `smbus2.SMBus`; all calls raise OSError where the bus or the device fails."""

    def write_byte(self, i2c_addr: int, value: int) -> None: ...

    def read_byte_data(self, i2c_addr: int, register: int) -> int: ...

    def write_byte_data(self, i2c_addr: int, register: int, value: int) -> None: ...

    def read_i2c_block_data(self, i2c_addr: int, register: int, length: int) -> list[int]: ...

    def write_i2c_block_data(self, i2c_addr: int, register: int, data: list[int]) -> None: ...

    def close(self) -> None: ...


class DeviceError(PewError):
    """A device on a bus does not answer, or not as it should. What it would have measured is unknown."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message, hint=hint, code="DEVICE")


def open_bus(number: int) -> I2cBus:
    """Open `/dev/i2c-<number>`.

    Raises:
        BadInputError: there is no such bus, it may not be used, or smbus2 is not installed.
    """
    try:
        from smbus2 import SMBus
    except ImportError:
        raise BadInputError("I2C needs the package smbus2", hint="pip install smbus2") from None
    try:
        return cast(I2cBus, SMBus(number))
    except FileNotFoundError:
        raise BadInputError(
            f"there is no I2C bus /dev/i2c-{number}",
            hint="switch it on: `sudo raspi-config nonint do_i2c 0`, then restart; `i2cdetect -l` lists the buses",
        ) from None
    except PermissionError:
        raise BadInputError(
            f"this user may not use /dev/i2c-{number}", hint="sudo usermod -aG i2c <user>, then log in again"
        ) from None


class LazyBus:
    """A bus that is opened at its first use, and again after `close`.

    Args:
        number: of the bus.
        opener: opens it.
    """

    def __init__(self, number: int, opener: Callable[[int], I2cBus]) -> None:
        self._number, self._open = number, opener
        self._bus: I2cBus | None = None

    def get(self) -> I2cBus:
        if self._bus is None:
            self._bus = self._open(self._number)
        return self._bus

    def close(self) -> None:
        if self._bus is not None:
            self._bus.close()
            self._bus = None


@contextmanager
def talking(device: str, number: int, address: int) -> Iterator[None]:
    """Turn the bus's errors into a DeviceError that names the device and what to look at."""
    try:
        yield
    except OSError as error:
        where = f"{device} at address 0x{address:02x} of I2C bus {number}"
        if error.errno in _NOBODY:
            hint = f"check its wiring, power and address: `i2cdetect -y {number}` shows who answers"
            raise DeviceError(f"nothing answers as {where}", hint) from None
        hint = "a device holds the lines down or the wires are too long: disconnect devices one by one"
        raise DeviceError(f"the bus of {where} does not move ({error})", hint) from None
