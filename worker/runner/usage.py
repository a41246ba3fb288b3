"""How much lies in folders that a stranger fills, and who ends a program that fills them too far.

Standard library only: the process beside each sandbox uses it too.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

#: How deep folders may lie in folders.
MAX_DEPTH = 32
#: Seconds between two looks: while nothing grows, and at least.
_CALM, _QUICK = 0.05, 0.005
#: Looking may take at most this part of a processor.
_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Usage:
    """What lies in a folder: entries of any kind, and the larger of apparent and allocated bytes."""

    entries: int
    size: int


def usage(root: Path, max_entries: int) -> Usage:
    """Count what is in a folder without following links, and stop counting beyond `max_entries`.

    Folders too deep to look at, or closed to us, count as too much: else they would hold what nobody counts.
    """
    entries = size = 0
    folders = [(str(root), 0)]
    while folders and entries <= max_entries:
        path, depth = folders.pop()
        try:
            with os.scandir(path) as found:
                for entry in found:
                    entries += 1
                    if entries > max_entries:
                        break
                    try:
                        info = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    if not stat.S_ISDIR(info.st_mode):
                        size += max(info.st_size, info.st_blocks * 512)
                    elif depth < MAX_DEPTH:
                        folders.append((entry.path, depth + 1))
                    else:
                        entries = max_entries + 1
                        break
        except (FileNotFoundError, NotADirectoryError):  # gone or replaced meanwhile
            continue
        except OSError:
            entries = max_entries + 1
    return Usage(entries, size)


class Meter:
    """Looks at folders again and again, the quicker the faster they grow.

    Args:
        folders: each may hold up to
        max_bytes: bytes, and
        max_entries: entries.
        nameless: how many bytes more there are that no folder shows.
    """

    def __init__(
        self, folders: Sequence[Path], max_bytes: int, max_entries: int, nameless: Callable[[], int] = lambda: 0
    ) -> None:
        self._folders, self._nameless = folders, nameless
        self._max_bytes, self._max_entries = max_bytes, max_entries
        self._sizes = [0] * (len(folders) + 1)
        self._looked = time.monotonic()
        self.pause = _QUICK

    def exceeded(self) -> bool:
        """Look once, and set `pause`, the seconds until the next look."""
        began = time.monotonic()
        calm = _CALM
        found = [usage(folder, self._max_entries) for folder in self._folders]
        for number, used in enumerate((*found, Usage(0, self._nameless()))):
            if used.size > self._max_bytes or used.entries > self._max_entries:
                return True
            rate = (used.size - self._sizes[number]) / max(began - self._looked, 1e-6)
            self._sizes[number] = used.size
            if rate > 0:
                calm = min(calm, (self._max_bytes - used.size) / rate / 2)
        self._looked = began
        self.pause = max(calm, _QUICK, (time.monotonic() - began) / _SHARE)
        return False


class Watch:
    """A thread that calls `kill` as soon as folders hold too much; a context manager."""

    def __init__(self, meter: Meter, kill: Callable[[], None]) -> None:
        self._meter, self._kill = meter, kill
        self._over = threading.Event()
        self._exceeded = threading.Event()
        self._thread = threading.Thread(target=self._body, name="watch", daemon=True)

    def __enter__(self) -> Callable[[], bool]:
        self._thread.start()
        return self._exceeded.is_set

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _body(self) -> None:
        while not self._over.wait(self._meter.pause):
            if self._meter.exceeded():
                self._exceeded.set()
                self._kill()
                return
