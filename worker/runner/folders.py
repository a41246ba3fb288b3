"""The folders of a task on this machine."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from poco.hexes import bytes32

#: Who a container runs as when the worker itself is root ("nonroot" in distroless images).
NOBODY = 65532
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


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
    """Remove a tree that a stranger filled, however deep, without following links or leaving what he has closed.

    What lies in a folder is moved up to the top before the folder goes, so that no path and no recursion gets long.
    """
    if folder.is_symlink() or not folder.exists():
        folder.unlink(missing_ok=True)
        return
    folder.chmod(0o700)
    top = os.open(folder, _FOLDER)
    try:
        moved, prefix = 0, f".{secrets.token_hex(8)}-"  # a name that nothing there has
        while names := os.listdir(top):  # noqa: PTH208  (of a descriptor)
            for name in names:
                if not _is_folder(name, top):
                    os.unlink(name, dir_fd=top)
                    continue
                inside = _opened(name, top)
                try:
                    for child in os.listdir(inside):  # noqa: PTH208
                        if _is_folder(child, inside):
                            os.close(_opened(child, inside))
                        moved += 1
                        os.rename(child, f"{prefix}{moved}", src_dir_fd=inside, dst_dir_fd=top)
                finally:
                    os.close(inside)
                os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)
    folder.rmdir()


def _is_folder(name: str, parent: int) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)


def _opened(name: str, parent: int) -> int:
    """A descriptor of a folder that its owner may read and change from now on."""
    os.chmod(name, 0o700, dir_fd=parent)
    return os.open(name, _FOLDER, dir_fd=parent)
