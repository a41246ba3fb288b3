"""The folders of a task on this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from poco.hexes import bytes32

#: Who a container runs as when the worker itself is root ("nonroot" in distroless images).
NOBODY = 65532


def container_user() -> tuple[int, int]:
    """uid and gid of the programs: never root."""
    return (NOBODY, NOBODY) if os.geteuid() == 0 else (os.geteuid(), os.getegid())


class TaskFolder:
    """`<tasks>/<task id>/` with `in`, `out`, `checkpoint` and `result.zip`; nobody else on this machine may enter it.

    `checkpoint` outlives the attempts at one run: a program that was cut off finds there what it left.
    """

    def __init__(self, tasks: Path, task_id: str) -> None:
        self.root = tasks / bytes32(task_id)
        self.inputs = self.root / "in"
        self.out = self.root / "out"
        self.checkpoint = self.root / "checkpoint"
        self.zip = self.root / "result.zip"

    def make(self) -> None:
        """Make what is missing."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o700)
        self.inputs.mkdir(exist_ok=True)
        self.inputs.chmod(0o755)
        for folder in (self.out, self.checkpoint):
            _for_the_program(folder)

    @property
    def has_checkpoint(self) -> bool:
        """Whether the program has left anything to go on from."""
        return self.checkpoint.is_dir() and any(self.checkpoint.iterdir())

    def empty_out(self) -> None:
        """A fresh `out` for another attempt."""
        _remove(self.out)
        _for_the_program(self.out)

    def drop_work(self) -> None:
        """Remove inputs, outputs and checkpoint; the zip stays."""
        for folder in (self.inputs, self.out, self.checkpoint):
            _remove(folder)

    def remove(self) -> None:
        _remove(self.root)


def _for_the_program(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    folder.chmod(0o700)
    if os.geteuid() == 0:
        os.chown(folder, *container_user())


def _remove(folder: Path) -> None:
    """Remove a tree that a stranger filled: links are not followed, folders without permissions are opened."""

    def again(call: Callable[..., Any], path: str, _: object) -> None:
        parent = Path(path).parent
        if not Path(path).is_symlink():
            parent.chmod(0o700)
        if Path(path).is_dir() and not Path(path).is_symlink():
            Path(path).chmod(0o700)
            shutil.rmtree(path, ignore_errors=True)
        else:
            call(path)

    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder, onerror=again)
