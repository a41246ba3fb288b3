"""Contacts on GPIO pins: cup anemometer and tipping bucket, through gpiozero."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from poco.errors import BadInputError
from worker.i2c import DeviceError
from worker.sensors.config import Anemometer as AnemometerConfig
from worker.sensors.config import RainGauge as RainConfig
from worker.sensors.reading import Reading

#: WMO-No. 8 (Guide to Instruments, part I, chapter 5): a gust is the highest mean of 3 s.
GUST_SECONDS = 3.0
_MOST = 200_000


class Pulses:
    """Closed contacts between a pin and ground, as instants without their bounces.

    Args:
        pin: GPIO number.
        bounce_seconds: contacts that follow one another faster are one.
        clock: seconds, steady.
    """

    def __init__(self, pin: int, bounce_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._pin, self._bounce, self._clock = pin, bounce_seconds, clock
        self._seen: deque[float] = deque(maxlen=_MOST)
        self._last = float("-inf")
        self._since = 0.0
        self._input: Any = None

    def take(self) -> tuple[Sequence[float], float, float]:
        """(instants, start, end) of the contacts since the last call; the first call takes the pin.

        Raises:
            BadInputError: gpiozero is not installed, or knows no such pin.
            DeviceError: the pins cannot be used.
        """
        if self._input is None:
            self._begin()
        start, end = self._since, self._clock()
        self._since = end
        taken = []
        while self._seen and self._seen[0] <= end:
            taken.append(self._seen.popleft())
        return taken, start, end

    def close(self) -> None:
        """Let go of the pin."""
        if self._input is not None:
            self._input.close()
            self._input = None
        self._seen.clear()

    def _begin(self) -> None:
        try:
            import gpiozero
        except ImportError:
            raise BadInputError(
                "GPIO needs the packages gpiozero and lgpio", hint="pip install gpiozero lgpio"
            ) from None
        try:
            self._input = gpiozero.Button(self._pin, pull_up=True)
        except gpiozero.GPIOPinInUse:
            raise BadInputError(
                f"GPIO {self._pin} is used twice", hint="give each instrument a pin of its own"
            ) from None
        except gpiozero.BadPinFactory:
            raise DeviceError(
                "no GPIO pins can be used here",
                "this needs a Raspberry Pi with lgpio, and a user of group gpio: sudo usermod -aG gpio <user>",
            ) from None
        except gpiozero.GPIOZeroError as error:
            raise BadInputError(f"GPIO {self._pin}: {error}", hint="`pinout` shows the pins of this board") from None
        except Exception as error:  # each pin library has its own kind of error
            raise DeviceError(
                f"GPIO {self._pin} cannot be taken: {error}",
                "another program may hold it: `gpioinfo` names it; the user must be in group gpio",
            ) from None
        self._since = self._clock()
        self._input.when_pressed = self._closed

    def _closed(self) -> None:
        now = self._clock()
        if now - self._last >= self._bounce:
            self._seen.append(now)
        self._last = now


class Anemometer:
    """Mean wind speed and gust since the last reading."""

    def __init__(self, config: AnemometerConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._pulses = Pulses(config.pin, config.bounce_ms / 1000.0, clock)

    def read(self, now: float) -> Reading:  # noqa: ARG002
        """See `WeatherSensor.read`; unknown over an interval shorter than a gust."""
        instants, start, end = self._pulses.take()
        if end - start < GUST_SECONDS:
            return {"wind_ms": None, "gust_ms": None}
        factor = self._config.ms_per_hz
        return {
            "wind_ms": round(len(instants) / (end - start) * factor, 2),
            "gust_ms": round(most_within(instants, GUST_SECONDS) / GUST_SECONDS * factor, 2),
        }

    def check(self) -> str:
        """See `WeatherSensor.check`."""
        self._pulses.take()
        self.close()
        return f"anemometer at GPIO {self._config.pin}: the pin can be read"

    def close(self) -> None:
        """See `WeatherSensor.close`."""
        self._pulses.close()


class RainGauge:
    """Rain since the last reading."""

    def __init__(self, config: RainConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._pulses = Pulses(config.pin, config.bounce_ms / 1000.0, clock)
        self._begun = False

    def read(self, now: float) -> Reading:  # noqa: ARG002
        """See `WeatherSensor.read`; the first reading is unknown, for nothing was counted before it."""
        instants, _, _ = self._pulses.take()
        counted, self._begun = self._begun, True
        return {"rain_mm": round(len(instants) * self._config.mm_per_tip, 4) if counted else None}

    def check(self) -> str:
        """See `WeatherSensor.check`."""
        self._pulses.take()
        self.close()
        return f"rain gauge at GPIO {self._config.pin}: the pin can be read"

    def close(self) -> None:
        """See `WeatherSensor.close`."""
        self._pulses.close()
        self._begun = False


def most_within(instants: Sequence[float], seconds: float) -> int:
    """The largest number of instants (sorted) in any span of that many seconds."""
    most = first = 0
    for last, instant in enumerate(instants):
        while instant - instants[first] >= seconds:
            first += 1
        most = max(most, last - first + 1)
    return most
