"""The program around the kernel: arguments, containers of footage, tracks and events, drawing."""

from __future__ import annotations

import io
import struct
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

JPEG = b"\xff\xd8\xff" + bytes(range(40))


def test_defaults(program):
    wanted = program.settings.parse([])
    assert wanted["region"] == [[(0, 0), (10_000, 0), (10_000, 10_000), (0, 10_000)]]
    assert (wanted["masks"], wanted["schedule"], wanted["starts_at"]) == (False, [], None)
    assert wanted["min_area_ppm"] == 800
    assert program.settings.kernel_settings(wanted) == {
        "luma": 3, "chroma": 5, "noise": 3, "neighbour": 8, "absorb": 400, "shadow": 115,
    }  # fmt: skip


def test_arguments_in_both_forms(program):
    wanted = program.settings.parse(["--region=0,25.5,100,100", "--gap", "2.5", "--sensitivity", "80"])
    assert wanted["region"] == [[(0, 2550), (10_000, 2550), (10_000, 10_000), (0, 10_000)]]
    assert (wanted["gap_ms"], wanted["sensitivity"]) == (2500, 80)
    kernel = program.settings.kernel_settings(wanted)
    assert kernel["luma"] < 3 and kernel["chroma"] < 5


@pytest.mark.parametrize(
    "arguments",
    [
        ["--unknown", "1"], ["region"], ["--gap"], ["--gap", "x"], ["--gap", "-1"], ["--gap", "1.2345"], ["--gap", "."],
        ["--gap", "99999999999"], ["--gap", "١"], ["--region", "1,2,3"], ["--region", "50,0,40,100"],
        ["--region", "0,0,101,100"], ["--sensitivity", "0"], ["--sensitivity", "101"], ["--absorb", "1"],
        ["--pictures", "1.5"], ["--min-area", ""], ["--region", "1,2,3,4,5"], ["--region", "1,1,9,9;"],
        ["--masks", "maybe"],
        ["--region", ",".join(["1"] * 102)], ["--schedule", "mon 08:00-10:00"], ["--starts-at", "yesterday"],
        ["--starts-at", "2026-07-01T10:00:00", "--schedule", "mon 25:00-26:00"],
        ["--starts-at", "2026-07-01T10:00:00", "--schedule", "someday 08:00-09:00"],
    ],
)  # fmt: skip
def test_bad_arguments(program, arguments):
    with pytest.raises(program.settings.SettingsError):
        program.settings.parse(arguments)


@settings(deadline=None)
@given(sensitivity=st.integers(1, 99))
def test_more_sensitivity_never_sees_less(program, sensitivity):
    one, two = (
        program.settings.kernel_settings(program.settings.parse(["--sensitivity", str(value)]))
        for value in (sensitivity, sensitivity + 1)
    )
    assert two["luma"] <= one["luma"] and two["chroma"] <= one["chroma"]


def test_a_region_of_polygons(program):
    """A triangle and a rectangle, against the definition by pixel centres."""
    polygons = program.settings.parse(["--region", "0,0,100,0,0,100;50,60,100,100"])["region"]
    content = program.analysis.region(polygons, 20, 10)
    for y in range(10):
        for x in range(20):
            u, v = (2 * x + 1) / 40, (2 * y + 1) / 20
            expected = u + v < 1 - 1e-9 or (u >= 0.5 and v >= 0.6)
            if abs(u + v - 1) > 1e-9:
                assert content[y * 20 + x] == expected, (x, y)
    assert program.analysis.region(program.settings.parse([])["region"], 7, 3) == b"\1" * 21


@settings(max_examples=80, deadline=None)
@given(
    corners=st.lists(st.tuples(*[st.integers(0, 10_000)] * 2), min_size=3, max_size=8),
    size=st.tuples(st.integers(1, 40), st.integers(1, 30)),
)
def test_any_polygon_gives_a_mask(program, corners, size):
    content = program.analysis.region([corners], *size)
    assert len(content) == size[0] * size[1] and set(content) <= {0, 1}


