"""The whole program: faults are found, sound values are kept, aggregates and forecast are right, the page is drawn."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
import random
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import weather_faults, weather_readings
from sdk.builder.description import load

DAPP = Path(__file__).resolve().parents[4] / "dapps" / "weather-station"


def run(tmp_path, content, *arguments):
    """Run the program on an input; returns what it did, with the result in `tmp_path/out`."""
    (tmp_path / "in").mkdir(exist_ok=True)
    (tmp_path / "out").mkdir(exist_ok=True)
    (tmp_path / "in" / "input").write_bytes(content if isinstance(content, bytes) else content.encode())
    environment = {
        "IEXEC_IN": str(tmp_path / "in"), "IEXEC_OUT": str(tmp_path / "out"), "IEXEC_INPUT_FILE_NAME_1": "input",
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, "-I", str(DAPP / "program"), *arguments],
        env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


def table(tmp_path, name):
    with (tmp_path / "out" / name).open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def golden(tmp_path_factory):
    """The golden input's result."""
    tmp_path = tmp_path_factory.mktemp("golden")
    description = load(DAPP)
    content = (DAPP / description.golden.input).read_bytes()
    done = run(tmp_path, content, *description.golden.arguments.split())
    assert done.returncode == 0, done.stderr
    return tmp_path


def test_the_golden_result_is_the_one_that_the_description_names(golden):
    summary = (golden / "out" / "summary.json").read_bytes()
    assert load(DAPP).golden.digest == "0x" + hashlib.sha256(summary).hexdigest()
    files = json.loads(summary)["files"]
    assert all(hashlib.sha256((golden / "out" / name).read_bytes()).hexdigest() == sha for name, sha in files.items())
    assert {path.name for path in (golden / "out").iterdir()} == {*files, "summary.json", "computed.json"}
    assert all(len(path.name) <= 31 for path in (golden / "out").iterdir())
    computed = json.loads((golden / "out" / "computed.json").read_text())
    assert computed == {"deterministic-output-path": "/iexec_out/summary.json"}


def test_every_fault_that_was_put_in_is_found(golden):
    quality = {
        station["name"]: {name: entry["by_check"] for name, entry in station["quality"].items() if entry["by_check"]}
        for station in json.loads((golden / "out" / "summary.json").read_text())["stations"]
    }
    assert quality["lake"]["temperature_c"] == {"spike": 1}
    assert 38 <= quality["lake"]["humidity_pct"]["persistence"] <= 44
    assert quality["lake"]["irradiance_wm2"] == {"consistency": 1}
    assert 70 <= quality["hill"]["pressure_hpa"]["drift"] <= 90
    assert 56 <= quality["town"]["temperature_c"]["level"] <= 64
    assert (quality["town"]["wind_ms"], quality["town"]["gust_ms"]) == ({"range": 1}, {"consistency": 1})
    flags = {(row["time"], row["station"]): row for row in table(golden, "flags.csv")}
    assert flags["2026-04-24T04:30:00Z", "lake"]["temperature_c"] == "S"
    flagged = sum(len(cell) > 0 for row in flags.values() for cell in list(row.values())[2:])
    assert flagged < 200  # 186 were put in


def test_the_page_is_svg_with_every_plot(golden):
    page = ElementTree.parse(golden / "out" / "report.svg").getroot()  # noqa: S314
    style = next(page.iter("{http://www.w3.org/2000/svg}style")).text or ""
    assert style.count("{") == style.count("}") and all(line.count('"') % 2 == 0 for line in style.splitlines())
    words = {element.text for element in page.iter("{http://www.w3.org/2000/svg}text")}
    for title in ("Temperature and dew point", "Where the wind came from", "Pressure at sea level", "Sunlight"):
        assert title in words
    numbers = [float(value) for e in page.iter() for key, value in e.attrib.items() if key in {"x", "y", "height"}]
    assert len(numbers) > 300 and all(-1 <= value <= 3000 for value in numbers)


def test_aggregates_of_known_samples(tmp_path):
    rows = ["time,temperature_c,humidity_pct,pressure_hpa,wind_ms,wind_dir_deg,gust_ms,rain_mm,irradiance_wm2"]
    for minute in range(10, 130, 10):
        direction = 350 if minute % 20 else 10
        rows.append(
            f"2026-05-01T{minute // 60:02}:{minute % 60:02}Z,{20 + minute / 60},50,1000,4,{direction},6,0.1,360"
        )
    done = run(tmp_path, "\n".join(rows), "--latitude", "45", "--longitude", "180")
    assert done.returncode == 0, done.stderr
    first, second = table(tmp_path, "hours.csv")
    assert (first["time"], first["samples"]) == ("2026-05-01T01:00:00Z", "6")
    assert float(first["temperature_c"]) == pytest.approx(20 + 35 / 60, abs=0.006)
    assert float(first["wind_vector_ms"]) == pytest.approx(4 * math.cos(math.radians(10)), abs=0.006)
    assert (first["wind_dir_deg"], first["wind_ms"], first["gust_ms"]) == ("360", "4.00", "6.00")
    assert (first["rain_mm"], first["rain_rate_mm_h"]) == ("0.600", "0.60")
    assert 0 < float(second["et0_mm"]) < 1
    (day,) = table(tmp_path, "days.csv")
    assert day["temperature_c"] == ""  # twelve of 144 samples make no day
    assert len(table(tmp_path, "minutes.csv")) == 12


