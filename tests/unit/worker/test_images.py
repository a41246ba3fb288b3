"""Pulling through an engine that says what its registry lets it say: an HTTP server on loopback that plays it."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import docker
import pytest

from poco.errors import Cause
from worker.config import DockerLimits
from worker.runner import docker as runner
from worker.runner import images
from worker.runner.errors import Interrupted, RunError
from worker.runner.store import ImageStore

REFERENCE = "registry.test/app@sha256:" + "ab" * 32
LIMITS = DockerLimits()


class Engine:
    """Begins to pull and then says nothing more; `removed` are the images it was told to remove."""

    def __init__(self) -> None:
        self.closed = threading.Event()
        self.removed: list[str] = []
        self.begins = True
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def _answer(self, body: Any) -> None:
                raw = json.dumps(body).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def do_GET(self) -> None:
                self._answer({"DockerRootDir": "/"} if self.path.endswith("/info") else "OK")

            def do_DELETE(self) -> None:
                outer.removed.append(self.path)
                self._answer([])

            def do_POST(self) -> None:
                if outer.begins:
                    self.send_response(200)
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    line = b'{"status":"Pulling fs layer","id":"a"}\r\n'
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
                self.connection.settimeout(30)
                if self.connection.recv(1) == b"":
                    outer.closed.set()
                self.close_connection = True

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        self.client = docker.DockerClient(base_url=f"tcp://127.0.0.1:{self.server.server_port}", version="1.41")


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = Engine()
    yield made
    made.server.shutdown()


def download(engine: Engine, seconds: int, stop_after: float) -> float:
    """Pull; how long it took. It must not hang: a second thread looks."""
    limits = LIMITS.model_copy(update={"pull_seconds": seconds})
    began, failed = time.monotonic(), []

    def body() -> None:
        try:
            images._download(
                engine.client, REFERENCE, "linux/amd64", images._Allowed(limits, 1000),
                lambda: time.monotonic() - began > stop_after,
            )  # fmt: skip
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    thread.join(8)
    assert not thread.is_alive(), "the pull hangs"
    took = time.monotonic() - began
    (error,) = failed
    if isinstance(error, RunError):
        assert error.cause is Cause.APP_IMAGE_DOWNLOAD_FAILED
    else:
        assert isinstance(error, Interrupted)
    return took


@pytest.mark.parametrize("begins", [True, False])
def test_a_silent_registry_keeps_no_task_beyond_its_time_or_its_abort(engine: Engine, begins: bool) -> None:
    engine.begins = begins
    assert download(engine, seconds=1, stop_after=100) < 4
    assert download(engine, seconds=100, stop_after=0.5) < 4


def test_a_pull_that_nobody_waits_for_ends(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine goes on as long as its client is there: a silent one is left after a while."""
    monkeypatch.setattr(runner, "SILENT_SECONDS", 1.0)
    runner._bound(engine.client.api)
    download(engine, seconds=100, stop_after=0.2)
    assert engine.closed.wait(5)


def test_an_image_for_another_platform_than_it_says_does_not_stay(engine: Engine) -> None:
    """No journal knows it, so no budget would ever remove it: each would fill the disk a little more."""
    info = {"Os": "linux", "Architecture": "arm64", "Size": 1000}
    with pytest.raises(RunError) as caught:
        images._check(engine.client, "app", REFERENCE, info=info, limits=LIMITS, platform="linux/amd64")
    assert caught.value.cause is Cause.APP_IMAGE_PLATFORM_UNSUPPORTED
    assert len(engine.removed) == 1


@pytest.mark.parametrize("runtime", ["docker", "bubblewrap"])
def test_an_abort_is_obeyed_while_the_registry_says_nothing(tmp_path: Path, runtime: str) -> None:
    """Before the first byte, where neither runtime has anything to look at."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        image, began = f"127.0.0.1:{silent.getsockname()[1]}/app:1", time.monotonic()

        def stop() -> bool:
            return time.monotonic() - began > 0.5

        with pytest.raises(Interrupted):
            if runtime == "docker":
                images.pull(None, LIMITS, "linux/amd64", images.Wanted(image, "0x" + "ab" * 32), stop)
            else:
                ImageStore(tmp_path, LIMITS, "linux/amd64").pull(image, "0x" + "ab" * 32, stop)
    assert time.monotonic() - began < 4
