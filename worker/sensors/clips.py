"""Footage in files of a minute or so: recorded, found again, and the oldest removed beyond a budget.

A file is named by its first and last instant in Unix milliseconds, and is there only when it is whole and on disk.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from worker.sensors import avi

_NAME = re.compile(r"([0-9]{13})-([0-9]{13})\.avi")
_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Clip:
    """Whole footage; instants are Unix seconds."""

    path: Path
    start: float
    end: float


class Clips:
    """The clips in a folder.

    Args:
        folder: made when missing; what a power cut left open there is removed.
        keep_mb: budget of the folder.
        read_only: leave the folder as it is; another process records there.
    """

    def __init__(self, folder: Path, keep_mb: float, *, read_only: bool = False) -> None:
        self.folder = folder
        self._keep = int(keep_mb * _MB)
        if read_only:
            return
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        for left in folder.glob("*.part"):
            left.unlink()

    def begin(self, width: int, height: int) -> avi.Writer:
        """A new clip."""
        return avi.Writer(self.folder / "open.avi", width, height)

    def end(self, writer: avi.Writer, start: float, end: float) -> Clip | None:
        """Keep a clip that began and ended then; None where it has no picture. Removes the oldest beyond the budget."""
        if not writer.frames:
            writer.abandon()
            return None
        name = f"{round(start * 1000):013d}-{round(end * 1000):013d}.avi"
        path = writer.finish(round((end - start) / writer.frames * 1e6), self.folder / name)
        self.prune()
        return Clip(path, start, end)

    def all(self) -> list[Clip]:
        """All whole clips, the oldest first."""
        found = []
        for path in self.folder.iterdir() if self.folder.exists() else ():
            match = _NAME.fullmatch(path.name)
            if match is not None:
                found.append(Clip(path, int(match[1]) / 1000, int(match[2]) / 1000))
        return sorted(found, key=lambda clip: clip.start)

    def after(self, instant: float) -> Clip | None:
        """The oldest clip that began later than that."""
        return next((clip for clip in self.all() if clip.start > instant), None)

    def latest(self, seconds: float, now: float, clip_seconds: float) -> list[Clip]:
        """The newest clips that together are that long, oldest first; none where the newest is not fresh.

        Args:
            seconds: how much is wanted.
            now: Unix seconds.
            clip_seconds: how long a clip is: the newest whole one ended at most two of them ago.
        """
        chosen: list[Clip] = []
        for clip in reversed(self.all()):
            if not chosen and clip.end < now - 2 * clip_seconds - 5:
                break
            if sum(each.end - each.start for each in chosen) >= seconds:
                break
            chosen.append(clip)
        return chosen[::-1]

    def prune(self) -> None:
        """Remove the oldest until the rest is within the budget."""
        clips = self.all()
        sizes = {clip.path: clip.path.stat().st_size for clip in clips}
        total = sum(sizes.values())
        for clip in clips[:-1]:
            if total <= self._keep:
                break
            with suppress(FileNotFoundError):
                clip.path.unlink()
            total -= sizes[clip.path]


def join(clips: list[Clip], target: Path, width: int, height: int) -> int:
    """One AVI of several clips; returns how many pictures it has."""
    span = sum(clip.end - clip.start for clip in clips)
    with avi.Writer(target, width, height) as writer:
        for clip in clips:
            for picture in avi.frames(clip.path):
                writer.add(picture)
        pictures = writer.frames
        if pictures:
            writer.finish(round(span / pictures * 1e6))
    return pictures
