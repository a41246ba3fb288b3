"""Pages read one after the other on one network, from its `pew up` to its Ctrl-C."""

from __future__ import annotations

import signal
from pathlib import Path
from types import TracebackType

import psutil

from ops.ports import is_free
from ops.stack import RUN_VARIABLE, run_id
from scripts.localstack import Ports
from tests.docs_run import scenes
from tests.docs_run.elsewhere import run_by
from tests.docs_run.reader import Network, Reader, make_checkout


class Reading:
    """Pages of one reader; what they have started ends with the block. `endings`: the exit code of each program."""

    def __init__(self, folder: Path) -> None:
        free = Ports.free()
        second = next(port for port in range(33000, 34000) if is_free(port))
        self.network = Network(make_checkout(folder / "checkout"), free, second)
        self.endings: dict[str, int] = {}
        self._folder = folder
        self._readers: list[Reader] = []

    def page(self, page: str) -> Reader:
        """Type a page; DocumentationError where it is not true."""
        given = scenes.before(self.network, page)
        home = self._folder / f"home-{len(self._readers)}"
        reader = Reader(self.network, page, home, env=given, hooks=scenes.AFTER, other=scenes.as_owner)
        self._readers.append(reader)
        try:
            reader.type_all(lambda command: run_by(command) is not None)
        finally:
            print("\n".join([f"== {page}", *reader.log]))  # noqa: T201  (shown where the test fails)
        return reader

    def left_running(self) -> list[str]:
        """Processes of the network that are still there."""
        mark, found = run_id(self.network.folder), []
        for process in psutil.process_iter():
            try:
                if process.environ().get(RUN_VARIABLE) == mark:
                    found.append(" ".join(process.cmdline()))
            except psutil.Error:
                continue
        return found

    def __enter__(self) -> Reading:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in reversed(list(self.network.running)):
            number = signal.SIGINT if name == "up" else signal.SIGTERM
            self.endings[name] = self.network.end(name, number)
