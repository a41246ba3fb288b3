"""What a supervisor makes of a run that somebody else ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from poco.errors import Cause
from poco.wire import Logs
from worker.config import DockerLimits
from worker.runner.errors import RunError
from worker.runner.folders import TaskFolder
from worker.runner.protocol import Control, RunSpec
from worker.runner.supervise import Seen, Status, Supervisor


@dataclass
class Ended:
    """A container that has ended when it is looked at first."""

    seen: Seen

    def look(self) -> Seen:
        return self.seen

    def hold(self, *, halted: bool) -> None:
        raise AssertionError("it has ended")

    def kill(self) -> None:
        raise AssertionError("it has ended")

    def remove(self) -> None:
        pass

    def logs(self) -> Logs:
        return Logs()

    @contextmanager
    def guard(self, _spec: RunSpec) -> Iterator[Callable[[], bool]]:
        yield lambda: False


@dataclass
class Runtime:
    """Every container it begins has ended at once, as `seen` says."""

    seen: Seen
    begun: list[str] = field(default_factory=list)

    def find(self, _name: str) -> Ended | None:
        return Ended(self.seen) if self.begun else None

    def begin(self, name: str, _spec: RunSpec) -> Ended:
        self.begun.append(name)
        return Ended(self.seen)


def outcome(tmp_path: Path, seen: Seen, deadline: int) -> tuple[RunError, int]:
    folder = TaskFolder(tmp_path, "0x" + "11" * 32)
    folder.make()
    runtime = Runtime(seen)
    spec = RunSpec("0x" + "11" * 32, "image", [], {}, folder, 60, deadline)
    with pytest.raises(RunError) as caught:
        Supervisor(runtime, DockerLimits()).run("a run", spec, Control(lambda: False, lambda: False))
    return caught.value, len(runtime.begun)


def test_a_guard_that_was_first_at_the_deadline_leaves_its_reason(tmp_path: Path) -> None:
    now = time.time()
    error, begun = outcome(tmp_path, Seen(Status.ENDED, 137, finished=now), int(now) - 1)
    assert (error.cause, begun) == (Cause.CONTRIBUTION_TIMEOUT, 1)


def test_what_was_cut_off_before_the_deadline_is_begun_again(tmp_path: Path) -> None:
    now = time.time()
    error, begun = outcome(tmp_path, Seen(Status.ENDED, 137, finished=now), int(now) + 600)
    assert (error.cause, begun) == (Cause.APP_COMPUTE_FAILED, 2)


def test_a_program_that_failed_by_itself_has_failed(tmp_path: Path) -> None:
    now = time.time()
    error, begun = outcome(tmp_path, Seen(Status.ENDED, 3, finished=now), int(now) - 1)
    assert (error.cause, begun) == (Cause.APP_COMPUTE_FAILED, 1)
