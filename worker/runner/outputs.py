"""What a stranger's program left behind, read without ever following it anywhere.

Every name is opened relative to the folder it stands in (`openat`) with O_NOFOLLOW, and what was opened is asked what
it is: links, devices, pipes, sockets and files with a second name do not exist for us. The program has ended when this
runs, so nothing changes beneath.
"""

from __future__ import annotations

import hashlib
import os
import stat
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from poco.errors import Cause
from poco.result import FileTree, ResultError
from worker.runner.usage import MAX_DEPTH, usage

_CHUNK = 256 * 1024
_EPOCH = (1980, 1, 1, 0, 0, 0)
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class OutFolder:
    """`/iexec_out` as a `poco.result.FileTree`.

    Args:
        root: the folder on this machine; it must not be a link.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def kind(self, path: PurePosixPath) -> str | None:
        with self._open(path) as handle:
            if handle is None:
                return None
            return "dir" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file"

    def children(self, path: PurePosixPath) -> Iterable[str]:
        """Names of a folder's entries; names that are not UTF-8 do not exist."""
        with self._open(path) as handle:
            names = os.listdir(handle) if handle is not None else []  # noqa: PTH208  (of a descriptor)
            return [name for name in names if _readable(name)]

    def chunks(self, path: PurePosixPath) -> Iterator[bytes]:
        with self._open(path) as handle:
            while handle is not None and (chunk := os.read(handle, _CHUNK)):
                yield chunk

    def files(self) -> Iterator[PurePosixPath]:
        """All regular files, in path order."""
        yield from sorted(self._walk(PurePosixPath(), MAX_DEPTH))

    def _walk(self, folder: PurePosixPath, depth: int) -> Iterator[PurePosixPath]:
        for name in self.children(folder):
            path = folder / name
            kind = self.kind(path)
            if kind == "file":
                yield path
            elif kind == "dir" and depth:
                yield from self._walk(path, depth - 1)

    @contextmanager
    def _open(self, path: PurePosixPath) -> Iterator[int | None]:
        """A descriptor of a regular file or folder below the root, or None."""
        handle: int | None = None
        try:
            handle = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            for part in path.parts:
                parent, handle = handle, None
                try:
                    handle = os.open(part, _OPEN, dir_fd=parent) if part not in ("", ".", "..", "/") else None
                finally:
                    os.close(parent)
                if handle is None:
                    break
            if handle is not None and not _plain(os.fstat(handle)):
                os.close(handle)
                handle = None
        except (OSError, ValueError):
            handle = None
        try:
            yield handle
        finally:
            if handle is not None:
                os.close(handle)


def _plain(info: os.stat_result) -> bool:
    return stat.S_ISDIR(info.st_mode) or (stat.S_ISREG(info.st_mode) and info.st_nlink == 1)


def _readable(name: str) -> bool:
    return not any(0xD800 <= ord(char) <= 0xDFFF for char in name)


def require_size(root: Path, max_bytes: int, max_entries: int) -> None:
    """ResultError OUTPUT_TOO_LARGE when a folder holds more than the operator allows."""
    used = usage(root, max_entries)
    if used.size > max_bytes or used.entries > max_entries:
        raise ResultError(
            Cause.OUTPUT_TOO_LARGE,
            f"the program wrote {used.entries} files and {used.size} bytes, {max_entries} and {max_bytes} are allowed",
            "write less into /iexec_out",
        )


def write_zip(tree: FileTree, files: Iterable[PurePosixPath], where: Path) -> tuple[str, int]:
    """Zip files of a tree the same way every time: given order, fixed times and modes; on disk when it returns.

    Returns:
        (sha256 as hex, size in bytes) of the zip.
    """
    partial = where.with_suffix(".part")
    with partial.open("wb") as raw:
        with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
            for path in files:
                entry = zipfile.ZipInfo(str(path), _EPOCH)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.create_system = 3
                entry.external_attr = (stat.S_IFREG | 0o644) << 16
                with archive.open(entry, "w", force_zip64=True) as sink:
                    for chunk in tree.chunks(path):
                        sink.write(chunk)
        raw.flush()
        os.fsync(raw.fileno())
    partial.replace(where)
    folder = os.open(where.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    with where.open("rb") as done:
        return hashlib.file_digest(done, "sha256").hexdigest(), where.stat().st_size
