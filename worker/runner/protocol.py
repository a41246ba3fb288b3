"""What a container runtime must offer, whatever stands behind it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from poco.wire import Logs
from worker.journal import ContainerRow
from worker.runner.folders import TaskFolder


@dataclass(frozen=True, slots=True)
class RunSpec:
    """One program to run once.

    `image` is a reference by digest; `seconds` what it may compute, `deadline` (Unix seconds) when it is of no use any
    more; `network` whether the operator lets it onto the network, if its image asks.
    """

    task_id: str
    image: str
    argv: list[str]
    env: dict[str, str]
    folder: TaskFolder
    seconds: int
    deadline: int
    network: bool = False


@dataclass(frozen=True, slots=True)
class Finished:
    """A program that ended by itself with exit code 0."""

    exit_code: int
    logs: Logs


@dataclass(frozen=True, slots=True)
class Control:
    """How the rest of the worker steers a run: `stop` gives it up, `halted` pauses it while it says yes."""

    stop: Callable[[], bool]
    halted: Callable[[], bool]
    recall: Callable[[], ContainerRow | None] = field(default=lambda: None)
    remember: Callable[[ContainerRow], None] = field(default=lambda _row: None)


class Runner(Protocol):
    """Pulls images and runs programs in isolation. Every method may be repeated after a restart."""

    def pull(self, image: str, checksum: str, stop: Callable[[], bool]) -> str:
        """Bring the image with that checksum here for this worker's platform; returns its reference by digest.

        Raises:
            RunError: APP_IMAGE_DOWNLOAD_FAILED, APP_IMAGE_BAD_CHECKSUM, APP_IMAGE_PLATFORM_UNSUPPORTED.
            Interrupted: `stop` said yes.
        """
        ...

    def run(self, spec: RunSpec, control: Control) -> Finished:
        """Run to the end, or go on with what an earlier process began.

        Raises:
            RunError: APP_COMPUTE_FAILED, APP_COMPUTE_TIMEOUT, OUTPUT_TOO_LARGE, CONTRIBUTION_TIMEOUT, INTERNAL_ERROR.
            Interrupted: `stop` said yes; the container is gone.
        """
        ...

    def output(self, task_id: str) -> Logs:
        """The end of what the program of a task has written so far; empty where none runs.

        It may be called from another thread while `run` runs.

        Raises:
            RunError: the runtime does not answer.
        """
        ...

    def trouble(self) -> str:
        """Why nothing can be run now, with the way out; empty when all is well."""
        ...

    def trim(self, unused: Sequence[str]) -> list[str]:
        """Remove images beyond the operator's budget; returns the references that are gone.

        Args:
            unused: references by digest that no task needs now, the one used longest ago first.
        """
        ...

    def remove(self, task_id: str) -> None:
        """Stop and remove what runs for a task."""
        ...

    def prune(self, alive: Collection[str]) -> list[str]:
        """Remove what earlier processes of this worker left for tasks not in `alive`; returns their names."""
        ...
