"""What the schedulers of a pool must have in common, checked before one of them joins."""

from __future__ import annotations

import os
import secrets
import socket
from pathlib import Path

from sqlalchemy import Connection

from poco.errors import BadInputError
from scheduler import store
from scheduler.store import Store

_MARK = ".pool"


def own_name() -> str:
    """A name of this process that no other has."""
    return f"{socket.gethostname()[:60]}:{os.getpid()}:{secrets.token_hex(4)}"


def require_same(database: Store, pool: str, folder: Path) -> None:
    """Claim a shared database for a pool and its folder of results, or see that this was done for the same ones.

    Args:
        pool: chain, hub and workerpool.
        folder: of results, logs and ledgers.

    Raises:
        BadInputError: the database is of another pool, or the others keep their files elsewhere.
    """
    mark = folder / _MARK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with database.write() as db:
            known = store.get_meta(db, "pool") or store.claim_meta(db, "pool", pool)
            expected = store.get_meta(db, "files") or store.claim_meta(db, "files", secrets.token_hex(16))
            if not mark.exists() and not store.get_meta(db, "files_marked"):
                mark.write_text(expected + "\n")
                store.set_meta(db, "files_marked", "1")
        found = mark.read_text().strip() if mark.exists() else ""
    except OSError as error:
        raise BadInputError(f"cannot use {folder}: {error.strerror}", hint="check shared_dir") from None
    if known != pool:
        raise BadInputError(
            f"the database holds another pool ({known})", hint="give each pool a database of its own", code="OTHER_POOL"
        )
    if found != expected:
        raise BadInputError(
            f"the other schedulers of this pool keep their results in another folder than {folder}",
            hint="set shared_dir to the folder that all of them share",
            code="OTHER_FILES",
        )


def mark(db: Connection, folder: Path) -> None:
    """Make a folder that of the pool whose database this is, unless it is another's.

    Raises:
        BadInputError: it belongs to another pool, or holds files of nobody knows whom.
        OSError: it cannot be written.
    """
    path, expected = folder / _MARK, store.get_meta(db, "files")
    found = path.read_text().strip() if path.exists() else None
    kept = folder / "results"
    if found not in {None, expected} or (found is None and kept.is_dir() and any(kept.iterdir())):
        raise BadInputError(
            f"{folder} holds files of another pool", hint="set shared_dir to an empty folder, or to this pool's own"
        )
    folder.mkdir(parents=True, exist_ok=True)
    if expected is not None:
        path.write_text(expected + "\n")