def test_an_hour_with_too_few_good_samples_has_no_mean(tmp_path):
    rows = ["time,temperature_c"] + [
        f"2026-05-01T00:{m:02}:00Z,{-9999 if m > 30 else 5.0 + m / 100}" for m in range(5, 60, 5)
    ]
    assert run(tmp_path, "\n".join(rows)).returncode == 0
    (hour,) = table(tmp_path, "hours.csv")
    assert hour["temperature_c"] == "" and hour["samples"] == "11"


def test_the_forecast_beats_persistence_only_where_there_is_something_to_learn(weather):
    chance = random.Random(3)  # noqa: S311
    noise = [chance.gauss(0, 1) for _ in range(2000)]
    daily = [10 + 5 * math.sin(math.pi * hour / 12) + 0.3 * n for hour, n in enumerate(noise)]
    walk = [1000.0]
    for n in noise[1:]:
        walk.append(walk[-1] + n)
    hours = {"temperature_c": daily, "sea_level_hpa": walk, "wind_ms": [None] * 2000, "humidity_pct": [None] * 2000}
    found = {(e["variable"], e["lead_hours"]): e for e in weather.forecast.forecast(hours, 0)}
    assert found["temperature_c", 6]["skill"] > 0.95
    assert abs(found["temperature_c", 6]["value"] - (10 + 5 * math.sin(math.pi * 2005 / 12))) < 1
    assert found["sea_level_hpa", 6]["skill"] < 0.05  # a random walk
    assert ("wind_ms", 1) not in found
    short = {name: values[:200] for name, values in hours.items()}
    assert all(e["skill"] is None and e["method"] == "persistence" for e in weather.forecast.forecast(short, 0))


def test_forecasts_never_look_ahead(weather):
    """Changing the last hours does not change the score of forecasts that fell due before."""
    chance = random.Random(4)  # noqa: S311
    values = [10 + 5 * math.sin(math.pi * hour / 12) + chance.gauss(0, 1) for hour in range(900)]
    empty = [None] * 900
    scored = []
    for tail in (values[860:], [None] * 40):
        hours = {"temperature_c": values[:860] + tail, "sea_level_hpa": empty, "wind_ms": empty, "humidity_pct": empty}
        entry = next(e for e in weather.forecast.forecast(hours, 0) if e["lead_hours"] == 3)
        scored.append((entry["scored"], entry["rmse"]))
    assert scored[0][0] == scored[1][0] + 40


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "empty"), (b"\x89PNG\0", "neither text"), (b"time,x\n2026-05-01,1\n", "no column is known")],
)
def test_what_cannot_be_used_ends_with_two_and_a_sentence(tmp_path, content, said):
    done = run(tmp_path, content)
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr
    assert not list((tmp_path / "out").iterdir())


def test_hostile_names_stay_text(tmp_path):
    rows = "time,station,temperature_c\n" + "".join(
        f'2026-05-01T{hour:02}:00:00Z,"=cmd|<script>,""x",{hour}\n' for hour in range(24)
    )
    assert run(tmp_path, rows, "--title", "</svg><script>").returncode == 0
    page = (tmp_path / "out" / "report.svg").read_text()
    assert "<script>" not in page and ElementTree.fromstring(page) is not None  # noqa: S314
    assert table(tmp_path, "hours.csv")[0]["station"] == "'=cmd|<script>,\"x"


def test_faults_on_made_up_stations(weather):
    """Three stations, 60 days: most faults are found and nearly no sound value is marked."""
    rows = list(weather_readings.readings(60, 60))
    names = ("lake", "hill", "town")
    clean = {
        (name, variable): [float(str(row[variable])) for row in rows if row["station"] == name]
        for name in names
        for variable in weather.units.VARIABLES
    }
    faulty = weather_faults.inject(clean, 5)
    assert faulty.values == weather_faults.inject(clean, 5).values
    stations = []
    for name in names:
        station = weather.records.Station(name)
        station.times.extend(1_777_000_000 // 3600 * 3600 + 3600 * hour for hour in range(len(rows) // 3))
        for variable in weather.units.VARIABLES:
            station.values[variable].extend(round(1000 * value) for value in faulty.values[name, variable])
        station.finish()
        stations.append(station)
    weather.quality.control(stations, False)
    marks = {(s.name, variable): list(s.marks[variable]) for s in stations for variable in weather.units.VARIABLES}
    score = weather_faults.score(faulty, marks, weather.flags.NAMES)
    figures = score.figures()
    assert figures["faulty"] > 200
    assert figures["f1"] > 0.75 and figures["clean_flagged"] < 0.01, figures
