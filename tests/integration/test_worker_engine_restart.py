"""The Docker Engine goes away while a task is pulled or runs, and is back: the same run goes on."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from poco.hexes import ZERO_ADDRESS
from tests.integration.runner_bench import LIMITS, NATIVE, OWNER, Bench
from worker.core import Replicate
from worker.effects import Performer
from worker.log import Log
from worker.runner.docker import DockerRunner
from worker.runner.errors import EngineDownError, Interrupted
from worker.table import Stage

Make = Callable[..., Bench]
DOCKER = pytest.mark.parametrize("runtime", [pytest.param("docker", marks=pytest.mark.docker)], indirect=True)


class Relay:
    """A socket in front of the engine's; `away` closes it and all its connections."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "engine.sock"
        self._open: set[socket.socket] = set()
        self._server: socket.socket | None = None

    def back(self) -> None:
        self.path.unlink(missing_ok=True)
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(self.path))
        self._server.listen()
        threading.Thread(target=self._accept, args=(self._server,), daemon=True).start()

    def away(self) -> None:
        self.path.unlink(missing_ok=True)
        for each in [*self._open, self._server]:
            if each is not None:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()
        self._open.clear()

    def _accept(self, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = server.accept()
                far = _engine()
                self._open |= {near, far}
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    def _pump(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
        with contextlib.suppress(OSError):
            other.shutdown(socket.SHUT_WR)


def _engine() -> socket.socket:
    where = urlsplit(os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock")
    if where.scheme == "unix":
        made = socket.socket(socket.AF_UNIX)
        made.connect(where.path)
        return made
    return socket.create_connection((where.hostname, where.port))


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Relay]:
    made = Relay(tmp_path)
    made.back()
    yield made
    made.away()


@pytest.fixture
def through(relay: Relay) -> DockerRunner:
    return DockerRunner(LIMITS, NATIVE, OWNER, f"unix://{relay.path}")


def performer(runner: DockerRunner) -> Performer:
    missing: Any = None
    return Performer(missing, missing, missing, missing, runner, missing, Log())


def replicate(one: Bench) -> Replicate:
    return Replicate(
        task_id=one.task_id, run=1, stage=Stage.RUNNING, deal_id="0x" + "22" * 32, index=0, authorization="0x",
        enclave_challenge=ZERO_ADDRESS,
    )  # fmt: skip


def absent(relay: Relay, *, after: float, seconds: float) -> threading.Thread:
    def go() -> None:
        time.sleep(after)
        relay.away()
        time.sleep(seconds)
        relay.back()

    thread = threading.Thread(target=go)
    thread.start()
    return thread


@DOCKER
def test_a_run_goes_on_when_the_engine_is_back(bench: Make, relay: Relay, through: DockerRunner) -> None:
    one = bench()
    one.folder.make()
    gone = absent(relay, after=1.5, seconds=2)
    spec, stop = one.spec("sleep", "6"), threading.Event()
    ended = performer(through)._while_engine_restarts(replicate(one), stop, lambda: through.run(spec, one.control()))
    gone.join()
    assert ended.exit_code == 0
    assert {row.attempt for row in one.rows} == {1}, "it was not begun anew"


@DOCKER
def test_an_engine_that_stays_away_is_told(
    bench: Make, relay: Relay, through: DockerRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.effects._ENGINE_SECONDS", 1)
    one, stop = bench(), threading.Event()
    one.folder.make()
    relay.away()
    with pytest.raises(EngineDownError):
        performer(through)._while_engine_restarts(
            replicate(one), stop, lambda: through.run(one.spec("ok"), one.control())
        )


@DOCKER
def test_an_abort_does_not_wait_for_the_engine(bench: Make, relay: Relay, through: DockerRunner) -> None:
    one, stop = bench(), threading.Event()
    relay.away()
    stop.set()
    with pytest.raises(Interrupted):
        performer(through)._while_engine_restarts(
            replicate(one), stop, lambda: through.run(one.spec("ok"), one.control())
        )
