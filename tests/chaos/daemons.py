"""A scheduler or worker under faults: how it is started, where its strings are, and its own small disk."""

from __future__ import annotations

import shutil
import struct
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from chain.wallet import Wallet

#: a disk that can be filled
DISK_MB = 48
#: a process that came back works that long before it is killed at random again
SETTLED_SECONDS = 1.2


@dataclass
class Daemon:
    """A scheduler or worker: how it is started, and where its strings are."""

    name: str
    role: str
    folder: Path
    argv: list[str]
    wallet: Wallet
    #: when it may be started again (monotonic); None while it should not run
    start_at: float | None = 0.0
    deaths: int = 0
    mounted: bool = False

    @property
    def settled(self) -> bool:
        """Whether it has been at its work for a while since it was started last."""
        try:
            return time.time() - (self.folder / "ready").stat().st_mtime > SETTLED_SECONDS
        except FileNotFoundError:
            return False

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def arm(self, points: dict[str, str]) -> None:
        draft = self.folder / "armed.draft"
        draft.write_text("".join(f"{name} {target}\n" for name, target in points.items()))
        draft.rename(self.folder / "armed")

    def disarm(self) -> None:
        (self.folder / "armed").unlink(missing_ok=True)

    def hit(self) -> tuple[str, str] | None:
        """The instant it was stopped at, and who is to be killed there; once."""
        try:
            name, target = (self.folder / "hit").read_text().split()
        except FileNotFoundError:
            return None
        (self.folder / "hit").unlink()
        return name, target

    @property
    def waits(self) -> bool:
        """Whether it still stands at the instant that `hit` named last."""
        return not (self.folder / "late").exists()

    def go_on(self) -> None:
        (self.folder / "go").touch()

    def shift(self, seconds: float) -> None:
        """Let its clock be wrong."""
        with (self.folder / "clock").open("r+b") as file:
            file.write(struct.pack("d", seconds))


def mount(folder: Path) -> bool:
    """A small disk of its own for a folder; False where this user may not mount."""
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=700", "pew-chaos", str(folder)],
        capture_output=True, check=False,
    )  # fmt: skip
    return done.returncode == 0


def release(folder: Path) -> None:
    """Unmount what a campaign that was killed has left below a folder."""
    for line in Path("/proc/mounts").read_text().splitlines():
        source, where, *_ = line.split()
        if source == "pew-chaos" and Path(where).is_relative_to(folder.resolve()):
            subprocess.run(["umount", "-l", where], capture_output=True, check=False)


def unmount(folder: Path) -> None:
    """Keep what is on it, for whoever looks at a failure."""
    kept = folder.with_name("kept")
    shutil.copytree(folder, kept, dirs_exist_ok=True, ignore_dangling_symlinks=True)
    subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)
    shutil.copytree(kept, folder, dirs_exist_ok=True)
    shutil.rmtree(kept)
