"""Pictures in streams and files; cameras that are programs, recordings or drawings."""

from __future__ import annotations

import io
import json
import os
import sys
import threading
import time
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from poco.errors import BadInputError
from worker.i2c import DeviceError
from worker.log import Log
from worker.sensors import avi
from worker.sensors import config as c
from worker.sensors.camera import create_camera
from worker.sensors.clips import Clips, join
from worker.sensors.jpeg import Splitter, draw
from worker.sensors.station import Recorder

DRAWN = draw([[10, 200], [90, 128]])


def photo(seed: int, **options: object) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 40, 3), dtype=np.uint8)
    with io.BytesIO() as out:
        Image.fromarray(pixels).save(out, "JPEG", **options)
        return out.getvalue()


#: One with a picture inside its header, as EXIF thumbnails are; a progressive one; one with restart markers.
PHOTOS = [DRAWN, photo(1, exif=b"Exif\0\0" + DRAWN), photo(2, progressive=True), photo(3, restart_marker_blocks=2)]


@given(st.lists(st.lists(st.integers(0, 255), min_size=3, max_size=3), min_size=1, max_size=4))
def test_a_drawing_is_a_jpeg_of_exactly_these_blocks(rows: list[list[int]]) -> None:
    decoded = np.asarray(Image.open(io.BytesIO(draw(rows))))
    assert decoded.shape == (8 * len(rows), 24)
    assert (decoded == np.kron(np.array(rows), np.ones((8, 8)))).all()


@given(
    st.lists(st.sampled_from(PHOTOS), max_size=4),
    st.sampled_from([b"", b"\0\1", b"\xff", b"\xff\xd8", b"\xff\xd8\xff\xd8junk"]),
    st.integers(1, 4000),
)
def test_a_stream_is_cut_into_its_pictures(pictures: list[bytes], noise: bytes, size: int) -> None:
    stream, splitter = b"".join(noise + p for p in pictures), Splitter()
    found = [p for at in range(0, len(stream), size) for p in splitter.feed(stream[at : at + size])]
    assert found == pictures


@given(st.binary(max_size=300))
def test_noise_is_no_harm(noise: bytes) -> None:
    splitter = Splitter()
    list(splitter.feed(noise))
    assert list(splitter.feed(b"\0" * 70_000 + DRAWN))[-1:] in ([DRAWN], [])


def test_an_avi_that_others_read(tmp_path: Path) -> None:
    camera = create_camera(c.CameraSimulated(width=320, height=240))
    pictures = [camera.picture(1000 + i / 4) for i in range(12)]  # type: ignore[attr-defined]
    with avi.Writer(tmp_path / "a.avi", 320, 240) as writer:
        for picture in pictures:
            writer.add(picture)
        assert not (tmp_path / "a.avi").exists(), "it is there when it is whole"
        writer.finish(250_000)
    assert list(avi.frames(tmp_path / "a.avi")) == pictures
    assert avi.frame_us(tmp_path / "a.avi") == 250_000
    with av.open(str(tmp_path / "a.avi")) as container:
        assert container.streams.video[0].average_rate == 4
        decoded = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    assert len(decoded) == 12 and decoded[0].shape == (240, 320)


def test_a_cut_off_avi_gives_what_it_has(tmp_path: Path) -> None:
    with avi.Writer(tmp_path / "a.avi", 16, 16) as writer:
        for _ in range(5):
            writer.add(DRAWN)
        writer.finish(1000)
    raw = (tmp_path / "a.avi").read_bytes()
    (tmp_path / "b.avi").write_bytes(raw[: 224 + 3 * (len(DRAWN) + 8 + len(DRAWN) % 2) + 10])
    assert len(list(avi.frames(tmp_path / "b.avi"))) == 3
    (tmp_path / "c.avi").write_bytes(b"no film")
    with pytest.raises(BadInputError, match="no AVI"):
        list(avi.frames(tmp_path / "c.avi"))


def test_clips_are_found_joined_and_dropped(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "open.avi.part").write_bytes(b"what a power cut left")
    clips = Clips(tmp_path / "clips", keep_mb=1)
    assert not list((tmp_path / "clips").iterdir())
    for start in (1_700_000_000.0, 1_700_000_010.0, 1_700_000_020.0):
        writer = clips.begin(16, 16)
        for _ in range(20):
            writer.add(DRAWN)
        clips.end(writer, start, start + 10)
    assert clips.end(clips.begin(16, 16), 1.0, 2.0) is None, "nothing was seen"
    first, second, third = clips.all()
    assert clips.after(first.start) == second and clips.after(third.start) is None
    assert avi.frame_us(first.path) == 500_000
    assert clips.latest(15, now=1_700_000_031.0, clip_seconds=10) == [second, third]
    assert clips.latest(15, now=1_700_000_100.0, clip_seconds=10) == [], "that was long ago"
    assert join([second, third], tmp_path / "j.avi", 16, 16) == 40
    assert avi.frame_us(tmp_path / "j.avi") == 500_000
    Clips(tmp_path / "clips", keep_mb=first.path.stat().st_size * 2.5 / 1e6).prune()
    assert clips.all() == [second, third]


def test_a_replayed_camera_begins_again(tmp_path: Path) -> None:
    for name, picture in (("b.jpg", PHOTOS[1]), ("a.jpg", PHOTOS[0]), ("c.jpg", b"no picture")):
        (tmp_path / name).write_bytes(picture)
    camera = create_camera(c.CameraReplay(path=tmp_path))
    assert [camera.frame(1) for _ in range(3)] == [PHOTOS[0], PHOTOS[1], PHOTOS[0]]
    assert "2 pictures" in camera.check()
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInputError, match="no pictures"):
        create_camera(c.CameraReplay(path=tmp_path / "empty")).check()
    with pytest.raises(BadInputError, match="cannot read"):
        create_camera(c.CameraReplay(path=tmp_path / "none.avi")).check()


