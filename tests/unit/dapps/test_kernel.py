"""The detection kernel, compiled for this machine: truth, bits, properties, hostile settings."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

DEFAULTS = {"luma": 3, "chroma": 5, "noise": 3, "neighbour": 8, "absorb": 240, "shadow": 115}


def picture(luma, cb=None, cr=None, shift=(0, 0)):
    """Planes as the program's decoder gives them."""
    height, width = luma.shape
    coarse = (-(-height >> shift[1]), -(-width >> shift[0])) if any(shift) else luma.shape
    cb = np.full(coarse, 128, np.uint8) if cb is None else cb
    cr = np.full(coarse, 128, np.uint8) if cr is None else cr
    import ctypes

    planes = [(ctypes.c_ubyte * plane.size).from_buffer_copy(plane.tobytes()) for plane in (luma, cb, cr)]
    return SimpleNamespace(planes=planes, strides=(width, cb.shape[1], cb.shape[1]), x_shift=shift[0], y_shift=shift[1])


@pytest.fixture
def make(program, library):
    """Detectors that are closed at the end."""
    made = []

    def detector(width, height, **changes):
        made.append(program.kernel.Detector(width, height, {**DEFAULTS, **changes}, library))
        return made[-1]

    yield detector
    for each in made:
        each.close()


def mask_of(detector):
    return np.frombuffer(detector.mask, np.uint8).reshape(detector.height, detector.width)


def f_measure(found, truth):
    """Pixel F-measure, leaving out a border of two pixels around the truth (as CDnet does)."""
    edge = np.zeros_like(truth)
    for dy in range(-2, 3):
        for dx in range(-2, 3):
            edge |= np.roll(np.roll(truth, dy, 0), dx, 1) ^ truth
    counted = edge == 0
    hit = int((found & truth)[counted].sum())
    return 2 * hit / max(1, int(found[counted].sum()) + int(truth[counted].sum()))


def test_the_rendered_scene_is_found(make, scene):
    planes, masks = scene.render()
    detector = make(scene.WIDTH, scene.HEIGHT)
    detector.learn([picture(*frame) for frame in planes[::2]], 32)
    scores = []
    for number, (frame, truth) in enumerate(zip(planes, masks, strict=True)):
        moving = detector.step(picture(*frame))
        assert moving == mask_of(detector).sum()
        if truth.sum() > 300:
            scores.append(f_measure(mask_of(detector), truth))
        elif not truth.any():
            assert moving == 0, f"frame {number}: nothing moves"
    assert min(scores) > 0.9
    assert sum(scores) / len(scores) > 0.97


def test_boxes_are_where_things_are(make, scene):
    planes, _ = scene.render()
    detector = make(scene.WIDTH, scene.HEIGHT)
    detector.learn([picture(*frame) for frame in planes[::2]], 32)
    for number, frame in enumerate(planes):
        detector.step(picture(*frame))
        if number == 30:
            found = [(x0, y0, x1 - x0, y1 - y0) for x0, y0, x1, y1, _ in detector.blobs(20)]
            assert len(found) == 2
            for box, truth in zip(found, scene.boxes(30), strict=True):
                assert all(abs(one - two) <= 2 for one, two in zip(box, truth, strict=True))


def test_the_same_bits_as_ever(make, scene):
    """A golden value: a change of it is a change of the kernel, and makes a new version of the dapp."""
    planes, _ = scene.render()
    detector = make(scene.WIDTH, scene.HEIGHT)
    detector.learn([picture(*frame) for frame in planes[:24]], 32)
    digest = hashlib.sha256()
    for frame in planes:
        detector.step(picture(*frame))
        digest.update(bytes(detector.mask))
    assert digest.hexdigest() == "81678cf4d7e73b348c8685455d419d87e7dd5ecd37b649232f5457b536d36bf1"


def test_coarse_chroma_is_widened(make):
    """Chroma at a half gives what the same chroma at full size gives."""
    rng = np.random.RandomState(3)
    full, half = make(33, 21), make(33, 21)
    for number in range(12):
        luma = rng.randint(0, 256, (21, 33)).astype(np.uint8)
        cb, cr = (rng.randint(0, 256, (11, 17)).astype(np.uint8) for _ in range(2))
        wide = [np.repeat(np.repeat(plane, 2, 0), 2, 1)[:21, :33].copy() for plane in (cb, cr)]
        if not number:
            full.learn([picture(luma, *wide)], 1)
            half.learn([picture(luma, cb, cr, (1, 1))], 1)
        assert full.step(picture(luma, *wide)) == half.step(picture(luma, cb, cr, (1, 1)))
        assert bytes(full.mask) == bytes(half.mask)


