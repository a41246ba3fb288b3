"""Real camera footage for the demo, out of a Debian package: `python -m ops.footage [--name vtest] [--json]`.

`opencv-doc` carries `vtest.avi`: people on a campus, seen by a fixed camera (768x576, 10 frames a second). A stretch of
it is halved and written as an MJPEG AVI, as a surveillance camera would, to `build/footage/<name>.avi`. The same
package gives the same bytes. Nothing of it is committed.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import shutil
import struct
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from ops.console import ROOT, SetupError, guarded
from poco.errors import PewError
from sdk.builder.packages import Package, fetch

PACKAGE = Package(
    name="opencv-doc",
    version="4.6.0+dfsg-12",
    sha256="4b12681df35878207ac7097dc66184b2ae552e4bf4ddd2af04a0f03ed0b8682a",
    size=95715012,
    path="pool/main/o/opencv/opencv-doc_4.6.0+dfsg-12_all.deb",
)
MEMBER = "./usr/share/doc/opencv-doc/examples/data/vtest.avi"
FRAMES_PER_SECOND = 10
START, FRAMES = 0, 160
WIDTH, HEIGHT = 384, 288
#: MPEG quantiser, 2 (best) to 31.
_QUALITY = "6"
_FOLDER = ROOT / "build" / "footage"


def make(name: str = "vtest") -> tuple[Path, str]:
    """Make the clip unless it is there; returns its path and sha256 (hexadecimal).

    Raises:
        SetupError: the package cannot be had.
    """
    clip = _FOLDER / f"{name}.avi"
    if not clip.exists():
        source = _source()
        part = clip.with_suffix(".part")
        part.write_bytes(_avi(list(_jpegs(source))))
        part.replace(clip)
    return clip, hashlib.sha256(clip.read_bytes()).hexdigest()


def _source() -> Path:
    """The package's video, fetched from the machine's own Debian mirrors and unpacked once."""
    video = _FOLDER / "source" / "vtest.avi"
    if video.exists():
        return video
    hint = f"put an MJPEG AVI of a fixed camera at {_FOLDER / 'vtest.avi'}"
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise SetupError("the demo's footage comes in a Debian package, and this system has no apt", hint)
    try:
        (package,) = fetch([PACKAGE], ROOT / "build" / "cache")
    except PewError as error:
        raise SetupError(error.message, f"{error.hint}; or {hint}") from None
    video.parent.mkdir(parents=True, exist_ok=True)
    with (
        subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE) as unpacker,
        tarfile.open(fileobj=unpacker.stdout, mode="r|") as tar,
    ):
        for entry in tar:
            if entry.name == MEMBER and (content := tar.extractfile(entry)):
                video.write_bytes(content.read())
                unpacker.kill()
                break
    if not video.exists():
        raise SetupError(f"{PACKAGE.name} {PACKAGE.version} does not hold {MEMBER}", hint)
    package.unlink()
    return video


def _jpegs(source: Path) -> Iterator[bytes]:
    """Halve the frames by the mean of four pixels, in integers, and encode them."""
    import av
    import numpy as np

    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
    encoder.time_base = Fraction(1, FRAMES_PER_SECOND)
    encoder.options = {"flags": "+bitexact", "qmin": _QUALITY, "qmax": _QUALITY, "idct": "simple", "dct": "int"}
    with av.open(str(source)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number < START:
                continue
            if number >= START + FRAMES:
                break
            halved = []
            for plane in frame.reformat(format="yuv420p").planes:
                grid = np.frombuffer(bytes(plane), np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
                wide = grid.astype(np.uint16).reshape(plane.height // 2, 2, plane.width // 2, 2)
                halved.append(((wide.sum(axis=(1, 3)) + 2) // 4).astype(np.uint8))
            small = av.VideoFrame(WIDTH, HEIGHT, "yuvj420p")
            for plane, grid in zip(small.planes, halved, strict=True):
                padded = np.zeros((plane.height, plane.line_size), np.uint8)
                padded[:, : plane.width] = grid
                plane.update(padded.tobytes())
            small.pts = number - START
            for packet in encoder.encode(small):
                yield bytes(packet)
        for packet in encoder.encode(None):
            yield bytes(packet)


def _avi(frames: list[bytes]) -> bytes:
    """An AVI of one MJPEG stream with its index (Microsoft's AVI RIFF reference)."""
    largest = max(len(frame) for frame in frames)
    main = struct.pack(
        "<14I", 1_000_000 // FRAMES_PER_SECOND, largest * FRAMES_PER_SECOND, 0, 0x10, len(frames), 0, 1, largest,
        WIDTH, HEIGHT, 0, 0, 0, 0,
    )  # fmt: skip
    stream = b"vidsMJPG" + struct.pack(
        "<IHHIIIIIIII4H", 0, 0, 0, 0, 1, FRAMES_PER_SECOND, 0, len(frames), largest, 0xFFFFFFFF, 0, 0, 0, WIDTH, HEIGHT
    )
    picture = struct.pack("<IiiHH4sIiiII", 40, WIDTH, HEIGHT, 1, 24, b"MJPG", WIDTH * HEIGHT * 3, 0, 0, 0, 0)
    movi, index = io.BytesIO(b"movi"), io.BytesIO()
    movi.seek(4)
    for frame in frames:
        index.write(struct.pack("<4sIII", b"00dc", 0x10, movi.tell(), len(frame)))
        movi.write(_chunk(b"00dc", frame))
    header = b"hdrl" + _chunk(b"avih", main)
    header += _chunk(b"LIST", b"strl" + _chunk(b"strh", stream) + _chunk(b"strf", picture))
    body = b"AVI " + _chunk(b"LIST", header) + _chunk(b"LIST", movi.getvalue()) + _chunk(b"idx1", index.getvalue())
    return _chunk(b"RIFF", body)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) & 1)


def main() -> int:
    """Make the clip and print where it is."""
    parser = argparse.ArgumentParser(prog="python -m ops.footage", description=__doc__.split(":")[0])
    parser.add_argument("--name", default="vtest", help="name of the clip (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    clip, digest = make(options.name)
    if options.json:
        print(json.dumps({"path": str(clip), "sha256": digest, "frames": FRAMES}))
    else:
        print(f"{clip}  sha256 {digest}")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
