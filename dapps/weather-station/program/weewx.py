"""WeeWX's archive, an SQLite file with one table: https://weewx.com/docs (the `archive` table, `usUnits`)."""

import sqlite3

import records
import units

#: Columns that are read, of the many an archive has.
_WANTED = ("dateTime", "usUnits", "outTemp", "outHumidity", "pressure", "barometer", "windSpeed", "windDir", "windGust",
           "rain", "radiation")  # fmt: skip
#: Instructions of SQLite's machine that a hostile file may cost.
_STEPS = 400_000_000


def read(path, collector):
    """Read an archive into a collector.

    Raises:
        RecordsError: it is broken, has no archive table or an unknown unit system.
    """
    collector.kind = "WeeWX archive"
    left = [_STEPS // 1_000_000]

    def tick():
        left[0] -= 1
        return left[0] < 0

    try:
        database = sqlite3.connect(f"file:{_quoted(path)}?mode=ro&immutable=1", uri=True)
        database.set_progress_handler(tick, 1_000_000)
        database.execute("PRAGMA trusted_schema=OFF")
        database.execute("PRAGMA cell_size_check=ON")
        database.execute("PRAGMA cache_size=-2000")
        _read_table(database, collector)
        database.close()
    except (sqlite3.Error, OverflowError, UnicodeDecodeError) as error:
        raise records.RecordsError(f"the WeeWX archive cannot be read: {error}") from None


def _read_table(database, collector):
    kind = database.execute("SELECT type, sql FROM sqlite_master WHERE name = 'archive'").fetchone()
    if not kind or kind[0] != "table" or not str(kind[1]).upper().startswith("CREATE TABLE"):
        raise records.RecordsError("the SQLite file is no WeeWX archive: it has no table 'archive'")
    there = {row[1] for row in database.execute("PRAGMA table_info(archive)")}
    if not {"dateTime", "usUnits"} <= there:
        raise records.RecordsError("the SQLite file is no WeeWX archive: 'archive' has no dateTime and usUnits")
    names = [name for name in _WANTED if name in there]
    if (
        "pressure" in names
        and not database.execute("SELECT EXISTS (SELECT 1 FROM archive WHERE pressure IS NOT NULL)").fetchone()[0]
    ):
        names.remove("pressure")
    by_system = {}
    for row in database.execute(f"SELECT {', '.join(names)} FROM archive"):  # noqa: S608  (names of ours)
        collector.rows += 1
        system = units.WEEWX_SYSTEMS.get(row[1])
        if system is None:
            raise records.RecordsError(f"the WeeWX archive's usUnits is {str(row[1])[:20]}, not 1, 16 or 17")
        if system not in by_system:
            by_system[system] = records.Columns(names, ["1"] * len(names), collector, system)
        if not isinstance(row[0], int) or not records.take(by_system[system], row, collector):
            collector.bad_rows += 1


def _quoted(path):
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
