"""Records of irradiance: TMY3 files as pvlib carries them, and a plain CSV of our own.

A record holds the mean irradiances of equal intervals. A missing value is NaN inside and `None` outside, never zero.
"""

from __future__ import annotations

import csv
import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, TextIO

from poco.errors import BadInputError

#: The year a typical year is laid on: not a leap year, as TMY3 has 8760 hours.
TYPICAL_YEAR = 2001
_COLUMNS = ("ghi", "dni", "dhi", "temp_air", "wind_speed")
_TMY3_COLUMNS = {
    "GHI (W/m^2)": "ghi",
    "DNI (W/m^2)": "dni",
    "DHI (W/m^2)": "dhi",
    "Dry-bulb (C)": "temp_air",
    "Wspd (m/s)": "wind_speed",
}
_TMY3_MISSING = -9900.0


class Interval(NamedTuple):
    """Means over one interval; `None` where the record does not know."""

    start: float  # Unix seconds
    ghi: float | None
    dni: float | None
    dhi: float | None
    temp_air: float | None
    wind_speed: float | None


@dataclass(frozen=True)
class Record:
    """A stretch of weather at one place, held as packed floats (about 180 kB for a year of hours).

    `typical` marks a typical year: it repeats every year. Any other record repeats after its last interval.
    """

    name: str
    latitude: float
    longitude: float
    start: int  # Unix seconds of the start of the first interval
    interval_s: int
    columns: dict[str, array[float]] = field(repr=False)
    utc_offset_s: int = 0
    typical: bool = False

    def __len__(self) -> int:
        return len(self.columns["ghi"])

    @property
    def end(self) -> int:
        return self.start + len(self) * self.interval_s

    def index(self, at: float) -> int:
        """Which interval an instant falls in; instants outside are folded into the record."""
        return int((at - self.start) // self.interval_s) % len(self)

    def interval(self, index: int) -> Interval:
        """The interval of that index, folded into the record; its start is the record's own."""
        index %= len(self)
        values = (self._value(name, index) for name in _COLUMNS)
        return Interval(self.start + index * self.interval_s, *values)

    def _value(self, name: str, index: int) -> float | None:
        column = self.columns.get(name)
        if column is None or math.isnan(column[index]):
            return None
        return column[index]

    def instant(self, text: str) -> float:
        """An ISO 8601 instant inside the record, Unix seconds. Without an offset it is the record's local standard
        time; the year of a typical year does not matter.

        Raises:
            BadInputError: not an instant, or outside the record.
        """
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise BadInputError(
                f"start {text!r} is not an ISO 8601 instant", hint="write it like 2001-06-21T12:00", code="BAD_INSTANT"
            ) from None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone(timedelta(seconds=self.utc_offset_s)))
        if self.typical:
            day = min(moment.day, 28) if moment.month == 2 else moment.day
            moment = moment.replace(year=TYPICAL_YEAR, day=day)
            return self.start + (moment.timestamp() - self.start) % (len(self) * self.interval_s)
        at = moment.timestamp()
        if not self.start <= at < self.end:
            first, last = (datetime.fromtimestamp(t, UTC).isoformat() for t in (self.start, self.end))
            raise BadInputError(
                f"start {text} is outside the record {self.name}",
                hint=f"it goes from {first} to {last}",
                code="BAD_INSTANT",
            )
        return at


def open_record(reference: str) -> Record:
    """Read `pvlib:<file>` (found inside the installed pvlib, which is not imported) or a path.

    The format is told by the first line: ours starts with `#`, TMY3 with a station number.

    Raises:
        BadInputError: no such file, or a broken one; the message names the line.
    """
    path = _locate(reference)
    try:
        with path.open(newline="", encoding="utf-8", errors="strict") as file:
            first = file.read(1)
            file.seek(0)
            return read_csv(file, path.name) if first == "#" else read_tmy3(file, path.name)
    except UnicodeDecodeError as error:
        raise BadInputError(f"{path.name} is not a text file: {error.reason}", code="BAD_RECORD") from None
    except OSError as error:
        raise BadInputError(
            f"cannot read the irradiance record {path}: {error.strerror}",
            hint="give a path to a CSV, or pvlib:723170TYA.CSV",
            code="NO_RECORD",
        ) from None


def _locate(reference: str) -> Path:
    package, colon, name = reference.partition(":")
    if package != "pvlib" or not colon:
        return Path(reference)
    spec = find_spec("pvlib")
    if spec is None or not spec.submodule_search_locations:
        raise BadInputError(
            f"the record {reference} comes with the package pvlib, which is not installed",
            hint="pip install --no-deps pvlib, or give a path to a CSV",
            code="NO_RECORD",
        )
    folder = Path(spec.submodule_search_locations[0]) / "data"
    if Path(name).name != name or not (folder / name).is_file():
        known = sorted(p.name for p in folder.iterdir() if p.name.upper().endswith(("TY.CSV", "TYA.CSV")))
        raise BadInputError(
            f"pvlib has no record {name!r}", hint="known records: " + ", ".join(known), code="NO_RECORD"
        )
    return folder / name


def read_tmy3(file: TextIO, name: str) -> Record:
    """Read a TMY3 file (Wilcox and Marion 2008, NREL/TP-581-43156): hours ending at the time given, local standard
    time.

    Months come from different years; they are laid on one typical year.

    Raises:
        BadInputError: naming the line that cannot be used.
    """
    lines = csv.reader(file)
    try:
        return _tmy3(enumerate(lines, start=1), name)
    except csv.Error as error:
        raise _bad(name, lines.line_num + 1, f"cannot be read: {error}") from None


