"""The Docker Engine as a runner, through its SDK."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException, NotFound

from poco.errors import Cause
from poco.wire import MAX_LOG_CHARS, Logs
from worker.config import DockerLimits
from worker.runner import images, processes
from worker.runner.errors import RunError
from worker.runner.hardening import options
from worker.runner.images import engine
from worker.runner.protocol import Control, Finished, RunSpec
from worker.runner.supervise import Seen, Status, Supervisor, bounded, container_name, unstartable
from worker.runner.usage import Meter, Watch

WORKER_LABEL, TASK_LABEL = "pew.worker", "pew.task"
#: Set in the environment by who supervises this worker, who then finds its containers, whatever becomes of it.
RUN_LABEL, RUN_VARIABLE = "pew.run", "PEW_RUN"
#: How long the engine may say nothing while it pulls: as long as a slow disk may take over one layer.
SILENT_SECONDS = 300.0
_MB = 1_048_576
_STATUS = {"running": Status.RUNNING, "paused": Status.PAUSED, "exited": Status.ENDED, "dead": Status.ENDED}


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
                _bound(made.api)
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
        containers = _Containers(self.client(), self._limits, self._owner)
        with engine():
            return Supervisor(containers, self._limits).run(container_name(self._owner, spec.task_id), spec, control)

    def output(self, task_id: str) -> Logs:
        """See `Runner.output`."""
        with engine():
            found = _Containers(self.client(), self._limits, self._owner).find(container_name(self._owner, task_id))
            return found.logs() if found is not None else Logs()

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
            found = _Containers(self.client(), self._limits, self._owner).find(container_name(self._owner, task_id))
            if found is not None:
                found.remove()

    def prune(self, alive: Collection[str]) -> list[str]:
        """See `Runner.prune`."""
        gone = []
        with engine():
            filters = {"label": f"{WORKER_LABEL}={self._owner}"}
            for raw in self.client().containers.list(all=True, filters=filters, ignore_removed=True):
                if raw.labels.get(TASK_LABEL) not in alive:
                    _Container(raw, self._limits).remove()
                    gone.append(str(raw.name))
        return gone


class _Containers:
    """See `supervise.Containers`."""

    def __init__(self, client: Any, limits: DockerLimits, owner: str) -> None:
        self._client, self._limits, self._owner = client, limits, owner

    def find(self, name: str) -> _Container | None:
        try:
            return _Container(self._client.containers.get(name), self._limits)
        except NotFound:
            return None

    def begin(self, name: str, spec: RunSpec) -> _Container:
        labels = {WORKER_LABEL: self._owner, TASK_LABEL: spec.task_id}
        if RUN_VARIABLE in os.environ:
            labels[RUN_LABEL] = os.environ[RUN_VARIABLE]
        image = self._client.api.inspect_image(spec.image)["Config"]
        try:
            raw = self._client.containers.create(
                spec.image, name=name, labels=labels, **options(spec, self._limits, image)
            )
            raw.start()
        except (NotFound, APIError) as error:
            if error.status_code == 404 and self.find(name) is None:
                raise RunError(Cause.INTERNAL_ERROR, f"the image {spec.image} is not there any more") from None
            raise unstartable(str(error.explanation or error)) from None
        return _Container(raw, self._limits)


class _Container:
    """See `supervise.Container`."""

    def __init__(self, raw: Any, limits: DockerLimits) -> None:
        self._raw, self._limits = raw, limits

    def look(self) -> Seen:
        state = self._state()
        status = _STATUS.get(state["Status"], Status.GONE)
        if status is not Status.ENDED:
            return Seen(status)
        return Seen(status, state["ExitCode"], bool(state.get("OOMKilled")), _instant(state["FinishedAt"]))

    def hold(self, *, halted: bool) -> None:
        try:
            if halted:
                self._raw.pause()
            else:
                self._raw.unpause()
        except APIError as error:
            if error.status_code not in (409, 500):  # it is so already, or the program has ended
                raise

    def kill(self) -> None:
        try:
            self._raw.kill()
        except APIError as error:
            if error.status_code != 409:  # it ended by itself meanwhile
                raise

    def remove(self) -> None:
        try:
            self._raw.remove(force=True, v=True)
        except NotFound:
            pass
        except APIError as error:
            if error.status_code != 409:  # somebody else removes it already
                raise

    def logs(self) -> Logs:
        try:
            out, err = (
                self._raw.logs(stdout=which, stderr=not which)[-4 * MAX_LOG_CHARS :].decode("utf-8", "replace")
                for which in (True, False)
            )
        except (DockerException, requests.RequestException):
            return Logs()
        return Logs(stdout=out[-MAX_LOG_CHARS:], stderr=err[-MAX_LOG_CHARS:])

    @contextmanager
    def guard(self, spec: RunSpec) -> Iterator[Callable[[], bool]]:
        """By its process id where that is one of this machine's: the engine takes its time, a disk bomb does not."""
        first = int(self._state()["Pid"])
        handle = _own_process(first, str(self._raw.id))

        def kill() -> None:
            try:
                if handle is not None:
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
            except OSError:
                pass  # rootless or ended: `kill` of who watches the run is for that

        folders = bounded(spec)
        device = folders[0].stat().st_dev

        def nameless() -> int:
            return processes.deleted(first, device) if handle is not None else 0

        meter = Meter(folders, self._limits.output_mb * _MB, self._limits.output_files, nameless)
        try:
            with Watch(meter, kill) as exceeded:
                yield exceeded
        finally:
            if handle is not None:
                os.close(handle)

    def _state(self) -> Any:
        return self._raw.client.api.inspect_container(self._raw.id)["State"]


def _bound(api: Any) -> None:
    """Give every request a timeout: the SDK reads the progress of a pull without any."""
    send = api.send

    def bounded_send(request: requests.PreparedRequest, **named: Any) -> Any:
        return send(request, **{**named, "timeout": named.get("timeout") or SILENT_SECONDS})

    api.send = bounded_send


def _own_process(pid: int, container: str) -> int | None:
    """A descriptor of the container's first process; None where the engine is elsewhere or hides it from us."""
    try:
        handle = os.pidfd_open(pid)
    except (OSError, ValueError):
        return None
    try:
        if container in Path(f"/proc/{pid}/cgroup").read_text():
            return handle
    except OSError:
        pass
    os.close(handle)
    return None


def _instant(text: str) -> float:
    """Unix seconds of the engine's time stamps (nanoseconds and a Z)."""
    head = text.partition(".")[0].rstrip("Z")
    return datetime.fromisoformat(head + "+00:00").timestamp()
