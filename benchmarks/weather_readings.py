"""Readings of made-up stations a few kilometres apart, with faults in them.

Run as a program it writes the golden input: `python -m benchmarks.weather_readings
dapps/weather-station/golden/readings.csv`.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

COLUMNS = (
    "time", "station", "temperature_c", "humidity_pct", "pressure_hpa", "wind_ms", "wind_dir_deg", "gust_ms", "rain_mm",
    "irradiance_wm2",
)  # fmt: skip
START = datetime(2026, 4, 20, tzinfo=UTC)
Row = dict[str, object]


class Walk:
    """A number that wanders around zero: first-order autoregression with standard deviation 1."""

    def __init__(self, chance: random.Random, memory: float) -> None:
        self.chance, self.memory, self.value = chance, memory, chance.gauss(0, 1)

    def step(self) -> float:
        """The next value."""
        self.value = self.memory * self.value + math.sqrt(1 - self.memory**2) * self.chance.gauss(0, 1)
        return self.value


def readings(
    days: float, minutes: int = 30, stations: tuple[str, ...] = ("lake", "hill", "town"), seed: int = 7
) -> Iterator[Row]:
    """Clean readings, station by station at each instant; values rounded as sensors do."""
    chance = random.Random(seed)
    memory = {
        name: 1 - minutes / (60 * hours) for name, hours in (("slow", 60), ("cloud", 8), ("wind", 6), ("turn", 30))
    }
    shared = {name: Walk(chance, value) for name, value in memory.items()}
    own = [{name: Walk(chance, value) for name, value in memory.items()} for _ in stations]
    for step in range(1, int(days * 1440 / minutes) + 1):
        when = START + timedelta(minutes=minutes * step)
        hour = when.hour + when.minute / 60
        common = {name: walk.step() for name, walk in shared.items()}
        sun = max(0.0, math.sin(math.pi * (hour - 5.5) / 13.5)) if 5.5 < hour < 19 else 0.0
        clear = 1 - 0.75 / (1 + math.exp(-2 * common["cloud"]))
        for place, name in enumerate(stations):
            local = {key: walk.step() for key, walk in own[place].items()}
            temperature = (
                11 + 4 * common["slow"] + 5 * math.sin(math.pi * (hour - 9) / 12) * clear + 0.5 * local["cloud"] - place
            )
            spread = max(0.2, 5 + 4 * sun * clear - 3 * common["cloud"] + 0.6 * local["wind"])
            dew = temperature - spread
            humidity = 100 * math.exp(17.62 * dew / (243.12 + dew) - 17.62 * temperature / (243.12 + temperature))
            wind = max(0.0, 3 + 1.8 * common["wind"] + 0.5 * local["wind"] + sun)
            rain = common["cloud"] > 1.3 and chance.random() < 0.5
            yield {
                "time": when.strftime("%Y-%m-%dT%H:%M:%SZ"), "station": name, "temperature_c": round(temperature, 1),
                "humidity_pct": round(humidity, 1), "pressure_hpa": round(970 - 4 * place + 6 * common["slow"], 1),
                "wind_ms": round(wind, 1), "wind_dir_deg": round(240 + 60 * common["turn"] + 12 * local["turn"]) % 360,
                "gust_ms": round(wind * (1.3 + 0.4 * chance.random()), 1),
                "rain_mm": round(0.2 * chance.randint(1, 12), 1) if rain else 0.0,
                "irradiance_wm2": round(850 * sun * clear),
            }  # fmt: skip


def spoil(rows: list[Row]) -> None:
    """Put a fault of each kind into rows of three stations and half-hourly readings."""
    by_station = {name: [row for row in rows if row["station"] == name] for name in ("lake", "hill", "town")}

    def add(name: str, column: str, first: int, sizes: list[float]) -> None:
        for row, size in zip(by_station[name][first:], sizes, strict=False):
            row[column] = round(float(str(row[column])) + size, 1)

    add("lake", "temperature_c", 200, [12.0])
    add("hill", "pressure_hpa", 300, [0.1 * hour for hour in range(80)])
    add("town", "temperature_c", 500, [5.0] * 60)
    for row in by_station["lake"][600:640]:
        row["humidity_pct"] = by_station["lake"][599]["humidity_pct"]
    by_station["town"][100]["wind_ms"] = 450
    by_station["hill"][150]["humidity_pct"] = -9999
    by_station["hill"][151]["temperature_c"] = ""
    by_station["town"][700]["gust_ms"] = 0
    by_station["lake"][4]["irradiance_wm2"] = 300


def csv_of(rows: list[Row]) -> str:
    """The rows as CSV."""
    return "\n".join([",".join(COLUMNS), *(",".join(str(row[name]) for name in COLUMNS) for row in rows)]) + "\n"


if __name__ == "__main__":
    golden = list(readings(21))
    spoil(golden)
    Path(sys.argv[1]).write_text(csv_of(golden))
