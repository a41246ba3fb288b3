"""A copy of a pool's data beside its running schedulers, and back: `python -m scheduler backup`, `restore`."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import URL, Connection

from poco.errors import BadInputError
from scheduler import lock, postgres_copy, sharing
from scheduler.config import Config

_SQLITE, _POSTGRES = "scheduler.db", "database.zip"
#: Folders whose files never change once they bear their names.
_FOLDERS = ("results", "ledgers", "logs", "inputs")


def backup(config: Config, folder: Path) -> dict[str, int]:
    """Copy the database as it is at one instant, then the files; `folder` may hold an older copy of the same pool.

    Returns:
        How many `files` were copied, and the `bytes` of the database's copy.

    Raises:
        BadInputError: there are no data, the folder holds a copy of the other kind, or cannot be written.
        PewError: the database does not answer.
    """
    where = config.database
    name, other = (_SQLITE, _POSTGRES) if isinstance(where, Path) else (_POSTGRES, _SQLITE)
    if isinstance(where, Path) and not where.exists():
        raise BadInputError(f"there is no {where}", hint="see data_dir")
    if (folder / other).exists():
        raise BadInputError(f"{folder} holds the copy of another database ({other})", hint="name another folder")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = folder / f".{name}"
        draft.unlink(missing_ok=True)
        draft.touch(0o600)
        if isinstance(where, Path):
            with closing(sqlite3.connect(where)) as old, closing(sqlite3.connect(draft)) as new:
                old.backup(new)
        else:
            postgres_copy.dump(where, draft)
        draft.replace(folder / name)
        copied = sum(_copy_new(config.files / one, folder / one) for one in _FOLDERS)
    except (OSError, sqlite3.Error) as error:
        raise BadInputError(f"the backup failed: {error}", hint="see whether there is room, and try again") from None
    return {"files": copied, "bytes": (folder / name).stat().st_size}


def restore(config: Config, folder: Path) -> dict[str, int]:
    """Put a copy back where no data are; what happened on the chain since then is read again at the next start.

    Raises:
        BadInputError: it is no copy, a scheduler works on the data, or there are some.
        PewError: the database does not answer.
    """
    where = config.database
    name, other = (_SQLITE, _POSTGRES) if isinstance(where, Path) else (_POSTGRES, _SQLITE)
    source = folder / name
    if (folder / other).exists() and not source.exists():
        kind = "SQLite" if other == _SQLITE else "PostgreSQL"
        raise BadInputError(f"{folder} holds a copy of {kind}", hint="it goes back into the same: see database_url")
    if not source.exists():
        raise BadInputError(f"{folder} holds no backup", hint="name the folder that `backup` was given")
    held = lock.acquire(config.data_dir)
    try:
        if isinstance(where, Path):
            copied = _restore_sqlite(config, where, folder)
        else:
            copied = _restore_postgres(config, where, folder)
    except OSError as error:
        raise BadInputError(f"the copy cannot be put back: {error}", hint="see whether there is room") from None
    finally:
        held.close()
    return {"files": copied, "bytes": source.stat().st_size}


def _restore_sqlite(config: Config, target: Path, folder: Path) -> int:
    if target.exists():
        raise BadInputError(f"{target} is there already", hint="move it away first; it may hold newer data")
    copied = _copy_files(config, folder)
    draft = target.with_suffix(".draft")
    shutil.copyfile(folder / _SQLITE, draft)
    draft.replace(target)
    return copied


def _restore_postgres(config: Config, where: URL, folder: Path) -> int:
    copied = 0

    def files(db: Connection) -> None:
        nonlocal copied
        sharing.mark(db, config.files)
        copied = _copy_files(config, folder)

    postgres_copy.load(where, folder / _POSTGRES, files)
    return copied


def _copy_files(config: Config, folder: Path) -> int:
    return sum(_copy_new(folder / name, config.files / name) for name in _FOLDERS)


def _copy_new(source: Path, target: Path) -> int:
    """Copy files that are not there yet, or of another size; hidden ones are unfinished and stay out."""
    copied = 0
    for path in sorted(source.rglob("*")) if source.is_dir() else ():
        relative = path.relative_to(source)
        if not path.is_file() or any(part.startswith(".") for part in relative.parts):
            continue
        there = target / relative
        if there.exists() and there.stat().st_size == path.stat().st_size:
            continue
        there.parent.mkdir(parents=True, exist_ok=True)
        draft = there.with_name(f".{there.name}.draft")
        shutil.copy2(path, draft)  # inputs go by their age
        draft.replace(there)
        copied += 1
    return copied
