"""The kernel's real-time clock as alarm: the Raspberry Pi 5's own, PiJuice's DS1339, any clock with a wake-up line."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from worker.i2c import DeviceError

EXAMPLE = """\
driver: rtc
clock: rtc0             # /sys/class/rtc/rtc0; PiJuice: dtoverlay=i2c-rtc,ds1339 in config.txt
"""

FOLDER = Path("/sys/class/rtc")


class RtcConfig(BaseModel):
    """One clock of the kernel."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    driver: Literal["rtc"]
    clock: str = "rtc0"


class Rtc:
    """An alarm by `wakealarm`.

    Args:
        config: which clock.
        folder: where the kernel shows its clocks.
    """

    def __init__(self, config: RtcConfig, folder: Path = FOLDER) -> None:
        self._clock = folder / config.clock

    def check(self) -> str:
        return f"{self._clock.name} shows {self._now()}"

    def wake_in(self, seconds: float) -> None:
        alarm = self._clock / "wakealarm"
        # the clock may differ from the system's: what counts is the distance from its own now
        wanted = self._now() + round(seconds)
        try:
            alarm.write_text("0")  # the kernel refuses to move an alarm that is set
            alarm.write_text(str(wanted))
            found = alarm.read_text().strip()
        except PermissionError:
            raise DeviceError(
                f"this user may not set {alarm}", "give it the right by a udev rule: docs/reference/hardware.md"
            ) from None
        except OSError as error:
            raise DeviceError(f"{self._clock.name} takes no alarm ({error})", "take a clock that can wake") from None
        if found != str(wanted):
            raise DeviceError(f"{self._clock.name} keeps no alarm", "another program may use it, or it cannot wake")

    def _now(self) -> int:
        try:
            now = int((self._clock / "since_epoch").read_text())
        except (OSError, ValueError):
            raise DeviceError(
                f"there is no clock {self._clock}", "`ls /sys/class/rtc` lists them; PiJuice needs its dtoverlay"
            ) from None
        if not (self._clock / "wakealarm").exists():
            raise DeviceError(
                f"{self._clock.name} has no alarm", "take a clock that can wake; `ls /sys/class/rtc/*/wakealarm`"
            )
        return now