@pytest.mark.parametrize(
    ("schedule", "starts_at", "second", "expected"),
    [
        ("always", "2026-07-01T12:00:00", 0, True),  # a Wednesday
        ("18:00-07:00", "2026-07-01T17:59:30", 29, False),
        ("18:00-07:00", "2026-07-01T17:59:30", 30, True),
        ("18:00-07:00", "2026-07-02T06:59:59", 0, True),
        ("18:00-07:00", "2026-07-02T06:59:59", 1, False),
        ("mon-tue 08:00-10:00", "2026-07-01T09:00:00", 0, False),
        ("sat-mon 08:00-10:00", "2026-07-05T09:00:00", 0, True),
        ("sun 23:00-01:00", "2026-07-06T00:30:00", 0, True),  # a Monday, Sunday's stretch goes on
        ("wed 00:00-24:00, fri 10:00-11:00", "2026-07-01T23:59:59", 0, True),
        ("wed 00:00-24:00, fri 10:00-11:00", "2026-07-01T23:59:59", 1, False),
    ],
)
def test_a_schedule(program, schedule, starts_at, second, expected):
    wanted = program.settings.parse(["--schedule", schedule, "--starts-at", starts_at])
    assert program.settings.watched(wanted, second) is expected


def write(tmp_path, content: bytes) -> str:
    path = tmp_path / "input"
    path.write_bytes(content)
    return str(path)


def test_an_avi(program, scene, tmp_path):
    clip = program.footage.open_footage(write(tmp_path, scene.avi([JPEG, JPEG + b"x", JPEG], 40_000)))
    assert (clip.count, clip.frame_us, clip.truncated) == (3, 40_000, False)
    assert clip.read(1) == JPEG + b"x"


def test_an_avi_that_was_cut_off(program, scene, tmp_path):
    content = scene.avi([JPEG] * 5)
    clip = program.footage.open_footage(write(tmp_path, content[:-20]))
    assert (clip.count, clip.truncated) == (4, True)


def test_an_avi_with_sound_and_further_riff_parts(program, scene, tmp_path):
    sound = scene.chunk(b"LIST", b"strl" + scene.chunk(b"strh", b"auds" + bytes(52)))
    content = scene.avi([JPEG])
    more = scene.chunk(b"LIST", b"movi" + scene.chunk(b"01wb", b"zz") + scene.chunk(b"00dc", JPEG))
    clip = program.footage.open_footage(write(tmp_path, content + sound + scene.chunk(b"RIFF", b"AVIX" + more)))
    assert clip.count == 2


@pytest.mark.parametrize("kind", ["mp4", "mkv", "codec", "frames", "empty", "junk", "picture", "zip", "emptyzip"])
def test_unusable_files_say_why(program, scene, tmp_path, kind):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("readme.txt", "no pictures")
    content, said = {
        "mp4": (b"\0\0\0 ftypisom" + bytes(90), "reads MJPEG; convert it first: ffmpeg"),
        "mkv": (b"\x1a\x45\xdf\xa3" + bytes(90), "reads MJPEG; convert it first: ffmpeg"),
        "codec": (scene.avi([JPEG], codec=b"H264"), "'H264', not MJPEG"),
        "frames": (scene.avi([]), "no frames"),
        "empty": (b"", "empty"),
        "junk": (b"hello world, this is no video", "neither an MJPEG AVI nor a zip"),
        "picture": (JPEG, "one picture"),
        "zip": (b"PK\x03\x04" + bytes(50), "the zip cannot be read"),
        "emptyzip": (archive.getvalue(), "no .jpg"),
    }[kind]
    with pytest.raises(program.footage.FootageError, match=said):
        program.footage.open_footage(write(tmp_path, content))


def test_a_missing_file(program, tmp_path):
    with pytest.raises(program.footage.FootageError, match="cannot be read"):
        program.footage.open_footage(str(tmp_path / "nothing"))


def test_a_zip_and_a_folder_in_the_order_of_names(program, tmp_path):
    names = ["b.jpg", "a.JPEG", "c/d.jpg", "notes.txt"]
    archive = tmp_path / "frames.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in names:
            file.writestr(name, JPEG + name.encode())
    clip = program.footage.open_footage(str(archive))
    assert [clip.read(number) for number in range(clip.count)] == [
        JPEG + name for name in (b"a.JPEG", b"b.jpg", b"c/d.jpg")
    ]
    (tmp_path / "folder").mkdir()
    for name in ("2.jpg", "1.jpg", "x.png"):
        (tmp_path / "folder" / name).write_bytes(JPEG + name.encode())
    clip = program.footage.open_footage(str(tmp_path / "folder"))
    assert [clip.read(number) for number in range(clip.count)] == [JPEG + b"1.jpg", JPEG + b"2.jpg"]


