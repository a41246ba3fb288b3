"""The processes of a sandbox, from outside: who they are, what they hold, pausing them. Standard library only."""

from __future__ import annotations

import os
import re
import signal
import stat
from contextlib import suppress
from pathlib import Path

_ROUNDS = 50
#: proc(5), maps: addresses, rights, offset, device, inode, path.
_DELETED = re.compile(rb"^(\w+)-(\w+) \S+ \w+ (\w+):(\w+) (\d+) +/.*\(deleted\)$", re.MULTILINE)
_ANONYMOUS = re.compile(rb"^(?:RssAnon|RssShmem):\s+(\d+)", re.MULTILINE)
_SHARES = re.compile(rb"^(?:Pss_Anon|Pss_Shmem):\s+(\d+)", re.MULTILINE)


def descendants(pid: int) -> list[int]:
    """All processes below one, parents first. The first process of a PID namespace has all others below it."""
    found, waiting = [], [pid]
    while waiting:
        for tasks in _listed(f"/proc/{waiting.pop()}/task"):
            below = [int(each) for each in _read(f"{tasks}/children").split()]
            found += below
            waiting += below
    return found


def memory(pid: int, enough: int) -> int:
    """Bytes that the processes below `pid` hold and that are not a file's: where that seems more than `enough`,
    what several share is counted once."""
    processes = descendants(pid)
    held = sum(_sum(_ANONYMOUS, f"/proc/{each}/status") for each in processes)
    return held if held <= enough else sum(_sum(_SHARES, f"/proc/{each}/smaps_rollup") for each in processes)


def deleted(pid: int, device: int) -> int:
    """Bytes on a file system (`st_dev`) that have no name any more and live because `pid` or processes below it hold
    them open or mapped: no walk through folders finds those."""
    sizes: dict[int, int] = {}
    for each in (pid, *descendants(pid)):
        for handle in _listed(f"/proc/{each}/fd"):
            with suppress(OSError):
                info = handle.stat()
                if info.st_nlink == 0 and info.st_dev == device and stat.S_ISREG(info.st_mode):
                    sizes[info.st_ino] = info.st_blocks * 512
        for begin, end, major, minor, inode in _DELETED.findall(_read(f"/proc/{each}/maps")):
            if os.makedev(int(major, 16), int(minor, 16)) == device:
                length = int(end, 16) - int(begin, 16)
                sizes[int(inode)] = max(sizes.get(int(inode), 0), length)
    return sum(sizes.values())


def paused(pid: int) -> bool:
    """Whether all processes below `pid` stand still (and there are some)."""
    states = [_state(each) for each in descendants(pid)]
    return any(state == b"T" for state in states) and all(state in b"TZX" for state in states)


def pause(pid: int) -> None:
    """Stop all processes below `pid`; again, for those that were born meanwhile."""
    for _ in range(_ROUNDS):
        awake = [each for each in descendants(pid) if _state(each) not in b"TZX"]
        if not awake:
            return
        for each in awake:
            _signal(each, signal.SIGSTOP)


def resume(pid: int) -> None:
    """Let all processes below `pid` go on."""
    for each in descendants(pid):
        _signal(each, signal.SIGCONT)


def marked(mark: str) -> list[int]:
    """All processes that have the text `NAME=value` in the environment they were started with."""
    wanted = mark.encode()
    return [int(each.name) for each in _listed("/proc") if each.name.isdigit() and wanted in _environment(each)]


def kill(pid: int) -> None:
    """End a process; one that is gone is no error."""
    _signal(pid, signal.SIGKILL)


def _environment(process: Path) -> list[bytes]:
    return _read(f"{process}/environ").split(b"\0")


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _state(pid: int) -> bytes:
    """The letter of proc(5): T stopped, Z and X ended; X also for a process that is gone."""
    after_name = _read(f"/proc/{pid}/stat").rpartition(b") ")[2]
    return after_name[:1] or b"X"


def _sum(pattern: re.Pattern[bytes], path: str) -> int:
    return sum(int(found) for found in pattern.findall(_read(path))) * 1024


def _listed(folder: str) -> list[Path]:
    try:
        return list(Path(folder).iterdir())
    except OSError:
        return []


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""
