"""Motion detection beside OpenCV's MOG2 and KNN: `python -m benchmarks.motion [--sequences FOLDER] [--no-emulation]`.

Pixel F-measure by CDnet's rules, frames a second of processor time on one thread, peak resident memory; each method in
a process of its own (benchmarks/motion_step.py), all in one run. FOLDER holds sequences as CDnet lays them out; without
it scenes with known truth are rendered. Under emulation the dapp runs in its own image and OpenCV in one of the same
layers. OpenCV comes from requirements-bench.txt with hashes, into build/tools/opencv, by this command alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform as machine
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np

from benchmarks.motion_frames import Score, Sequence, rendered, sequences
from benchmarks.motion_scenes import SCENES
from benchmarks.motion_step import METHODS
from oci.layout import write_whole
from ops.engine import find_engine
from ops.ports import free_port
from ops.services import start_registry
from ops.stack import Stack
from poco.errors import PewError
from sdk.builder.description import Image, load, load_image
from sdk.builder.image import Builder, PushedImage
from sdk.builder.native import compile_shared

ROOT = Path(__file__).resolve().parents[1]
DAPP = ROOT / "dapps" / "motion-detection"
LOCK = ROOT / "requirements-bench.txt"
STEP = ROOT / "benchmarks" / "motion_step.py"
OPENCV = ROOT / "build" / "tools" / "opencv"
#: Frames of the scene that is run emulated, and the scene.
EMULATED_FRAMES, EMULATED_SCENE = 120, "traffic"
_NATIVE = {"x86_64": "linux/amd64", "aarch64": "linux/arm64", "armv7l": "linux/arm/v7"}
Found = dict[str, dict[str, dict[str, float]]]


def measure(folder: Path | None, *, emulated: bool = True, say: Callable[[str], None] = lambda _: None) -> Found:
    """Measure all methods.

    Args:
        folder: of sequences; None: rendered scenes.
        emulated: also measure the foreign platforms, in the Docker engine.
        say: called with a line for each result.

    Returns:
        By sequence and method `{f_measure, fps, rss_mb}`; by platform (`linux/arm64`, ...) and method `{fps, rss_mb}`.

    Raises:
        BadInputError: the folder holds no sequence, or a broken one.
        PewError: OpenCV cannot be had, or a method fails.
    """
    install_opencv()
    words, found = _our_words(), Found()
    for sequence in sequences(folder):
        found[sequence.name] = {}
        for name in ("ours", *METHODS):
            result = run(sequence, name, [sys.executable, str(STEP)], words)
            found[sequence.name][name] = result
            say(f"{sequence.name:14} {name:10} " + "  ".join(f"{key} {value}" for key, value in result.items()))
    if emulated:
        for platform, methods in _emulated().items():
            found[platform] = methods
            for name, result in methods.items():
                say(f"{platform:14} {name:10} " + "  ".join(f"{key} {value}" for key, value in result.items()))
    return found


def install_opencv() -> None:
    """OpenCV into build/tools/opencv, unless the lock's is there."""
    stamp, wanted = OPENCV / ".lock", hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    command = [str(ROOT / ".venv" / "bin" / "uv"), "pip", "install", "--quiet", "--python", sys.executable]
    command += ["--target", str(OPENCV), "--require-hashes", "--no-deps", "--only-binary", ":all:", "-r", str(LOCK)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise PewError(f"OpenCV cannot be installed: {done.stderr.strip()[-300:]}", hint="check the network")
    stamp.write_text(wanted)


def run(sequence: Sequence, name: str, command: list[str], words: list[str], judged: bool = True) -> dict[str, float]:
    """Run a method over a sequence in a process of its own.

    Args:
        sequence: the frames.
        name: `ours` or one of `METHODS`.
        command: what starts motion_step.py.
        words: what it takes for `ours` besides the sequence's size.
        judged: whether to compare masks with the truth.

    Raises:
        PewError: the process fails.
    """
    samples = sequence.samples() if name == "ours" else []
    shape = (sequence.height, sequence.width)
    argv = [*command, name, str(sequence.count), str(len(samples)), str(shape[1]), str(shape[0])]
    argv += [*map(str, sequence.shifts), *(words if name == "ours" else [])]
    environment = {**os.environ, "PYTHONPATH": str(OPENCV), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    score, broken = Score(), list[PewError]()
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            argv, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        ) as process,
    ):
        feeder = threading.Thread(target=_feed, args=(process, _frames(sequence, samples, name), broken), daemon=True)
        feeder.start()
        assert process.stdout  # noqa: S101  (it was asked for)
        for number in range(sequence.count):
            content = process.stdout.read(shape[0] * shape[1])
            if len(content) != shape[0] * shape[1]:
                break
            labels = sequence.labels(number) if judged else None
            if labels is not None:
                score.add(np.frombuffer(content, np.uint8).reshape(shape), labels)
        process.wait()
        feeder.join()
        errors.seek(0)
        said = errors.read().decode(errors="replace").strip().splitlines() or [""]
    if broken:
        raise broken[0]
    if process.returncode:
        raise PewError(f"{name} failed on {sequence.name}: {said[-1][-300:]}")
    result: dict[str, float] = json.loads(said[-1])
    return {"f_measure": score.f_measure(), **result} if judged else result


