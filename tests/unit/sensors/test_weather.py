"""Readings, their CSV, several instruments as one, recorded and simulated weather."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poco.errors import BadInputError
from worker.sensors import config as c
from worker.sensors.reading import COLUMNS, clean, csv_text, from_csv
from worker.sensors.weather import Station, WeatherReplay, WeatherSimulated

values = st.fixed_dictionaries(
    {
        name: st.one_of(st.none(), st.floats(low, high).map(lambda x: round(x, 4)))
        for name, (low, high) in COLUMNS.items()
    }
)


@given(st.lists(st.tuples(st.integers(1, 10_000), values), max_size=20))
def test_the_csv_gives_back_what_was_written(rows: list[tuple[int, dict[str, float | None]]]) -> None:
    at, written = 1_700_000_000, []
    for step, reading in rows:
        at += step
        written.append((at, reading))
    assert list(from_csv(csv_text(written).splitlines(), "test")) == written


def test_the_csv_has_the_canonical_columns() -> None:
    reading = {"temperature_c": 12.5, "rain_mm": 0.0, "wind_ms": None}
    assert csv_text([(1_700_000_000, reading)]).splitlines() == [
        "time,temperature_c,humidity_pct,pressure_hpa,wind_ms,wind_dir_deg,gust_ms,rain_mm,irradiance_wm2",
        "2023-11-14T22:13:20Z,12.5,,,,,,0,",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no header"),
        ("time,colour\n", "no header"),
        ("time,rain_mm\nyesterday,1\n", "line 2"),
        ("time,rain_mm\n2024-01-01T00:00Z,wet\n", "line 2"),
        ("time,rain_mm\n2024-01-02T00:00Z,1\n2024-01-01T00:00Z,1\n", "does not go on"),
    ],
)
def test_a_broken_csv_is_named(text: str, said: str) -> None:
    with pytest.raises(BadInputError, match=said):
        list(from_csv(text.splitlines(), "test"))


@given(st.dictionaries(st.sampled_from([*COLUMNS, "colour"]), st.one_of(st.none(), st.floats())))
def test_what_no_instrument_can_say_is_unknown(reading: dict[str, float | None]) -> None:
    found = clean(reading)
    assert list(found) == list(COLUMNS)
    for name, value in found.items():
        low, high = COLUMNS[name]
        assert value is None or (low <= value <= high and value == reading[name])


def write(path: Path, rows: str) -> c.WeatherReplay:
    path.write_text("time,temperature_c,rain_mm\n" + rows)
    return c.WeatherReplay(path=path)


def test_a_replay_keeps_its_gaps_and_its_rain(tmp_path: Path) -> None:
    rows = "".join(f"2024-01-01T00:{m:02}:00Z,{m if m != 2 else ''},0.5\n" for m in range(5))
    sensor = WeatherReplay(write(tmp_path / "w.csv", rows))
    assert "5 readings" in sensor.check()
    told = [sensor.read(1000.0 + 60 * m) for m in range(4)]
    assert [r["temperature_c"] for r in told] == [0, 1, None, 3], "an empty field is unknown"
    assert [r["rain_mm"] for r in told] == [0.5] * 4
    assert sensor.read(1190.0)["rain_mm"] == 0.0, "the same row rains once"
    assert sensor.read(1240.0)["temperature_c"] == 4
    assert sensor.read(1241.0)["temperature_c"] == 0, "and again from the beginning"
    quick = WeatherReplay(write(tmp_path / "q.csv", rows))
    quick.read(1000.0)
    assert quick.read(1180.0)["rain_mm"] == 1.5, "the rain of rows that were passed adds up"


def test_a_replay_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="cannot read"):
        WeatherReplay(c.WeatherReplay(path=tmp_path / "none.csv")).check()
    with pytest.raises(BadInputError, match="no readings"):
        WeatherReplay(write(tmp_path / "empty.csv", "")).read(0.0)


@given(st.integers(0, 3), st.integers(1_600_000_000, 1_800_000_000))
def test_simulated_weather_is_weather(seed: int, at: int) -> None:
    first, again = WeatherSimulated(c.WeatherSimulated(seed=seed)), WeatherSimulated(c.WeatherSimulated(seed=seed))
    first.read(at - 60.0)
    again.read(at - 60.0)
    reading = first.read(float(at))
    assert reading == again.read(float(at))
    assert clean(reading) == dict(reading), "all within range"
    assert (reading["gust_ms"] or 0) >= (reading["wind_ms"] or 0)
    if at % 86_400 < 5 * 3600:
        assert reading["irradiance_wm2"] == 0, "no sun at night"


def test_one_that_fails_leaves_the_others_alone(tmp_path: Path) -> None:
    station = Station(
        c.Weather(
            backends=(
                c.Bme280(bus=251),
                write(tmp_path / "w.csv", "2024-01-01T00:00Z,7,\n"),
                c.WeatherSimulated(),
            )
        )
    )
    reading = station.read(1_700_000_000.0)
    assert reading["temperature_c"] == 7, "the first that knows it counts"
    assert reading["pressure_hpa"] is not None
    assert list(station.troubles) == ["0-bme280"] and "i2c-251" in station.troubles["0-bme280"]