def test_what_stands_still_becomes_background(make):
    empty, parked = np.full((40, 60), 100, np.uint8), np.full((40, 60), 100, np.uint8)
    parked[10:30, 20:50] = 200
    detector = make(60, 40, absorb=40)
    detector.learn([picture(empty)], 1)
    seen = [detector.step(picture(parked)) for _ in range(60)]
    assert seen[0] == seen[20] > 500
    assert seen[-1] == 0


def test_restart_takes_the_last_frame(make):
    detector = make(60, 40)
    detector.learn([picture(np.full((40, 60), 20, np.uint8))], 1)
    bright = picture(np.full((40, 60), 180, np.uint8))
    assert detector.step(bright) == 60 * 40
    detector.restart()
    assert detector.step(bright) == 0


def test_region_blinds_the_rest(make):
    empty, full = np.full((40, 60), 50, np.uint8), np.full((40, 60), 240, np.uint8)
    detector = make(60, 40)
    detector.region((b"\1" * 30 + bytes(30)) * 40)
    detector.learn([picture(empty)], 1)
    detector.step(picture(full))
    found = mask_of(detector)
    assert found[:, :28].all()
    assert not found[:, 32:].any()


def test_a_soft_shadow_is_not_a_thing(make):
    rng = np.random.RandomState(5)
    ground = rng.randint(120, 160, (60, 80)).astype(np.uint8)
    shaded = ground.copy()
    shaded[20:40, 20:60] = (ground[20:40, 20:60].astype(int) * 3 // 4).astype(np.uint8)
    seen = {}
    for shadow in (115, 256):
        detector = make(80, 60, shadow=shadow)
        detector.learn([picture(ground)], 1)
        seen[shadow] = detector.step(picture(shaded))
    assert seen[256] > 600
    assert seen[115] < seen[256] // 4


def yard(seed, height=120, width=160):
    """Ground with edges of all directions."""
    rng = np.random.RandomState(seed)
    ground = np.kron(rng.randint(60, 190, (height // 8 + 1, width // 8 + 1)), np.ones((8, 8)))
    return ground[:height, :width] + rng.randint(-3, 4, (height, width))


def test_a_shaken_camera_is_held_still(make):
    """Jumps of up to 12 pixels: what moves is found where it is in the frame, and nothing else."""
    rng = np.random.RandomState(4)
    world = yard(1, 160, 200)
    frames, truths = [], []
    for number in range(40):
        view = world.copy()
        thing = np.zeros(world.shape, np.uint8)
        view[70:94, 20 + 3 * number : 44 + 3 * number] = 235
        thing[70:94, 20 + 3 * number : 44 + 3 * number] = 1
        y, x = 20 + rng.randint(-6, 7, 2)
        frames.append(picture((view[y : y + 120, x : x + 160] + rng.randint(-2, 3, (120, 160))).astype(np.uint8)))
        truths.append(thing[y : y + 120, x : x + 160])
    detector = make(160, 120)
    detector.learn(frames[::2], 32)
    for frame, truth in zip(frames, truths, strict=True):
        detector.step(frame)
        found = mask_of(detector)
        inside = (slice(14, -14), slice(14, -14))  # what comes in at the edges has no background yet
        assert f_measure(found[inside], truth[inside]) > 0.9
        assert not (found & ~truth)[30:40, 30:].any()


@pytest.mark.parametrize("factor", [0.6, 0.85, 1.2])
def test_another_light_is_not_motion(make, factor):
    ground = yard(2)
    detector = make(160, 120)
    detector.learn([picture(ground.astype(np.uint8))], 1)
    for number in range(30):
        light = 1 + (factor - 1) * min(1, number / 20)
        view = ground * light
        if number == 29:
            view[40:70, 50:90] = 250
        moving = detector.step(picture(np.clip(view, 0, 255).astype(np.uint8)))
        if number < 29:
            assert moving < 100
    assert 1000 < moving < 1400


def test_what_blinks_all_the_time_is_background(make):
    """A patch that is one of many values in every frame is quiet after a while; what stands in it is seen."""
    rng = np.random.RandomState(6)
    ground = yard(3)
    detector = make(160, 120)
    detector.learn([picture(ground.astype(np.uint8))], 1)
    seen = []
    for number in range(260):
        view = ground.copy()
        view[60:110, 20:140] += rng.choice([-18, 0, 18], (50, 120))
        if number == 259:
            view[70:95, 60:90] = 250
        seen.append(detector.step(picture(np.clip(view, 0, 255).astype(np.uint8))))
    assert max(seen[-30:-1]) < 60
    assert 600 < seen[-1] < 900


def test_the_mask_as_bits(make):
    rng = np.random.RandomState(8)
    detector = make(13, 7)
    grid = rng.randint(0, 2, (7, 13)).astype(np.uint8)
    for number, bit in enumerate(grid.reshape(-1)):
        detector.mask[number] = int(bit)
    assert detector.packed() == np.packbits(grid, axis=1).tobytes()


def test_the_background_is_the_median(make):
    """Things that pass through less than half of the samples leave no ghost."""
    rng = np.random.RandomState(2)
    ground = rng.randint(60, 200, (30, 40)).astype(np.uint8)
    samples = []
    for number in range(15):
        frame = ground.copy()
        frame[:, 2 * number : 2 * number + 9] = 255
        samples.append(picture(frame))
    detector = make(40, 30)
    detector.learn(samples, 32)
    assert detector.step(picture(ground)) == 0


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_groups_are_connected_components(program, library, data):
    """Boxes and areas agree with a flood fill, on any mask."""
    width, height = data.draw(st.integers(1, 16)), data.draw(st.integers(1, 12))
    bits = data.draw(st.lists(st.integers(0, 1), min_size=width * height, max_size=width * height))
    detector = program.kernel.Detector(width, height, DEFAULTS, library)
    for number, bit in enumerate(bits):
        detector.mask[number] = bit
    grid, expected = np.array(bits).reshape(height, width), []
    for y in range(height):
        for x in range(width):
            if not grid[y, x]:
                continue
            todo, cells = [(x, y)], []
            grid[y, x] = 0
            while todo:
                cx, cy = todo.pop()
                cells.append((cx, cy))
                for nx in range(max(0, cx - 1), min(width, cx + 2)):
                    for ny in range(max(0, cy - 1), min(height, cy + 2)):
                        if grid[ny, nx]:
                            grid[ny, nx] = 0
                            todo.append((nx, ny))
            xs, ys = [cell[0] for cell in cells], [cell[1] for cell in cells]
            expected.append((min(xs), min(ys), max(xs) + 1, max(ys) + 1, len(cells)))
    assert detector.blobs(1) == expected
    assert detector.blobs(3) == [group for group in expected if group[4] >= 3]
    detector.close()


@settings(max_examples=40, deadline=None)
@given(
    width=st.integers(1, 40),
    height=st.integers(1, 30),
    changes=st.fixed_dictionaries({name: st.integers(-(2**31), 2**31 - 1) for name in DEFAULTS}),
    seed=st.integers(0, 1000),
)
def test_any_size_and_any_settings(program, library, width, height, changes, seed):  # noqa: PLR0917
    rng = np.random.RandomState(seed)
    detector = program.kernel.Detector(width, height, changes, library)
    frames = [picture(rng.randint(0, 256, (height, width)).astype(np.uint8)) for _ in range(4)]
    detector.learn(frames[:2], 2)
    for frame in frames:
        moving = detector.step(frame)
        found = mask_of(detector)
        assert moving == found.sum() and found.max(initial=0) <= 1
        assert sum(group[4] for group in detector.blobs(1)) == moving or len(detector.blobs(1)) == 1024
    detector.close()


@pytest.mark.parametrize("size", [(0, 10), (10, 0), (-1, 5), (9000, 1)])
def test_absurd_sizes_have_no_memory(program, library, size):
    with pytest.raises((MemoryError, ValueError)):
        program.kernel.Detector(*size, DEFAULTS, library)
