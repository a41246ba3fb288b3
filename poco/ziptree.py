"""The zip of a result as the file tree it holds; scheduler and requester open it with the same suspicion."""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import BinaryIO

from poco.errors import BadInputError

MAX_ENTRIES = 10_000
#: Unpacked at most so many times the packed size (above a first mebibyte).
MAX_RATIO = 200
_FREE_BYTES = 2**20
_MAX_NAME = 1024
_CHUNK = 2**18


class UnsafeZipError(BadInputError):
    """No zip, a broken one, or one that could hurt when it is unpacked."""

    def __init__(self, message: str) -> None:
        super().__init__(message, hint="a result is the zip of /iexec_out as the worker made it", code="UNSAFE_ZIP")


class ZipTree:
    """A zip as a `poco.result.FileTree`: regular files and folders only.

    Args:
        file: the zip, open for as long as this is used.
        unpacked: bytes that all entries may have together.

    Raises:
        UnsafeZipError: broken, links, devices, paths that lead out, doubled or encrypted entries, a bomb.
    """

    def __init__(self, file: BinaryIO, unpacked: int) -> None:
        with _sound("it"):
            self._archive = zipfile.ZipFile(file)
        entries = self._archive.infolist()
        if len(entries) > MAX_ENTRIES:
            raise UnsafeZipError(f"it has {len(entries)} entries, at most {MAX_ENTRIES} are taken")
        self._files: dict[PurePosixPath, zipfile.ZipInfo] = {}
        self._folders: dict[PurePosixPath, set[str]] = {PurePosixPath(): set()}
        for entry in entries:
            self._enter(_checked_path(entry), entry)
        total = sum(entry.file_size for entry in entries)
        packed = max(1, sum(entry.compress_size for entry in entries))
        if total > unpacked:
            raise UnsafeZipError(f"it unpacks to {total} bytes, at most {unpacked} are taken")
        if total > _FREE_BYTES and total > MAX_RATIO * packed:
            raise UnsafeZipError(f"it unpacks to {total // packed} times its size")

    def kind(self, path: PurePosixPath) -> str | None:
        if path in self._files:
            return "file"
        return "dir" if path in self._folders else None

    def children(self, path: PurePosixPath) -> Iterable[str]:
        return self._folders[path]

    def chunks(self, path: PurePosixPath) -> Iterator[bytes]:
        with _sound(str(path)), self._archive.open(self._files[path]) as file:
            while chunk := file.read(_CHUNK):
                yield chunk

    def files(self) -> list[PurePosixPath]:
        """All files, sorted."""
        return sorted(self._files)

    def read(self, path: PurePosixPath, max_bytes: int) -> bytes | None:
        """A small file's content; None where it is not there or larger."""
        entry = self._files.get(path)
        return b"".join(self.chunks(path)) if entry is not None and entry.file_size <= max_bytes else None

    def _enter(self, path: PurePosixPath, entry: zipfile.ZipInfo) -> None:
        if path in self._files or (path in self._folders and not entry.is_dir()):
            raise UnsafeZipError(f"{entry.filename!r} is in it twice")
        if entry.is_dir():
            self._folders.setdefault(path, set())
        else:
            self._files[path] = entry
        for parent in path.parents:
            if parent in self._files:
                raise UnsafeZipError(f"{parent} is a file and a folder")
            self._folders.setdefault(parent, set()).add(path.relative_to(parent).parts[0])


def _checked_path(entry: zipfile.ZipInfo) -> PurePosixPath:
    name, shown = entry.filename, repr(entry.filename[:100])
    path = PurePosixPath(name)
    outside = path.is_absolute() or ".." in path.parts or not path.parts
    if outside or "\\" in name or "\0" in name or len(name) > _MAX_NAME:
        raise UnsafeZipError(f"{shown} is not a path inside it")
    if stat.S_IFMT(entry.external_attr >> 16) not in {0, stat.S_IFREG, stat.S_IFDIR}:
        raise UnsafeZipError(f"{shown} is a link or a device")
    if entry.flag_bits & 0x1:
        raise UnsafeZipError(f"{shown} is encrypted")
    if entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise UnsafeZipError(f"{shown} is packed in an unusual way")
    return path


@contextmanager
def _sound(what: str) -> Iterator[None]:
    """What the standard library raises on broken zips, as one error; a disk's own errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            raise
        raise UnsafeZipError(f"{what} is not a sound zip file ({error})") from None
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError) as error:
        raise UnsafeZipError(f"{what} is not a sound zip file ({error})") from None
