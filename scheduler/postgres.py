"""PostgreSQL: several scheduler processes on one database.

Transactions that write run at READ COMMITTED and lock the rows they decide on (`store.lock_task`), so that what was
read is still true at the commit; those that read see one snapshot and wait for nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, func, make_url, select
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from poco.errors import BadInputError, PewError
from scheduler.schema import upgrade

#: Connections kept open, and how many more there may be under load.
_POOL, _OVERFLOW = 10, 30
CONNECT_SECONDS = 5
#: A process that was paused inside a transaction loses it, and its locks, after so long.
IDLE_SECONDS = 10
STATEMENT_SECONDS = 60
#: Of the advisory lock under which one process migrates and the others wait.
MIGRATION = 0x50455701
_PREFIXES = ("postgresql://", "postgres://")
#: What PostgreSQL calls a serialization failure and a deadlock: nothing was done, and it may be tried again.
_AGAIN = frozenset({"40001", "40P01"})
#: It was idle inside a transaction for `IDLE_SECONDS`.
_PAUSED = "25P03"


class StoreUnreachableError(PewError):
    """The database does not answer, or has ended the transaction; nothing of it was done."""


def parse(text: str) -> URL:
    """The address of a database, `postgresql://user@host:port/name`.

    Raises:
        BadInputError: it is none, or holds a password. The text is not repeated.
    """
    try:
        url = make_url(text)
    except ArgumentError:
        url = None
    if url is None or not text.startswith(_PREFIXES) or not url.database:
        raise BadInputError("database_url is no address of a PostgreSQL database", hint="postgresql://user@host/name")
    if url.password is not None or "password" in url.query:
        raise BadInputError(
            "database_url holds a password",
            hint="put it into a file of its own and name that in database_password_file",
        )
    return url.set(drivername="postgresql+psycopg")


def with_password(url: URL, file: Path | None) -> URL:
    """The address with the password of that file (its first line); BadInputError where it cannot be read."""
    if file is None:
        return url
    try:
        return url.set(password=file.read_text().split("\n", 1)[0])
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"the database's password cannot be read from {file}", hint=str(error)) from None


def is_conflict(error: BaseException) -> bool:
    """Whether a transaction failed only because of another one."""
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in _AGAIN


class Postgres:
    """The database at `url` (migrated when opened, by one process at a time).

    Raises:
        BadInputError: it cannot be reached or used.
    """

    def __init__(self, url: URL) -> None:
        self.engine = make_engine(url)
        self._reader = self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        try:
            with self.engine.begin() as connection:
                for bound in ("idle_in_transaction_session_timeout", "statement_timeout"):
                    connection.exec_driver_sql(f"SET LOCAL {bound} = 0")  # old tables may be large
                connection.execute(select(func.pg_advisory_xact_lock(MIGRATION)))
                upgrade(connection)
        except OperationalError as error:
            self.close()
            raise BadInputError(
                f"the database {url.render_as_string()} cannot be used: {said(error)}",
                hint="see database_url; the server must run, hold that database and let this user in",
                code="DATABASE",
            ) from None

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with _translated(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with _translated(), self._reader.begin() as connection:
            yield connection

    def close(self) -> None:
        self.engine.dispose()


@contextmanager
def _translated() -> Iterator[None]:
    """Errors of the connection in words; conflicts as they are, for those who can try again."""
    try:
        yield
    except DBAPIError as error:
        gone = isinstance(error, OperationalError) or getattr(error.orig, "sqlstate", None) == _PAUSED
        if not gone or is_conflict(error):
            raise
        raise StoreUnreachableError(
            f"the database does not answer: {said(error)}", hint="try again; see whether PostgreSQL runs"
        ) from None


def said(error: Exception) -> str:
    """The database's own words, in one line."""
    return " ".join(str(getattr(error, "orig", error)).split())


def make_engine(url: URL) -> Engine:
    """Connections with bounds of time, as all schedulers have them."""
    options = {
        "idle_in_transaction_session_timeout": IDLE_SECONDS * 1000,
        "statement_timeout": STATEMENT_SECONDS * 1000,
        "default_transaction_isolation": "read\\ committed",
    }
    return create_engine(
        url,
        pool_size=_POOL,
        max_overflow=_OVERFLOW,
        pool_pre_ping=True,
        hide_parameters=True,  # what is written may be secret; errors are logged
        connect_args={
            "connect_timeout": CONNECT_SECONDS,
            "application_name": "pew-scheduler",
            # whatever the database's own is; of one in SQL_ASCII text would come as bytes
            "client_encoding": "utf8",
            "options": " ".join(f"-c {name}={value}" for name, value in options.items()),
        },
    )