def _tmy3(lines: Iterator[tuple[int, list[str]]], name: str) -> Record:
    _, station = next(lines, (1, []))
    try:
        utc_offset_s = int(float(station[3]) * 3600)
        latitude, longitude = float(station[4]), float(station[5])
    except (IndexError, ValueError):
        raise _bad(
            name, 1, "is not the first line of a TMY3 file (station, name, state, offset, latitude, ...)"
        ) from None
    _, header = next(lines, (2, []))
    places = {ours: header.index(theirs) for theirs, ours in _TMY3_COLUMNS.items() if theirs in header}
    if not {"ghi", "dni", "dhi"} <= places.keys():
        raise _bad(name, 2, "has no columns GHI, DNI and DHI")
    columns = {column: array("f") for column in places}
    first = datetime(TYPICAL_YEAR, 1, 1, tzinfo=timezone(timedelta(seconds=utc_offset_s)))
    for number, row in lines:
        if not row:
            continue
        try:
            month, day = int(row[0][0:2]), int(row[0][3:5])
            hour = int(row[1][0:2])
            expected = first + timedelta(hours=len(columns["ghi"]))
            if (month, day, hour) != (expected.month, expected.day, expected.hour + 1):
                raise _bad(name, number, f"is {row[0]} {row[1]}, but the next hour of the year was due")
            for column, place in places.items():
                value = float(row[place])
                columns[column].append(math.nan if value <= _TMY3_MISSING else _plausible(column, value))
        except (IndexError, ValueError) as error:
            raise _bad(name, number, f"cannot be read: {error}") from None
    if not columns["ghi"]:
        raise _bad(name, 3, "is missing: the record has no values")
    return Record(name, latitude, longitude, int(first.timestamp()), 3600, columns, utc_offset_s, typical=True)


def read_csv(file: TextIO, name: str) -> Record:
    """Read our own format (docs/reference/energy.md): `# key: value` lines, a header, one row an interval.

    Rows may be left out: their intervals are unknown. Empty cells are unknown.

    Raises:
        BadInputError: naming the line that cannot be used.
    """
    keys: dict[str, float] = {}
    numbered = enumerate(file, start=1)
    header: list[str] = []
    number = 0
    for number, line in numbered:
        if not line.startswith("#"):
            header = [cell.strip() for cell in line.strip().split(",")]
            break
        key, colon, value = line[1:].partition(":")
        try:
            if colon and key.strip() in ("latitude", "longitude", "interval_s", "utc_offset_hours"):
                keys[key.strip()] = float(value)
        except ValueError:
            raise _bad(name, number, f"gives no number for {key.strip()}") from None
    for key in ("latitude", "longitude", "interval_s"):
        if key not in keys:
            raise _bad(name, number, f"ends the heading, and `# {key}: ...` was not in it")
    interval_s = int(keys["interval_s"])
    if not (0 < interval_s <= 86_400 and abs(keys["latitude"]) <= 90 and abs(keys["longitude"]) <= 180):
        raise _bad(name, number, "ends a heading with a latitude, longitude or interval that cannot be")
    if header[:2] != ["time", "ghi"] or not set(header[1:]) <= set(_COLUMNS):
        raise _bad(name, number, "must be the header: time,ghi and any of " + ",".join(_COLUMNS[1:]))
    utc_offset_s = int(keys.get("utc_offset_hours", 0.0) * 3600)
    start, columns = _csv_rows(numbered, name, header[1:], interval_s, utc_offset_s)
    return Record(name, keys["latitude"], keys["longitude"], start, interval_s, columns, utc_offset_s)


def _csv_rows(
    numbered: Iterator[tuple[int, str]], name: str, names: list[str], interval_s: int, utc_offset_s: int
) -> tuple[int, dict[str, array[float]]]:
    columns = {column: array("f") for column in names}
    zone = timezone(timedelta(seconds=utc_offset_s))
    start: int | None = None
    for number, line in numbered:
        if not line.strip():
            continue
        cells = line.strip().split(",")
        if len(cells) != len(names) + 1:
            raise _bad(name, number, f"has {len(cells)} cells, the header has {len(names) + 1}")
        try:
            moment = datetime.fromisoformat(cells[0].strip())
            at = int((moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp())
            values = [_plausible(c, float(v)) if v.strip() else math.nan for c, v in zip(names, cells[1:], strict=True)]
        except ValueError as error:
            raise _bad(name, number, f"cannot be read: {error}") from None
        start = at if start is None else start
        place, rest = divmod(at - start, interval_s)
        if rest or place < len(columns["ghi"]):
            raise _bad(name, number, f"is at {cells[0]}: not a later multiple of {interval_s} s from the first row")
        if (place - len(columns["ghi"])) * interval_s > 366 * 86_400:
            raise _bad(name, number, "is more than a year after the row before")
        for column, value in zip(names, values, strict=True):
            columns[column].extend([math.nan] * (place - len(columns[column])))
            columns[column].append(value)
    if start is None:
        raise BadInputError(f"{name} has no rows", code="BAD_RECORD")
    return start, columns


_LIMITS = {"ghi": (-20.0, 2000.0), "dni": (-20.0, 1500.0), "dhi": (-20.0, 1200.0), "temp_air": (-90.0, 65.0)}


def _plausible(column: str, value: float) -> float:
    """Refuse what no instrument can mean; the small negative night readings of thermopiles are zero sun."""
    low, high = _LIMITS.get(column, (0.0, 120.0))
    if not low <= value <= high:
        raise ValueError(f"{column} = {value:g} is outside {low:g} to {high:g}")
    return max(0.0, value) if column in ("ghi", "dni", "dhi") else value


def _bad(name: str, line: int, what: str) -> BadInputError:
    return BadInputError(
        f"{name}, line {line} {what}", hint="the formats are described in docs/reference/energy.md", code="BAD_RECORD"
    )
