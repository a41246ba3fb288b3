"""Readings in every form, whole and damaged."""

from __future__ import annotations

import json
import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

T0 = 1_700_000_000
CSV = "time,temperature_c,humidity_pct,pressure_hpa,wind_ms,wind_dir_deg,gust_ms,rain_mm,irradiance_wm2\n"
ROW = "2026-05-01T12:{:02}:00Z,14.32,61.2,1009.84,3.1,240,5.6,0.2,612\n"


@pytest.fixture
def read(weather, tmp_path):
    def read(content, *arguments):
        path = tmp_path / "input"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return weather.records.read(str(path), weather.settings.parse(list(arguments)))

    return read


def values(station, *names):
    return [station.values[name][0] / 1000 for name in names]


def test_canonical_csv(read):
    found = read(CSV + "".join(ROW.format(minute) for minute in range(0, 60, 5)))
    (station,) = found.stations.values()
    assert (found.kind, station.interval, len(station.times)) == ("CSV", 300, 12)
    assert [column[0] for column in station.values.values()] == [14320, 61200, 1009840, 3100, 240000, 5600, 200, 612000]


def test_units_in_the_names(read):
    head = "Date,Time,Air Temp (°F),Rel Humidity [%],Barometer [inHg],Wind Speed [mph],Rain (in),Solar Radiation [W/m²]"
    (station,) = read(f"{head}\n2026-05-01,12:00,50,40,30,10,0.1,500\n").stations.values()
    assert values(station, "temperature_c", "humidity_pct", "wind_ms", "rain_mm", "irradiance_wm2") == [
        10, 40, 4.47, 2.54, 500,
    ]  # fmt: skip
    assert values(station, "pressure_hpa") == [pytest.approx(1015.917)]


def test_a_barometer_is_pressure_at_sea_level_unless_the_station_s_is_there(read):
    assert read("time,barometer_mbar\n2026-05-01T12:00Z,1010\n").sea_level
    both = read("time,barometer_mbar,pressure_mbar\n2026-05-01T12:00Z,1010,950\n")
    assert not both.sea_level and values(both.stations["station"], "pressure_hpa") == [950]
    assert read("time,pressure_hpa\n2026-05-01T12:00Z,1010\n", "--pressure", "sea-level").sea_level


def test_columns_with_names_of_their_own(read):
    found = read(
        "when;spot;T1;T2\n1.5.2026;x;1;2\n2026-05-01 14:00;roof;50,5;9\n2026-05-01 15:00;roof;51,5;9\n",
        "--columns", "time=when,station=spot,temperature_c=T1:f", "--utc-offset", "2",
    )  # fmt: skip
    assert found.bad_rows == 1
    station = found.stations["roof"]
    assert station.times[0] == 1_777_636_800 and values(station, "temperature_c") == [pytest.approx(10.278)]


def test_json_lines_and_numbers_of_seconds(read):
    lines = [{"dateTime": T0 + 60 * n, "outTemp_F": 68, "windSpeed_kph": "36", "nested": {"a": 1}} for n in range(3)]
    found = read("\n".join(json.dumps(line) for line in lines))
    assert (found.kind, values(found.stations["station"], "temperature_c", "wind_ms")) == ("JSON lines", [20, 10])


@pytest.mark.parametrize(
    ("system", "expected"),
    [(1, [10, 1015.917, 4.47, 2.54]), (16, [50, 30, 2.778, 1]), (17, [50, 30, 10, 0.1])],
)
@pytest.mark.parametrize("form", ["sqlite", "csv", "json"])
def test_weewx_in_each_unit_system(read, tmp_path, system, expected, form):
    names = ["dateTime", "usUnits", "interval", "outTemp", "barometer", "pressure", "windSpeed", "rain", "radiation"]
    rows = [[T0 + 300 * n, system, 5, 50.0, 31.0, 30.0, 10.0, 0.1, None] for n in range(4)]
    if form == "sqlite":
        with sqlite3.connect(tmp_path / "weewx.sdb") as database:
            database.execute(f"CREATE TABLE archive ({', '.join(names)}, PRIMARY KEY (dateTime))")
            database.executemany(f"INSERT INTO archive VALUES ({','.join('?' * len(names))})", rows)  # noqa: S608
        database.close()
        content = (tmp_path / "weewx.sdb").read_bytes()
    elif form == "csv":
        lines = [names, *([("" if cell is None else str(cell)) for cell in row] for row in rows)]
        content = "\n".join(",".join(line) for line in lines).encode()
    else:
        content = "\n".join(json.dumps(dict(zip(names, row, strict=True))) for row in rows).encode()
    found = read(content)
    station = found.stations["station"]
    assert (found.kind, found.sea_level, station.interval) == ("WeeWX archive", False, 300)
    got = values(station, "temperature_c", "pressure_hpa", "wind_ms", "rain_mm")
    assert got == pytest.approx(expected, abs=1e-3)


