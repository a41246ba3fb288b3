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

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._popen.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Its exit code (negative: the signal that ended it); None while it runs."""
        return self._popen.poll()

    @property
    def ending(self) -> str:
        """How it ended, in words."""
        code = self.exit_code
        return f"by signal {signal.Signals(-code).name}" if code is not None and code < 0 else f"with exit code {code}"

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it ends; return its exit code. Raises `subprocess.TimeoutExpired`."""
        return self._popen.wait(timeout)

    def stop(self, timeout: float = STOP_SECONDS) -> None:
        """End it and all it started: SIGTERM to the group, SIGKILL to what is left after `timeout` seconds."""
        if self.alive:
            signal_group(self.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._popen.wait(timeout)
        self.kill()

    def kill(self) -> None:
        """End it and all it started at once, as a power cut would."""
        signal_group(self.pid, signal.SIGKILL)
        self._popen.wait()

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
