"""Layers of an image into a folder, without trust in what is in them.

A layer is a tar of a stranger. Names may not climb (`..`), links are followed only inside the folder, and are never
written through; devices, pipes and set-id bits stay outside; sizes and counts are bounded before anything is written.
What a layer removes from those below it follows the OCI image specification (layer.md, "Whiteouts").
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
import stat
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from oci.errors import BadChecksumError, ImageInvalidError
from oci.manifest import OCI_LAYER, Descriptor

_GZIP_TYPES = frozenset({OCI_LAYER, "application/vnd.docker.image.rootfs.diff.tar.gzip"})
_PLAIN_TYPES = frozenset({"application/vnd.oci.image.layer.v1.tar", "application/vnd.docker.image.rootfs.diff.tar"})
_CHUNK = 256 * 1024
#: Extended headers (long names, attributes) are read into memory as a whole.
_MAX_READ = 1024 * 1024
_MAX_LINKS = 40
#: What a path can be refused for, however well the disk is.
_IMPOSSIBLE = frozenset({
    errno.EEXIST, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ,
    errno.EMLINK, errno.ELOOP,
})  # fmt: skip
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"


@dataclass
class Bounds:
    """What all layers of an image together may unpack to; it is counted down."""

    bytes_left: int
    entries_left: int = 200_000

    def take(self, size: int) -> None:
        """Count one entry of that size; ImageInvalidError when it is one too many."""
        self.bytes_left -= size
        self.entries_left -= 1
        if self.bytes_left < 0 or self.entries_left < 0:
            what = "bytes" if self.bytes_left < 0 else "files"
            raise ImageInvalidError(f"The image unpacks to more {what} than are allowed", hint="use a smaller image")


def unpack_layer(blob: Path, layer: Descriptor, diff_id: str, root: Path, bounds: Bounds) -> None:
    """Unpack a layer onto what lies in `root`.

    Args:
        blob: the layer as fetched, its digest checked.
        layer: its descriptor, for the compression.
        diff_id: the digest of the tar inside, as the image's config names it.
        root: the folder; nobody else changes it meanwhile.
        bounds: what may still be unpacked.

    Raises:
        ImageInvalidError: not a layer, or one that asks for what it may not.
        BadChecksumError: the tar is not the one with `diff_id`.
        OSError: the disk does not take it.
    """
    with blob.open("rb") as raw:
        stream = _Stream(raw, layer.media_type, bounds)
        try:
            with tarfile.open(fileobj=stream, mode="r:", errorlevel=2) as tar:
                _Unpacker(root, bounds).all(tar, stream)
            stream.drain()
        except (tarfile.TarError, zlib.error, EOFError, UnicodeError, ValueError) as error:
            raise ImageInvalidError(f"A layer of the image is broken: {error}", hint="push the image again") from error
    if stream.digest != diff_id:
        raise BadChecksumError(
            f"A layer's content is {stream.digest}, the image's config names {diff_id}", hint="push the image again"
        )


def make_folder(root: Path, path: str, *, instead: bool = False) -> str:
    """Make sure that an unpacked image has a folder; links lead where they would inside the root.

    Args:
        root: the unpacked image.
        path: the folder inside.
        instead: whether it replaces what else may have that name, a link to a folder too.

    Returns:
        The folder's own path inside.

    Raises:
        ImageInvalidError: the image has something else there.
    """
    parts, unpacker = _parts(path), _Unpacker(root, Bounds(0))
    try:
        if instead and parts:
            place = unpacker.parent(parts[:-1]) / parts[-1]
            if not _is_folder(place):
                _remove(place)
        return "/" + str(unpacker.parent(parts).relative_to(root)).removeprefix(".")
    except NotADirectoryError:
        raise ImageInvalidError(f"The image has no folder at {path[:100]!r}", hint="build the image again") from None


def locate(root: Path, path: str) -> Path | None:
    """Where a file of an unpacked image lies, its links followed inside the root; None where there is none."""
    waiting, found, followed = list(reversed(path.split("/"))), root, 0
    while waiting:
        part = waiting.pop()
        if part in ("", "."):
            continue
        if part == "..":
            found = found.parent if found != root else found
            continue
        step = found / part
        if step.is_symlink():
            followed += 1
            if followed > _MAX_LINKS:
                return None
            target = str(step.readlink())
            found = root if target.startswith("/") else found
            waiting += reversed(target.split("/"))
        elif os.path.lexists(step):
            found = step
        else:
            return None
    return found


class _Stream(io.RawIOBase):
    """A layer's tar, decompressed as it is read and hashed; forward only, and never more at once than `_MAX_READ`."""

    def __init__(self, raw: BinaryIO, media_type: str, bounds: Bounds) -> None:
        if media_type not in _GZIP_TYPES | _PLAIN_TYPES:
            raise ImageInvalidError(
                f"A layer is {media_type[:80]!r}, which cannot be unpacked here", hint="push the image with gzip layers"
            )
        self._pieces = _gunzip(raw) if media_type in _GZIP_TYPES else iter(lambda: raw.read(_CHUNK), b"")
        # headers and padding come on top of what the files hold
        self._most = bounds.bytes_left + 2048 * bounds.entries_left
        self._sha256 = hashlib.sha256()
        self._buffer, self._position = bytearray(), 0
        #: Bytes that may be read until the next entry is told.
        self.patience = _MAX_READ

    @property
    def digest(self) -> str:
        return f"sha256:{self._sha256.hexdigest()}"

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, target: int, whence: int = os.SEEK_SET, /) -> int:
        if whence != os.SEEK_SET or target < self._position:
            raise tarfile.ReadError("a header points backwards")
        while self._position < target:
            if not self.read(min(_CHUNK, target - self._position)):
                break
        return self._position

    def read(self, size: int | None = -1, /) -> bytes:
        self.patience -= size or 0
        if size is None or not 0 <= size <= _MAX_READ or self.patience < 0:
            raise tarfile.ReadError("a header is longer than any should be")
        while len(self._buffer) < size and (piece := next(self._pieces, b"")):
            self._sha256.update(piece)
            self._most -= len(piece)
            if self._most < 0:
                raise ImageInvalidError("The image unpacks to more bytes than are allowed", hint="use a smaller image")
            self._buffer += piece
        found = bytes(self._buffer[:size])
        del self._buffer[:size]
        self._position += len(found)
        return found

    def drain(self) -> None:
        """Read to the end, for the digest."""
        self.patience = self._most + _MAX_READ
        while self.read(_CHUNK):
            pass