def test_a_zip_bomb_is_one_broken_frame(program, tmp_path):
    archive = tmp_path / "bomb.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.jpg", bytes(program.footage.MAX_FRAME_BYTES + 10))
    clip = program.footage.open_footage(str(archive))
    assert clip.read(0) == b""


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_damage_to_an_avi_is_read_or_refused(program, scene, tmp_path_factory, data):
    content = bytearray(scene.avi([JPEG] * 3))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(content) - 4))
        content[at : at + 4] = data.draw(
            st.one_of(st.binary(min_size=4, max_size=4), st.just(struct.pack("<I", 2**32 - 1)))
        )
    content = bytes(content[: data.draw(st.integers(1, len(content)))])
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(content)
    try:
        clip = program.footage.open_footage(str(path))
    except program.footage.FootageError as error:
        assert str(error)
    else:
        assert 1 <= clip.count <= 10
        assert all(len(clip.read(number)) <= len(content) for number in range(clip.count))


def test_frames_without_a_stream_header_are_refused(program, scene, tmp_path):
    content = scene.avi([JPEG] * 3).replace(b"strh", b"junk", 1)
    path = tmp_path / "headless"
    path.write_bytes(content)
    with pytest.raises(program.footage.FootageError):
        program.footage.open_footage(str(path))


def test_two_things_that_cross_keep_their_numbers(program):
    tracker = program.tracks.Tracker(4)
    for frame in range(30):
        tracker.step(frame, [(5 * frame, 10, 12, 20), (150 - 5 * frame, 90, 20, 12)])
    assert [track.id for track in tracker.confirmed] == [1, 2]
    assert [len(track.boxes) for track in tracker.confirmed] == [30, 30]
    assert tracker.confirmed[0].boxes[-1] == (29, 145, 10, 12, 20)


def test_a_short_gap_is_bridged_and_a_flicker_ignored(program):
    tracker = program.tracks.Tracker(4)
    for frame in range(20):
        boxes = [] if frame in (8, 9, 10) else [(3 * frame, 10, 12, 20)]
        tracker.step(frame, boxes + ([(100, 100, 9, 9)] if frame in (3, 12) else []))
    assert len(tracker.confirmed) == 1
    assert (tracker.confirmed[0].first, tracker.confirmed[0].last) == (0, 19)


def test_events_begin_with_their_tracks_and_end_after_the_gap(program):
    tracker, events = program.tracks.Tracker(2), []
    for frame in range(60):
        boxes = [(10 + frame % 30, 10, 12, 20)] if frame < 10 or frame >= 30 else []
        program.tracks.join_events(events, frame, tracker.step(frame, boxes), 10)
    assert [(event.first, event.last) for event in events] == [(0, 9), (30, 59)]
    assert events[0].tracks == {1}
    assert all(event.first <= event.best <= event.last for event in events)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.tuples(*[st.integers(0, 60)] * 2, *[st.integers(1, 20)] * 2), max_size=5), max_size=15))
def test_no_box_is_in_two_tracks(program, frames):
    tracker = program.tracks.Tracker(3)
    for number, boxes in enumerate(frames):
        shown = tracker.step(number, boxes)
        assert all(track.last == number and track.id for track in shown)
        ends = [track.boxes[-1] for track in tracker.alive if track.last == number]
        assert sorted(end[1:] for end in ends) == sorted(boxes)


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(1, 50), st.integers(1, 50)),
    sampling=st.sampled_from([0, 1, 2, 3, 4, 5]),
    box=st.tuples(*[st.integers(-20, 60)] * 2, *[st.integers(0, 80)] * 2),
    number=st.integers(0, 1234),
)
def test_boxes_stay_in_the_picture(program, size, sampling, box, number):
    picture = program.jpeg.Picture(*size, sampling)
    lengths = [len(plane) for plane in picture.planes]
    program.draw.box(picture, number, *box)
    assert [len(plane) for plane in picture.planes] == lengths


def test_a_box_is_drawn_where_it_is(program):
    picture = program.jpeg.Picture(40, 30, 0)
    program.draw.fill(picture, 10, 5, 4, 3, (200, 1, 2))
    inside = [number for number, value in enumerate(picture.planes[0]) if value]
    assert inside == [y * 40 + x for y in range(5, 8) for x in range(10, 14)]


@pytest.mark.parametrize(
    ("size", "shrink"), [((320, 240), 1), ((720, 576), 1), ((720, 577), 2), ((1920, 1080), 4), ((8192, 8192), 8)]
)
def test_large_pictures_are_analysed_smaller(program, size, shrink):
    assert program.jpeg.shrink_for(*size) == shrink
