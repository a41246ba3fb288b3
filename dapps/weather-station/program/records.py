"""Readings as loggers write them: CSV, JSON lines and WeeWX's archive become stations with columns of integers."""

import csv
import json
import os
from array import array
from datetime import UTC, datetime

import units
from units import LARGEST, MISSING, VARIABLES

#: Limits that keep a task within 128 MB.
MAX_BYTES, MAX_LINE, MAX_SAMPLES, MAX_STATIONS, MAX_COLUMNS = 1024**3, 64 * 1024, 600_000, 32, 400
EARLIEST, LATEST = -631_152_000, 4_102_444_800  # 1950 to 2100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NOTHING = frozenset(["", "na", "nan", "null", "none", "-", "--", "---", "m", "///", "n/a", "t"])


class RecordsError(ValueError):
    """Readings that cannot be used at all."""


class Station:
    """One station's samples in the order of time; values in thousandths of the canonical units, or MISSING.

    `marks` holds for each variable the bits of `flags` that the samples have.
    """

    def __init__(self, name):
        self.name = name
        self.times = array("q")
        self.values = {name: array("i") for name in VARIABLES}
        self.marks = {}
        self.sentinels = dict.fromkeys(VARIABLES, 0)
        self.duplicates = 0
        self.interval = 0

    def finish(self):
        """Sort, drop repeated instants, find the usual interval."""
        times = self.times
        if any(b <= a for a, b in zip(times, times[1:])):
            order, last = [], None
            for index in sorted(range(len(times)), key=times.__getitem__):
                if times[index] != last:
                    order.append(index)
                last = times[index]
            self.duplicates = len(times) - len(order)
            self.times = array("q", [times[index] for index in order])
            for name in VARIABLES:
                column = self.values[name]
                self.values[name] = array("i", [column[index] for index in order])
        gaps = sorted(b - a for a, b in zip(self.times, self.times[1:]))
        self.interval = gaps[len(gaps) // 2] if gaps else 3600
        self.marks = {name: array("H", bytes(2 * len(self.times))) for name in VARIABLES}

    def has(self, name):
        """Whether a variable was measured at all."""
        return any(value != MISSING for value in self.values[name])


class Collector:
    """Takes rows and makes stations of them; counts what could not be read."""

    def __init__(self, settings):
        self.settings = settings
        self.stations = {}
        self.rows = self.bad_rows = self.bad_cells = self.samples = 0
        self.sea_level = None if settings["pressure"] == "auto" else settings["pressure"] == "sea-level"
        self.kind = ""
        self.truncated = False

    def station(self, name):
        """The station of a name."""
        known = self.stations.get(name)
        if known is None:
            if len(self.stations) == MAX_STATIONS:
                raise RecordsError(f"more than {MAX_STATIONS} stations; is '{name[:40]}' the name of one?")
            known = self.stations[name] = Station(name)
        return known

    def add(self, when, name, cells):
        """One sample: an instant, a station's name, (variable, value) with values in thousandths."""
        self.samples += 1
        if self.samples > MAX_SAMPLES:
            raise RecordsError(f"more than {MAX_SAMPLES} samples; give a shorter period")
        station = self.station(name)
        station.times.append(when)
        for variable in VARIABLES:
            station.values[variable].append(cells.get(variable, MISSING))

    def number(self, station_name, variable, text, convert):
        """A cell in thousandths of the canonical unit, or MISSING."""
        try:
            value = float(text)
        except (TypeError, ValueError, OverflowError):
            if not isinstance(text, str) or text.strip().lower() not in _NOTHING:
                self.bad_cells += text is not None
            return MISSING
        if value in units.SENTINELS or value - value != 0.0:
            self.station(station_name).sentinels[variable] += value - value == 0.0
            return MISSING
        return max(-LARGEST, min(LARGEST, round((value * convert[0] + convert[1]) * 1000.0)))


class Columns:
    """Which column of a file is what, decided by names and, for rival columns, by the first row."""

    def __init__(self, names, first, collector, system=None):
        settings = collector.settings
        split = [units.split_unit(str(name)[:100]) for name in names]
        chosen = {name: (units.plain(column), unit, column) for name, (column, unit) in settings["columns"].items()}
        self.station = self._find(names, split, chosen.get("station"), units.STATION)
        self.time = self._time(names, split, chosen.get("time"))
        self.system = next((i for i, (name, _) in enumerate(split) if name == "usunits"), None)
        self.fields = []
        for variable in VARIABLES:
            wanted = chosen.get(variable)
            aliases = (wanted[0],) if wanted else units.ALIASES[variable]
            if variable == "pressure_hpa" and not wanted:
                aliases = self._pressure(split, first, collector)
            for index in self._candidates(names, split, wanted, aliases):
                unit = wanted[1] if wanted and wanted[1] else split[index][1]
                convert = units.conversion(variable, unit, system or settings["units"])
                if convert:
                    self.fields.append((variable, index, unit, convert))
                    break

    @staticmethod
    def _candidates(names, split, wanted, aliases):
        if wanted:
            return [
                i for i, name in enumerate(names) if wanted[2] == name or wanted[0] in {split[i][0], units.plain(name)}
            ]
        return [i for alias in aliases for i, (name, _) in enumerate(split) if name == alias]

    def _find(self, names, split, wanted, aliases):
        return next(iter(self._candidates(names, split, wanted, aliases)), None)

    def _time(self, names, split, wanted):
        """Indexes of the columns that make the time: one, date and time, or year, day of year, and hour and minute."""
        plain = [name for name, _ in split]
        if not wanted:
            for parts in (("date", "time"), ("year", "doy", "mst"), ("year", "doy", "hhmm"), ("year", "jday", "hhmm")):
                if all(part in plain for part in parts):
                    return [plain.index(part) for part in parts]
        index = self._find(names, split, wanted, units.TIME)
        return None if index is None else [index]

    @staticmethod
    def _pressure(split, first, collector):
        """Names of the pressure that is taken: the station's, unless only one at sea level is there."""
        station, sea = (
            [
                alias
                for alias in aliases
                if any(alias == name and _filled(first[i]) for i, (name, _) in enumerate(split))
            ]
            for aliases in (units.ALIASES["pressure_hpa"], units.SEA_LEVEL)
        )
        if not station and not sea:
            return ()
        if collector.sea_level is None:
            collector.sea_level = not station
        if collector.sea_level:
            return (*sea, *station)
        return station or sea


def _filled(cell):
    return cell is not None and str(cell).strip().lower() not in _NOTHING


def read(path, settings):
    """Read a file of any kind.

    Returns:
        A `Collector` with `stations` by name, each finished.

    Raises:
        RecordsError: it is missing, empty, too large, of another kind or mostly unreadable.
    """
    try:
        size = os.path.getsize(path)
        with open(path, "rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise RecordsError(f"the input cannot be read: {error.strerror}") from None
    if size == 0 or not head.strip():
        raise RecordsError("the input is empty")
    if size > MAX_BYTES:
        raise RecordsError(f"the input has {size} bytes, at most {MAX_BYTES} are taken")
    collector = Collector(settings)
    if head[:16] == b"SQLite format 3\0":
        import weewx  # brings sqlite3, seldom needed

        weewx.read(path, collector)
    elif b"\0" in head:
        raise RecordsError("the input is neither text nor a WeeWX archive")
    else:
        with open(path, "rb") as file:
            read_lines = _read_json if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{" else _read_csv
            read_lines(_lines(file, collector), collector)
    if not collector.samples:
        raise RecordsError(f"no sample can be read in {collector.rows} rows of the {collector.kind}")
    if 2 * collector.bad_rows > collector.rows:
        raise RecordsError(f"{collector.bad_rows} of {collector.rows} rows are broken")
    for station in collector.stations.values():
        station.finish()
    if not any(station.has(name) for station in collector.stations.values() for name in VARIABLES):
        raise RecordsError(f"no column is known to hold readings; the canonical ones: {', '.join(VARIABLES)}")
    return collector


def _lines(file, collector):
    """Lines of text; a longer one than MAX_LINE is a broken row."""
    while True:
        line = file.readline(MAX_LINE)
        if not line:
            return
        if len(line) == MAX_LINE and line[-1:] != b"\n":
            while line and line[-1:] != b"\n":
                line = file.readline(MAX_LINE)
            collector.rows += 1
            collector.bad_rows += 1
            continue
        collector.truncated = line[-1:] != b"\n"
        text = line.decode("utf-8", "replace").lstrip("\ufeff").strip("\r\n")
        if text and text[0] != "#" and not text.isspace():
            yield text


def _read_csv(lines, collector):
    collector.kind = "CSV"
    header = next(lines, "")
    delimiter = max(",;\t|", key=header.count)
    names = _split(header, delimiter)
    if len(names) < 2:
        raise RecordsError("the input is neither CSV with a header, nor JSON lines, nor a WeeWX archive")
    if len(names) > MAX_COLUMNS:
        raise RecordsError(f"more than {MAX_COLUMNS} columns")
    comma = delimiter == ";"
    columns = by_system = None
    for line in lines:
        collector.rows += 1
        cells = _split(line.replace(",", ".") if comma else line, delimiter)
        if len(cells) < len(names) and collector.rows:
            cells += [""] * (len(names) - len(cells)) if len(cells) == len(names) - 1 else []
        if len(cells) < len(names):
            collector.bad_rows += 1
            continue
        if columns is None:
            columns = Columns(names, cells, collector)
            if columns.time is None:
                raise RecordsError(f"no column holds the time; the columns are: {', '.join(names)[:200]}")
            by_system = {}
        used = columns
        if columns.system is not None:
            used = _of_system(by_system, cells[columns.system], names, cells, collector)
        if used is None or not take(used, cells, collector):
            collector.bad_rows += 1


def _of_system(known, code, names, cells, collector):
    """The columns as they are read under a row's `usUnits`; None when it is none of WeeWX's."""
    try:
        system = units.WEEWX_SYSTEMS[int(float(code))]
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    collector.kind = "WeeWX archive"
    if system not in known:
        known[system] = Columns(names, cells, collector, system)
    return known[system]


def _split(line, delimiter):
    if '"' in line:
        try:
            return next(csv.reader([line], delimiter=delimiter))
        except (csv.Error, StopIteration):
            return []
    return line.split(delimiter)


def _read_json(lines, collector):
    collector.kind = "JSON lines"
    known = {}
    for line in lines:
        collector.rows += 1
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict) or not row or len(row) > MAX_COLUMNS:
            collector.bad_rows += 1
            continue
        names, cells = tuple(row), list(row.values())
        if names not in known:
            if len(known) == 200:
                raise RecordsError("the keys of the JSON lines differ from line to line")
            known[names] = (Columns(names, cells, collector), {})
        columns, by_system = known[names]
        if columns.system is not None:
            columns = _of_system(by_system, cells[columns.system], names, cells, collector)
        if columns is None or columns.time is None or not take(columns, cells, collector):
            collector.bad_rows += 1


def take(columns, cells, collector):
    """Hand a row to the collector; False when its time cannot be read."""
    parts = columns.time
    try:
        if len(parts) == 1:
            when = instant(cells[parts[0]], collector.settings["utc_offset"])
        else:
            when = instant(_joined([str(cells[part]).strip() for part in parts]), collector.settings["utc_offset"])
    except (ValueError, OverflowError, TypeError):
        return False
    if not EARLIEST <= when <= LATEST:
        return False
    name = str(cells[columns.station]).strip()[:40] if columns.station is not None else "station"
    found = {}
    for variable, index, _, convert in columns.fields:
        found[variable] = collector.number(name, variable, cells[index], convert)
    collector.add(when, name or "station", found)
    return True


def _joined(parts):
    if len(parts) == 2:
        return f"{parts[0]}T{parts[1]}"
    year, day, clock = (int(float(part)) for part in parts)
    if not (1 <= day <= 366 and 0 <= clock <= 2400 and clock % 100 < 60):
        raise ValueError("not a day of the year, or not a time")
    start = datetime(year, 1, 1).toordinal() + day - 1
    return f"{datetime.fromordinal(start):%Y-%m-%d}T{clock // 100 % 24:02}:{clock % 100:02}"


def instant(text, utc_offset):
    """Unix seconds of a time: ISO 8601, or (milli)seconds since 1970; without a zone it is the station's own."""
    if isinstance(text, (int, float)):
        number = float(text)
    else:
        text = text.strip()
        number = float(text) if text.replace(".", "", 1).isdigit() else 0.0
    if number:
        if number > 1e11:
            number /= 1000.0
        if number < 1e8:
            raise ValueError("too small for seconds since 1970")
        return int(number)
    moment = datetime.fromisoformat(text.replace("/", "-"))
    if moment.tzinfo is None:
        return int((moment.replace(tzinfo=UTC) - _EPOCH).total_seconds()) - utc_offset
    return int((moment - _EPOCH).total_seconds())
