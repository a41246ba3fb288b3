"""A run's local processes, started together and ended together, whatever happens: `Stack`.

Nothing outlives its run: the processes end with the block, on an exception, on Ctrl-C, SIGTERM and SIGHUP, at the
interpreter's exit and, on Linux, by the kernel when the parent is killed. What still survives (a crash elsewhere than
on Linux, a child that ignores SIGTERM) is named in `<run_dir>/processes.json`; the next run, or
`python -m ops.stack stop`, ends it.
"""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Any, Self

from ops.console import ROOT
from ops.ports import holder, is_free
from ops.process import STOP_SECONDS, Process, Ready, is_ready, port_of, signal_group, spawn
from ops.records import Record, observe, read_records, write_records
from poco.errors import BadInputError, PewError

RUN_LABEL = "pew.run"
RUN_VARIABLE = "PEW_RUN"
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stack:
    """The processes of one run.

    Args:
        run_dir: logs, records and the lock of the run; created when missing. One live run per folder. What an earlier
            run left there running is ended first.
        handle_signals: turn SIGTERM and SIGHUP into an orderly end of the program (main thread only).
        say: takes the sentences for people; by default they go to stderr.

    Raises:
        BadInputError: another run that is alive uses the folder.
    """

    def __init__(self, run_dir: Path, *, handle_signals: bool = True, say: Callable[[str], None] | None = None) -> None:
        self.run_dir = run_dir.resolve()
        self.logs = self.run_dir / "logs"
        self.run_id = run_id(self.run_dir)
        self.processes: dict[str, Process] = {}
        self._records: dict[str, Record] = {}
        self._guard = threading.RLock()
        self._lock = _take_lock(self.run_dir)
        _end_recorded(self.run_dir, say or _say_on_stderr)
        shutil.rmtree(self.logs, ignore_errors=True)
        self.logs.mkdir(parents=True)
        # the kernel binds a child's life to the *thread* that forked it: this one lives as long as the run
        self._spawner = ThreadPoolExecutor(1, thread_name_prefix="spawner")
        self._old_handlers: dict[signal.Signals, Any] = {}
        if handle_signals and threading.current_thread() is threading.main_thread():
            for number in _STOP_SIGNALS:
                self._old_handlers[number] = signal.signal(number, _end_on_signal)
        atexit.register(self.stop)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(
        self,
        name: str,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        ready: Ready | None = None,
        timeout: float = 60,
    ) -> Process:
        """Start a process in a group of its own and wait until it is ready.

        Args:
            name: of the process and of its log, `<run_dir>/logs/<name>.log`; free again when the process was stopped.
            argv: the command.
            env: added to this program's environment; all processes also get `PEW_RUN`, the run's id.
            cwd: where it runs; the project's folder by default.
            ready: a loopback port that must accept, a URL on loopback that must answer without a 5xx, or a function
                that must return True (what it raises counts as not yet); None: ready at once.
            timeout: seconds until it must be ready.

        Raises:
            PewError: its port is taken, it cannot be started, ended early or was not ready in time; with its last lines
        """
        port = port_of(ready)
        if port is not None and not is_free(port):
            raise PewError(f"port {port} for {name} is taken by {holder(port)}", hint="end it, or choose another port")
        with self._guard:
            if name in self.processes:
                raise PewError(f"{name} was started already (pid {self.processes[name].pid})")
            words = [str(word) for word in argv]
            full_env = {**os.environ, **(env or {}), RUN_VARIABLE: self.run_id}
            self._spawner.submit(self._spawn, name, words, full_env, cwd or ROOT).result()
            process = self.processes[name]
        self._wait_until_ready(process, ready, timeout)
        with self._guard:
            if name in self._records:  # a script's interpreter may have replaced the command line meanwhile
                self._records[name] = observe(name, process.pid, words)
                self._write()
        return process

    def check(self) -> None:
        """Raise a `PewError` with its last lines when a process that should run has ended."""
        for process in list(self.processes.values()):
            if not process.alive:
                raise _ended(process, "unexpectedly")

    def stop_process(self, name: str, *, kill: bool = False) -> None:
        """End one process (`kill`: at once, as a power cut would) and forget it; one that is not there is no error."""
        with self._guard:
            process = self.processes.get(name)
            if process is None:
                return
            if kill:
                process.kill()
            else:
                process.stop()
            self.processes.pop(name)
            self._records.pop(name, None)
            self._write()

    def stop(self) -> None:
        """End all processes in reverse order and remove the run's containers; may be called again."""
        with self._guard, _signals_ignored():
            if self._lock.closed:
                return
            self._spawner.submit(int).result()  # a start that was interrupted has forked by now, or never will
            for name in reversed(list(self.processes)):
                self.stop_process(name)
            remove_containers(self.run_id)
            self._spawner.shutdown()
            self._lock.close()
            atexit.unregister(self.stop)
        if threading.current_thread() is threading.main_thread():
            for number, handler in self._old_handlers.items():
                signal.signal(number, handler)

    def _spawn(self, name: str, argv: list[str], env: dict[str, str], cwd: Path) -> None:
        process = spawn(name, argv, env, cwd, self.logs / f"{name}.log")
        self.processes[name] = process
        self._records[name] = observe(name, process.pid, argv)
        self._write()

    def _write(self) -> None:
        write_records(self.run_dir / "processes.json", list(self._records.values()))

    def _wait_until_ready(self, process: Process, ready: Ready | None, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not is_ready(ready) or not process.alive:
            if not process.alive:
                self.stop_process(process.name)
                raise _ended(process, "while it was starting")
            if time.monotonic() > deadline:
                self.stop_process(process.name)
                raise PewError(
                    f"{process.name} was not ready after {timeout:.0f} s\n{process.last_lines()}",
                    hint=f"its whole log: {process.log}",
                )
            time.sleep(0.05)


def run_id(run_dir: Path) -> str:
    """The id of the runs of a folder: its name and a hash of its path; the value of the containers' label `pew.run`."""
    return f"{run_dir.name}-{hashlib.sha256(str(run_dir.resolve()).encode()).hexdigest()[:8]}"


def stop_stale(run_dir: Path, say: Callable[[str], None] | None = None) -> int:
    """End what an earlier run in `run_dir` left running; return how many processes that were.

    Raises:
        BadInputError: the run is alive (its program holds the folder's lock).
    """
    if not run_dir.is_dir():
        return 0
    lock = _take_lock(run_dir)
    try:
        return _end_recorded(run_dir, say or _say_on_stderr)
    finally:
        lock.close()


def remove_containers(run: str) -> int:
    """Remove all containers that carry the run's label; return how many. Without an engine there are none."""
    if shutil.which("docker") is None:
        return 0
    try:
        listed = ["docker", "ps", "-aq", "--filter", f"label={RUN_LABEL}={run}"]
        ids = subprocess.run(listed, capture_output=True, text=True, check=True, timeout=30).stdout.split()
        if ids:
            subprocess.run(["docker", "rm", "-fv", *ids], capture_output=True, check=False, timeout=120)
    except (subprocess.SubprocessError, OSError):
        return 0
    return len(ids)


def _end_recorded(run_dir: Path, say: Callable[[str], None]) -> int:
    """End the processes of the records that are still the same ones, then their containers, then the records."""
    path = run_dir / "processes.json"
    stale = [each for each in reversed(read_records(path)) if each.is_running()]
    for each in stale:
        say(f"ending {each.name} (pid {each.pid}), left running by an earlier run")
        signal_group(each.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while any(each.is_running() for each in stale) and time.monotonic() < deadline:
        time.sleep(0.05)
    for each in stale:
        if each.is_running():
            signal_group(each.pid, signal.SIGKILL)
    if path.exists():
        containers = remove_containers(run_id(run_dir))
        if containers:
            say(f"removed {containers} containers left by an earlier run")
        path.unlink()
    return len(stale)


def _take_lock(run_dir: Path) -> IO[str]:
    run_dir.mkdir(parents=True, exist_ok=True)
    handle = (run_dir / "lock").open("a+")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        handle.seek(0)
        owner = handle.read().strip()
        handle.close()
        raise BadInputError(
            f"another run (pid {owner}) is using {run_dir}", hint=f"wait until it ends, or end it: kill {owner}"
        ) from error
    handle.truncate(0)
    handle.write(str(os.getpid()))
    handle.flush()
    return handle


def _ended(process: Process, when: str) -> PewError:
    return PewError(
        f"{process.name} ended {when}, {process.ending}\n{process.last_lines()}",
        hint=f"its whole log: {process.log}",
    )


def _end_on_signal(number: int, _frame: FrameType | None) -> None:
    if number == signal.SIGINT:  # also where the shell started us with SIGINT ignored
        raise KeyboardInterrupt
    raise SystemExit(128 + number)


@contextmanager
def _signals_ignored() -> Iterator[None]:
    """Let an impatient second Ctrl-C not stop the stopping."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    old = {number: signal.signal(number, signal.SIG_IGN) for number in _STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def _say_on_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """`python -m ops.stack stop`: end what earlier runs left, in all folders below build/."""
    if sys.argv[1:] != ["stop"]:
        print("usage: python -m ops.stack stop", file=sys.stderr)
        return 2
    try:
        for path in sorted((ROOT / "build").glob("*/processes.json")):
            stop_stale(path.parent)
    except PewError as error:
        print(f"error: {error.message}\nhint:  {error.hint}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
