"""Python packages of a foreign architecture: the wheels that hashed locks name, fetched by uv for the target.

Nothing is compiled and no code of a package runs here. A lock with a package that has no wheel for the platform is
refused.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from oci.layout import Tree
from poco.errors import BadInputError, PewError

#: Debian 12's Python.
PYTHON = "3.11"
#: uv's names of platforms with Debian 12's glibc; it knows none of arm/v7.
TARGETS = {"linux/arm64": "aarch64-manylinux_2_36", "linux/amd64": "x86_64-manylinux_2_36"}
FETCH_TIMEOUT_S = 600
#: What an installer writes down of itself; programs start as modules, so scripts are left out too.
_NOTES = frozenset({"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"})
_NO_WHEEL = re.compile(r"Because (\S+?)==\S+ has no (?:wheels|usable wheels|.*wheels with a matching)")


def tree(locks: Sequence[Path], platform: str, target: str, cache: Path) -> Tree:
    """The packages of locks, as an installer would put them into the folder `target` of an image.

    Raises:
        BadInputError: a lock is missing, or a package of it has no wheel for the platform.
        PewError: uv is not there, or the packages cannot be fetched.
    """
    if platform not in TARGETS:
        raise BadInputError(
            f"Python packages cannot be had for {platform}", hint=f"there are wheels for {', '.join(TARGETS)}"
        )
    for lock in locks:
        if not lock.is_file():
            raise BadInputError(f"There is no lock of Python packages {lock.name}", hint="check 'wheels'")
    cache.mkdir(parents=True, exist_ok=True)
    found = Tree()
    with tempfile.TemporaryDirectory(dir=cache, prefix="wheels-") as name:
        folder = Path(name)
        _install(locks, platform, folder)
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder)
            if path.is_file() and _belongs(inside):
                found.file(f"{target}/{inside.as_posix()}", path.read_bytes())
    return found


def _belongs(path: Path) -> bool:
    top = path.parts[0]
    noted = top.endswith(".dist-info") and path.name in _NOTES
    return not (noted or top == "bin" or top.startswith(".") or "__pycache__" in path.parts)


def _install(locks: Sequence[Path], platform: str, folder: Path) -> None:
    command = [_uv(), "pip", "install", "--quiet", "--no-progress", "--target", str(folder), "--link-mode", "copy"]
    command += ["--python-platform", TARGETS[platform], "--python-version", PYTHON]
    command += ["--only-binary", ":all:", "--no-deps", "--require-hashes"]
    for lock in locks:
        command += ["--requirements", str(lock)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=FETCH_TIMEOUT_S
        )
    except subprocess.TimeoutExpired as error:
        raise PewError(f"The Python packages did not come within {FETCH_TIMEOUT_S} s", hint="try again") from error
    if done.returncode == 0:
        return
    said = " ".join(done.stderr.split())
    if missing := _NO_WHEEL.search(said):
        raise BadInputError(
            f"{missing[1]} has no wheel for {platform}", hint="leave the platform out, or take another package"
        )
    names = ", ".join(lock.name for lock in locks)
    if "Hash mismatch" in said:
        raise PewError(
            f"PyPI, or a mirror, sends another package than {names} says",
            hint="lock again, if the package was replaced on purpose",
        )
    said = re.sub(r"\b(?:https?|file)://\S+", "the index", said)[-300:]
    raise PewError(f"The Python packages of {names} cannot be fetched: {said}", hint="check the network")


def _uv() -> str:
    try:
        from uv import find_uv_bin
    except ImportError as error:
        raise PewError("The installer 'uv' is needed for 'wheels', and is not there", hint="pip install uv") from error
    return str(find_uv_bin())