def _frames(sequence: Sequence, samples: list[int], name: str) -> Iterator[bytes]:
    read = sequence.planes if name == "ours" else sequence.bgr
    yield from (read(number) for number in samples)
    yield from (read(number) for number in range(sequence.count))


def _feed(process: subprocess.Popen[bytes], frames: Iterator[bytes], broken: list[PewError]) -> None:
    assert process.stdin  # noqa: S101  (it was asked for)
    try:
        for frame in frames:
            process.stdin.write(frame)
        process.stdin.close()
    except BrokenPipeError:
        pass  # its exit code tells
    except PewError as error:
        broken.append(error)
        process.kill()


def _our_words(program: Path | str = DAPP / "program", library: str = "") -> list[str]:
    """Where the dapp's module and kernel are, and the settings it has when none are given."""
    settings = _settings()
    if not library:
        sources = [DAPP / source for source in load(DAPP).native[0].sources]
        cache = ROOT / "build" / "cache"
        target = cache / "libmotion-bench.so"
        write_whole(target, compile_shared(sources, _NATIVE[machine.machine()], [], cache))
        library = str(target)
    return [str(program), library, json.dumps(settings.kernel_settings(settings.parse([])))]


def _settings() -> ModuleType:
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("motion_settings", DAPP / "program" / "settings.py")
    assert spec and spec.loader  # noqa: S101  (the file is part of this project)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _emulated() -> Found:
    """The dapp's image and OpenCV's on the platforms that are not this machine's, the same frames for all."""
    scene = rendered(EMULATED_SCENE, SCENES[EMULATED_SCENE])
    scene.count = EMULATED_FRAMES
    engine = find_engine()
    if engine is None:
        raise PewError("no Docker Engine answers", hint="run `make engine`, or leave it out: --no-emulation")
    os.environ["DOCKER_HOST"] = engine[1]
    builder, found = Builder(ROOT), Found()
    folder = ROOT / "benchmarks" / "opencv"
    with tempfile.TemporaryDirectory() as work, Stack(Path(work), handle_signals=False) as stack:
        registry = start_registry(stack, free_port(), Path(work) / "registry").removeprefix("http://")
        ours = builder.push(builder.build("motion-detection"), registry)
        theirs = builder.push(
            builder.build_image(load_image(folder / "image.yaml", Image, builder.shared), folder, ROOT), registry
        )
        for platform, digest in ours.platforms.items():
            if platform == _NATIVE[machine.machine()]:
                continue
            words = _our_words("/opt/dapp/motion", "/opt/dapp/libmotion.so")
            mount = ["--volume", f"{STEP}:/opt/bench/motion_step.py:ro", "--entrypoint", "/usr/bin/python3"]
            image = _pinned(ours, digest)
            found[platform] = {
                "ours": _in_container(scene, "ours", [*mount, image, "/opt/bench/motion_step.py"], words)
            }
            if platform in theirs.platforms:
                image = _pinned(theirs, theirs.platforms[platform])
                for name in ("mog2", "knn"):
                    found[platform][name] = _in_container(scene, name, [image], [])
    return found


def _pinned(pushed: PushedImage, digest: str) -> str:
    return f"{pushed.reference.rpartition(':')[0]}@{digest}"


def _in_container(scene: Sequence, name: str, image: list[str], words: list[str]) -> dict[str, float]:
    """Run a method in a container; `image` with options before and arguments after it. The image does not stay."""
    try:
        argv = ["docker", "run", "--rm", "-i", "--network=none", "--read-only", "--cpus=1", *image]
        return run(scene, name, argv, words, judged=False)
    finally:
        reference = next(word for word in image if "@sha256:" in word)
        subprocess.run(["docker", "image", "rm", "--force", reference], capture_output=True, check=False)


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.motion", description=__doc__.split(":")[0])
    parser.add_argument("--sequences", type=Path, help="folder of CDnet sequences (default: rendered scenes)")
    parser.add_argument("--no-emulation", action="store_true", help="leave the foreign platforms out")
    options = parser.parse_args()
    try:
        found = measure(options.sequences, emulated=not options.no_emulation, say=lambda line: print(line, flush=True))
    except PewError as error:
        print(f"error: {error.message}\n" + (f"hint: {error.hint}" if error.hint else ""), file=sys.stderr)
        return error.exit_code
    output = ROOT / "build" / "bench" / "motion.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps({"sequences": found}, indent=2) + "\n")
    print(output.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
