"""How a run can end other than well."""

from __future__ import annotations

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


class EngineDownError(RunError):
    """The engine does not answer for now; nothing is known of the run, which goes on when it is asked for again."""


class Interrupted(Exception):  # noqa: N818  (not an error: it was asked for)
    """The work was given up on purpose; nobody waits for its outcome."""
