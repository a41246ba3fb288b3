"""The process beside each sandbox: `python -m worker.runner.shim <run folder> <descriptor of its lock>`.

It starts bubblewrap, keeps the end of what the program writes, ends what holds too much, and writes down how it ended.
It is small (standard library only), because it lives as long as the program, and apart from the worker, so that the
program outlives a worker that is killed. When the shim itself dies, bubblewrap dies with it: nothing stays unwatched.

The run folder holds `spec.json` (what to do, see `Spec`), `lock` (held by the shim and by bubblewrap: free when nothing
runs any more), `state.json` (once it runs), `stdout` and `stderr` (the end of each), `end.json` (how it ended).
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import random
import resource
import selectors
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.runner import processes
from worker.runner.usage import Meter

LOG_BYTES = 400_000
#: In the environment of bubblewrap: the name of its run folder.
MARK = "PEW_SANDBOX"
_START_SECONDS = 30.0
_TICK_SECONDS = 0.1
_FLUSH_SECONDS = 2.0
_DRAIN_SECONDS = 2.0
_CHUNK = 65_536
#: A program that writes without end is read at 32 MB/s.
_THROTTLE_SECONDS = 0.002
_MOUNT_POINT = Path("/tmp")  # noqa: S108  (in a mount namespace of its own)
_FOR_SYSTEMD = ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_CLONE_NEWNS, _MS_NOSUID, _MS_NODEV, _MS_BIND, _MS_PRIVATE = 0x00020000, 2, 4, 4096, 0x40000 | 0x4000


@dataclass(frozen=True)
class Spec:
    """What the shim is told.

    `command` comes before bubblewrap's own arguments (systemd-run, where that limits memory for us); `binds` are
    (option, path, place inside), the root first; `program` is what to run. `user` is who to become when the worker is
    root. `memory` in bytes; with `data` each process is bounded too. `folders` may hold `output` bytes and `files`
    entries each. `cpu_seconds` and `processors` bound processor time; `deadline` is in Unix seconds.
    """

    command: list[str]
    options: list[str]
    binds: list[tuple[str, str, str]]
    mounts: list[str]
    program: list[str]
    user: tuple[int, int] | None
    pids: int
    memory: int
    data: int
    output: int
    files: int
    folders: list[str]
    cpu_seconds: int
    processors: float
    deadline: int


class Tail:
    """The last bytes of a stream, kept in a file."""

    def __init__(self, stream: int, path: Path) -> None:
        os.set_blocking(stream, False)
        self.stream = stream
        self._path = path
        self._kept = bytearray()
        self._changed = False

    def read(self) -> bool:
        """Take what there is; False at the end of the stream."""
        try:
            piece = os.read(self.stream, _CHUNK)
        except BlockingIOError:
            return True
        self._kept += piece
        self._changed = self._changed or bool(piece)
        if len(self._kept) > 2 * LOG_BYTES:
            del self._kept[:-LOG_BYTES]
        if len(piece) == _CHUNK:
            time.sleep(_THROTTLE_SECONDS)
        return bool(piece)

    def flush(self) -> None:
        """Write the file, whole or not at all; a full disk takes no logs."""
        if self._changed:
            with suppress(OSError):
                _write(self._path, bytes(self._kept[-LOG_BYTES:]))
                self._changed = False


class Shim:
    """One sandbox."""

    def __init__(self, folder: Path, lock: int) -> None:
        self._folder, self._lock = folder, lock
        self._spec = Spec(**json.loads((folder / "spec.json").read_bytes()))
        self._verdict: dict[str, Any] = {}
        self._pid = os.getpid()

    def run(self) -> None:
        """From the start to `end.json`."""
        out, err, status = os.pipe(), os.pipe(), os.pipe()
        gate = os.pipe()
        bwrap = self._start(out[1], err[1], status[1], gate[0])
        try:
            for handle in (out[1], err[1], status[1], gate[0]):
                os.close(handle)
            self._tails = [Tail(out[0], self._folder / "stdout"), Tail(err[0], self._folder / "stderr")]
            self._said, self._status = b"", status[0]
            self._accompany(bwrap, gate[1])
        finally:
            bwrap.kill()  # the program dies with it; it may have ended already
            code = bwrap.wait()
        self._drain()
        if code < 0:
            code = 128 - code
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        # who was refused memory ends with a code of its own choice
        out_of_memory = code != 0 and "wrote_too_much" not in self._verdict and peak > 0.8 * self._spec.memory
        started = b'"exit-code"' in self._said
        end = {"exit_code": code, "out_of_memory": out_of_memory, "started": started, "finished": time.time()}
        _write(self._folder / "end.json", json.dumps(end | self._verdict).encode(), sync=True)

    def _accompany(self, bwrap: subprocess.Popen[bytes], gate: int) -> None:
        """Let the program begin, and be with it until it and all that it left have ended."""
        first = self._await_first()
        if first is None:
            return
        handle = os.pidfd_open(first)
        self._limit(first)
        _write(self._folder / "state.json", json.dumps({"first": first, "since": time.time()}).encode())
        os.write(gate, b"!")
        self._watch(bwrap, first, handle)
        _end(first, handle)
        while piece := os.read(self._status, _CHUNK):
            self._said += piece

    def _start(self, out: int, err: int, status: int, gate: int) -> subprocess.Popen[bytes]:
        spec, kept = self._spec, [status, gate, self._lock]
        argv = [*spec.command, "bwrap", "--json-status-fd", str(status), "--block-fd", str(gate)]
        argv += ["--sync-fd", str(self._lock)]
        filters = self._folder / "seccomp"
        if filters.exists():
            kept.append(os.open(filters, os.O_RDONLY))
            argv += ["--seccomp", str(kept[-1])]
        binds = spec.binds
        if spec.user is not None:  # whom we become may not enter the worker's folders: they are brought to him
            binds = [(how, str(_MOUNT_POINT / str(n)), where) for n, (how, _, where) in enumerate(binds)]
        told = [*spec.options, *(part for bind in binds for part in bind), *spec.mounts]
        # by a descriptor: the command line of a process can be read by everybody
        arguments = os.memfd_create("arguments")
        os.write(arguments, b"".join(part.encode() + b"\0" for part in told))
        os.lseek(arguments, 0, os.SEEK_SET)
        kept.append(arguments)
        argv += ["--args", str(arguments), "--", *spec.program]
        # what it is told is all that the program can learn from /proc/1
        env = {key: os.environ[key] for key in ("PATH", *(_FOR_SYSTEMD if spec.command else ())) if key in os.environ}
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env={**env, MARK: self._folder.name},
            pass_fds=kept,
            preexec_fn=self._prepare,  # noqa: PLW1509  (this process has one thread)
            cwd="/",
        )

    def _prepare(self) -> None:
        """In the child, before bubblewrap: limits that need no privilege, and the user."""
        spec = self._spec
        for which, most in (
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_NOFILE, 256),
            (resource.RLIMIT_FSIZE, spec.output),
            (resource.RLIMIT_CPU, spec.cpu_seconds),
            *([(resource.RLIMIT_DATA, spec.data)] if spec.data else []),
        ):
            hard = resource.getrlimit(which)[1]
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)  # noqa: PLW2901
            resource.setrlimit(which, (most, most))
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")
        if spec.user is not None:
            _bring([path for _, path, _ in spec.binds])
            if not spec.command:  # systemd-run changes the user itself, after it has spoken to systemd
                _become(spec.user)
        # bubblewrap asks for the same too late to notice who died before
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != self._pid:
            os._exit(1)

    def _await_first(self) -> int | None:
        """The sandbox's first process; None where bubblewrap failed before."""
        end = time.monotonic() + _START_SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(self._status, selectors.EVENT_READ)
            while b"\n" not in self._said and time.monotonic() < end:
                if selector.select(_TICK_SECONDS):
                    piece = os.read(self._status, _CHUNK)
                    if not piece:
                        return None
                    self._said += piece
        try:
            return int(json.loads(self._said.partition(b"\n")[0])["child-pid"])
        except (ValueError, KeyError):
            return None

    def _limit(self, first: int) -> None:
        """Limits that count inside the sandbox's user namespace alone, set while it waits at the gate.

        Its own user may set them; root may not everywhere (without CAP_SYS_RESOURCE).
        """
        spec = self._spec
        setter = os.fork()
        if setter == 0:
            code = 1
            with suppress(OSError):
                _become(spec.user)
                resource.prlimit(first, resource.RLIMIT_NPROC, (spec.pids, spec.pids))
                processors = sorted(os.sched_getaffinity(0))
                most = min(len(processors), math.ceil(spec.processors))
                os.sched_setaffinity(first, random.sample(processors, most))
                code = 0
            os._exit(code)
        if os.waitpid(setter, 0)[1] != 0:
            raise PermissionError("the limits of the sandbox cannot be set")

    def _watch(self, bwrap: subprocess.Popen[bytes], first: int, handle: int) -> None:
        """Until bubblewrap ends: keep the logs, look at disk, memory and clock."""
        spec, flushed, looked, measured = self._spec, 0.0, 0.0, 0.0
        bounded = [Path(each) for each in spec.folders]
        device = bounded[0].stat().st_dev
        meter = Meter(bounded, spec.output, spec.files, lambda: processes.deleted(first, device))
        open_tails = set(self._tails)
        with selectors.DefaultSelector() as selector:
            ended = os.pidfd_open(bwrap.pid)
            selector.register(ended, selectors.EVENT_READ)
            for tail in self._tails:
                selector.register(tail.stream, selectors.EVENT_READ, tail)
            while True:
                for key, _ in selector.select(min(meter.pause, _TICK_SECONDS)):
                    if key.data is None:
                        os.close(ended)
                        return
                    if not key.data.read() and key.data in open_tails:
                        open_tails.remove(key.data)
                        selector.unregister(key.fileobj)
                now = time.monotonic()
                if now - looked >= meter.pause:
                    if meter.exceeded():
                        self._kill(handle, wrote_too_much=True)
                    looked = now
                if now - measured >= _TICK_SECONDS:
                    measured = now
                    if processes.memory(first, spec.memory) > spec.memory:
                        self._kill(handle, out_of_memory=True)
                    if time.time() > spec.deadline or not self._folder.is_dir():
                        self._kill(handle)
                if now - flushed >= _FLUSH_SECONDS:
                    flushed = now
                    for tail in self._tails:
                        tail.flush()

    def _kill(self, handle: int, **verdict: bool) -> None:
        """End the sandbox; the first reason counts."""
        self._verdict = self._verdict or verdict
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)

    def _drain(self) -> None:
        """What is still in the pipes."""
        until = time.monotonic() + _DRAIN_SECONDS
        for tail in self._tails:
            os.set_blocking(tail.stream, True)
            while time.monotonic() < until and tail.read():
                pass
            tail.flush()


