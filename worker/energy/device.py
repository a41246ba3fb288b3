"""What the boards draw, state by state."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from poco.errors import BadInputError

#: Efficiency of the step-down converter between the battery and the board's 5 V.
CONVERTER_EFFICIENCY = 0.9


class Load(StrEnum):
    """What the device is doing."""

    OFF = "off"  # power cut by the low-voltage protection; only the power board draws
    ASLEEP = "asleep"  # shut down by itself; the power board waits for the alarm
    IDLE = "idle"
    SENSING = "sensing"
    COMPUTING = "computing"


@dataclass(frozen=True)
class Device:
    """Power of a board in each state, watts at its 5 V input; `standby_w` is the power board, at the battery."""

    name: str
    idle_w: float
    sensing_w: float
    computing_w: float
    standby_w: float
    boot_s: float = 90.0

    def power_w(self, load: Load) -> float:
        """Watts drawn from the battery's side, the converter's loss included."""
        match load:
            case Load.OFF | Load.ASLEEP:
                return self.standby_w
            case Load.IDLE:
                return self.idle_w / CONVERTER_EFFICIENCY
            case Load.SENSING:
                return self.sensing_w / CONVERTER_EFFICIENCY
            case Load.COMPUTING:
                return self.computing_w / CONVERTER_EFFICIENCY


#: Idle and full-load watts: Raspberry Pi documentation ("Typical power requirements") and published bench
#: measurements of stress tests on all cores; the Zero 2 W's 2.4 W is assumed from the Pi 3's cores. Sensing adds a
#: camera at low frame rate.
BOARDS = {
    device.name: device
    for device in (
        Device("pi-zero-2w", idle_w=0.6, sensing_w=0.9, computing_w=2.4, standby_w=0.02),
        Device("pi-3b+", idle_w=1.9, sensing_w=2.3, computing_w=5.1, standby_w=0.06),
        Device("pi-4b", idle_w=2.7, sensing_w=3.2, computing_w=6.4, standby_w=0.06),
        Device("pi-5", idle_w=3.0, sensing_w=3.6, computing_w=8.8, standby_w=0.06),
    )
}


def board(name: str) -> Device:
    """The board of that name.

    Raises:
        BadInputError: no such board; the hint lists those known.
    """
    try:
        return BOARDS[name]
    except KeyError:
        raise BadInputError(
            f"unknown board {name!r}", hint="known boards: " + ", ".join(sorted(BOARDS)), code="UNKNOWN_BOARD"
        ) from None
