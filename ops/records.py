"""Who a process is, so that a recycled pid is never taken for it, and the file that remembers what a run started."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Record:
    """One started process.

    Attributes:
        name: its name in the run.
        pid: also its process group's id.
        started: the kernel's start time, see `start_mark`.
        argv: the command as it was asked for.
        cmdline: the command as the kernel shows it (a script's has its interpreter in front).
    """

    name: str
    pid: int
    started: str
    argv: list[str]
    cmdline: list[str]

    def is_running(self) -> bool:
        """Whether this very process runs: same pid, same start, same command line."""
        if start_mark(self.pid) != self.started:
            return False
        now = command_line(self.pid)
        arguments = self.argv[1:]
        return now == self.cmdline or (bool(arguments) and now[-len(arguments) :] == arguments)


def observe(name: str, pid: int, argv: list[str]) -> Record:
    """The record of a process as it is now."""
    return Record(name, pid, start_mark(pid) or "", argv, command_line(pid))


def start_mark(pid: int) -> str | None:
    """When a process started, in a form that no later process can have; None when there is no such process.

    On Linux: the boot's id and the start in clock ticks since boot (`starttime` of proc(5)), which no change of the
    wall clock moves; elsewhere psutil's creation time.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        # the command's name, in parentheses, may itself hold blanks and parentheses
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] == "Z" else f"{boot}:{fields[19]}"
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
    except ProcessLookupError:
        return None
    try:
        return f"{psutil.Process(pid).create_time():.2f}"
    except psutil.Error:
        return None


def command_line(pid: int) -> list[str]:
    """The command line of a process; empty when there is none or it may not be seen."""
    try:
        return list(psutil.Process(pid).cmdline())
    except psutil.Error:
        return []


def read_records(path: Path) -> list[Record]:
    """The records of a run; none when there is no file, or one that was cut off by a crash."""
    try:
        return [Record(**each) for each in json.loads(path.read_text())]
    except (OSError, ValueError, TypeError):
        return []


def write_records(path: Path, records: list[Record]) -> None:
    """Replace the file in one step."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps([asdict(each) for each in records], indent=1))
    partial.replace(path)
