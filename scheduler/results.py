"""Uploaded results: opened with suspicion, hashed again, kept under the name of their content."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from poco.errors import BadInputError
from poco.result import COMPUTED, MAX_COMPUTED_BYTES, ResultError, cid_of, digest, parse_computed
from poco.ziptree import UnsafeZipError, ZipTree


class ResultRefusedError(BadInputError):
    """The upload is not the result that was proven on chain."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of an upload: packed bytes, and bytes when unpacked."""

    packed: int
    unpacked: int


@dataclass(frozen=True, slots=True)
class Checked:
    """A zip that was opened: its digest by iExec's formula, and the bytes for a callback where the deal has one."""

    digest: str
    callback: bytes | None


def check(path: Path, *, callback: bool, limits: Limits) -> Checked:
    """Open and hash an uploaded zip.

    Raises:
        ResultRefusedError: it is no zip, or not one that is safe to open, or holds no result.
    """
    try:
        with path.open("rb") as file:
            tree = ZipTree(file, limits.unpacked)
            found = digest(tree, callback=callback)
            data = _callback(tree) if callback else None
    except ResultError as error:
        raise _refused(f"it holds no result: {error.message}") from None
    except UnsafeZipError as error:
        raise _refused(error.message) from None
    return Checked(found, data)


def keep(upload: Path, sha256: bytes, folder: Path) -> str:
    """Move an upload (on disk already) to `<folder>/<cid>`, the CIDv1 of its bytes; returns the CID."""
    cid = cid_of(sha256)
    upload.replace(folder / cid)
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    return cid


def _callback(tree: ZipTree) -> bytes | None:
    raw = tree.read(PurePosixPath(COMPUTED), MAX_COMPUTED_BYTES)
    return parse_computed(raw).callback if raw is not None else None


def _refused(what: str) -> ResultRefusedError:
    return ResultRefusedError(
        f"the result is refused: {what}", hint="upload the zip of /iexec_out as it was proven", code="RESULT_REFUSED"
    )