def _gunzip(raw: BinaryIO) -> Iterator[bytes]:
    """The content of one or several gzip members, in pieces of bounded size."""
    member = zlib.decompressobj(wbits=31)
    held, begun = b"", False
    while held or (held := raw.read(_CHUNK)):
        begun = True
        piece = member.decompress(held, _CHUNK)
        held = member.unconsumed_tail
        if piece:
            yield piece
        if member.eof:
            held, begun = member.unused_data, False
            member = zlib.decompressobj(wbits=31)
    if begun:
        raise EOFError("it ends too early")


class _Unpacker:
    """Writes the entries of one layer."""

    def __init__(self, root: Path, bounds: Bounds) -> None:
        self._root = root
        self._bounds = bounds
        self._own: set[Path] = set()

    def all(self, tar: tarfile.TarFile, stream: _Stream) -> None:
        """Write all entries."""
        while (entry := tar.next()) is not None:
            tar.members = []  # type: ignore[attr-defined]  # it would keep all that it has seen
            stream.patience = max(0, entry.size) + _MAX_READ
            try:
                self._one(tar, entry)
            except OSError as error:
                if error.errno in _IMPOSSIBLE:
                    raise ImageInvalidError(f"The image has an impossible path {entry.name[:100]!r}") from error
                raise

    def _one(self, tar: tarfile.TarFile, entry: tarfile.TarInfo) -> None:
        self._bounds.take(max(0, entry.size) if entry.isreg() else 0)
        parts = _parts(entry.name)
        if not parts:
            return
        parent, name = self.parent(parts[:-1]), parts[-1]
        path = parent / name
        if name == _OPAQUE:
            for each in parent.iterdir():
                self._hide(each)
        elif name.startswith(_WHITEOUT):
            for hidden in _parts(name.removeprefix(_WHITEOUT)):
                self._hide(parent / hidden)
        elif entry.isdir():
            if not _is_folder(path):
                self._own_place(path)
                path.mkdir()
            path.chmod((entry.mode & 0o777) | 0o700)
        elif entry.isreg():
            self._own_place(path)
            self._file(tar, entry, path)
        elif entry.issym():
            self._own_place(path)
            path.symlink_to(entry.linkname)
        elif entry.islnk():
            self._hard_link(entry, path)

    def _hide(self, path: Path) -> None:
        """Remove what the layers below brought; what this layer has brought itself stays."""
        if path not in self._own:
            _remove(path)

    def _own_place(self, path: Path) -> None:
        _remove(path)
        self._own.add(path)

    def _file(self, tar: tarfile.TarFile, entry: tarfile.TarInfo, path: Path) -> None:
        source = tar.extractfile(entry)
        with path.open("xb") as file:
            while source is not None and (piece := source.read(_CHUNK)):
                file.write(piece)
            os.fchmod(file.fileno(), (entry.mode & 0o777) | 0o400)

    def _hard_link(self, entry: tarfile.TarInfo, path: Path) -> None:
        parts = _parts(entry.linkname)
        target = self.parent(parts[:-1]) / parts[-1] if parts else self._root
        if target == path:
            return
        if not stat.S_ISREG(target.lstat().st_mode):
            raise ImageInvalidError(f"The image links {entry.name[:100]!r} to what is no file")
        self._own_place(path)
        os.link(target, path, follow_symlinks=False)

    def parent(self, parts: list[str]) -> Path:
        """The folder that a path names, made where it is missing; links lead where they would inside the root."""
        waiting, path, followed = list(reversed(parts)), self._root, 0
        while waiting:
            part = waiting.pop()
            if part == "..":
                path = path.parent if path != self._root else path
                continue
            step = path / part
            if not os.path.lexists(step):
                step.mkdir()
                self._own.add(step)
            if step.is_symlink():
                followed += 1
                if followed > _MAX_LINKS:
                    raise ImageInvalidError("The image has links that lead in circles")
                target = str(step.readlink())
                path = self._root if target.startswith("/") else path
                waiting += [piece for piece in reversed(target.split("/")) if piece not in ("", ".")]
            elif _is_folder(step):
                path = step
            else:
                raise NotADirectoryError(errno.ENOTDIR, "not a folder", str(step))
        return path


def _parts(name: str) -> list[str]:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ImageInvalidError(f"The image has a path that climbs: {name[:100]!r}", hint="build it without '..'")
    return parts


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _remove(path: Path) -> None:
    if _is_folder(path):
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
