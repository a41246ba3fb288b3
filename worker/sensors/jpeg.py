"""JPEGs in a stream of bytes: where one ends, without decoding it; and drawn ones for the simulated camera.

ITU-T T.81: a picture is a series of marker segments, each with its length, from SOI to SOS, then coded data in which
0xFF is followed by 0x00 or a restart marker, up to EOI.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

SOI, EOI = b"\xff\xd8", b"\xff\xd9"
_SOS = 0xDA
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})
MAX_BYTES = 16 * 1024 * 1024


class Splitter:
    """Cuts a stream into pictures; what is none is skipped."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._coded = 0  # how far the coded data was searched for its end; 0: its headers were not passed yet

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Pictures that are complete with these bytes."""
        self._buffer += data
        while (end := self._end()) is not None:
            yield bytes(self._buffer[:end])
            self._drop(end)
        if len(self._buffer) > MAX_BYTES:
            self._drop(len(SOI))

    def _drop(self, count: int) -> None:
        del self._buffer[:count]
        self._coded = 0

    def _end(self) -> int | None:
        """Where the first picture ends; what stands before it is dropped."""
        while True:
            if not self._coded:
                start = self._buffer.find(SOI)
                if start < 0:
                    del self._buffer[:-1]
                    return None
                del self._buffer[:start]
                found = self._headers()
                if found is None:
                    return None
                if found < 0:
                    self._drop(len(SOI))
                    continue
                self._coded = found
            return self._search()

    def _headers(self) -> int | None:
        """Where the coded data begins; None: more bytes are needed; negative: this is no picture."""
        buffer, at = self._buffer, len(SOI)
        while at + 4 <= len(buffer):
            if buffer[at] != 0xFF or buffer[at + 1] in (0x00, 0xD8, 0xD9):
                return -1
            marker = buffer[at + 1]
            if marker == 0xFF:
                at += 1
                continue
            if marker in _STANDALONE:
                at += 2
                continue
            at += 2 + int.from_bytes(buffer[at + 2 : at + 4], "big")
            if marker == _SOS:
                return at
        return None

    def _search(self) -> int | None:
        at = self._coded
        while True:
            at = self._buffer.find(0xFF, at)
            if at < 0 or at + 1 >= len(self._buffer):
                self._coded = len(self._buffer) if at < 0 else at
                return None
            marker = self._buffer[at + 1]
            if marker == 0xD9:
                return at + 2
            if marker == 0xFF:
                at += 1
            elif marker == 0x00 or marker in _STANDALONE:
                at += 2
            else:  # another scan of a progressive picture, or tables between scans
                if at + 4 > len(self._buffer):
                    self._coded = at
                    return None
                at += 2 + int.from_bytes(self._buffer[at + 2 : at + 4], "big")


#: Huffman tables of T.81 annex K.3.1 (DC of luminance) and of one code that ends a block (AC).
_DC_COUNTS = bytes((0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0))
_DC_CODES = ((0b00, 2), *((code, 3) for code in range(2, 7)), (0xE, 4), (0x1E, 5), (0x3E, 6), (0x7E, 7), (0xFE, 8))
_END_OF_BLOCK = (0b0, 1)


def draw(rows: Sequence[Sequence[int]]) -> bytes:
    """A gray JPEG whose blocks of 8x8 pixels are flat.

    Args:
        rows: brightness 0..255 of each block.
    """
    height, width = 8 * len(rows), 8 * len(rows[0])
    bits = length = last = 0
    coded = bytearray()
    for row in rows:
        for value in row:
            difference, last = value - 128 - last, value - 128
            size = abs(difference).bit_length()
            code, code_length = _DC_CODES[size]
            extra = difference if difference >= 0 else difference + (1 << size) - 1
            for word, count in ((code, code_length), (extra, size), _END_OF_BLOCK):
                bits, length = bits << count | word, length + count
            while length >= 8:
                length -= 8
                byte = bits >> length
                bits &= (1 << length) - 1
                coded.append(byte)
                if byte == 0xFF:
                    coded.append(0)
    if length:
        coded.append(bits << (8 - length) | (1 << (8 - length)) - 1)
        if coded[-1] == 0xFF:
            coded.append(0)
    return b"".join(
        (
            SOI,
            _segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0"),
            _segment(0xDB, b"\0" + bytes([8]) * 64),  # the mean of a block of 8x8 is a quarter of an eighth of its DC
            _segment(0xC0, struct.pack(">BHHB", 8, height, width, 1) + bytes((1, 0x11, 0))),
            _segment(0xC4, b"\x00" + _DC_COUNTS + bytes(range(12))),
            _segment(0xC4, b"\x10" + bytes((1,)) + bytes(15) + b"\0"),
            _segment(_SOS, bytes((1, 1, 0x00, 0, 63, 0))),
            bytes(coded),
            EOI,
        )
    )


def _segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body
