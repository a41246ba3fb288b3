"""A copy of a pool's data beside a running scheduler, and back: `python -m scheduler backup`, `restore` (SQLite).

On PostgreSQL the database is copied by its own tools (docs/reference/scheduler.md), the files by any.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from poco.errors import BadInputError
from scheduler import lock
from scheduler.config import Config

_DATABASE = "scheduler.db"
#: Folders whose files never change once they bear their names.
_FOLDERS = ("results", "ledgers", "logs")


def backup(config: Config, folder: Path) -> dict[str, int]:
    """Copy the database as it is at one instant, then the files; `folder` may hold an older copy.

    Returns:
        How many `files` were copied, and the `bytes` of the database.

    Raises:
        BadInputError: the data lie in PostgreSQL, or there are none, or the folder cannot be written.
    """
    source = _sqlite(config)
    if not source.exists():
        raise BadInputError(f"there is no {source}", hint="see data_dir")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = folder / f".{_DATABASE}"
        draft.unlink(missing_ok=True)
        with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(draft)) as new:
            old.backup(new)
        draft.replace(folder / _DATABASE)
        copied = sum(_copy_new(config.files / name, folder / name) for name in _FOLDERS)
    except (OSError, sqlite3.Error) as error:
        raise BadInputError(f"the backup failed: {error}", hint="see whether there is room, and try again") from None
    return {"files": copied, "bytes": (folder / _DATABASE).stat().st_size}


def restore(config: Config, folder: Path) -> dict[str, int]:
    """Put a copy back where no data are; what happened on the chain since then is read again at the next start.

    Raises:
        BadInputError: it is no copy, a scheduler works on the data, or there are some.
    """
    target = _sqlite(config)
    if not (folder / _DATABASE).exists():
        raise BadInputError(f"{folder} holds no backup", hint="name the folder that `backup` was given")
    held = lock.acquire(config.data_dir)
    try:
        if target.exists():
            raise BadInputError(f"{target} is there already", hint="move it away first; it may hold newer data")
        copied = sum(_copy_new(folder / name, config.files / name) for name in _FOLDERS)
        draft = target.with_suffix(".draft")
        shutil.copyfile(folder / _DATABASE, draft)
        draft.replace(target)
    except OSError as error:
        raise BadInputError(f"the copy cannot be put back: {error}", hint="see whether there is room") from None
    finally:
        held.close()
    return {"files": copied, "bytes": target.stat().st_size}


def _sqlite(config: Config) -> Path:
    where = config.database
    if not isinstance(where, Path):
        raise BadInputError(
            "these data lie in PostgreSQL", hint="pg_dump and pg_restore copy them: docs/reference/scheduler.md"
        )
    return where


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
        shutil.copyfile(path, draft)
        draft.replace(there)
        copied += 1
    return copied
