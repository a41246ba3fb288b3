"""Uploaded results: opened with suspicion, hashed again, kept under the name of their content."""

from __future__ import annotations

import hashlib
import os
import stat
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from poco.errors import BadInputError
from poco.result import COMPUTED, MAX_COMPUTED_BYTES, ResultError, cid_of, digest, parse_computed

MAX_ENTRIES = 10_000
#: Unpacked at most so many times the packed size (above a first mebibyte).
MAX_RATIO = 200
_FREE_BYTES = 2**20
_CHUNK = 2**18


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


class ZipTree:
    """A zip as a `poco.result.FileTree`; what could hurt is refused when it is opened.

    Args:
        archive: the open zip.
        unpacked: bytes that all entries may have together.

    Raises:
        ResultRefusedError: links, devices, paths that lead out, doubled or encrypted entries, a bomb.
    """

    def __init__(self, archive: zipfile.ZipFile, unpacked: int) -> None:
        entries = archive.infolist()
        if len(entries) > MAX_ENTRIES:
            raise _refused(f"it has {len(entries)} entries, at most {MAX_ENTRIES} are taken")
        self._archive = archive
        self._files: dict[PurePosixPath, zipfile.ZipInfo] = {}
        self._folders: dict[PurePosixPath, set[str]] = {PurePosixPath("."): set()}
        total = packed = 0
        for entry in entries:
            path = _path(entry)
            total += entry.file_size
            packed += entry.compress_size
            if path in self._files or (path in self._folders and not entry.is_dir()):
                raise _refused(f"{entry.filename!r} is in it twice")
            if not entry.is_dir():
                self._files[path] = entry
            else:
                self._folders.setdefault(path, set())
            self._enter(path)
        if total > unpacked:
            raise _refused(f"it unpacks to {total} bytes, at most {unpacked} are taken")
        if total > _FREE_BYTES and total > MAX_RATIO * max(packed, 1):
            raise _refused(f"it unpacks to {total // max(packed, 1)} times its size")

    def kind(self, path: PurePosixPath) -> str | None:
        if path in self._files:
            return "file"
        return "dir" if path in self._folders else None

    def children(self, path: PurePosixPath) -> Iterable[str]:
        return self._folders[path]

    def chunks(self, path: PurePosixPath) -> Iterator[bytes]:
        with self._archive.open(self._files[path]) as file:
            while chunk := file.read(_CHUNK):
                yield chunk

    def _enter(self, path: PurePosixPath) -> None:
        for parent in path.parents:
            if parent in self._files:
                raise _refused(f"{parent} is a file and a folder")
            self._folders.setdefault(parent, set()).add(path.relative_to(parent).parts[0])


def check(path: Path, *, callback: bool, limits: Limits) -> Checked:
    """Open and hash an uploaded zip.

    Raises:
        ResultRefusedError: it is no zip, or not one that is safe to open, or holds no result.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            tree = ZipTree(archive, limits.unpacked)
            found = digest(tree, callback=callback)
            data = _callback(tree) if callback else None
    except ResultError as error:
        raise _refused(f"it holds no result: {error.message}") from None
    except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, ValueError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise _refused(f"it is not a sound zip file ({error})") from None
    except Exception as error:  # a decompressor's own error type
        if type(error).__module__ in {"zlib", "lzma", "_lzma", "bz2"} or type(error).__name__ == "error":
            raise _refused(f"it is not a sound zip file ({error})") from None
        raise
    return Checked(found, data)


def keep(upload: Path, folder: Path) -> tuple[str, int]:
    """Move an upload to `<folder>/<cid>`, the CIDv1 of its bytes; returns (cid, size)."""
    state = hashlib.sha256()
    size = 0
    with upload.open("rb") as file:
        while chunk := file.read(_CHUNK):
            state.update(chunk)
            size += len(chunk)
        os.fsync(file.fileno())
    cid = cid_of(state.digest())
    upload.replace(folder / cid)
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    return cid, size


def _callback(tree: ZipTree) -> bytes | None:
    raw = b""
    for chunk in tree.chunks(PurePosixPath(COMPUTED)):
        raw += chunk
        if len(raw) > MAX_COMPUTED_BYTES:
            return None
    return parse_computed(raw).callback


def _path(entry: zipfile.ZipInfo) -> PurePosixPath:
    name = entry.filename
    path = PurePosixPath(name)
    if "\\" in name or "\0" in name or path.is_absolute() or ".." in path.parts or not path.parts or len(name) > 1024:
        raise _refused(f"{name[:100]!r} is not a path inside it")
    mode = entry.external_attr >> 16
    if mode and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_IFMT(mode) == 0):
        raise _refused(f"{name[:100]!r} is a link or a device")
    if entry.flag_bits & 0x1:
        raise _refused(f"{name[:100]!r} is encrypted")
    if entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise _refused(f"{name[:100]!r} is packed in an unusual way")
    return path


def _refused(what: str) -> ResultRefusedError:
    return ResultRefusedError(
        f"the result is refused: {what}", hint="upload the zip of /iexec_out as it was proven", code="RESULT_REFUSED"
    )