def _become(user: tuple[int, int] | None) -> None:
    """Be that user for good, where one is given."""
    if user is not None:
        os.setgroups([])
        os.setresgid(user[1], user[1], user[1])
        os.setresuid(user[0], user[0], user[0])


def _bring(paths: list[str]) -> None:
    """Bind folders to `_MOUNT_POINT/<number>` in a new mount namespace, where any user may enter (root only)."""
    libc = ctypes.CDLL(None, use_errno=True)

    def call(name: str, *given: Any) -> None:
        if getattr(libc, name)(*given) != 0:
            raise OSError(ctypes.get_errno(), name)

    call("unshare", _CLONE_NEWNS)
    call("mount", None, b"/", None, ctypes.c_ulong(_MS_PRIVATE), None)
    handles = [os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW) for path in paths]
    call("mount", b"none", bytes(_MOUNT_POINT), b"tmpfs", ctypes.c_ulong(_MS_NOSUID | _MS_NODEV), b"mode=755,size=64k")
    for number, handle in enumerate(handles):
        place = _MOUNT_POINT / str(number)
        place.mkdir()
        call("mount", f"/proc/self/fd/{handle}".encode(), bytes(place), None, ctypes.c_ulong(_MS_BIND), None)
        os.close(handle)


def _end(first: int, handle: int) -> None:
    """Kill a first process and wait until all of its namespace are gone: daemons outlive the program by nothing."""
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    with selectors.DefaultSelector() as selector:
        selector.register(handle, selectors.EVENT_READ)
        if selector.select(_START_SECONDS):
            with suppress(ChildProcessError):  # bubblewrap outlived it and has waited for it
                os.waitpid(first, 0)
    os.close(handle)


def _write(path: Path, content: bytes, *, sync: bool = False) -> None:
    """Write a file so that others see all of it or nothing."""
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        file.write(content)
        if sync:
            file.flush()
            os.fsync(file.fileno())
    part.replace(path)


def main() -> None:
    """Entry point; Ctrl-C and SIGTERM are the worker's (with a handler: to ignore them the program would inherit)."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    # the sandbox's first process becomes ours when bubblewrap ends: what its programs took at most is known then
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    Shim(Path(sys.argv[1]), int(sys.argv[2])).run()


if __name__ == "__main__":
    main()
