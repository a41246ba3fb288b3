"""What a backend must offer, whatever stands behind it."""

from __future__ import annotations

from typing import Protocol

from worker.sensors.reading import Reading


class WeatherSensor(Protocol):
    """One instrument, or a recorded or simulated one. Made without touching the hardware."""

    def read(self, now: float) -> Reading:
        """What is measured at `now` (Unix seconds); what it cannot tell is missing or None.

        Raises:
            DeviceError: it does not answer, or not as it should.
        """
        ...

    def check(self) -> str:
        """What the instrument says of itself, for `doctor`.

        Raises:
            PewError: what is wrong, and the way out.
        """
        ...

    def close(self) -> None:
        """Let go of bus, pins and processes; `read` takes them again."""
        ...


class Camera(Protocol):
    """A source of JPEG pictures."""

    def frame(self, seconds: float) -> bytes | None:
        """The newest picture that was not given yet, as JPEG; None when none came within `seconds`. Opens the camera.

        Raises:
            DeviceError: there is no camera, or it does not work.
        """
        ...

    def check(self) -> str:
        """What the camera says of itself, for `doctor`.

        Raises:
            PewError: what is wrong, and the way out.
        """
        ...

    def close(self) -> None:
        """Switch the camera off; `frame` switches it on again."""
        ...
