"""Weather backends by configuration, several as one; a recorded and a simulated one."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from contextlib import suppress

from poco.errors import BadInputError, PewError
from worker.sensors import config as c
from worker.sensors.protocol import WeatherSensor
from worker.sensors.reading import COLUMNS, Reading, clean, from_csv


def create_weather(backend: c.WeatherBackend) -> WeatherSensor:
    """The backend that a configuration names. The hardware is not touched before the first reading."""
    match backend:
        case c.Bme280():
            from worker.sensors.bme280 import Bme280

            return Bme280(backend)
        case c.Bh1750():
            from worker.sensors.light import Bh1750

            return Bh1750(backend)
        case c.ReferenceCell():
            from worker.sensors.light import ReferenceCell

            return ReferenceCell(backend)
        case c.Anemometer():
            from worker.sensors.pulses import Anemometer

            return Anemometer(backend)
        case c.WindVane():
            from worker.sensors.vane import WindVane

            return WindVane(backend)
        case c.RainGauge():
            from worker.sensors.pulses import RainGauge

            return RainGauge(backend)
        case c.WeatherReplay():
            return WeatherReplay(backend)
        case c.WeatherSimulated():
            return WeatherSimulated(backend)


class Station:
    """All instruments as one; what one cannot tell, or fails to, leaves the others' values alone."""

    def __init__(self, config: c.Weather) -> None:
        self.parts = tuple((backend.kind, create_weather(backend)) for backend in config.backends)
        self.troubles: dict[str, str] = {}

    def read(self, now: float) -> dict[str, float | None]:
        """One reading with all columns; where two instruments measure the same, the first that knows it counts.

        `troubles` says afterwards which instruments failed, and why.
        """
        merged: dict[str, float | None] = dict.fromkeys(COLUMNS)
        troubles: dict[str, str] = {}
        for number, (kind, part) in enumerate(self.parts):
            try:
                found = clean(part.read(now))
            except (PewError, OSError) as error:
                troubles[f"{number}-{kind}"] = str(error)
                with suppress(OSError):
                    part.close()
                continue
            merged = {name: found[name] if value is None else value for name, value in merged.items()}
        self.troubles = troubles
        return merged

    def close(self) -> None:
        """Let go of everything."""
        for _, part in self.parts:
            with suppress(OSError):
                part.close()


class WeatherReplay:
    """A CSV of readings, from its first row at the first reading to its last, then again."""

    def __init__(self, config: c.WeatherReplay) -> None:
        self._path = config.path
        self._rows: Iterator[tuple[int, Reading]] | None = None
        self._next: tuple[int, Reading] | None = None
        self._row: Reading = {}
        self._shift = 0.0

    def read(self, now: float) -> Reading:
        """See `WeatherSensor.read`; rain is the sum of the rows that were passed."""
        rain: float | None = None
        passed = 0
        while self._next is None or self._next[0] + self._shift <= now:
            if self._next is not None:
                self._row = self._next[1]
                passed += 1
                fell = self._row.get("rain_mm")
                rain = rain if fell is None else (rain or 0.0) + fell
            self._advance(now)
        if not passed and self._row:
            return {**self._row, "rain_mm": None if self._row.get("rain_mm") is None else 0.0}
        return {**self._row, "rain_mm": rain}

    def check(self) -> str:
        """See `WeatherSensor.check`."""
        rows = sum(1 for _ in self._open())
        if not rows:
            raise BadInputError(f"{self._path} has no readings", hint="take a CSV with a header and rows below it")
        return f"{rows} readings of {self._path}"

    def close(self) -> None:
        """See `WeatherSensor.close`; the next reading begins anew."""
        self._rows = self._next = None
        self._row = {}

    def _advance(self, now: float) -> None:
        following = next(self._rows, None) if self._rows is not None else None
        if following is None:
            self._rows = self._open()
            following = next(self._rows, None)
            if following is None:
                raise BadInputError(f"{self._path} has no readings", hint="take a CSV with a header and rows below it")
            self._shift = now - following[0] + (1.0 if self._row else 0.0)
        self._next = following

    def _open(self) -> Iterator[tuple[int, Reading]]:
        try:
            with self._path.open(newline="", encoding="utf-8") as file:
                yield from from_csv(file, str(self._path))
        except UnicodeDecodeError:
            raise BadInputError(f"{self._path} is not text", hint="take a CSV of readings") from None
        except OSError as error:
            raise BadInputError(
                f"cannot read {self._path}: {error.strerror}", hint="set `path` of the replayed weather"
            ) from None


class WeatherSimulated:
    """A plausible day in a temperate place, the same for the same seed and time."""

    def __init__(self, config: c.WeatherSimulated) -> None:
        self._seed = config.seed
        self._last: float | None = None

    def read(self, now: float) -> Reading:
        """See `WeatherSensor.read`."""
        since, self._last = self._last, now
        day = now / 86_400.0
        front = self._smooth(day / 3.0, 1)  # -1 to 1, over a few days
        sun = max(0.0, math.sin(math.pi * ((day % 1.0) - 0.25) * 2.0))  # from 6 to 18 h
        cloud = 0.5 + 0.5 * self._smooth(day * 12.0, 2)
        warmth = math.sin(2.0 * math.pi * (day - 0.375))
        temperature = 12.0 + 4.0 * front + 5.0 * warmth + 0.2 * self._smooth(day * 300.0, 3)
        humidity = min(100.0, max(15.0, 70.0 - 18.0 * warmth + 15.0 * cloud))
        wind = max(0.0, 3.0 - 2.5 * front + 1.5 * self._smooth(day * 200.0, 4))
        wet = cloud > 0.75 and front < 0.3
        seconds = 0.0 if since is None else min(3600.0, max(0.0, now - since))
        rain = 2.0 * (cloud - 0.75) * 4.0 * seconds / 3600.0 if wet else 0.0
        return {
            "temperature_c": round(temperature, 2),
            "humidity_pct": round(humidity, 1),
            "pressure_hpa": round(1013.0 + 12.0 * front, 2),
            "wind_ms": round(wind, 2),
            "wind_dir_deg": round((240.0 + 80.0 * self._smooth(day * 8.0, 5)) % 360.0, 1),
            "gust_ms": round(wind * (1.4 + 0.3 * self._smooth(day * 900.0, 6)), 2),
            "rain_mm": round(rain, 4),
            "irradiance_wm2": round(950.0 * sun * (1.0 - 0.75 * cloud**3), 1),
        }

    def check(self) -> str:
        """See `WeatherSensor.check`."""
        return f"simulated, seed {self._seed}"

    def close(self) -> None:
        """See `WeatherSensor.close`."""

    def _smooth(self, at: float, stream: int) -> float:
        """A value between -1 and 1 that changes smoothly, through random points one apart."""
        before = math.floor(at)
        part = (1.0 - math.cos(math.pi * (at - before))) / 2.0
        first, second = (
            random.Random(f"{self._seed}/{stream}/{point}").uniform(-1.0, 1.0)  # noqa: S311
            for point in (before, before + 1)
        )
        return first + (second - first) * part
