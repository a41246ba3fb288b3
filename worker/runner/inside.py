"""What a program finds in its container, whatever runtime made it."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

#: Where a program finds its checkpoint folder: the value of IEXEC_CHECKPOINT.
CHECKPOINT = "/iexec_checkpoint"
#: What every container mounts.
PLACES = ("/proc", "/dev", "/tmp", "/iexec_in", "/iexec_out", CHECKPOINT)  # noqa: S108
HOSTNAME = "worker"
#: Bytes of /dev/shm; open files of a program.
SHM_BYTES, OPEN_FILES = 1_048_576, 256
_MAX_VOLUMES = 16


def volumes(declared: Iterable[str]) -> list[str]:
    """The folders that an image declares as VOLUME and that are not ours: each becomes a small tmpfs, since a volume
    would be written as root and outlive the read-only root."""
    clean = dict.fromkeys(posixpath.normpath("/" + path.lstrip("/")) for path in sorted(declared))
    ours = (*PLACES, "/sys")
    free = [path for path in clean if path != "/" and not any(f"{path}/".startswith(f"{own}/") for own in ours)]
    return free[:_MAX_VOLUMES]


def environment(told: dict[str, str]) -> dict[str, str]:
    """What a program is told: iExec's variables and our own."""
    return {**told, "IEXEC_CHECKPOINT": CHECKPOINT}
