"""One method in a process of its own: frames come on stdin, masks go to stdout, a line of JSON to stderr at the end.

    python motion_step.py METHOD COUNT SAMPLES WIDTH HEIGHT X_SHIFT Y_SHIFT [PROGRAM LIBRARY SETTINGS]

`ours` reads planes of luma and chroma, first the SAMPLES its background starts from; the others read BGR. Runs with the
standard library alone for `ours`, with OpenCV's wheel for the others, natively and emulated.

Besides OpenCV's methods there are two plain ones in numpy: a selective running Gaussian (Wren et al., PAMI 1997,
updated only where it matches) and sample consensus (Wang and Suter, ACCV 2006).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

Step = Callable[[Any], Any]


def mog2(threshold: float) -> Step:
    """OpenCV's MOG2; a median of 5x5 over its mask without shadows."""
    import cv2

    model = cv2.createBackgroundSubtractorMOG2(varThreshold=threshold)
    return lambda frame: cv2.medianBlur((model.apply(frame) == 255).astype("uint8"), 5)


def knn() -> Step:
    """OpenCV's KNN; a median of 5x5 over its mask without shadows."""
    import cv2

    model = cv2.createBackgroundSubtractorKNN()
    return lambda frame: cv2.medianBlur((model.apply(frame) == 255).astype("uint8"), 5)


def gaussian(rate: float = 0.02, sigmas: float = 2.5) -> Step:
    """A Gaussian for each pixel and channel, updated where it matches; a median of 5x5."""
    import cv2
    import numpy as np

    state: dict[str, Any] = {}

    def step(frame: Any) -> Any:
        now = frame.astype(np.float32)
        if not state:
            state.update(mean=now.copy(), variance=np.full(now.shape, 225, np.float32))
        off = now - state["mean"]
        moving = (off * off > sigmas * sigmas * state["variance"]).any(2)
        weight = np.where(moving[..., None], rate / 20, rate).astype(np.float32)
        state["mean"] += weight * off
        state["variance"] = np.maximum(state["variance"] + weight * (off * off - state["variance"]), 16)
        return cv2.medianBlur(moving.astype(np.uint8), 5)

    return step


def consensus(count: int = 20, radius: int = 20, needed: int = 2) -> Step:
    """The last samples of each pixel's grey, one replaced now and then; a median of 9x9."""
    import cv2
    import numpy as np

    rng = np.random.RandomState(0)
    state: dict[str, Any] = {}

    def step(frame: Any) -> Any:
        now = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
        if not state:
            noise = rng.randint(-10, 11, (count, *now.shape))
            state["samples"] = np.clip(now.astype(np.int16) + noise, 0, 255).astype(np.uint8)
        samples = state["samples"]
        near = np.abs(samples.astype(np.int16) - now) <= radius
        still = near.sum(0) >= needed
        rows, columns = np.nonzero(still & (rng.randint(0, 16, now.shape) == 0))
        samples[rng.randint(0, count, len(rows)), rows, columns] = now[rows, columns]
        return cv2.medianBlur((~still).astype(np.uint8), 9)

    return step


METHODS: dict[str, Callable[[], Step]] = {
    "mog2": lambda: mog2(16),
    "mog2-36": lambda: mog2(36),
    "knn": knn,
    "gaussian": gaussian,
    "consensus": consensus,
}


def others(name: str, count: int, width: int, height: int) -> float:
    """Run one of `METHODS`; returns seconds of processor time."""
    import cv2
    import numpy as np

    cv2.setNumThreads(1)
    step, seconds = METHODS[name](), 0.0
    for _ in range(count):
        frame = np.frombuffer(_read(width * height * 3), np.uint8).reshape(height, width, 3)
        started = time.process_time()
        mask = step(frame)
        seconds += time.process_time() - started
        sys.stdout.buffer.write(mask.tobytes())
    return seconds


def ours(  # noqa: PLR0917
    count: int, samples: int, width: int, height: int, shifts: tuple[int, int], program: str, library: str, text: str
) -> float:
    """Run the dapp's kernel through the dapp's own module; returns seconds of processor time, learning included."""
    import ctypes

    sys.path.insert(0, program)
    import kernel

    coarse = (-(-width >> shifts[0]), -(-height >> shifts[1]))
    sizes = (width * height, coarse[0] * coarse[1], coarse[0] * coarse[1])

    def picture() -> SimpleNamespace:
        planes = [(ctypes.c_ubyte * size).from_buffer_copy(_read(size)) for size in sizes]
        strides = (width, coarse[0], coarse[0])
        return SimpleNamespace(planes=planes, strides=strides, x_shift=shifts[0], y_shift=shifts[1])

    detector = kernel.Detector(width, height, json.loads(text), library)
    seconds = 0.0
    waiting = 0.0

    def given() -> Any:
        nonlocal waiting
        for _ in range(samples):
            started = time.process_time()
            each = picture()
            waiting += time.process_time() - started
            yield each

    started = time.process_time()
    detector.learn(given(), samples)
    seconds += time.process_time() - started - waiting
    for _ in range(count):
        frame = picture()
        started = time.process_time()
        detector.step(frame)
        seconds += time.process_time() - started
        sys.stdout.buffer.write(detector.mask)
    return seconds


def _read(size: int) -> bytes:
    content = sys.stdin.buffer.read(size)
    if len(content) != size:
        raise EOFError("the frames end too early")
    return content


def _peak_mb() -> float:
    """Peak resident memory of this process; unlike rusage's it does not remember the one it was started from."""
    with open("/proc/self/status") as file:  # noqa: PTH123  (pathlib would be measured too)
        line = next(line for line in file if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main(words: list[str]) -> None:
    """Entry point."""
    name, (count, samples, width, height, x_shift, y_shift) = words[0], (int(word) for word in words[1:7])
    if name == "ours":
        program, library, text = words[7:10]
        seconds = ours(count, samples, width, height, (x_shift, y_shift), program, library, text)
    else:
        seconds = others(name, count, width, height)
    sys.stdout.buffer.flush()
    print(json.dumps({"fps": round(count / max(seconds, 1e-9), 1), "rss_mb": round(_peak_mb(), 1)}), file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
