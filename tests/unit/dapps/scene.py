"""A rendered scene with known truth: a textured yard, two boxes that cross it, a lamp's flicker, the sensor's noise.

Run as a program it writes the golden input: `python tests/unit/dapps/scene.py dapps/motion-detection/golden/scene.avi`.
"""

from __future__ import annotations

import struct
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT, FRAMES = 160, 120, 48
Plane = NDArray[np.uint8]


def boxes(frame: int) -> list[tuple[int, int, int, int]]:
    """Where the two things are (x, y, width, height): one from frame 6 to 40, one from 20 on."""
    found = []
    if 6 <= frame <= 40:
        found.append((4 * (frame - 6), 30, 14, 22))
    if frame >= 20:
        found.append((140 - 3 * (frame - 20), 80, 24, 16))
    return found


def render(seed: int = 7, frames: int = FRAMES) -> tuple[list[tuple[Plane, Plane, Plane]], list[Plane]]:
    """Planes (luma, Cb, Cr at full resolution) of every frame, and the masks of what moves."""
    rng = np.random.RandomState(seed)
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    yard = 90 + (rows * 60) // HEIGHT + 12 * ((rows // 12 + columns // 12) % 2) + rng.randint(-6, 7, (HEIGHT, WIDTH))
    planes, masks = [], []
    for number in range(frames):
        luma = yard + rng.randint(-2, 3, yard.shape) + (number % 2)
        cb, cr = np.full(yard.shape, 122), np.full(yard.shape, 134)
        mask = np.zeros(yard.shape, np.uint8)
        for thing, (x, y, width, height) in enumerate(boxes(number)):
            area = (slice(max(0, y), y + height), slice(max(0, x), max(0, x + width)))
            luma[area] = (210, 40)[thing] + (columns[area] % 5)
            cb[area], cr[area] = (90, 160)[thing], (150, 110)[thing]
            mask[area] = 1
        planes.append(tuple(np.clip(plane, 0, 255).astype(np.uint8) for plane in (luma, cb, cr)))
        masks.append(mask)
    return planes, masks


def avi(frames: list[bytes], frame_us: int = 100_000, codec: bytes = b"MJPG") -> bytes:
    """The smallest AVI: headers and a list of frames, no index."""
    main = struct.pack("<14I", frame_us, 0, 0, 0, len(frames), 0, 1, 0, WIDTH, HEIGHT, 0, 0, 0, 0)
    stream = b"vids" + codec + bytes(48)
    form = struct.pack("<IiiHH4sIiiII", 40, WIDTH, HEIGHT, 1, 24, codec, 0, 0, 0, 0, 0)
    header = b"hdrl" + chunk(b"avih", main) + chunk(b"LIST", b"strl" + chunk(b"strh", stream) + chunk(b"strf", form))
    movie = b"movi" + b"".join(chunk(b"00dc", frame) for frame in frames)
    return chunk(b"RIFF", b"AVI " + chunk(b"LIST", header) + chunk(b"LIST", movie))


def chunk(kind: bytes, content: bytes) -> bytes:
    """A RIFF chunk, padded to an even length."""
    return kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) & 1)


def jpegs(planes: list[tuple[Plane, Plane, Plane]]) -> list[bytes]:
    """The frames as JPEGs with chroma at half resolution."""
    import av

    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
    encoder.time_base = Fraction(1, 10)
    encoder.options = {"flags": "+bitexact", "qmin": "4", "qmax": "4", "idct": "simple", "dct": "int"}
    content = []
    for number, (luma, cb, cr) in enumerate(planes):
        frame = av.VideoFrame(WIDTH, HEIGHT, "yuvj420p")
        for plane, grid in zip(frame.planes, (luma, cb[::2, ::2], cr[::2, ::2]), strict=True):
            padded = np.zeros((plane.height, plane.line_size), np.uint8)
            padded[:, : plane.width] = grid
            plane.update(padded)
        frame.pts = number
        content += [bytes(packet) for packet in encoder.encode(frame)]
    return content + [bytes(packet) for packet in encoder.encode(None)]


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(avi(jpegs(render()[0])))