def test_somebody_walks_through_the_simulated_scene() -> None:
    camera = create_camera(c.CameraSimulated(width=320, height=240, period_seconds=20))
    dark = [(np.asarray(Image.open(io.BytesIO(camera.picture(1000.0 + s)))) < 40).any(axis=0) for s in (4, 6, 15)]  # type: ignore[attr-defined]
    assert dark[0].any() and dark[1].any() and not dark[2].any()
    assert np.flatnonzero(dark[0]).max() < np.flatnonzero(dark[1]).max(), "from left to right"


def test_a_clock_that_jumps_neither_stretches_nor_breaks_a_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Raspberry Pi begins with an old time and is set by the network; it may also be set back."""
    config = c.CameraSimulated(width=64, height=48, fps=20, clip_seconds=1)
    clips = Clips(tmp_path, keep_mb=10)
    recorder = Recorder(config, create_camera(config), clips, Log(io.StringIO()))
    real = time.time
    for jump in (50_000_000.0, -50_000_000.0):
        begun = time.monotonic()
        monkeypatch.setattr(time, "time", lambda b=begun, j=jump: real() + (j if time.monotonic() - b > 0.3 else 0.0))
        recorder.record(lambda: True)
        monkeypatch.undo()
        assert 0.9 < time.monotonic() - begun < 5
    assert [round(clip.end - clip.start) for clip in clips.all()] == [1, 1]
    assert 10 <= len(list(avi.frames(clips.all()[0].path))) <= 21


def test_a_camera_that_hangs_is_told_and_switched_on_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its program runs and writes nothing the first time."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("worker.sensors.station._TROUBLE_SECONDS", 0.05)
    silent = f"import os.path\nif not os.path.exists({str(tmp_path / 'again')!r}):\n"
    silent += f"    open({str(tmp_path / 'again')!r}, 'w').close()\n    time.sleep(60)\n"
    program(tmp_path, "rpicam-vid", silent + STREAM)
    config = c.RpiCamera(width=32, height=32, fps=10, clip_seconds=1)
    clips, log, over = Clips(tmp_path / "clips", keep_mb=10), io.StringIO(), threading.Event()
    recorder = Recorder(config, create_camera(config), clips, Log(log))
    thread = threading.Thread(target=recorder.run, args=(over, lambda: True))
    thread.start()
    end = time.monotonic() + 20
    while not clips.all() and time.monotonic() < end:
        time.sleep(0.05)
    over.set()
    thread.join(10)
    events = [json.loads(line)["event"] for line in log.getvalue().splitlines()]
    assert clips.all() and events == ["sensor_fails", "sensor_works"] and "no picture" in log.getvalue()


def program(folder: Path, name: str, body: str) -> None:
    """A camera's program, as the tool that comes with it would behave."""
    (folder / "picture.jpg").write_bytes(DRAWN)
    path = folder / name
    path.write_text(
        f"#!{sys.executable}\nimport os, sys, time\nP = open({str(folder / 'picture.jpg')!r}, 'rb').read()\n{body}"
    )
    path.chmod(0o755)


STREAM = "while True:\n    os.write(1, P)\n    time.sleep(0.02)\n"


def test_a_raspberry_pi_camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    camera = create_camera(c.RpiCamera(width=640, height=480, fps=2))
    with pytest.raises(DeviceError, match="not installed") as caught:
        camera.check()
    assert "rpicam-apps" in caught.value.hint
    program(tmp_path, "rpicam-vid", "open(sys.argv[0] + '.argv', 'w').write(' '.join(sys.argv[1:]))\n" + STREAM)
    assert camera.frame(5) == DRAWN
    assert camera.frame(5) == DRAWN, "and the next"
    pid = camera._process.pid  # type: ignore[attr-defined]
    camera.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    said = (tmp_path / "rpicam-vid.argv").read_text()
    assert (
        "--codec mjpeg" in said and "--width 640 --height 480 --framerate 2.0" in said and said.endswith("--output -")
    )
    assert f"{len(DRAWN)} bytes" in camera.check()


def test_a_camera_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    program(tmp_path, "rpicam-vid", "sys.exit('ERROR: *** no cameras available ***')")
    with pytest.raises(DeviceError, match="no cameras available") as caught:
        create_camera(c.RpiCamera()).frame(5)
    assert "--list-cameras" in caught.value.hint


def test_a_usb_camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    camera = create_camera(c.V4l2Camera(device=tmp_path / "video0"))
    with pytest.raises(DeviceError, match="v4l2-ctl is not installed"):
        camera.frame(5)
    program(tmp_path, "v4l2-ctl", STREAM)
    with pytest.raises(DeviceError, match="there is no camera") as caught:
        camera.frame(5)
    assert "--list-devices" in caught.value.hint
    (tmp_path / "video0").touch()
    with pytest.raises(DeviceError, match="not a device"):
        camera.frame(5)
    device = Path("/dev/null")  # a character device that may be used
    working = create_camera(c.V4l2Camera(device=device))
    assert working.frame(5) == DRAWN
    working.close()
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != device and may(path, mode))
    with pytest.raises(DeviceError, match="may not use") as caught:
        create_camera(c.V4l2Camera(device=device)).frame(5)
    assert "video" in caught.value.hint
