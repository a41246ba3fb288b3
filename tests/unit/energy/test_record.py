"""Records: what is read is what the file says; what it does not say is unknown; what is broken is named."""

from __future__ import annotations

import io
import math
from datetime import UTC, datetime

import pvlib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poco.errors import BadInputError
from worker.energy.record import open_record, read_csv, read_tmy3

HEADING = "# latitude: 55.79\n# longitude: 12.52\n# interval_s: 900\n"


def csv_of(text: str):
    return read_csv(io.StringIO(text), "mine.csv")


@pytest.mark.parametrize("name", ["723170TYA.CSV", "703165TY.csv"])
def test_a_typical_year_is_what_pvlib_reads(name):
    record = open_record(f"pvlib:{name}")
    oracle, meta = pvlib.iotools.read_tmy3(pvlib.__path__[0] + "/data/" + name, coerce_year=2001, map_variables=True)
    assert (record.latitude, record.longitude) == (meta["latitude"], meta["longitude"])
    assert len(record) == len(oracle) == 8760
    for column in ("ghi", "dni", "dhi", "temp_air", "wind_speed"):
        for index in range(0, 8760, 13):
            value = getattr(record.interval(index), column)
            assert value == pytest.approx(oracle[column].iloc[index], abs=1e-3)
    # pvlib labels an hour by its end
    assert record.interval(0).start + 3600 == oracle.index[0].timestamp()


def test_an_instant_in_a_typical_year_needs_no_year_and_no_offset():
    record = open_record("pvlib:723170TYA.CSV")
    noon = record.instant("1999-06-21T12:00")
    assert datetime.fromtimestamp(noon, UTC) == datetime(2001, 6, 21, 17, tzinfo=UTC)
    assert record.instant("2024-06-21T17:00+00:00") == noon
    assert record.instant("2024-02-29T12:00") == record.instant("2001-02-28T12:00")
    assert record.interval(record.index(noon)).start == noon
    with pytest.raises(BadInputError, match="not an ISO 8601"):
        record.instant("midsummer")


def test_missing_rows_and_cells_are_unknown_and_night_noise_is_zero():
    record = csv_of(
        HEADING + "time,ghi,temp_air\n2017-06-01T10:00Z,500,\n2017-06-01T10:15Z,,12.5\n2017-06-01T11:00Z,-3,13\n"
    )
    assert len(record) == 5
    assert record.interval(0).ghi == 500.0
    assert record.interval(0).temp_air is None
    assert record.interval(0).dni is None
    assert [record.interval(i).ghi for i in range(1, 5)] == [None, None, None, 0.0]
    assert record.end - record.start == 5 * 900
    with pytest.raises(BadInputError, match="outside the record"):
        record.instant("2017-06-02T00:00Z")


def test_local_times_use_the_offset_of_the_heading():
    record = csv_of(HEADING + "# utc_offset_hours: 2\ntime,ghi\n2017-06-01T10:00,500\n")
    assert record.start == datetime(2017, 6, 1, 8, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "ends the heading"),
        ("# latitude: north\n", "line 1 gives no number"),
        ("# latitude: 1\n# longitude: 2\ntime,ghi\n", "interval_s"),
        ("# latitude: 91\n# longitude: 2\n# interval_s: 900\ntime,ghi\n", "cannot be"),
        (HEADING + "when,ghi\n", "line 4 must be the header"),
        (HEADING + "time,ghi,rain\n", "line 4 must be the header"),
        (HEADING + "time,ghi\n", "no rows"),
        (HEADING + "time,ghi\n2017-06-01T10:00Z,1\n2017-06-01T10:15Z,1,2\n", "line 6 has 3 cells"),
        (HEADING + "time,ghi\nyesterday,1\n", "line 5 cannot be read"),
        (HEADING + "time,ghi\n2017-06-01T10:00Z,much\n", "line 5 cannot be read"),
        (HEADING + "time,ghi\n2017-06-01T10:00Z,nan\n", "line 5 cannot be read"),
        (HEADING + "time,ghi\n2017-06-01T10:00Z,9000\n", "line 5 cannot be read: ghi = 9000"),
        (HEADING + "time,ghi\n2017-06-01T10:00Z,1\n2017-06-01T10:10Z,1\n", "line 6 is at"),
        (HEADING + "time,ghi\n2017-06-01T10:00Z,1\n2017-06-01T10:00Z,1\n", "line 6 is at"),
        (HEADING + "time,ghi\n2017-06-01T10:00Z,1\n2057-06-01T10:00Z,1\n", "line 6 is more than a year"),
    ],
)
def test_a_broken_csv_is_refused_with_its_line(text, message):
    with pytest.raises(BadInputError, match=message):
        csv_of(text)


def tmy3(*rows: str) -> str:
    columns = "Date (MM/DD/YYYY),Time (HH:MM),GHI (W/m^2),DNI (W/m^2),DHI (W/m^2),Dry-bulb (C)"
    return "\n".join(['1,"A",NC,-5.0,36.1,-79.95,273', columns, *rows]) + "\n"


def test_tmy3_missing_is_unknown():
    record = read_tmy3(io.StringIO(tmy3("01/01/1988,01:00,0,-9900,0,-9900")), "t.csv")
    assert record.interval(0).dni is None
    assert record.interval(0).temp_air is None
    assert record.interval(0).ghi == 0.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1 is not the first line"),
        ('1,"A",NC,east,36.1,-79.95,273\n', "line 1 is not the first line"),
        ('1,"A",NC,-5,36.1,-79.95,273\nDate,Time\n', "line 2 has no columns"),
        (tmy3(), "no values"),
        (tmy3("01/01/1988,01:00,0,0,0,1", "01/01/1988,03:00,0,0,0,1"), "line 4 is .*next hour"),
        (tmy3("01/01/1988,01:00,0,0"), "line 3 cannot be read"),
        (tmy3("01/01/1988,01:00,x,0,0,1"), "line 3 cannot be read"),
        (tmy3("january,01:00,0,0,0,1"), "line 3 cannot be read"),
    ],
)
def test_a_broken_tmy3_is_refused_with_its_line(text, message):
    with pytest.raises(BadInputError, match=message):
        read_tmy3(io.StringIO(text), "t.csv")


def test_a_file_that_is_not_there_or_not_text(tmp_path):
    with pytest.raises(BadInputError, match="cannot read"):
        open_record(str(tmp_path / "none.csv"))
    with pytest.raises(BadInputError, match="cannot read"):
        open_record(str(tmp_path))
    binary = tmp_path / "x.csv"
    binary.write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(BadInputError, match="not a text file"):
        open_record(str(binary))
    with pytest.raises(BadInputError, match="no record"):
        open_record("pvlib:../pvlib/__init__.py")


@given(st.text(max_size=200))
@settings(max_examples=300)
def test_any_text_is_read_or_refused_never_worse(text):
    for reader in (read_csv, read_tmy3):
        for content in (text, HEADING + "time,ghi\n" + text):
            try:
                record = reader(io.StringIO(content), "fuzz")
            except BadInputError:
                continue
            assert all(v is None or math.isfinite(v) for v in record.interval(0))
