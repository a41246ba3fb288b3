"""A PNG with a palette, from rows of indexes: pictures of many cells are small that way."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence

Colour = tuple[int, int, int]


def png(rows: Sequence[bytes], palette: Sequence[Colour]) -> bytes:
    """PNG (RFC 2083) of 8-bit indexes; index 0 is transparent.

    Args:
        rows: from the top, of one length.
        palette: at most 256 colours.
    """
    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 3, 0, 0, 0)
    chunks = [
        (b"IHDR", header),
        (b"PLTE", b"".join(bytes(colour) for colour in palette)),
        (b"tRNS", b"\x00"),
        (b"IDAT", zlib.compress(b"".join(b"\x00" + row for row in rows), 9)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def data_uri(rows: Sequence[bytes], palette: Sequence[Colour]) -> str:
    """The same, to stand inside an SVG."""
    return "data:image/png;base64," + base64.b64encode(png(rows, palette)).decode()


def ramp(stops: Sequence[Colour], length: int = 63) -> list[Colour]:
    """A transparent entry, then `length` colours that run through the stops."""
    colours: list[Colour] = [(0, 0, 0)]
    for i in range(length):
        place = i / (length - 1) * (len(stops) - 1)
        low = min(int(place), len(stops) - 2)
        part = place - low
        r, g, b = (round(a + (z - a) * part) for a, z in zip(stops[low], stops[low + 1], strict=True))
        colours.append((r, g, b))
    return colours