def test_sentinels_blanks_and_rubbish_are_missing(read, weather):
    rows = "".join(
        f"2026-05-01T12:{n:02}:00Z,{cell}\n"
        for n, cell in enumerate(["-9999", "", "NAN", "abc", "1e999", "1_0", "7999"])
    )
    found = read("time,temperature_c\n" + rows + "2026-05-01T13:00:00Z,5\n")
    station = found.stations["station"]
    assert [value == weather.units.MISSING for value in station.values["temperature_c"]] == [
        True, True, True, True, True, False, True, False,
    ]  # fmt: skip
    assert (station.sentinels["temperature_c"], found.bad_cells) == (2, 1)


def test_order_and_repeated_instants(read):
    rows = "".join(f"2026-05-01T12:{minute:02}:00Z,{minute}\n" for minute in (30, 10, 20, 10))
    station = read("time,temperature_c\n" + rows).stations["station"]
    assert list(station.values["temperature_c"]) == [10_000, 20_000, 30_000] and station.duplicates == 1


def test_a_file_that_was_cut_off_is_read_as_far_as_it_goes(read):
    found = read((CSV + ROW.format(0) + ROW.format(5))[:-30])
    assert found.truncated and found.samples == 1 and found.bad_rows == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"\x89PNG\r\n\x1a\n\0\0\0", "neither text nor"),
        (b"hello world", "neither CSV"),
        (b"[1, 2]", "no sample"),
        (b"a,b\n1,2\n", "no column holds the time"),
        (b"time,foo\n2026-05-01T12:00Z,1\n", "no column is known"),
        (b"time,temperature_c\nyesterday,1\n", "no sample"),
        (b"time,temperature_c\n" + b"junk\n" * 9 + b"2026-05-01T12:00Z,1\n", "9 of 10 rows are broken"),
        (b'{"a": [[[[', "no sample"),
        (b"{" * 60_000, "no sample"),
        (b"SQLite format 3\0" + bytes(500), "WeeWX archive cannot be read"),
        (b"time," + b"x," * 500 + b"\n", "more than 400 columns"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_says_why(read, weather, content, said):
    with pytest.raises(weather.records.RecordsError, match=said):
        read(content)


def test_a_sqlite_file_with_a_view_for_an_archive(read, weather, tmp_path):
    with sqlite3.connect(tmp_path / "x") as database:
        database.execute("CREATE VIEW archive AS SELECT 1 AS dateTime, 1 AS usUnits")
    database.close()
    with pytest.raises(weather.records.RecordsError, match="no table 'archive'"):
        read((tmp_path / "x").read_bytes())


def test_limits_are_errors_not_memory(read, weather, monkeypatch):
    monkeypatch.setattr(weather.records, "MAX_SAMPLES", 5)
    with pytest.raises(weather.records.RecordsError, match="more than 5 samples"):
        read(CSV + "".join(ROW.format(minute) for minute in range(9)))
    many = "".join(f"2026-05-01T12:00:00Z,s{n},1\n" for n in range(40))
    monkeypatch.setattr(weather.records, "MAX_SAMPLES", 1000)
    with pytest.raises(weather.records.RecordsError, match="more than 32 stations"):
        read("time,station,temperature_c\n" + many)
    long = "x" * (weather.records.MAX_LINE * 3)
    assert read(CSV + ROW.format(0) + long + "\n" + ROW.format(5) + ROW.format(6)).bad_rows == 1


@pytest.mark.parametrize(
    "arguments",
    [["--unknown", "1"], ["--latitude", "4"], ["--latitude", "91", "--longitude", "0"], ["--elevation", "high"],
     ["--elevation"], ["--units", "imperial"], ["--columns", "x=y"], ["--columns", "rain_mm=r:hpa"],
     ["--pressure", "low"],
     ["--utc-offset", "1e1"], ["--utc-offset", "١"]],
)  # fmt: skip
def test_bad_arguments(weather, arguments):
    with pytest.raises(weather.settings.SettingsError):
        weather.settings.parse(arguments)


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_any_damage_is_read_or_refused(weather, tmp_path_factory, data):
    kind = data.draw(st.sampled_from(["csv", "json"]))
    content = bytearray((CSV + "".join(ROW.format(n) for n in range(6))).encode())
    if kind == "json":
        row = {"time": "2026-05-01T12:00:00Z", "temperature_c": 1.5, "humidity_pct": 60}
        content = bytearray("\n".join(json.dumps(row) for _ in range(6)).encode())
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(content) - 4))
        content[at : at + data.draw(st.integers(0, 6))] = data.draw(st.binary(max_size=6))
    path = tmp_path_factory.getbasetemp() / f"damaged-{kind}"
    path.write_bytes(bytes(content))
    try:
        found = weather.records.read(str(path), weather.settings.parse([]))
    except weather.records.RecordsError as error:
        assert str(error)
    else:
        assert all(list(s.times) == sorted(set(s.times)) for s in found.stations.values())


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_damage_to_an_archive_is_read_or_refused(weather, tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "damaged.sdb"
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE archive (dateTime INTEGER PRIMARY KEY, usUnits INTEGER, outTemp REAL)")
        database.executemany("INSERT INTO archive VALUES (?, 1, 50.5)", [(T0 + 60 * n,) for n in range(300)])
    database.close()
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 12))):
        at = data.draw(st.integers(16, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content[: data.draw(st.integers(100, len(content)))]))
    try:
        weather.records.read(str(path), weather.settings.parse([]))
    except weather.records.RecordsError as error:
        assert str(error)
