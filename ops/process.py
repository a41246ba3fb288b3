"""One supervised process: started in a group of its own, bound to its parent's life, ended with all it started."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from ops.ports import answers
from poco.errors import PewError

Ready = Callable[[], bool] | str | int
STOP_SECONDS = 10.0
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Process:
    """A running process; `pid` is also the id of its process group, `log` holds all it prints."""

    def __init__(self, name: str, popen: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.log = log
        self.pid = popen.pid
        self._popen = popen
        self._group_ended = False

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.exit_code is None

    @property
    def exit_code(self) -> int | None:
        """Its exit code (negative: the signal that ended it); None while it runs."""
        code = self._popen.poll()
        if code is not None:
            self._end_group()
        return code

    @property
    def ending(self) -> str:
        """How it ended, in words."""
        code = self.exit_code
        return f"by signal {signal.Signals(-code).name}" if code is not None and code < 0 else f"with exit code {code}"

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it ends; return its exit code. Raises `subprocess.TimeoutExpired`."""
        code = self._popen.wait(timeout)
        self._end_group()
        return code

    def stop(self, timeout: float = STOP_SECONDS) -> None:
        """End it and all it started: SIGTERM to the group, SIGKILL to what is left after `timeout` seconds."""
        if self.alive:
            signal_group(self.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self.wait(timeout)
        self.kill()

    def kill(self) -> None:
        """End it and all it started at once, as a power cut would."""
        self._end_group()
        self._popen.wait()

    def _end_group(self) -> None:
        """Once: when the process is known to have ended, its number may soon be that of a stranger's group."""
        if not self._group_ended:
            self._group_ended = True
            signal_group(self.pid, signal.SIGKILL)

    def last_lines(self, count: int = 15) -> str:
        """The end of its log, indented; long lines are cut."""
        try:
            lines = self.log.read_text(errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join("    " + line[:240] for line in lines[-count:])


def spawn(name: str, argv: list[str], env: dict[str, str], cwd: Path, log: Path) -> Process:
    """Fork a process that, on Linux, gets SIGTERM when the calling thread dies, however that happens.

    Raises:
        PewError: the command is not there or may not be run.
    """
    parent = os.getpid()
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def end_with_parent() -> None:
        if libc is not None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:  # it died before the kernel was told
                os._exit(1)

    with log.open("ab") as output:
        try:
            popen = subprocess.Popen(
                argv,
                env=env,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=end_with_parent,  # noqa: PLW1509  (only calls the kernel, takes no lock)
            )
        except OSError as error:
            raise PewError(f"{name} cannot be started: {error}", hint="run `make setup`") from error
    return Process(name, popen, log)


def port_of(ready: Ready | None) -> int | None:
    """The loopback port that a readiness test asks, where it can be known."""
    if isinstance(ready, str):
        return urlsplit(ready).port
    return ready if isinstance(ready, int) else None


def is_ready(ready: Ready | None) -> bool:
    """Whether a port accepts, a URL answers without a 5xx, or a function returns True (raising: not yet)."""
    if isinstance(ready, int):
        return answers(ready)
    try:
        if isinstance(ready, str):
            with urllib.request.urlopen(ready, timeout=2):  # noqa: S310  (a URL of our own)
                return True
        return ready is None or ready()
    except urllib.error.HTTPError as error:
        return error.code < 500
    except Exception:
        return False


def signal_group(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process group; one that is gone is no error."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
