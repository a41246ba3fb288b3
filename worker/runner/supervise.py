"""A run from its beginning to its end, whatever runtime stands behind it: taken up, watched, judged."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from poco.errors import Cause
from poco.result import ResultError
from poco.wire import Logs
from worker.config import DockerLimits
from worker.journal import ContainerRow
from worker.runner.errors import Interrupted, RunError
from worker.runner.outputs import require_size
from worker.runner.protocol import Control, Finished, RunSpec

_MB = 1_048_576
_POLL_SECONDS = (0.05, 1.0)
_SAVE_SECONDS = 10.0
_MAX_ATTEMPTS = 3
#: Exit codes of a container that something outside ended: killed, terminated, lost by the engine.
_OUTSIDE = frozenset({137, 143, 255})


class Status(StrEnum):
    """What a container is doing; GONE: it never began, or is being removed."""

    RUNNING = "running"
    PAUSED = "paused"
    ENDED = "ended"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Seen:
    """A container as it was looked at; what follows `status` counts once it has ENDED (`finished` in Unix seconds)."""

    status: Status
    exit_code: int = 0
    out_of_memory: bool = False
    finished: float = 0.0


class Container(Protocol):
    """One container of a runtime."""

    def look(self) -> Seen:
        """What it is doing."""
        ...

    def hold(self, *, halted: bool) -> None:
        """Pause it, or let it go on; that it has ended meanwhile is no error."""
        ...

    def kill(self) -> None:
        """End it at once; that it has ended already is no error."""
        ...

    def remove(self) -> None:
        """End it and forget it."""
        ...

    def logs(self) -> Logs:
        """The end of what it wrote."""
        ...

    def guard(self, spec: RunSpec) -> AbstractContextManager[Callable[[], bool]]:
        """While it is open somebody ends the container that writes too much; the call says whether that happened."""
        ...


class Containers(Protocol):
    """The containers of one worker."""

    def find(self, name: str) -> Container | None:
        """The container of that name, where there is one."""
        ...

    def begin(self, name: str, spec: RunSpec) -> Container:
        """Start a container; there is none of that name.

        Raises:
            RunError: it cannot be started.
        """
        ...


class Supervisor:
    """Runs programs in the containers of one runtime.

    Args:
        containers: the runtime.
        limits: the operator's bounds.
    """

    def __init__(self, containers: Containers, limits: DockerLimits) -> None:
        self._containers = containers
        self._limits = limits

    def run(self, name: str, spec: RunSpec, control: Control) -> Finished:
        """See `Runner.run`; `name` is the container's, the same for each attempt."""
        row = control.recall()
        if row is not None and row.verdict is not None:
            return self._conclude(spec, row)
        container, row = self._take_up(name, spec, control, row)
        return self._watch(spec, control, container, row)

    def _take_up(
        self, name: str, spec: RunSpec, control: Control, row: ContainerRow | None
    ) -> tuple[Container, ContainerRow]:
        """The container of an earlier process where it is of use, else a new one."""
        if row is None:
            return self._begin(name, spec, control, 1)
        if (container := self._containers.find(name)) is not None:
            seen = container.look()
            until = {Status.RUNNING: time.time(), Status.PAUSED: row.at}.get(seen.status)
            if seen.status is Status.ENDED and not _was_interrupted(seen, row):
                until = seen.finished
            if until is not None:
                ran = row.ran_seconds + max(0.0, until - row.at)
                return container, replace(row, ran_seconds=ran, at=time.time())
        # who goes on from a checkpoint gets further with every power cut; who starts anew may never end
        got_on = row.boot != boot_id() and spec.folder.has_checkpoint
        return self._begin(name, spec, control, row.attempt if got_on else row.attempt + 1)

    def _begin(self, name: str, spec: RunSpec, control: Control, attempt: int) -> tuple[Container, ContainerRow]:
        if attempt > _MAX_ATTEMPTS:
            raise RunError(Cause.INTERNAL_ERROR, f"the program was interrupted {_MAX_ATTEMPTS} times")
        if (earlier := self._containers.find(name)) is not None:
            earlier.remove()
        spec.folder.empty_out()
        row = ContainerRow(name, attempt, boot_id(), spec.image, 0.0, time.time())
        control.remember(row)
        return self._containers.begin(name, spec), row

    def _watch(self, spec: RunSpec, control: Control, container: Container, row: ContainerRow) -> Finished:
        """Wait for the end; pause, give up or kill as control, time and disk demand."""
        pause, longest = _POLL_SECONDS
        last = saved = time.monotonic()
        with container.guard(spec) as wrote_too_much:
            while True:
                seen = container.look()
                now = time.monotonic()
                if seen.status is Status.RUNNING:
                    row = replace(row, ran_seconds=row.ran_seconds + now - last)
                row, last = replace(row, at=time.time()), now
                if control.stop():
                    container.remove()
                    raise Interrupted
                if wrote_too_much():
                    return self._kill(spec, control, container, row, Cause.OUTPUT_TOO_LARGE)
                if seen.status is Status.ENDED:
                    break
                if row.ran_seconds > spec.seconds:
                    return self._kill(spec, control, container, row, Cause.APP_COMPUTE_TIMEOUT)
                if time.time() > spec.deadline:
                    return self._kill(spec, control, container, row, Cause.CONTRIBUTION_TIMEOUT)
                halted = control.halted()
                if halted == (seen.status is Status.RUNNING):
                    container.hold(halted=halted)
                if now - saved >= _SAVE_SECONDS:
                    saved = now
                    control.remember(row)
                time.sleep(pause)
                pause = min(pause * 1.3, longest)
        return self._ended(spec, control, seen, row)

    def _too_large(self, spec: RunSpec) -> bool:
        try:
            for folder in bounded(spec):
                require_size(folder, self._limits.output_mb * _MB, self._limits.output_files)
        except ResultError:
            return True
        return False

    def _kill(self, spec: RunSpec, control: Control, container: Container, row: ContainerRow, cause: Cause) -> Finished:
        row = replace(row, verdict=json.dumps({"cause": cause}))
        control.remember(row)
        container.kill()
        return self._conclude(spec, row)

    def _ended(self, spec: RunSpec, control: Control, seen: Seen, row: ContainerRow) -> Finished:
        too_large = self._too_large(spec)
        interrupted = _was_interrupted(seen, row)
        # who guards the run may have ended it for its deadline, before that was seen here
        late = interrupted and seen.finished > spec.deadline
        if not too_large and not late and interrupted and row.attempt < _MAX_ATTEMPTS - 1:
            container, row = self._begin(row.name, spec, control, row.attempt + 1)
            return self._watch(spec, control, container, row)
        verdict: dict[str, Any] = {"exit_code": seen.exit_code}
        if too_large:
            verdict["cause"] = Cause.OUTPUT_TOO_LARGE
        elif row.ran_seconds > spec.seconds + 5:
            verdict["cause"] = Cause.APP_COMPUTE_TIMEOUT
        elif late:
            verdict["cause"] = Cause.CONTRIBUTION_TIMEOUT
        elif seen.exit_code != 0:
            verdict["cause"] = Cause.APP_COMPUTE_FAILED
            verdict["out_of_memory"] = seen.out_of_memory
        row = replace(row, verdict=json.dumps(verdict))
        control.remember(row)
        return self._conclude(spec, row)

    def _conclude(self, spec: RunSpec, row: ContainerRow) -> Finished:
        """The outcome that was decided, with the logs where the container is still there."""
        verdict = json.loads(row.verdict or "{}")
        container = self._containers.find(row.name)
        logs = container.logs() if container is not None else Logs()
        exit_code, cause = verdict.get("exit_code"), verdict.get("cause")
        if cause is None:
            return Finished(exit_code, logs)
        if cause == Cause.APP_COMPUTE_FAILED and "exec format error" in logs.stderr.lower() + logs.stdout.lower():
            raise unstartable("exec format error")
        said = {
            Cause.APP_COMPUTE_FAILED: f"the program ended with exit code {exit_code}",
            Cause.APP_COMPUTE_TIMEOUT: f"the program was not ready after {spec.seconds} s",
            Cause.OUTPUT_TOO_LARGE: f"the program wrote more than {self._limits.output_mb} MB "
            f"or {self._limits.output_files} files into /iexec_out or its checkpoint",
            Cause.CONTRIBUTION_TIMEOUT: "the contribution deadline passed before the program was ready",
        }[Cause(cause)]
        if verdict.get("out_of_memory"):
            said += f": it needs more than {self._limits.memory_mb} MB of memory"
        raise RunError(Cause(cause), said, program_exit=exit_code, logs=logs)


def bounded(spec: RunSpec) -> tuple[Path, Path]:
    """The folders of a run that the program may fill, each up to the operator's bound."""
    return spec.folder.out, spec.folder.checkpoint


def container_name(owner: str, task_id: str) -> str:
    """The name of a task's container: no two workers of a machine share one."""
    return f"pew-{owner[2:10].lower()}-{task_id[2:34]}"


def unstartable(said: str) -> RunError:
    """The error for a program that did not even begin, from what the runtime said."""
    if "exec format error" in said.lower():
        return RunError(
            Cause.APP_IMAGE_PLATFORM_UNSUPPORTED,
            "this machine cannot run the image's programs: exec format error",
            "install qemu-user-static, or set `platform` to this machine's own",
        )
    return RunError(Cause.APP_COMPUTE_FAILED, f"the program cannot be started: {said[:300]}", program_exit=127)


def boot_id() -> str:
    """Which boot of the kernel this is."""
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else ""


def _was_interrupted(seen: Seen, row: ContainerRow) -> bool:
    """Whether something outside the program ended it: a power cut, a restart of the engine, an operator."""
    if row.boot != boot_id() and seen.exit_code != 0:
        return True
    return seen.exit_code in _OUTSIDE and not seen.out_of_memory
