"""How a run can end other than well."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import requests
from docker.errors import DockerException

from poco.errors import Cause, PewError
from poco.wire import Logs


class RunError(PewError):
    """The task cannot be run; `cause` is what is reported, `program_exit` and `logs` where there was a program."""

    def __init__(
        self, cause: Cause, message: str, hint: str = "", *, program_exit: int | None = None, logs: Logs | None = None
    ) -> None:
        super().__init__(message, hint=hint, code=cause.value)
        self.cause = cause
        self.program_exit = program_exit
        self.logs = logs


class Interrupted(Exception):  # noqa: N818  (not an error: it was asked for)
    """The work was given up on purpose; nobody waits for its outcome."""


@contextmanager
def engine() -> Iterator[None]:
    """The engine's own failures as RunError INTERNAL_ERROR: they say nothing about the task."""
    try:
        yield
    except (DockerException, requests.RequestException, OSError) as error:
        raise RunError(
            Cause.INTERNAL_ERROR,
            f"the Docker Engine fails: {str(error)[:300] or type(error).__name__}",
            "check `docker info`, and that this user may use the engine",
        ) from None
