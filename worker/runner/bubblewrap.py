"""Programs in bubblewrap's sandboxes: for hosts without a Docker Engine, and for users who are not root.

Each runs beside a shim (`worker.runner.shim`) that outlives the worker. A sandbox is found again by its run folder
`<data_dir>/runs/<name>/`: while its lock is held something runs, once `end.json` is there it has ended, and when
neither is so it was cut off.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from oci.platform import parse as parse_platform
from oci.unpack import locate
from poco.errors import Cause, PewError
from poco.wire import MAX_LOG_CHARS, Logs
from worker.config import DockerLimits
from worker.runner import processes, seccomp
from worker.runner.errors import RunError
from worker.runner.folders import container_user
from worker.runner.host import control_group, own_platform, require_bubblewrap, runs_here
from worker.runner.inside import CHECKPOINT, HOSTNAME, SHM_BYTES, environment
from worker.runner.protocol import Control, Finished, RunSpec
from worker.runner.shim import MARK, Spec
from worker.runner.store import ImageStore, StoredImage
from worker.runner.supervise import Seen, Status, Supervisor, bounded, container_name, unstartable

_MB = 1_048_576
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NAMESPACES = ("--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts")
_END_SECONDS, _BEGIN_SECONDS = 30.0, 5.0
_POLL_SECONDS = 0.02
_LOST = 137


class BubblewrapRunner:
    """Runs for one worker.

    Args:
        limits: the operator's bounds.
        platform: what this worker is (`linux/arm/v7`).
        owner: the worker's wallet; names its sandboxes.
        data_dir: the worker's; images and run folders lie in it.
    """

    def __init__(self, limits: DockerLimits, platform: str, owner: str, data_dir: Path) -> None:
        self._limits = limits
        self._owner = owner
        self._proven = False
        self._store = ImageStore(data_dir / "images", limits, platform)
        foreign = not own_platform().runs(parse_platform(platform))
        self._sandboxes = _Sandboxes(data_dir / "runs", self._store, limits, foreign=foreign)

    def pull(self, image: str, checksum: str, stop: Callable[[], bool]) -> str:
        """See `Runner.pull`."""
        return self._store.pull(image, checksum, stop)

    def trim(self, unused: Sequence[str]) -> list[str]:
        """See `Runner.trim`."""
        return self._store.trim(unused)

    def run(self, spec: RunSpec, control: Control) -> Finished:
        """See `Runner.run`."""
        with _told():
            return Supervisor(self._sandboxes, self._limits).run(
                container_name(self._owner, spec.task_id), spec, control
            )

    def output(self, task_id: str) -> Logs:
        """See `Runner.output`."""
        found = self._sandboxes.find(container_name(self._owner, task_id))
        return found.logs() if found is not None else Logs()

    def trouble(self) -> str:
        """See `Runner.trouble`."""
        try:
            if not self._proven:
                require_bubblewrap()
        except PewError as error:
            return str(error)
        self._proven = True
        return ""

    def remove(self, task_id: str) -> None:
        """See `Runner.remove`."""
        with _told():
            found = self._sandboxes.find(container_name(self._owner, task_id))
            if found is not None:
                found.remove()

    def prune(self, alive: Collection[str]) -> list[str]:
        """See `Runner.prune`."""
        kept = {container_name(self._owner, task_id) for task_id in alive}
        with _told():
            gone = [each for each in self._sandboxes.all() if each.folder.name not in kept]
            for each in gone:
                each.remove()
            return [each.folder.name for each in gone]


class _Sandboxes:
    """See `supervise.Containers`."""

    def __init__(self, folder: Path, store: ImageStore, limits: DockerLimits, *, foreign: bool) -> None:
        self._folder, self._store, self._limits, self._foreign = folder, store, limits, foreign
        self._shims: list[subprocess.Popen[bytes]] = []

    def find(self, name: str) -> _Sandbox | None:
        found = _Sandbox(self._folder / name)
        return found if found.folder.is_dir() else None

    def all(self) -> list[_Sandbox]:
        return [_Sandbox(each) for each in sorted(self._folder.glob("pew-*")) if each.is_dir()]

    def begin(self, name: str, spec: RunSpec) -> _Sandbox:
        image = self._store.image(spec.image)
        if spec.network:
            raise RunError(
                Cause.INTERNAL_ERROR,
                "this app wants the network, and bubblewrap could only give it this machine's own",
                "use runtime: docker for network_apps",
            )
        sandbox = _Sandbox(self._folder / name)
        sandbox.folder.mkdir(parents=True)
        self._folder.chmod(0o700)
        (sandbox.folder / "spec.json").write_text(json.dumps(asdict(self._spec(name, spec, image))))
        if (filters := seccomp.program()) is not None:
            (sandbox.folder / "seccomp").write_bytes(filters)
        # held from before the shim is there: nobody may take a sandbox that is about to begin for one that was lost
        lock = os.open(sandbox.folder / "lock", os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        root = str(Path(__file__).resolve().parents[2])
        env = {key: value for key, value in os.environ.items() if key.startswith(("PATH", "PEW_", "DBUS_", "XDG_"))}
        argv = [sys.executable, "-S", "-s", "-P", "-m", "worker.runner.shim", str(sandbox.folder), str(lock)]
        self._shims = [each for each in self._shims if each.poll() is None]
        with (sandbox.folder / "shim.log").open("wb") as log:
            shim = subprocess.Popen(
                argv,
                env={**env, "PYTHONPATH": root},
                cwd="/",
                pass_fds=(lock,),
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._shims.append(shim)
        os.close(lock)
        sandbox.await_start()
        return sandbox

    def _spec(self, name: str, spec: RunSpec, image: StoredImage) -> Spec:
        limits, told = self._limits, image.config
        program = [*told.entrypoint, *(spec.argv or told.command)]
        if not program:
            raise unstartable("the image names no program")
        env = {"PATH": _PATH, "HOME": "/", "HOSTNAME": HOSTNAME, **told.environment, **environment(spec.env)}
        # where execvp meets a foreign program it tries the shell, whose error would be the program's
        if any(not runs_here(each) for each in _candidates(image, program[0], env["PATH"])):
            raise unstartable("exec format error")
        tmp = ("--perms", "1777", "--size", str(limits.tmp_mb * _MB), "--tmpfs")
        options = [*_NAMESPACES, "--unshare-cgroup-try", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
        options += ["--hostname", HOSTNAME, "--chdir", told.working_dir, "--clearenv"]
        options += [part for item in sorted(env.items()) for part in ("--setenv", *item)]
        mounts = ["--proc", "/proc", "--dev", "/dev"]
        mounts += ["--perms", "1777", "--size", str(SHM_BYTES), "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]  # noqa: S108
        mounts += [part for place in ("/tmp", *told.volumes) for part in (*tmp, place)]  # noqa: S108
        binds = [
            ("--ro-bind", str(image.root), "/"),
            ("--ro-bind", str(spec.folder.inputs), "/iexec_in"),
            ("--bind", str(spec.folder.out), "/iexec_out"),
            ("--bind", str(spec.folder.checkpoint), CHECKPOINT),
        ]
        user = container_user()
        group = control_group(name, limits, user)
        return Spec(
            command=group,
            options=options,
            binds=binds,
            mounts=mounts,
            program=program,
            user=user if os.geteuid() == 0 else None,
            pids=limits.pids,
            memory=limits.memory_mb * _MB,
            # an emulator needs memory of its own, which only the control group and the watch can tell apart
            data=0 if group or self._foreign else limits.memory_mb * _MB,
            output=limits.output_mb * _MB,
            files=limits.output_files,
            folders=[str(folder) for folder in bounded(spec)],
            cpu_seconds=math.ceil(spec.seconds * max(1.0, limits.cpus)) + 60,
            processors=limits.cpus,
            deadline=spec.deadline,
        )


class _Sandbox:
    """See `supervise.Container`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def await_start(self) -> None:
        """Until it runs or has ended.

        Raises:
            RunError: the shim failed.
        """
        until = time.monotonic() + _END_SECONDS
        while not (self._file("state") or self._file("end")) and self._held() and time.monotonic() < until:
            time.sleep(_POLL_SECONDS)
        end = self._file("end")
        if not end and not self._file("state"):
            self.kill()
            raise RunError(Cause.INTERNAL_ERROR, f"bubblewrap does not start: {self._text('shim.log').strip()[-300:]}")

    def look(self) -> Seen:
        # the lock is looked at first: it is free once `end.json` is written, never before
        held = self._held()
        if end := self._file("end"):
            if not end["started"] and end["exit_code"] != _LOST:
                raise self._unstarted()
            return Seen(Status.ENDED, end["exit_code"], end["out_of_memory"], end["finished"])
        if not self.folder.is_dir():
            raise RunError(Cause.INTERNAL_ERROR, f"the sandbox {self.folder.name} was removed")
        if not held:
            return Seen(Status.ENDED, _LOST, finished=time.time())
        first = self._first()
        return Seen(Status.PAUSED if first is not None and processes.paused(first) else Status.RUNNING)

    def hold(self, *, halted: bool) -> None:
        if (first := self._first()) is not None:
            (processes.pause if halted else processes.resume)(first)

    def kill(self) -> None:
        """End all of its processes, and wait until they are gone."""
        until = time.monotonic() + _END_SECONDS
        while self._held():
            if time.monotonic() > until:
                raise RunError(Cause.INTERNAL_ERROR, f"the sandbox {self.folder.name} does not end")
            first = self._first()
            if first is not None:
                processes.kill(first)
            elif time.monotonic() > until - _END_SECONDS + _BEGIN_SECONDS:
                # the shim died before it could tell
                for each in processes.marked(f"{MARK}={self.folder.name}"):
                    processes.kill(each)
            time.sleep(_POLL_SECONDS)

    def remove(self) -> None:
        self.kill()
        with suppress(FileNotFoundError):
            shutil.rmtree(self.folder)

    def logs(self) -> Logs:
        out, err = self._text("stdout"), self._text("stderr")
        return Logs(stdout=out[-MAX_LOG_CHARS:], stderr=err[-MAX_LOG_CHARS:])

    @contextmanager
    def guard(self, _spec: RunSpec) -> Iterator[Callable[[], bool]]:
        """The shim does it, whether the worker lives or not."""
        yield lambda: bool((self._file("end") or {}).get("wrote_too_much"))

    def _unstarted(self) -> RunError:
        said = self._text("stderr").strip()
        if "execvp" in said:
            return unstartable(said)
        return RunError(Cause.INTERNAL_ERROR, f"bubblewrap fails: {said[-300:]}", "run `python -m worker doctor`")

    def _held(self) -> bool:
        """Whether the shim or anything of the sandbox lives."""
        try:
            lock = os.open(self.folder / "lock", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    def _first(self) -> int | None:
        """The process id of its first process; while the lock is held nobody else has it."""
        state = self._file("state")
        return int(state["first"]) if state else None

    def _file(self, name: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = json.loads((self.folder / f"{name}.json").read_bytes())
        except (OSError, ValueError):
            return None
        return found

    def _text(self, name: str) -> str:
        try:
            return (self.folder / name).read_bytes().decode("utf-8", "replace")
        except OSError:
            return ""


def _candidates(image: StoredImage, name: str, path: str) -> list[Path]:
    """The file that a program's name stands for in an image, as execvp finds it."""
    folders = [image.config.working_dir] if "/" in name else path.split(":")
    found = (locate(image.root, name if name.startswith("/") else f"{folder}/{name}") for folder in folders)
    return [each for each in found if each is not None][:1]


@contextmanager
def _told() -> Iterator[None]:
    """The machine's own failures as RunError INTERNAL_ERROR: they say nothing about the task."""
    try:
        yield
    except OSError as error:
        raise RunError(
            Cause.INTERNAL_ERROR, f"bubblewrap's runs fail: {error}", "check data_dir and its disk"
        ) from None
