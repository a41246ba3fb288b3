"""Victron solar charge controllers (MPPT) and battery monitors (BMV, SmartShunt) by VE.Direct, 19,200 baud.

Text protocol of Victron's "VE.Direct Protocol" paper: once a second a frame of lines `<label> tab <value>`; the label
`Checksum` carries the byte that makes the sum of the whole frame 0 modulo 256. Hexadecimal messages (`:` to the end of
the line) may stand between.
"""

from __future__ import annotations

import time
from typing import Literal, Protocol, cast

from pydantic import BaseModel, ConfigDict, Field

from poco.errors import BadInputError
from worker.energy.hardware.measures import Measures
from worker.i2c import DeviceError

EXAMPLE = """\
- driver: victron
  port: /dev/ttyUSB0    # the VE.Direct to USB cable; on the board's own serial port: /dev/serial0
  stale_s: 10           # a frame older than this is unknown
"""

_MAX_FRAME = 4096
_FIRST_FRAME_S = 3.0


class VictronConfig(BaseModel):
    """One device with a VE.Direct port."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    driver: Literal["victron"]
    port: str = "/dev/ttyUSB0"
    stale_s: float = Field(10.0, gt=0, le=600)


class Port(Protocol):
    """What is used of `serial.Serial`."""

    def read(self, size: int) -> bytes: ...

    def close(self) -> None: ...


def open_port(name: str) -> Port:
    """Open a serial port.

    Raises:
        BadInputError: pyserial is not installed, or the port cannot be used.
    """
    try:
        import serial
    except ImportError:
        raise BadInputError("VE.Direct needs the package pyserial", hint="pip install pyserial") from None
    try:
        return cast(Port, serial.Serial(name, 19_200, timeout=0.2, exclusive=True))
    except (OSError, ValueError) as error:
        raise BadInputError(
            f"cannot open {name} ({error})",
            hint="`ls /dev/serial/by-id` lists the cables; the user must be in the group dialout",
        ) from None


class Frames:
    """Turns bytes, in whatever pieces, into frames whose checksum is right."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._fields: dict[str, str] = {}
        self._sum = 0
        self._size = 0
        self.broken = 0  # frames with a wrong checksum, the cut first one included

    def feed(self, data: bytes) -> list[dict[str, str]]:
        """The frames that these bytes complete."""
        done = []
        for byte in data:
            if self._line[:1] == b":" and byte != 0x0A:
                continue  # hexadecimal message: not part of the sum
            if self._line[:1] == b":":
                self._line.clear()
                continue
            if byte == 0x3A and not self._line:
                self._line.append(byte)
                continue
            self._sum = (self._sum + byte) & 0xFF
            self._size += 1
            if self._line.startswith(b"Checksum\t"):
                if self._sum == 0 and self._fields:
                    done.append(self._fields)
                else:
                    self.broken += 1
                self._restart()
            elif byte == 0x0A:
                self._take()
            elif byte != 0x0D:
                self._line.append(byte)
            if self._size > _MAX_FRAME:
                self.broken += 1
                self._restart()
        return done

    def _take(self) -> None:
        label, tab, value = self._line.partition(b"\t")
        if tab:
            self._fields[label.decode("ascii", "replace")] = value.decode("ascii", "replace")
        self._line.clear()

    def _restart(self) -> None:
        self._line.clear()
        self._fields, self._sum, self._size = {}, 0, 0


class Victron:
    """One device at the other end of a VE.Direct cable."""

    def __init__(self, config: VictronConfig, port: Port) -> None:
        self._config, self._port = config, port
        self._frames = Frames()
        self._last: dict[str, str] = {}
        self._at = -float("inf")

    @property
    def name(self) -> str:
        return f"Victron at {self._config.port}"

    def check(self) -> str:
        seen = self.measure()
        product = self._last.get("PID", "unknown product")
        return f"product {product}, {seen.battery_v or 0:.2f} V"

    def measure(self) -> Measures:
        first = not self._last
        deadline = time.monotonic() + (_FIRST_FRAME_S if first else 0.0)
        while True:
            try:
                data = self._port.read(4096)
            except OSError as error:
                raise DeviceError(f"{self.name} is gone ({error})", "plug the cable in again") from None
            for frame in self._frames.feed(data):
                # a battery monitor sends its fields in two frames
                self._last.update(frame)
                self._at = time.monotonic()
            if time.monotonic() >= deadline or (first and self._last and not data):
                break
        if time.monotonic() - self._at > self._config.stale_s:
            self._last.clear()
            said = f", {self._frames.broken} with a wrong checksum" if self._frames.broken else ""
            raise DeviceError(
                f"{self.name} has sent no frame for {self._config.stale_s:.0f} s{said}",
                "check the cable, and that the device has power; no other program may read the port",
            )
        return self._measures()

    def _measures(self) -> Measures:
        volts, amperes, load_a = self._milli("V"), self._milli("I"), self._milli("IL")
        if "SOC" in self._last or "CE" in self._last:  # a battery monitor
            power = self._number("P")
            soc = self._number("SOC")
            return Measures(
                battery_v=volts,
                battery_w=power if power is not None else _product(volts, amperes),
                battery_soc=None if soc is None else min(1.0, max(0.0, soc / 1000)),
                temperature_c=self._number("T"),
            )
        if volts is None or amperes is None:
            return Measures(battery_v=volts)
        # I is what leaves the controller for the battery's side; what its load output takes is not in it
        return Measures(
            harvest_w=max(0.0, volts * (amperes + (load_a or 0.0))),
            load_w=_product(volts, load_a),
            battery_w=None if load_a is None else volts * amperes,
            battery_v=volts,
        )

    def _number(self, label: str) -> float | None:
        try:
            return float(int(self._last[label]))
        except (KeyError, ValueError):  # "---": the device does not know
            return None

    def _milli(self, label: str) -> float | None:
        value = self._number(label)
        return None if value is None else value / 1000


def _product(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a * b
