"""The store: what was written stays, through kill -9 and a damaged file, and the whole stays within its bounds."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ops.console import ROOT
from poco.errors import BadInputError
from worker.sensors.config import Keep
from worker.sensors.reading import COLUMNS, clean
from worker.sensors.store import Message, Store

T0 = 1_700_000_000


def nothing(_rain: float) -> tuple[Message, ...]:
    return ()


def test_readings_come_back_in_order_with_their_gaps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.sensors.store._PAGE", 20)
    store = Store(tmp_path / "s" / "r.db", Keep())
    for minute in range(100):
        store.reading_kept(T0 + 60 * minute, clean({"temperature_c": minute / 100, "rain_mm": None}), nothing)
    rows = list(store.readings(T0 + 60, T0 + 60 * 80))
    assert len(rows) == 80 == store.count(T0 + 60, T0 + 60 * 80)
    assert rows[0] == (T0 + 60, clean({"temperature_c": 0.01})) and rows[0][1]["rain_mm"] is None
    assert [at for at, _ in rows] == sorted(at for at, _ in rows)
    assert store.latest() == (T0 + 60 * 99, clean({"temperature_c": 0.99}))
    assert (tmp_path / "s" / "r.db").stat().st_mode & 0o077 == 0, "nobody else reads it"


def test_rain_adds_up_across_restarts(tmp_path: Path) -> None:
    told: list[float] = []

    def say(rain: float) -> tuple[Message, ...]:
        told.append(rain)
        return (Message("t", str(rain).encode()),)

    for minute in range(3):
        store = Store(tmp_path / "r.db", Keep())
        store.reading_kept(T0 + minute, clean({"rain_mm": 0.5 if minute else None}), say)
        store.close()
    assert told == [0.0, 0.5, 1.0]
    again = Store(tmp_path / "r.db", Keep())
    assert [message.payload for _, message in again.waiting(10)] == [b"0.0", b"0.5", b"1.0"]


@settings(max_examples=12, deadline=None)
@given(st.lists(st.binary(max_size=20), max_size=30), st.integers(1, 10), st.integers(1, 12))
def test_the_newest_messages_wait_in_order(payloads: list[bytes], unsent: int, taken: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _check_waiting(Store(Path(folder) / "r.db", Keep(unsent=unsent)), payloads, unsent, taken)


def _check_waiting(store: Store, payloads: list[bytes], unsent: int, taken: int) -> None:
    for payload in payloads:
        store.queue(Message("t", payload, retain=True))
    expected = payloads[-unsent:]
    waiting = store.waiting(taken)
    assert [m.payload for _, m in waiting] == expected[:taken] and all(m.retain for _, m in waiting)
    for number, _ in waiting:
        store.delivered(number)
    assert [m.payload for _, m in store.waiting(100)] == expected[taken:]


def test_it_stays_within_its_bounds_and_drops_the_oldest(tmp_path: Path) -> None:
    store = Store(tmp_path / "r.db", Keep(readings_mb=2, days=30))
    reading = clean(dict.fromkeys(COLUMNS, 50.123456789))
    for day in range(40):
        store.reading_kept(T0 + 86_400 * day, reading, nothing)
    store.prune(T0 + 86_400 * 40)
    assert store.count(0, 2**40) == 30, "a month is kept"
    store.queue(*(Message("t", bytes(50_000)) for _ in range(60)))
    store.reading_kept(T0 + 86_400 * 40, reading, nothing)
    assert store.size() > 2_000_000
    store.prune(T0 + 86_400 * 40)
    on_disk = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert on_disk <= 2_000_000 and store.size() <= 1_000_000
    assert store.latest() == (T0 + 86_400 * 40, reading), "the newest is kept"


WRITER = """
import sys
from pathlib import Path
from worker.sensors.config import Keep
from worker.sensors.reading import clean
from worker.sensors.store import Message, Store
store = Store(Path(sys.argv[1]), Keep())
at = int(sys.argv[2])
while True:
    at += 1
    store.reading_kept(at, clean({"temperature_c": at % 50}), lambda rain: (Message("t", str(at).encode()),))
    print(at, flush=True)
"""


def test_what_was_kept_is_there_after_kill_9(tmp_path: Path) -> None:
    """The process is killed in the middle of writing, three times; every reading that it called kept is there."""
    kept = [T0]
    for _ in range(3):
        argv = [sys.executable, "-c", WRITER, str(tmp_path / "r.db"), str(kept[-1])]
        process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        kept += [int(process.stdout.readline()) for _ in range(20)]
        os.kill(process.pid, signal.SIGKILL)
        kept += [int(line) for line in process.stdout if line.endswith("\n")]
        process.wait()
    store = Store(tmp_path / "r.db", Keep())
    found = dict(store.readings(T0, 2**40))
    assert store.set_aside is None
    assert set(kept[1:]) <= set(found)
    assert all(found[at]["temperature_c"] == at % 50 for at in found)
    told = [int(m.payload) for _, m in store.waiting(10**6)]
    assert sorted(set(told)) == sorted(found), "a reading and its message go together"


@settings(max_examples=12, deadline=None)
@given(st.floats(0, 1))
def test_a_power_cut_in_the_middle_of_a_write_costs_at_most_that_write(share: float) -> None:
    """Only a part of the write-ahead log may have reached the storage: found is a beginning of what was kept."""
    with tempfile.TemporaryDirectory() as folder:
        live, cut = Path(folder) / "r.db", Path(folder) / "cut.db"
        store = Store(live, Keep())
        assert store.rows("PRAGMA synchronous")[0][0] == 2 and store.rows("PRAGMA journal_mode")[0][0] == "wal"
        for second in range(8):
            store.reading_kept(T0 + second, clean({"wind_ms": float(second)}), nothing)
        shutil.copy(live, cut)
        log = live.with_name("r.db-wal").read_bytes()
        cut.with_name("cut.db-wal").write_bytes(log[: int(share * len(log))])
        again = Store(cut, Keep())
        found = [at - T0 for at, _ in again.readings(0, 2**40)]
        assert again.set_aside is None and found == list(range(len(found)))
        assert share < 1.0 or len(found) == 8
        again.reading_kept(T0 + 9, clean({"wind_ms": 1.0}), nothing)
        store.close()
        again.close()


def test_a_damaged_file_is_set_aside(tmp_path: Path) -> None:
    store = Store(tmp_path / "r.db", Keep())
    store.queue(*(Message("t", bytes(200)) for _ in range(3000)))
    store.close()
    with (tmp_path / "r.db").open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(40_000))
    again = Store(tmp_path / "r.db", Keep())
    assert again.set_aside == tmp_path / "r.db.damaged" and again.set_aside.exists()
    again.reading_kept(T0, clean({"wind_ms": 1.0}), nothing)
    assert again.count(0, 2**40) == 1


def test_reading_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no readings"):
        Store(tmp_path / "none.db", Keep(), read_only=True)
