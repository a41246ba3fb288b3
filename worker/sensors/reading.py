"""A weather reading, and the CSV in which programs get many of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from math import isfinite

from poco.errors import BadInputError

#: Columns in the order of the CSV, with the widest range that instruments of this kind report.
COLUMNS: dict[str, tuple[float, float]] = {
    "temperature_c": (-90.0, 85.0),
    "humidity_pct": (0.0, 100.0),
    "pressure_hpa": (300.0, 1100.0),
    "wind_ms": (0.0, 120.0),
    "wind_dir_deg": (0.0, 360.0),
    "gust_ms": (0.0, 120.0),
    "rain_mm": (0.0, 1000.0),
    "irradiance_wm2": (0.0, 2000.0),
}
#: Measured columns; what was not measured is missing or None. `rain_mm` is what fell since the reading before.
Reading = Mapping[str, float | None]


def clean(reading: Reading) -> dict[str, float | None]:
    """All columns of a reading; what is missing, not finite or outside an instrument's range is None."""
    found: dict[str, float | None] = {}
    for name, (low, high) in COLUMNS.items():
        value = reading.get(name)
        found[name] = value if value is not None and isfinite(value) and low <= value <= high else None
    return found


def to_csv(rows: Iterable[tuple[int, Reading]]) -> Iterator[str]:
    """Lines of the CSV, header first: `time` (ISO 8601, UTC) and all columns; unknown is an empty field.

    Args:
        rows: (Unix seconds, reading), in order.
    """
    yield ",".join(("time", *COLUMNS)) + "\n"
    for at, reading in rows:
        when = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        values = (reading.get(name) for name in COLUMNS)
        yield ",".join((when, *("" if value is None else f"{value:.10g}" for value in values))) + "\n"


def from_csv(text: Iterable[str], name: str) -> Iterator[tuple[int, dict[str, float | None]]]:
    """Rows of such a CSV; unknown columns are left out, empty fields are None.

    Args:
        text: its lines.
        name: for messages.

    Raises:
        BadInputError: no `time` column, a time or number that is none, or times that go back.
    """
    rows = csv.reader(text)
    header = [field.strip() for field in next(rows, [])]
    if "time" not in header or not COLUMNS.keys() & set(header):
        raise BadInputError(
            f"{name} has no header of readings", hint="the first line names time and " + ", ".join(COLUMNS)
        )
    last: int | None = None
    for fields in rows:
        if not any(fields):
            continue
        row = dict(zip(header, fields, strict=False))
        try:
            when = datetime.fromisoformat(row["time"])
            at = int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp())
            values = {key: float(row[key]) if row.get(key, "").strip() else None for key in COLUMNS}
        except (ValueError, OverflowError) as error:
            raise BadInputError(f"{name}, line {rows.line_num}: {error}", hint="empty fields are unknown") from None
        if last is not None and at <= last:
            raise BadInputError(f"{name}, line {rows.line_num}: the time does not go on", hint="sort the rows by time")
        last = at
        yield at, clean(values)


def csv_text(rows: Iterable[tuple[int, Reading]]) -> str:
    """The whole CSV as one text."""
    out = io.StringIO()
    out.writelines(to_csv(rows))
    return out.getvalue()
