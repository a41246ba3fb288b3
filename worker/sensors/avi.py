"""MJPEG in AVI: the container in which footage is kept, given to programs and replayed.

Layout: Microsoft's AVI RIFF file reference: RIFF "AVI " with LIST hdrl (avih, LIST strl with strh and strf), LIST movi
with a chunk "00dc" for each picture, and idx1.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from poco.errors import BadInputError
from worker.sensors.jpeg import MAX_BYTES, SOI

_HEADER = 224
_KEY_FRAME = 0x10
_HAS_INDEX = 0x10
_LISTS = frozenset({b"AVI ", b"AVIX", b"movi", b"rec "})
#: Well below the 4 GB at which sizes in RIFF end.
_MOST_BYTES = 2**31


class Writer:
    """Writes one file: beside its place until it is whole, on disk when it is there.

    Args:
        path: where it will be.
        width: pixels, for the header only.
        height: pixels, for the header only.
    """

    def __init__(self, path: Path, width: int, height: int) -> None:
        self._path, self._size = path, (width, height)
        self._partial = path.with_name(path.name + ".part")
        self._file: BinaryIO = self._partial.open("wb")
        self._file.write(bytes(_HEADER))
        self._chunks: list[tuple[int, int]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abandon()

    @property
    def frames(self) -> int:
        """How many pictures it has."""
        return len(self._chunks)

    @property
    def full(self) -> bool:
        """Whether it should be finished, for its size."""
        return self._file.tell() > _MOST_BYTES

    def add(self, picture: bytes) -> None:
        """Append a JPEG."""
        self._chunks.append((self._file.tell() - _HEADER + 4, len(picture)))
        self._file.write(struct.pack("<4sI", b"00dc", len(picture)) + picture + b"\0" * (len(picture) & 1))

    def finish(self, frame_us: int, path: Path | None = None) -> Path:
        """Close the file with that many microseconds between pictures, and put it at its place, or another in the
        same folder; returns where."""
        end = self._file.tell()
        entries = (struct.pack("<4sIII", b"00dc", _KEY_FRAME, where, size) for where, size in self._chunks)
        self._file.write(struct.pack("<4sI", b"idx1", 16 * len(self._chunks)))
        self._file.writelines(entries)
        whole = self._file.tell()
        self._file.seek(0)
        self._file.write(self._header(whole, end, min(0xFFFFFFFF, max(1, frame_us))))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        place = path or self._path
        self._partial.replace(place)
        folder = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return place

    def abandon(self) -> None:
        """Drop the file, unless it was finished."""
        self._file.close()
        self._partial.unlink(missing_ok=True)

    def _header(self, whole: int, end: int, frame_us: int) -> bytes:
        (width, height), count = self._size, len(self._chunks)
        largest = max((size for _, size in self._chunks), default=0)
        avih = struct.pack("<14I", frame_us, 0, 0, _HAS_INDEX, count, 0, 1, largest, width, height, 0, 0, 0, 0)
        strh = struct.pack(
            "<4s4sIHHIIIIIIII4H", b"vids", b"MJPG", 0, 0, 0, 0, frame_us, 1_000_000, 0, count, largest, 0xFFFFFFFF, 0,
            0, 0, width, height,
        )  # fmt: skip
        strf = struct.pack("<IiiHH4sIiiII", 40, width, height, 1, 24, b"MJPG", width * height * 3, 0, 0, 0, 0)
        strl = b"strl" + _chunk(b"strh", strh) + _chunk(b"strf", strf)
        hdrl = b"hdrl" + _chunk(b"avih", avih) + _chunk(b"LIST", strl)
        head = struct.pack("<4sI4s", b"RIFF", whole - 8, b"AVI ") + _chunk(b"LIST", hdrl)
        head += struct.pack("<4sI4s", b"LIST", end - _HEADER + 4, b"movi")
        if len(head) != _HEADER:
            raise AssertionError(f"a header of {len(head)} bytes")
        return head


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack("<4sI", name, len(body)) + body


def frames(path: Path) -> Iterator[bytes]:
    """The JPEGs of an AVI, one in memory at a time, up to where the file is whole.

    Raises:
        BadInputError: it cannot be read, or is no AVI.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if file.read(12)[::8] != b"R" + b"A":
                raise BadInputError(f"{path} is no AVI", hint="take an MJPEG AVI, or a folder of JPEGs")
            at = 12
            while at + 12 <= size:
                file.seek(at)
                name, length, inner = struct.unpack("<4sI4s", file.read(12))
                if name in (b"RIFF", b"LIST") and inner in _LISTS:
                    at += 12
                    continue
                if at + 8 + length > size:
                    return
                if name[2:] in (b"dc", b"db") and inner.startswith(SOI) and length <= MAX_BYTES:
                    file.seek(at + 8)
                    yield file.read(length)
                at += 8 + length + (length & 1)
    except OSError as error:
        raise BadInputError(f"cannot read {path}: {error.strerror}", hint="check the path") from None


def frame_us(path: Path) -> int:
    """Microseconds between the pictures of a file that `Writer` wrote."""
    with path.open("rb") as file:
        file.seek(32)
        return int(struct.unpack("<I", file.read(4))[0])
