"""Python packages of a foreign architecture: the wheels that a hashed lock names, fetched by pip, unpacked by us.

Nothing is compiled and no code of a package runs here. A lock with a package that has no wheel for the platform is
refused.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from oci.layout import Tree
from poco.errors import BadInputError, PewError

#: Debian 12's Python and glibc.
PYTHON, GLIBC_MINOR = "3.11", 36
#: Python's names of the platforms' architectures.
MACHINES = {"linux/arm/v7": "armv7l", "linux/arm64": "aarch64", "linux/amd64": "x86_64"}
_OLDEST_GLIBC = {"linux/arm/v7": 17, "linux/arm64": 17, "linux/amd64": 5}
_MISSING = re.compile(r"No matching distribution found for (\S+)")
FETCH_TIMEOUT_S = 600


def tree(lock: Path, platform: str, target: str, cache: Path) -> Tree:
    """The packages of a lock, as an installer would put them into the folder `target` of an image.

    Raises:
        BadInputError: there is no lock, or a package of it has no wheel for the platform.
        PewError: pip is not there, or the packages cannot be fetched.
    """
    if not lock.is_file():
        raise BadInputError(f"There is no lock of Python packages {lock.name}", hint="check 'wheels'")
    cache.mkdir(parents=True, exist_ok=True)
    found = Tree()
    with tempfile.TemporaryDirectory(dir=cache, prefix="wheels-") as folder:
        _download(lock, platform, Path(folder))
        for wheel in sorted(Path(folder).glob("*.whl")):
            _unpack(wheel, found, target)
    return found


def tags(platform: str) -> list[str]:
    """The platform tags (PEP 600) of wheels that run on Debian 12."""
    machine = MACHINES[platform]
    old = ["manylinux2014"] if _OLDEST_GLIBC[platform] == 17 else ["manylinux2014", "manylinux2010", "manylinux1"]
    names = [f"manylinux_2_{minor}" for minor in range(GLIBC_MINOR, _OLDEST_GLIBC[platform] - 1, -1)]
    return [f"{name}_{machine}" for name in (*names, *old, "linux")]


def _download(lock: Path, platform: str, folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--require-hashes", "--no-deps", "--only-binary=:all:", "--python-version", PYTHON]
    command += ["--implementation=cp", f"--abi=cp{PYTHON.replace('.', '')}", "--abi=abi3", "--abi=none"]
    command += [f"--platform={tag}" for tag in tags(platform)]
    command += ["--dest", str(folder), "--requirement", str(lock)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=FETCH_TIMEOUT_S
        )
    except subprocess.TimeoutExpired as error:
        raise PewError(f"The Python packages did not come within {FETCH_TIMEOUT_S} s", hint="try again") from error
    if done.returncode == 0:
        return
    if missing := _MISSING.search(done.stderr):
        raise BadInputError(
            f"{missing[1]} has no wheel for {platform} (or PyPI cannot be reached)",
            hint="leave the platform out, or take another package",
        )
    if "DO NOT MATCH THE HASHES" in done.stderr:
        raise PewError(
            f"PyPI, or a mirror, sends another package than {lock.name} names",
            hint="lock again, if the package was replaced on purpose",
        )
    said = next((line for line in done.stderr.splitlines() if line.startswith("ERROR:")), done.stderr.strip()[-200:])
    said = re.sub(r"\bhttps?://\S+", "the index", said)
    raise PewError(f"The Python packages of {lock.name} cannot be fetched: {said}", hint="check the network and pip")


def _unpack(wheel: Path, found: Tree, target: str) -> None:
    """Unpack as PEP 427 says, less scripts and headers: programs start as modules."""
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            if entry.is_dir():
                continue
            parts = entry.filename.split("/")
            if parts[0].endswith(".data"):
                if parts[1] not in ("purelib", "platlib"):
                    continue
                parts = parts[2:]
            found.file(f"{target}/{'/'.join(parts)}", archive.read(entry))
