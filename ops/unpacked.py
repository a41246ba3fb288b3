"""Servers' programs from Debian packages for trials and tests: unpacked below build/tools, nothing installed."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ops.console import SetupError
from ops.engine import TOOLS, unpack


@dataclass(frozen=True)
class Program:
    """A program, and the environment in which it finds the libraries that came with it."""

    path: Path
    env: dict[str, str]


def ensure_program(name: str, program: str, packages: Sequence[str]) -> Program:
    """The program on PATH, or unpacked from Debian's packages.

    Args:
        name: the folder below build/tools.
        program: its path in the package, as "usr/sbin/haproxy".
        packages: the one that holds it, and libraries that a small system lacks.

    Raises:
        SetupError: it is not here and cannot be had, with the way out.
    """
    word = Path(program).name
    found = shutil.which(word, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))
    if found:
        return Program(Path(found), {})
    folder = TOOLS / name
    TOOLS.mkdir(parents=True, exist_ok=True)
    with (TOOLS / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / program).exists():
            _unpack(folder, word, packages)
    libraries = [str(path) for path in folder.glob("usr/lib/*-linux-*") if path.is_dir()]
    inherited = [path for path in [os.environ.get("LD_LIBRARY_PATH")] if path]
    return Program(folder / program, {"LD_LIBRARY_PATH": os.pathsep.join([*libraries, *inherited])})


def _unpack(folder: Path, word: str, packages: Sequence[str]) -> None:
    way = f"install {word} and put it on PATH"
    if shutil.which("apt-get") is None:
        raise SetupError(f"{word} is not installed", way)
    with tempfile.TemporaryDirectory(dir=TOOLS) as draft:
        try:
            unpack(Path(draft), *packages)
        except SetupError as error:
            raise SetupError(
                f"{word} is not installed, and Debian's packages cannot be had: {error.message}", way
            ) from error
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (Path(draft) / "usr").rename(folder / "usr")
