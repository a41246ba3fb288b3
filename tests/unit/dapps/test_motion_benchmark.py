"""What the motion benchmark counts: labels and spans as CDnet means them; scenes that are the same every time."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice

import numpy as np
import pytest

from benchmarks.motion_frames import Score, encode, sequences
from benchmarks.motion_scenes import SCENES, render
from poco.errors import BadInputError


def png(grid) -> bytes:
    import av

    encoder = av.CodecContext.create("png", "w")
    encoder.height, encoder.width = grid.shape
    encoder.pix_fmt, encoder.time_base = "gray", Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(grid, format="gray")
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


@pytest.fixture
def folder(tmp_path):
    """Four frames of 16x16; truth for the last three; judged are 3 and 4."""
    sequence = tmp_path / "camera" / "yard"
    (sequence / "input").mkdir(parents=True)
    (sequence / "groundtruth").mkdir()
    truth = np.zeros((16, 16), np.uint8)
    truth[:8] = 255
    truth[8:10] = 170
    truth[10:12] = 50
    for number, jpeg in enumerate(encode(iter([np.full((16, 16, 3), 90, np.uint8)] * 4)), 1):
        (sequence / "input" / f"in{number:06}.jpg").write_bytes(jpeg)
        if number > 1:
            (sequence / "groundtruth" / f"gt{number:06}.png").write_bytes(png(truth))
    (sequence / "temporalROI.txt").write_text("3 4\n")
    return tmp_path


def test_labels_are_counted_as_cdnet_does(folder):
    (sequence,) = sequences(folder)
    assert (sequence.name, sequence.count, sequence.width, sequence.shifts) == ("yard", 4, 16, (1, 1))
    assert [sequence.labels(number) is None for number in range(4)] == [True, True, False, False]
    labels = sequence.labels(2)
    score = Score()
    score.add(np.ones((16, 16), np.uint8), labels)  # all found: 128 motion, 32 shadow and 64 static are wrong
    assert (score.hit, score.wrong, score.missed) == (128, 96, 0)
    score.add(np.zeros((16, 16), np.uint8), labels)
    assert (score.hit, score.wrong, score.missed) == (128, 96, 128)
    assert score.f_measure() == round(2 * 128 / (2 * 128 + 96 + 128), 4)
    assert len(sequence.planes(0)) == 16 * 16 * 3 // 2
    assert len(sequence.bgr(0)) == 16 * 16 * 3


def test_folders_that_are_no_sequence_say_so(tmp_path, folder):
    with pytest.raises(BadInputError, match="holds no sequence"):
        list(sequences(tmp_path / "nothing"))
    (folder / "camera" / "yard" / "temporalROI.txt").write_text("all")
    with pytest.raises(BadInputError, match="two numbers"):
        list(sequences(folder))


@pytest.mark.parametrize("name", ["shake-people", "rough-water"])
def test_a_scene_is_the_same_every_time(name):
    one, two = (list(islice(render(SCENES[name]), 3)) for _ in range(2))
    for (picture, truth), (again, truth_again) in zip(one, two, strict=True):
        assert np.array_equal(picture, again)
        assert np.array_equal(truth, truth_again)
    assert not np.array_equal(one[0][0], one[2][0])
