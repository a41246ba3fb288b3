"""The Docker Engine as a runner, through its SDK."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException, NotFound

from poco.errors import Cause
from poco.result import ResultError
from poco.wire import MAX_LOG_CHARS, Logs
from worker.config import DockerLimits
from worker.journal import ContainerRow
from worker.runner import images
from worker.runner.errors import Interrupted, RunError, engine
from worker.runner.hardening import options
from worker.runner.outputs import require_size
from worker.runner.protocol import Control, Finished, Output, RunSpec

WORKER_LABEL, TASK_LABEL = "pew.worker", "pew.task"
#: Set in the environment by who supervises this worker, who then finds its containers, whatever becomes of it.
RUN_LABEL, RUN_VARIABLE = "pew.run", "PEW_RUN"
_MB = 1_048_576
_POLL_SECONDS = (0.05, 1.0)
_DISK_SECONDS = 0.5
_SAVE_SECONDS = 10.0
_MAX_ATTEMPTS = 3
_STREAMS = ({"stdout": True, "stderr": False}, {"stdout": False, "stderr": True})
#: Exit codes of a container that something outside ended: killed, terminated, lost by the engine.
_OUTSIDE = frozenset({137, 143, 255})


class DockerRunner:
    """Runs for one worker on one engine.

    Args:
        limits: the operator's bounds.
        platform: what this worker is (`linux/arm/v7`).
        owner: the worker's wallet; names and labels its containers.
        host: address of the engine; None: DOCKER_HOST or the default socket.
    """

    def __init__(self, limits: DockerLimits, platform: str, owner: str, host: str | None = None) -> None:
        self._limits = limits
        self._platform = platform
        self._owner = owner
        self._host = host
        self._client: docker.DockerClient | None = None

    def client(self) -> Any:
        """The SDK's client; RunError INTERNAL_ERROR when no engine answers."""
        if self._client is None:
            with engine():
                made = (
                    docker.DockerClient(base_url=self._host, timeout=120)
                    if self._host
                    else docker.from_env(timeout=120)
                )
                made.ping()
                self._client = made
        return self._client

    def pull(self, image: str, checksum: str, stop: Callable[[], bool]) -> str:
        """See `Runner.pull`."""
        return images.pull(self.client(), self._limits, self._platform, images.Wanted(image, checksum), stop)

    def trim(self, unused: Sequence[str]) -> list[str]:
        """See `Runner.trim`."""
        return images.trim(self.client(), self._limits.images_keep_mb, unused)

    def run(self, spec: RunSpec, control: Control) -> Finished:
        """See `Runner.run`."""
        row = control.recall()
        with engine():
            if row is not None and row.verdict is not None:
                return self._conclude(spec, row)
            container, row = self._take_up(spec, control, row)
            return self._watch(spec, control, container, row)

    def output(self, task_id: str, cursor: str) -> Output:
        """See `Runner.output`; the cursor holds the engine's time stamps of the last message of each stream."""
        seen = cursor.split(" ") if cursor else ["", ""]
        with engine():
            container = self._find(self._name(task_id))
            if container is None:
                return Output("", "", cursor)
            out, err = (self._written(container.id, stream, last) for stream, last in zip(_STREAMS, seen, strict=True))
        return Output(out[0], err[0], f"{out[1]} {err[1]}")

    def _written(self, container_id: str, stream: dict[str, bool], last: str) -> tuple[str, str]:
        """(text, time stamp of its end) of one stream after a time stamp."""
        written: list[tuple[str, bytes]] = []
        since = int(_instant(last)) if last else None
        for message in self.client().api.logs(
            container_id, **stream, timestamps=True, stream=True, follow=False, since=since
        ):
            stamp, _, line = message.partition(b" ")
            written.append((stamp.decode("ascii", "replace"), line))
        if written and not written[-1][1].endswith(b"\n"):
            # pieces of a long line have one time stamp: they are taken together, once its end is there
            written = [one for one in written if one[0] != written[-1][0]]
        new = [one for one in written if one[0] > last]
        text = b"".join(line for _, line in new)[-4 * MAX_LOG_CHARS :]
        return text.decode("utf-8", "replace")[-MAX_LOG_CHARS:], new[-1][0] if new else last

    def trouble(self) -> str:
        """See `Runner.trouble`."""
        try:
            with engine():
                self.client().ping()
        except RunError as error:
            self._client = None
            return str(error)
        return ""

    def remove(self, task_id: str) -> None:
        """See `Runner.remove`."""
        with engine():
            _remove(self._find(self._name(task_id)))

    def prune(self, alive: Collection[str]) -> list[str]:
        """See `Runner.prune`."""
        gone = []
        with engine():
            filters = {"label": f"{WORKER_LABEL}={self._owner}"}
            for container in self.client().containers.list(all=True, filters=filters, ignore_removed=True):
                if container.labels.get(TASK_LABEL) not in alive:
                    _remove(container)
                    gone.append(str(container.name))
        return gone

    def _name(self, task_id: str) -> str:
        return f"pew-{self._owner[2:10].lower()}-{task_id[2:34]}"

    def _find(self, name: str) -> Any:
        try:
            return self.client().containers.get(name)
        except NotFound:
            return None

    def _take_up(self, spec: RunSpec, control: Control, row: ContainerRow | None) -> tuple[Any, ContainerRow]:
        """The container of an earlier process where it is of use, else a new one."""
        container = self._find(self._name(spec.task_id))
        if row is not None and container is not None:
            state = container.attrs["State"]
            if state["Status"] in ("running", "paused"):
                elapsed = time.time() - row.at if state["Status"] == "running" else 0.0
                return container, replace(row, ran_seconds=row.ran_seconds + max(0.0, elapsed), at=time.time())
            if state["Status"] == "exited" and not _was_interrupted(state, row):
                elapsed = _instant(state["FinishedAt"]) - row.at
                return container, replace(row, ran_seconds=row.ran_seconds + max(0.0, elapsed), at=time.time())
        if row is None:
            return self._begin(spec, control, 1)
        # who goes on from a checkpoint gets further with every power cut; who starts anew may never end
        got_on = row.boot != _boot_id() and spec.folder.has_checkpoint
        return self._begin(spec, control, row.attempt if got_on else row.attempt + 1)

    def _begin(self, spec: RunSpec, control: Control, attempt: int) -> tuple[Any, ContainerRow]:
        if attempt > _MAX_ATTEMPTS:
            raise RunError(Cause.INTERNAL_ERROR, f"the program was interrupted {_MAX_ATTEMPTS} times")
        name = self._name(spec.task_id)
        _remove(self._find(name))
        spec.folder.empty_out()
        row = ContainerRow(name, attempt, _boot_id(), spec.image, 0.0, time.time())
        control.remember(row)
        volumes = self.client().api.inspect_image(spec.image)["Config"].get("Volumes")
        labels = {WORKER_LABEL: self._owner, TASK_LABEL: spec.task_id}
        if RUN_VARIABLE in os.environ:
            labels[RUN_LABEL] = os.environ[RUN_VARIABLE]
        try:
            container = self.client().containers.create(
                spec.image, name=name, labels=labels, **options(spec, self._limits, volumes)
            )
            container.start()
        except (NotFound, APIError) as error:
            if error.status_code == 404 and self._find(name) is None:
                raise RunError(Cause.INTERNAL_ERROR, f"the image {spec.image} is not there any more") from None
            raise _unstartable(str(error.explanation or error)) from None
        return container, row

    def _watch(self, spec: RunSpec, control: Control, container: Any, row: ContainerRow) -> Finished:
        """Wait for the end; pause, give up or kill as control, time and disk demand."""
        pause, longest = _POLL_SECONDS
        last, saved, looked = time.monotonic(), time.monotonic(), 0.0
        while True:
            state = self.client().api.inspect_container(container.id)["State"]
            now = time.monotonic()
            if state["Status"] == "running":
                row = replace(row, ran_seconds=row.ran_seconds + now - last)
            row, last = replace(row, at=time.time()), now
            if control.stop():
                _remove(container)
                raise Interrupted
            if state["Status"] in ("exited", "dead"):
                return self._ended(spec, control, container, state, row)
            if state["Status"] == "created":
                container.start()
            if now - looked >= _DISK_SECONDS:
                looked = now
                if self._too_large(spec):
                    return self._kill(spec, control, container, row, Cause.OUTPUT_TOO_LARGE)
            if row.ran_seconds > spec.seconds:
                return self._kill(spec, control, container, row, Cause.APP_COMPUTE_TIMEOUT)
            if time.time() > spec.deadline:
                return self._kill(spec, control, container, row, Cause.CONTRIBUTION_TIMEOUT)
            _hold(container, state["Status"], control.halted())
            if now - saved >= _SAVE_SECONDS:
                saved = now
                control.remember(row)
            time.sleep(pause)
            pause = min(pause * 1.3, longest)

    def _too_large(self, spec: RunSpec) -> bool:
        try:
            for folder in (spec.folder.out, spec.folder.checkpoint):
                require_size(folder, self._limits.output_mb * _MB, self._limits.output_files)
        except ResultError:
            return True
        return False

    def _kill(self, spec: RunSpec, control: Control, container: Any, row: ContainerRow, cause: Cause) -> Finished:
        row = replace(row, verdict=json.dumps({"cause": cause}))
        control.remember(row)
        try:
            container.kill()
        except APIError as error:
            if error.status_code != 409:  # it ended by itself meanwhile
                raise
        return self._conclude(spec, row)

    def _ended(
        self, spec: RunSpec, control: Control, container: Any, state: dict[str, Any], row: ContainerRow
    ) -> Finished:
        if _was_interrupted(state, row) and row.attempt < _MAX_ATTEMPTS - 1:
            container, row = self._begin(spec, control, row.attempt + 1)
            return self._watch(spec, control, container, row)
        verdict: dict[str, Any] = {"exit_code": state["ExitCode"]}
        if self._too_large(spec):
            verdict["cause"] = Cause.OUTPUT_TOO_LARGE
        elif row.ran_seconds > spec.seconds + 5:
            verdict["cause"] = Cause.APP_COMPUTE_TIMEOUT
        elif state["ExitCode"] != 0:
            verdict["cause"] = Cause.APP_COMPUTE_FAILED
            verdict["out_of_memory"] = bool(state.get("OOMKilled"))
        row = replace(row, verdict=json.dumps(verdict))
        control.remember(row)
        return self._conclude(spec, row)

    def _conclude(self, spec: RunSpec, row: ContainerRow) -> Finished:
        """The outcome that was decided, with the logs where the container is still there."""
        verdict = json.loads(row.verdict or "{}")
        logs = _logs(self._find(row.name))
        exit_code, cause = verdict.get("exit_code"), verdict.get("cause")
        if cause is None:
            return Finished(exit_code, logs)
        if cause == Cause.APP_COMPUTE_FAILED and "exec format error" in logs.stderr.lower() + logs.stdout.lower():
            raise _unstartable("exec format error")
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


