"""Camera backends by configuration: a Raspberry Pi camera, a USB camera, recorded footage, a drawn scene."""

from __future__ import annotations

import math
import os
import shutil
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from poco.errors import BadInputError
from worker.i2c import DeviceError
from worker.sensors import avi
from worker.sensors import config as c
from worker.sensors.jpeg import SOI, Splitter, draw
from worker.sensors.protocol import Camera

_CHUNK = 65_536
_FIRST_FRAME_SECONDS = 10.0


def create_camera(config: c.CameraBackend) -> Camera:
    """The camera that a configuration names. It is switched on by the first `frame`."""
    match config:
        case c.RpiCamera():
            return RpiCamera(config)
        case c.V4l2Camera():
            return V4l2Camera(config)
        case c.CameraReplay():
            return CameraReplay(config)
        case c.CameraSimulated():
            return CameraSimulated(config)


class StreamCamera:
    """A program that writes JPEGs to its standard output; the newest is kept, the rest dropped.

    The program ends with this process, however that ends: it writes into a pipe that nobody reads any more.
    """

    name = "the camera"
    cure = "check its cable, and that no other program uses it"

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._news = threading.Condition()
        self._newest: bytes | None = None
        self._over = False

    def command(self) -> list[str]:
        """The command line of the program.

        Raises:
            PewError: it is not installed, or the device cannot be used.
        """
        raise DeviceError("no program is named", "use one of the cameras")

    def frame(self, seconds: float) -> bytes | None:
        """See `Camera.frame`."""
        if self._process is None:
            self._begin()
        with self._news:
            self._news.wait_for(lambda: self._newest is not None or self._over, seconds)
            picture, self._newest = self._newest, None
            over = self._over
        if picture is None and over:
            said = self._last_words()
            self.close()
            raise DeviceError(f"{self.name} gives no pictures: {said}", self.cure)
        return picture

    def check(self) -> str:
        """See `Camera.check`."""
        try:
            picture = self.frame(_FIRST_FRAME_SECONDS)
        finally:
            self.close()
        if picture is None:
            raise DeviceError(f"{self.name} gave no picture in {_FIRST_FRAME_SECONDS:.0f} s", self.cure)
        return f"{self.name}: a picture of {len(picture)} bytes"

    def close(self) -> None:
        """See `Camera.close`."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()

    def _begin(self) -> None:
        argv = self.command()
        self._newest, self._over = None, False
        self._process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
        out = self._process.stdout
        threading.Thread(target=self._reading, args=(out,), name="camera", daemon=True).start()

    def _reading(self, stream: IO[bytes]) -> None:
        splitter = Splitter()
        with suppress(OSError, ValueError):
            while data := os.read(stream.fileno(), _CHUNK):
                for picture in splitter.feed(data):
                    with self._news:
                        self._newest = picture
                        self._news.notify_all()
        with self._news:
            if self._process is not None and self._process.stdout is stream:
                self._over = True
                self._news.notify_all()

    def _last_words(self) -> str:
        if self._process is None or self._process.stderr is None:
            return "its program ended"
        os.set_blocking(self._process.stderr.fileno(), False)
        said = (self._process.stderr.read() or b"").decode("utf-8", "replace").strip().splitlines()
        return said[-1][:200] if said else f"its program ended with code {self._process.wait()}"


class RpiCamera(StreamCamera):
    """A camera module of the Raspberry Pi."""

    name = "the Raspberry Pi camera"
    cure = "check its ribbon cable; `rpicam-hello --list-cameras` must show it, and no other program may use it"

    def __init__(self, config: c.RpiCamera) -> None:
        super().__init__()
        self._config = config

    def command(self) -> list[str]:
        """See `StreamCamera.command`."""
        program = shutil.which("rpicam-vid") or shutil.which("libcamera-vid")
        if program is None:
            raise DeviceError("rpicam-vid is not installed", "apt-get install rpicam-apps (Raspberry Pi OS)")
        s = self._config
        return [
            program, "--codec", "mjpeg", "--quality", str(s.quality), "--camera", str(s.camera),
            "--width", str(s.width), "--height", str(s.height), "--framerate", str(s.fps),
            "--timeout", "0", "--nopreview", "--flush", "--output", "-",
        ]  # fmt: skip


class V4l2Camera(StreamCamera):
    """A Video4Linux camera that gives MJPEG."""

    cure = "it may be in use (`fuser -v <device>`), or give no MJPEG: `v4l2-ctl --list-formats-ext` lists what it gives"

    def __init__(self, config: c.V4l2Camera) -> None:
        super().__init__()
        self._config = config
        self.name = f"the camera {config.device}"

    def command(self) -> list[str]:
        """See `StreamCamera.command`."""
        program, s = shutil.which("v4l2-ctl"), self._config
        if program is None:
            raise DeviceError("v4l2-ctl is not installed", "apt-get install v4l-utils")
        _require_device(s.device)
        return [
            program, "--device", str(s.device),
            f"--set-fmt-video=width={s.width},height={s.height},pixelformat=MJPG", f"--set-parm={s.device_fps:g}",
            "--stream-mmap=4", "--stream-to=-",
        ]  # fmt: skip


def _require_device(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except OSError:
        raise DeviceError(
            f"there is no camera {path}", "plug it in; `v4l2-ctl --list-devices` lists those there are"
        ) from None
    if not stat.S_ISCHR(mode):
        raise DeviceError(f"{path} is not a device", "name one such as /dev/video0; for a file take kind: replay")
    if not os.access(path, os.R_OK | os.W_OK):
        raise DeviceError(f"this user may not use {path}", "sudo usermod -aG video <user>, then log in again")


class CameraReplay:
    """Pictures of a file or folder in turn, then again from the first."""

    def __init__(self, config: c.CameraReplay) -> None:
        self._path = config.path
        self._pictures: Iterator[bytes] | None = None

    def frame(self, seconds: float) -> bytes | None:  # noqa: ARG002  (there is always one)
        """See `Camera.frame`."""
        for _ in range(2):
            if self._pictures is None:
                self._pictures = _recorded(self._path)
            picture = next(self._pictures, None)
            if picture is not None:
                return picture
            self._pictures = None
        raise BadInputError(f"{self._path} has no pictures", hint="take an MJPEG AVI, or a folder of JPEGs")

    def check(self) -> str:
        """See `Camera.check`."""
        count = sum(1 for _ in _recorded(self._path))
        if not count:
            raise BadInputError(f"{self._path} has no pictures", hint="take an MJPEG AVI, or a folder of JPEGs")
        return f"{count} pictures of {self._path}"

    def close(self) -> None:
        """See `Camera.close`."""
        self._pictures = None


def _recorded(path: Path) -> Iterator[bytes]:
    if not path.is_dir():
        yield from avi.frames(path)
        return
    for name in sorted(path.iterdir()):
        if name.suffix.lower() in (".jpg", ".jpeg"):
            picture = name.read_bytes()
            if picture.startswith(SOI):
                yield picture


class CameraSimulated:
    """A street of flat blocks with a lamp and slow clouds, in which a figure walks from left to right now and then."""

    def __init__(self, config: c.CameraSimulated) -> None:
        self._columns, self._rows = config.width // 8, config.height // 8
        self._period = config.period_seconds

    def frame(self, seconds: float) -> bytes | None:  # noqa: ARG002
        """See `Camera.frame`."""
        return self.picture(time.time())

    def picture(self, at: float) -> bytes:
        """The scene at an instant (Unix seconds)."""
        cloud = round(4.0 * math.sin(2.0 * math.pi * at / 600.0))
        scene = [
            [90 + (7 * x * y + 3 * x) % 23 + cloud + (60 if y < self._rows // 3 else 0) for x in range(self._columns)]
            for y in range(self._rows)
        ]
        for left, top, width, height in self.walkers(at):
            for y in range(max(0, top), min(self._rows, top + height)):
                for x in range(max(0, left), min(self._columns, left + width)):
                    scene[y][x] = 30
        return draw(scene)

    def walkers(self, at: float) -> list[tuple[int, int, int, int]]:
        """Where somebody is at an instant: left, top, width, height in blocks. In the first half of each period."""
        part = (at % self._period) / self._period
        if part >= 0.5:
            return []
        width, height = max(1, self._columns // 12), max(1, self._rows // 4)
        return [(round(2.0 * part * (self._columns + width)) - width, self._rows // 2, width, height)]

    def check(self) -> str:
        """See `Camera.check`."""
        return f"simulated, {8 * self._columns}x{8 * self._rows}"

    def close(self) -> None:
        """See `Camera.close`."""
