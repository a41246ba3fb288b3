"""The worker's dependencies for ARM: wheels alone, and the image that is made of them."""

import subprocess

import pytest

from ops.console import ROOT
from poco.errors import BadInputError, PewError
from scripts import worker_image
from sdk.builder import wheels
from sdk.builder.description import Image, load_image

LOCK = ROOT / "requirements-worker.txt"


def test_the_locked_dependencies_are_arm64_wheels_alone(tmp_path):
    """As an installer on a Raspberry Pi OS of 64 bits resolves them: no compiler, every hash checked."""
    done = subprocess.run(
        [
            ROOT / ".venv/bin/uv", "pip", "install", "--dry-run", "--quiet", "--target", tmp_path,
            "--python-platform", f"aarch64-manylinux_2_{wheels.GLIBC_MINOR}", "--python-version", wheels.PYTHON,
            "--only-binary", ":all:", "--require-hashes", "-r", LOCK,
        ],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_image_is_described():
    image = load_image(worker_image.FOLDER / "image.yaml", Image, ROOT / "dapps" / "layers")
    assert "linux/arm64" in image.platforms
    assert image.wheels is not None and (ROOT / image.wheels.lock) == LOCK
    for name in image.files:
        assert (ROOT / name / "__init__.py").is_file()


def test_a_package_without_a_wheel_is_named(tmp_path):
    lock = tmp_path / "lock.txt"
    text = LOCK.read_text()
    start = text.index("ckzg==")
    lock.write_text(text[start : text.index("\n", text.index("# via", start))] + "\n")
    with pytest.raises(BadInputError, match=r"ckzg==\S+ has no wheel for linux/arm/v7"):
        wheels.tree(lock, "linux/arm/v7", "/opt", tmp_path)


def test_a_package_that_is_not_the_locked_one(tmp_path):
    lock = tmp_path / "lock.txt"
    lock.write_text(f"idna==3.10 --hash=sha256:{'12' * 32}\n")
    with pytest.raises(PewError, match="another package than lock"):
        wheels.tree(lock, "linux/arm64", "/opt", tmp_path)


def test_wheels_are_unpacked_as_an_installer_would(tmp_path):
    lock = tmp_path / "lock.txt"
    text = LOCK.read_text()
    start = text.index("websockets==")
    lock.write_text(text[start : text.index("\n", text.index("# via", start))] + "\n")
    names = set(wheels.tree(lock, "linux/arm64", "/opt/x", tmp_path).nodes)
    assert "opt/x/websockets/speedups.cpython-311-aarch64-linux-gnu.so" in names
    assert not [name for name in names if "/bin/" in name or ".data" in name]
    assert not list(tmp_path.glob("wheels-*"))