def _remove(container: Any) -> None:
    if container is None:
        return
    try:
        container.remove(force=True, v=True)
    except NotFound:
        pass
    except APIError as error:
        if error.status_code != 409:  # somebody else removes it already
            raise


def _hold(container: Any, status: str, halted: bool) -> None:
    """Pause or go on; an engine that says it is so already, or that the program has ended, is no error."""
    try:
        if halted and status == "running":
            container.pause()
        elif not halted and status == "paused":
            container.unpause()
    except APIError as error:
        if error.status_code not in (409, 500):
            raise


def _was_interrupted(state: dict[str, Any], row: ContainerRow) -> bool:
    """Whether something outside the program ended it: a power cut, a restart of the engine, an operator."""
    if row.boot != _boot_id() and state["ExitCode"] != 0:
        return True
    return state["ExitCode"] in _OUTSIDE and not state.get("OOMKilled")


def _unstartable(said: str) -> RunError:
    if "exec format error" in said.lower():
        return RunError(
            Cause.APP_IMAGE_PLATFORM_UNSUPPORTED,
            "this machine cannot run the image's programs: exec format error",
            "install qemu-user-static, or set `platform` to this machine's own",
        )
    return RunError(Cause.APP_COMPUTE_FAILED, f"the program cannot be started: {said[:300]}", program_exit=127)


def _logs(container: Any) -> Logs:
    if container is None:
        return Logs()
    try:
        out, err = (
            container.logs(stdout=which, stderr=not which)[-4 * MAX_LOG_CHARS :].decode("utf-8", "replace")
            for which in (True, False)
        )
    except (DockerException, requests.RequestException):
        return Logs()
    return Logs(stdout=out[-MAX_LOG_CHARS:], stderr=err[-MAX_LOG_CHARS:])


def _instant(text: str) -> float:
    """Unix seconds of the engine's time stamps (nanoseconds and a Z)."""
    head = text.partition(".")[0].rstrip("Z")
    return datetime.fromisoformat(head + "+00:00").timestamp()


def _boot_id() -> str:
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else ""
