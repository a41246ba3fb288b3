"""From the first version on: a row in every table of every revision is still there, as it was, in the newest one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import (
    JSON,
    Boolean,
    Connection,
    Engine,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    create_engine,
    inspect,
    select,
)

from ops.console import ROOT
from ops.postgres import Postgres, start_postgres
from ops.stack import Stack
from scheduler import postgres, schema
from scheduler import tables as t
from scheduler.store import Store


def _revisions() -> list[str]:
    config = Config()
    config.set_main_option("script_location", str(ROOT / "scheduler" / "migrations"))
    return [one.revision for one in ScriptDirectory.from_config(config).walk_revisions()][::-1]


REVISIONS = _revisions()
#: What a migration makes of old rows: their transactions move into a table of their own.
MOVED = {("outbox", "raw"), ("outbox", "step"), ("outbox", "status"), ("workers", "next_seq")}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with Stack(tmp_path_factory.mktemp("migrations"), handle_signals=False) as stack:
        yield start_postgres(stack)


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, server: Postgres, tmp_path: Path) -> Any:
    if request.param == "sqlite":
        return tmp_path / "old.db"
    return postgres.parse(server.create(f"m{abs(hash(tmp_path))}"))


def _engine(where: Any) -> Engine:
    return create_engine(f"sqlite:///{where}" if isinstance(where, Path) else where)


def _row(table: Table, number: int) -> dict[str, Any]:
    """Something in every column."""
    values: dict[str, Any] = {}
    for column in table.columns:
        if isinstance(column.type, Boolean):
            values[column.name] = True
        elif isinstance(column.type, JSON):
            values[column.name] = {}
        elif isinstance(column.type, LargeBinary):
            values[column.name] = b"\x00\xff"
        elif isinstance(column.type, Integer | Float):
            values[column.name] = number
        else:
            values[column.name] = f"{number}"[: getattr(column.type, "length", None) or 9]
    if table.name == "outbox":
        values |= {
            "status": "DONE"
        }  # what is on its way must be a real transaction: tests/unit/scheduler/test_migration.py
    return values


def _fill(db: Connection, number: int) -> dict[str, dict[str, Any]]:
    reflected = MetaData()
    reflected.reflect(db)
    rows = {}
    for table in reflected.sorted_tables:
        if table.name != "alembic_version":
            rows[table.name] = _row(table, number)
            db.execute(table.insert(), rows[table.name])
    return rows


def test_rows_of_every_revision_are_there_in_the_newest(where: Any) -> None:
    engine = _engine(where)
    written = []
    for number, revision in enumerate(REVISIONS, 1001):
        with engine.begin() as db:
            schema.upgrade(db, revision)
            written.append(_fill(db, number))
    engine.dispose()
    database = Store(where)
    with database.read() as db:
        found = inspect(db)
        for table in t.metadata.sorted_tables:
            columns = {c["name"]: c["nullable"] for c in found.get_columns(table.name)}
            assert columns == {c.name: c.nullable for c in table.columns}, table.name
            there = [dict(row) for row in db.execute(select(table)).mappings()]
            for rows in written:
                if table.name not in rows:
                    continue
                kept = {k: v for k, v in rows[table.name].items() if (table.name, k) not in MOVED and k in columns}
                assert any(_holds(row, kept) for row in there), (table.name, kept, there)
    database.close()


def test_two_ways_to_the_newest_are_one(where: Any, server: Postgres, tmp_path: Path) -> None:
    other = (
        tmp_path / "at-once.db" if isinstance(where, Path) else postgres.parse(server.create(f"o{abs(hash(tmp_path))}"))
    )
    for place, steps in ((where, REVISIONS), (other, ["head"])):
        engine = _engine(place)
        for step in steps:
            with engine.begin() as db:
                schema.upgrade(db, step)
        engine.dispose()
    seen = []
    for place in (where, other):
        engine = _engine(place)
        found = inspect(engine)
        names = sorted(found.get_table_names())
        seen.append({name: ([repr(c) for c in found.get_columns(name)], found.get_indexes(name)) for name in names})
        engine.dispose()
    for name in seen[0]:
        assert seen[0][name] == seen[1][name], name
    assert seen[0].keys() == seen[1].keys() == {*t.metadata.tables, "alembic_version"}


def test_revisions_follow_each_other_in_one_line() -> None:
    assert [revision[:4] for revision in REVISIONS] == [
        f"{n:04}" for n in itertools.islice(itertools.count(1), len(REVISIONS))
    ]


def _holds(row: dict[str, Any], kept: dict[str, Any]) -> bool:
    return all(
        row[name] == value or (isinstance(value, bytes) and bytes(row[name]) == value) for name, value in kept.items()
    )
