"""A release: what a device runs, as one archive whose name is its content."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from dataclasses import dataclass
from pathlib import Path

from poco.errors import BadInputError

PACKAGES = ("worker", "poco", "chain", "oci")
LOCK, SENSORS_LOCK = "requirements-worker.txt", "requirements-sensors.txt"
ANSIBLE_LOCK = "requirements-ansible.txt"
_LEFT_OUT = ("__pycache__", ".pyc")


@dataclass(frozen=True, slots=True)
class Release:
    """`digest`: 16 hexadecimal digits of the sha256 of the tar; `path`: the archive, .tar.gz."""

    digest: str
    path: Path

    @property
    def sha1(self) -> str:
        """Of the archive's bytes, as Ansible compares them after the copy."""
        return hashlib.sha1(self.path.read_bytes()).hexdigest()  # noqa: S324  (the content is checked by its sha256)


def build(root: Path, folder: Path) -> Release:
    """Pack the checkout's worker into `<folder>/<digest>.tar.gz`: the same files, the same bytes.

    Raises:
        BadInputError: that is no checkout of the project.
    """
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in _files(root):
            entry = tarfile.TarInfo(path.relative_to(root).as_posix())
            content = path.read_bytes()
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
    digest = hashlib.sha256(raw.getvalue()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{digest}.tar.gz"
    path.write_bytes(gzip.compress(raw.getvalue(), mtime=0))
    return Release(digest, path)


def venv_name(release: Release, locks: list[str]) -> str:
    """What an environment is named on a device: releases with the same locks share it."""
    total = hashlib.sha256()
    with tarfile.open(release.path) as tar:
        for lock in locks:
            file = tar.extractfile(lock)
            total.update(lock.encode() + b"\0" + (file.read() if file else b"") + b"\0")
    return total.hexdigest()[:12]


def _files(root: Path) -> list[Path]:
    wanted = [root / LOCK, root / SENSORS_LOCK, root / ANSIBLE_LOCK]
    if not all(path.is_file() for path in wanted):
        raise BadInputError(f"{root} is no checkout of the project", hint="call pew fleet in one, or name it: --source")
    for package in PACKAGES:
        wanted += [
            path
            for path in (root / package).rglob("*")
            if path.is_file() and not any(part.endswith(_LEFT_OUT) for part in path.parts)
        ]
    return sorted(wanted)
