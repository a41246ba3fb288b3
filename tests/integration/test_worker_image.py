"""The worker's dependencies for ARM: wheels alone, and what the builder makes of them."""

import os
import subprocess

import pytest

from ops.console import ROOT
from poco.errors import BadInputError, PewError
from scripts import worker_image
from sdk.builder import wheels
from sdk.builder.description import Image, load_image

LOCKS = [ROOT / "requirements-worker.txt", ROOT / "requirements-sensors.txt"]


def test_the_locked_dependencies_are_arm64_wheels_alone(tmp_path):
    """As a Raspberry Pi with 64 bits would install them: no compiler, every hash checked, nothing left out."""
    done = subprocess.run(
        [
            ROOT / ".venv/bin/uv", "pip", "install", "--dry-run", "--quiet", "--target", tmp_path,
            "--python-platform", wheels.TARGETS["linux/arm64"], "--python-version", wheels.PYTHON,
            "--only-binary", ":all:", "--require-hashes", *(part for lock in LOCKS for part in ("-r", lock)),
        ],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_image_is_described():
    image = load_image(worker_image.FOLDER / "image.yaml", Image, ROOT / "dapps" / "layers")
    assert "linux/arm64" in image.platforms
    assert image.wheels is not None and [ROOT / lock for lock in image.wheels.locks] == LOCKS
    for name in image.files:
        assert (ROOT / name / "__init__.py").is_file()


def part(folder, package):
    """A lock of one package of the worker's, whatever platform it is for."""
    text = LOCKS[0].read_text()
    start = text.index(f"{package}==")
    first, *hashes = text[start : text.index("# via", start)].strip().splitlines()
    path = folder / "lock.txt"
    path.write_text("\n".join([first.split(" ; ")[0].rstrip(" \\") + " \\", *hashes]) + "\n")
    return [path]


def test_wheels_are_those_of_the_target_whoever_installs(tmp_path, monkeypatch):
    monkeypatch.setenv("UV_COMPILE_BYTECODE", "1")
    locks = part(tmp_path, "websockets")
    one = wheels.tree(locks, "linux/arm64", "/opt/x", tmp_path).nodes
    assert one["opt/x/websockets/speedups.cpython-311-aarch64-linux-gnu.so"].content[18:20] == b"\xb7\0"  # EM_AARCH64
    assert not [name for name in one if "/bin/" in name or name.endswith((".pyc", "RECORD", "INSTALLER"))]
    old = os.umask(0o077)
    try:
        assert wheels.tree(locks, "linux/arm64", "/opt/x", tmp_path / "other").nodes == one
    finally:
        os.umask(old)
    assert not list(tmp_path.glob("wheels-*"))


def test_a_package_without_a_wheel_is_named(tmp_path):
    with pytest.raises(BadInputError, match="pywin32 has no wheel for linux/arm64"):
        wheels.tree(part(tmp_path, "pywin32"), "linux/arm64", "/opt", tmp_path)


def test_a_package_that_is_not_the_locked_one(tmp_path):
    lock = tmp_path / "lock.txt"
    lock.write_text(f"idna==3.10 --hash=sha256:{'12' * 32}\n")
    with pytest.raises(PewError, match=r"another package than lock\.txt says"):
        wheels.tree([lock], "linux/arm64", "/opt", tmp_path)


def test_locks_and_platforms_that_cannot_be(tmp_path):
    with pytest.raises(BadInputError, match=r"no lock of Python packages none\.txt"):
        wheels.tree([tmp_path / "none.txt"], "linux/arm64", "/opt", tmp_path)
    with pytest.raises(BadInputError, match="cannot be had for linux/arm/v7"):
        wheels.tree(LOCKS, "linux/arm/v7", "/opt", tmp_path)
