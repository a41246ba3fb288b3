"""A PostgreSQL database as one file and back: every table by COPY, of one instant, with the schema's revision.

No program of PostgreSQL's is needed, and the servers may be of different versions: tables are made by our own
migrations, at the revision of the copy, and then brought up to date.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from alembic.util import CommandError
from psycopg import Error as PsycopgError
from psycopg import sql
from sqlalchemy import URL, Connection, func, select, text
from sqlalchemy.exc import DBAPIError

from poco.errors import BadInputError, PewError
from scheduler import postgres, schema
from scheduler.postgres import MIGRATION, make_engine

FORMAT = 1
_MANIFEST = "manifest.json"
_CHUNK = 2**20
_REVISIONS = "alembic_version"
_TABLES = text(
    "SELECT table_name, column_name FROM information_schema.columns JOIN information_schema.tables "
    "USING (table_schema, table_name) WHERE table_schema = current_schema() AND table_type = 'BASE TABLE' "
    "ORDER BY table_name, ordinal_position"
)


def dump(url: URL, target: Path) -> None:
    """Write the copy; schedulers may work on the database meanwhile.

    Raises:
        PewError: there are no data, or the database does not answer.
        OSError: the file cannot be written.
    """
    with _connected(url, "REPEATABLE READ", readonly=True) as connection:
        tables = _tables(connection)
        if _REVISIONS not in tables:
            raise BadInputError("the database holds no scheduler's data", hint="see database_url")
        revision = connection.execute(text(f"SELECT version_num FROM {_REVISIONS}")).scalar_one()  # noqa: S608
        del tables[_REVISIONS]
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for table, columns in tables.items():
                query = _copy(table, columns, "TO STDOUT")
                with archive.open(f"{table}.copy", "w", force_zip64=True) as out, _cursor(connection) as cursor:
                    _write(cursor, query, out)
            archive.writestr(_MANIFEST, json.dumps({"format": FORMAT, "revision": revision, "tables": tables}))


def load(url: URL, source: Path, check: Callable[[Connection], None]) -> None:
    """Fill an empty database, all of it or nothing.

    Args:
        check: called with the open transaction at its end; what it raises takes everything back.

    Raises:
        BadInputError: the file is no copy or damaged, of a later version, or the database is not empty.
        PewError: the database does not answer.
    """
    with _opened(source) as archive, _connected(url, "READ COMMITTED", readonly=False) as connection:
        said = _manifest(archive, source)
        connection.execute(select(func.pg_advisory_xact_lock(MIGRATION)))
        there = _tables(connection)
        if there:
            raise BadInputError(
                f"the database is not empty, it has the table {min(there)}",
                hint="make an empty one (createdb) and name it in database_url; this one may hold newer data",
            )
        try:
            schema.upgrade(connection, said["revision"])
        except CommandError:
            raise BadInputError(
                f"{source} was made by a later version (revision {said['revision']})",
                hint="restore it with that version",
            ) from None
        for table, columns in said["tables"].items():
            _fill(connection, archive, table, columns)
        schema.upgrade(connection)
        check(connection)


def _write(cursor: Any, query: sql.Composed, out: IO[bytes]) -> None:
    with cursor.copy(query) as rows:
        for data in rows:
            out.write(data)


def _fill(connection: Connection, archive: zipfile.ZipFile, table: str, columns: list[str]) -> None:
    with archive.open(f"{table}.copy") as rows, _cursor(connection) as cursor:
        cursor.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
        with cursor.copy(_copy(table, columns, "FROM STDIN")) as target:
            while data := rows.read(_CHUNK):
                target.write(data)
        for column in columns:
            cursor.execute("SELECT pg_get_serial_sequence(quote_ident(%s), %s)", (table, column))
            (sequence,) = cursor.fetchone() or (None,)
            if sequence is not None:
                following = sql.SQL("SELECT setval(%s, (SELECT coalesce(max({}), 0) + 1 FROM {}), false)")
                cursor.execute(following.format(sql.Identifier(column), sql.Identifier(table)), (sequence,))


def _copy(table: str, columns: list[str], direction: str) -> sql.Composed:
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    return sql.SQL("COPY {} ({}) " + direction).format(sql.Identifier(table), names)


def _tables(connection: Connection) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for table, column in connection.execute(_TABLES):
        found.setdefault(table, []).append(column)
    return found


def _cursor(connection: Connection) -> Any:
    driver: Any = connection.connection.driver_connection
    return driver.cursor()


@contextmanager
def _connected(url: URL, isolation: str, *, readonly: bool) -> Iterator[Connection]:
    """One transaction without bounds of time; errors of the database in words."""
    engine = make_engine(url)
    try:
        options = {"isolation_level": isolation, "postgresql_readonly": readonly}
        with engine.execution_options(**options).begin() as connection:
            for bound in ("idle_in_transaction_session_timeout", "statement_timeout"):
                connection.exec_driver_sql(f"SET LOCAL {bound} = 0")
            yield connection
    except (DBAPIError, PsycopgError) as error:
        said = postgres.said(error)
        raise PewError(f"the database does not do it: {said}", hint="see database_url and its server's log") from None
    finally:
        engine.dispose()


@contextmanager
def _opened(source: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(source) as archive:
            yield archive
    except (zipfile.BadZipFile, EOFError) as error:
        raise BadInputError(f"{source} is damaged: {error}", hint="take another copy") from None


def _manifest(archive: zipfile.ZipFile, source: Path) -> dict[str, Any]:
    try:
        said = json.loads(archive.read(_MANIFEST))
        missing = {f"{table}.copy" for table in said["tables"]} - set(archive.namelist())
        known = said["format"] == FORMAT and isinstance(said["revision"], str)
    except (KeyError, ValueError, TypeError, AttributeError):
        raise BadInputError(f"{source} is no copy of a database", hint="name what `backup` has written") from None
    if missing or not known:
        raise BadInputError(f"{source} is not whole, or of another format", hint="take another copy")
    return dict(said)
