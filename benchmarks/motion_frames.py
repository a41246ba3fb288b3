"""Sequences for the motion benchmark: folders as CDnet lays them out, and rendered scenes; labels and F-measure.

CDnet (changedetection.net): `input/in000001.jpg` ..., `groundtruth/gt000001.png` ..., `ROI.bmp` (white is judged) and
`temporalROI.txt` (first and last frame that are judged). Labels: 0 static, 50 shadow (both negative), 85 and 170 not
judged, 255 motion (Goyette et al., CVPR Workshops 2012).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Seq
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.motion_scenes import SCENES, Scene, render
from poco.errors import BadInputError

Plane = NDArray[np.uint8]
_CODECS = {".jpg": "mjpeg", ".jpeg": "mjpeg", ".png": "png", ".bmp": "bmp"}
_PLANAR = {"yuvj420p": (1, 1), "yuvj422p": (1, 0), "yuvj444p": (0, 0)}
#: Frames the dapp's background starts from, taken evenly from the first so many: as dapps/motion-detection does.
SAMPLES, SAMPLED_SPAN = 24, 1000


class Sequence:
    """Frames with their truth; decoded when they are asked for, one at a time.

    Attributes:
        name, count, width, height: what they say.
        shifts: how much coarser chroma is, as powers of two, in x and y.
    """

    def __init__(self, name: str, frames: Seq[Path | bytes], labels: Callable[[int], Plane | None]) -> None:
        self.name, self.count = name, len(frames)
        #: Labels of a frame (height x width), 85 where nothing is judged; None: nothing of it is.
        self.labels = labels
        self._frames = frames
        first = self._decode(0)
        self.width, self.height = first.width, first.height
        self.shifts = _PLANAR.get(first.format.name, (0, 0))

    def planes(self, number: int) -> bytes:
        """Luma, Cb and Cr, one after the other, as the file has them."""
        frame = self._decode(number)
        if frame.format.name not in _PLANAR:
            frame = frame.reformat(format="yuvj444p")
        coarse = (-(-self.width >> self.shifts[0]), -(-self.height >> self.shifts[1]))
        sizes = ((self.width, self.height), coarse, coarse)
        return b"".join(
            np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:height, :width].tobytes()
            for plane, (width, height) in zip(frame.planes, sizes, strict=True)
        )

    def bgr(self, number: int) -> bytes:
        """Pixels in OpenCV's order."""
        return bytes(np.ascontiguousarray(self._decode(number).to_ndarray(format="bgr24")))

    def samples(self) -> list[int]:
        """The frames that the background starts from."""
        span = min(self.count, SAMPLED_SPAN)
        return sorted({span * index // SAMPLES for index in range(SAMPLES)})

    def _decode(self, number: int) -> Any:
        content = self._frames[number]
        if isinstance(content, bytes):
            return decode(content, "mjpeg")
        return decode(content.read_bytes(), _CODECS[content.suffix.lower()])


def decode(content: bytes, codec: str) -> Any:
    """One picture as a frame of PyAV.

    Raises:
        BadInputError: it is none.
    """
    import av

    decoder = av.CodecContext.create(codec, "r")
    try:
        frames = [*decoder.decode(av.Packet(content)), *decoder.decode(None)]  # type: ignore[attr-defined]
    except av.FFmpegError as error:
        raise BadInputError(f"a picture of the sequence cannot be decoded: {error}") from error
    if not frames:
        raise BadInputError("a picture of the sequence is empty")
    return frames[0]


def encode(pictures: Iterator[Plane]) -> Iterator[bytes]:
    """RGB pictures of one size as JPEGs, as a camera with fine quality writes them."""
    import av

    for picture in pictures:
        encoder = av.CodecContext.create("mjpeg", "w")
        encoder.height, encoder.width = picture.shape[:2]
        encoder.pix_fmt, encoder.time_base = "yuvj420p", Fraction(1, 25)
        encoder.options = {"flags": "+bitexact+qscale", "global_quality": "472", "qmin": "4", "qmax": "4"}
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        frame = frame.reformat(format="yuvj420p")
        yield b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


def rendered(name: str, scene: Scene) -> Sequence:
    """A rendered scene, coded as JPEG."""
    labels: list[Plane] = []

    def pictures() -> Iterator[Plane]:
        for picture, truth in render(scene):
            labels.append(truth)
            yield picture

    return Sequence(name, list(encode(pictures())), labels.__getitem__)


def sequences(folder: Path | None) -> Iterator[Sequence]:
    """The sequences below a folder (or that folder itself), or else all rendered scenes.

    Raises:
        BadInputError: there is none, or one is incomplete.
    """
    if folder is None:
        yield from (rendered(name, scene) for name, scene in SCENES.items())
        return
    found = [folder, *sorted(path for path in folder.glob("**/") if path != folder)] if folder.is_dir() else []
    found = [path for path in found if (path / "input").is_dir() and (path / "groundtruth").is_dir()]
    if not found:
        raise BadInputError(
            f"{folder} holds no sequence", hint="a sequence is a folder with input/ and groundtruth/, as CDnet's are"
        )
    yield from map(_recorded, found)


def _recorded(folder: Path) -> Sequence:
    frames = _numbered(folder / "input")
    truths = _numbered(folder / "groundtruth")
    judged = sorted(set(frames) & set(truths))
    if not judged:
        raise BadInputError(f"{folder}: no frame of input/ has a picture of the same number in groundtruth/")
    first, last = judged[0], judged[-1]
    span = folder / "temporalROI.txt"
    if span.is_file():
        try:
            first, last = (int(word) for word in span.read_text().split())
        except ValueError as error:
            raise BadInputError(f"{span} does not hold two numbers") from error
    inside = _mask(folder / "ROI.bmp") if (folder / "ROI.bmp").is_file() else None
    numbers = sorted(frames)

    def labels(index: int) -> Plane | None:
        number = numbers[index]
        if number not in truths or not first <= number <= last:
            return None
        truth = _grey(truths[number])
        return truth if inside is None else np.where(inside, truth, np.uint8(85))

    return Sequence(folder.name, [frames[number] for number in numbers], labels)


def _numbered(folder: Path) -> dict[int, Path]:
    found = {}
    for path in folder.iterdir():
        match = re.search(r"([0-9]+)$", path.stem)
        if match and path.suffix.lower() in _CODECS:
            found[int(match[1])] = path
    return found


def _mask(path: Path) -> NDArray[np.bool_]:
    return _grey(path) > 127


def _grey(path: Path) -> Plane:
    """A grey picture's values as they are, of a coloured one the first channel."""
    frame = decode(path.read_bytes(), _CODECS[path.suffix.lower()])
    if frame.format.name == "gray":
        grey: Plane = frame.to_ndarray()
        return grey
    return np.ascontiguousarray(frame.to_ndarray(format="bgr24")[..., 0])


class Score:
    """Counts of pixels over a sequence."""

    def __init__(self) -> None:
        self.hit = self.wrong = self.missed = 0

    def add(self, mask: Plane, labels: Plane) -> None:
        """Count a frame."""
        found, motion = mask != 0, labels == 255
        self.hit += int((found & motion).sum())
        self.wrong += int((found & (labels <= 50)).sum())
        self.missed += int((~found & motion).sum())

    def f_measure(self) -> float:
        """Harmonic mean of precision and recall."""
        return round(2 * self.hit / max(1, 2 * self.hit + self.wrong + self.missed), 4)
