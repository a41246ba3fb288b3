"""Footage as cameras write it: MJPEG in AVI, a zip of JPEGs, a folder of JPEGs; one frame at a time is in memory."""

import os
import struct

MAX_FRAMES = 200_000
MAX_CHUNKS = 4 * MAX_FRAMES
MAX_FRAME_BYTES = 16 * 1024 * 1024
MAX_INPUT_BYTES = 4 * 1024**3
DEFAULT_FRAME_US = 100_000
_JPEG = (".jpg", ".jpeg")


#: What to do with footage of another kind.
CONVERT = "convert it first: ffmpeg -i footage.mp4 -an -c:v mjpeg -q:v 3 footage.avi"


class FootageError(ValueError):
    """Footage that cannot be used at all."""


class Footage:
    """A sequence of JPEGs with the time between them in microseconds; `truncated`: its end is missing."""

    def __init__(self, count, frame_us, read, truncated=False):
        self.count, self.frame_us, self.truncated = count, frame_us, truncated
        self._read = read

    def read(self, index):
        """The JPEG of a frame; empty when it cannot be read."""
        return self._read(index)


def open_footage(path):
    """Open footage of any of the kinds.

    Raises:
        FootageError: it is missing, empty, too large or of another kind.
    """
    if os.path.isdir(path):
        return _folder(path)
    try:
        size = os.path.getsize(path)
        file = open(path, "rb")  # noqa: SIM115  (frames are read from it until the program ends)
    except OSError as error:
        raise FootageError(f"the input cannot be read: {error.strerror}") from None
    if size == 0:
        raise FootageError("the input is empty")
    if size > MAX_INPUT_BYTES:
        raise FootageError(f"the input has {size} bytes, at most {MAX_INPUT_BYTES} are taken")
    head = file.read(12)
    if head[:4] == b"RIFF" and head[8:] == b"AVI ":
        return _avi(file, size)
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return _zip(file)
    if head[:3] == b"\xff\xd8\xff":
        raise FootageError("the input is one picture; motion needs a series of them (AVI, zip or folder)")
    if head[4:8] == b"ftyp" or head[:4] == b"\x1a\x45\xdf\xa3":
        raise FootageError(f"the input is an MP4 or MKV, and this program reads MJPEG; {CONVERT}")
    raise FootageError("the input is neither an MJPEG AVI nor a zip of JPEGs")


def _avi(file, size):
    """Walk the chunks of an AVI (RIFF; OpenDML's further RIFF parts too), without trusting its index."""
    frames, frame_us, codec, video, streams, truncated = [], 0, b"", b"", 0, False
    position = chunks = 0
    while position + 8 <= size:
        chunks += 1
        if chunks > MAX_CHUNKS:
            raise FootageError(f"more than {MAX_CHUNKS} chunks")
        file.seek(position)
        kind, length = struct.unpack("<4sI", file.read(8))
        body, end = position + 8, position + 8 + length
        if kind in (b"RIFF", b"LIST"):
            inner = file.read(4)
            truncated = truncated or end > size
            # Go inside: what is found there counts, not what the list says about its length.
            position = (
                body + 4 if inner in (b"AVI ", b"AVIX", b"hdrl", b"strl", b"movi", b"rec ") else end + (length & 1)
            )
            continue
        if end > size:
            truncated = True
            break
        if kind == b"avih" and length >= 4:
            frame_us = struct.unpack("<I", file.read(4))[0]
        elif kind == b"strh" and length >= 8:
            streams += 1
            fields = file.read(8)
            if fields[:4] == b"vids" and not codec:
                codec, video = fields[4:8].upper(), b"%02d" % (streams - 1)
        elif kind == b"strf" and codec in (b"", b"\0\0\0\0") and length >= 20:
            codec = file.read(20)[16:20].upper()
        elif kind[2:] in (b"dc", b"db") and codec and kind[:2] == video and 0 < length <= MAX_FRAME_BYTES:
            frames.append((body, length))
            if len(frames) > MAX_FRAMES:
                raise FootageError(f"more than {MAX_FRAMES} frames")
        position = end + (length & 1)
    if codec not in (b"MJPG", b"JPEG", b"AVRN", b"DMB1"):
        name = codec.decode("ascii", "replace").strip("\0 ")
        raise FootageError(f"the AVI's video is '{name or 'missing'}', not MJPEG; {CONVERT}")
    if not frames:
        raise FootageError("the AVI has no frames" + (": its end is missing" if truncated else ""))

    def read(index):
        start, length = frames[index]
        file.seek(start)
        return file.read(length)

    return Footage(len(frames), frame_us if 1_000 <= frame_us <= 60_000_000 else DEFAULT_FRAME_US, read, truncated)


def _zip(file):
    import zipfile  # slow to import, seldom needed

    try:
        archive = zipfile.ZipFile(file)
        entries = sorted(
            (entry for entry in archive.infolist() if entry.filename.lower().endswith(_JPEG) and not entry.is_dir()),
            key=lambda entry: entry.filename,
        )
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, struct.error) as error:
        raise FootageError(f"the zip cannot be read: {error}") from None
    if not entries:
        raise FootageError("the zip holds no .jpg files")
    if len(entries) > MAX_FRAMES:
        raise FootageError(f"more than {MAX_FRAMES} frames")

    def read(index):
        try:
            with archive.open(entries[index]) as entry:
                content = entry.read(MAX_FRAME_BYTES + 1)
        except Exception:  # a broken entry raises nearly anything: the frame counts as broken
            return b""
        return content if len(content) <= MAX_FRAME_BYTES else b""

    return Footage(len(entries), DEFAULT_FRAME_US, read)


def _folder(path):
    names = sorted(name for name in os.listdir(path) if name.lower().endswith(_JPEG))
    if not names:
        raise FootageError("the folder holds no .jpg files")

    def read(index):
        try:
            with open(os.path.join(path, names[index]), "rb") as file:
                content = file.read(MAX_FRAME_BYTES + 1)
        except OSError:
            return b""
        return content if len(content) <= MAX_FRAME_BYTES else b""

    return Footage(len(names), DEFAULT_FRAME_US, read)
