"""Datasets and inputs over a real HTTP server that misbehaves on demand."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from poco.errors import Cause
from poco.hexes import ZERO_BYTES32
from worker.config import FetchLimits
from worker.runner.errors import Interrupted, RunError
from worker.runner.fetch import Fetcher, input_name

DATA = bytes(range(256)) * 4000
ADDRESS = "0x" + "ab" * 20
CHECKSUM = "0x" + hashlib.sha256(DATA).hexdigest()
OPEN = FetchLimits(file_mb=2, total_mb=3, seconds=20, allow_private_addresses=True)


class Files(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked: ClassVar[list[tuple[str, str]]] = []

    def log_message(self, *_: object) -> None:
        pass

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers.get("Range", "")))
        start = int(self.headers.get("Range", "bytes=0-")[6:-1] or 0)
        match self.path.partition("?")[0]:
            case "/data" | "/ipfs/bafydata":
                self._send(200, DATA)
            case "/cut":
                # the first answer breaks off in the middle; the rest can be had by Range
                self._send(206 if start else 200, DATA[start:], cut=not start)
            case "/cut-always":
                self._send(200, DATA, cut=True)
            case "/silent":
                time.sleep(5)
            case "/down":
                self._send(503, b"")
            case "/away":
                self._send(302, b"", {"Location": "/data"})
            case "/inside":
                self._send(302, b"", {"Location": "http://169.254.169.254/secrets"})
            case "/round":
                self._send(302, b"", {"Location": "/round"})
            case "/endless":
                self.send_response(200)
                self.end_headers()
                try:
                    while True:
                        self.wfile.write(bytes(65536))
                except OSError:
                    pass
                self.close_connection = True
            case "/slow":
                self.send_response(200)
                self.end_headers()
                try:
                    for _ in range(100):
                        self.wfile.write(b"x")
                        self.wfile.flush()
                        time.sleep(0.1)
                except OSError:
                    pass
                self.close_connection = True

            case _:
                self._send(404, b"")

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None, cut: bool = False) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self.close_connection = True


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Files)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def fetcher(**changes: object) -> Fetcher:
    return Fetcher(OPEN.model_copy(update=changes), lambda: False)


def test_a_dataset_with_its_checksum(url: str, tmp_path: Path) -> None:
    path = fetcher().dataset(ADDRESS, f"{url}/data", CHECKSUM, tmp_path)
    assert path.name == ADDRESS and path.read_bytes() == DATA
    assert fetcher().dataset(ADDRESS, f"{url}/away", ZERO_BYTES32, tmp_path).read_bytes() == DATA


def test_a_dataset_with_another_checksum_is_refused_and_gone(url: str, tmp_path: Path) -> None:
    with pytest.raises(RunError) as caught:
        fetcher().dataset(ADDRESS, f"{url}/data", "0x" + "11" * 32, tmp_path)
    assert caught.value.cause is Cause.DATASET_FILE_BAD_CHECKSUM
    assert not list(tmp_path.iterdir())


def test_what_breaks_off_is_resumed(url: str, tmp_path: Path) -> None:
    Files.asked.clear()
    assert fetcher().dataset(ADDRESS, f"{url}/cut", CHECKSUM, tmp_path).read_bytes() == DATA
    assert Files.asked == [("/cut", ""), ("/cut", f"bytes={len(DATA) // 2}-")]


@pytest.mark.parametrize("path", ["/gone", "/down", "/round", "/cut-always"])
def test_what_cannot_be_had(url: str, tmp_path: Path, path: str) -> None:
    with pytest.raises(RunError) as caught:
        fetcher().dataset(ADDRESS, url + path, CHECKSUM, tmp_path)
    assert caught.value.cause is Cause.DATASET_FILE_DOWNLOAD_FAILED
    with pytest.raises(RunError) as caught:
        fetcher().inputs((url + path,), tmp_path)
    assert caught.value.cause is Cause.INPUT_FILES_DOWNLOAD_FAILED


def test_size_time_and_patience_are_bounded(url: str, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="larger"):
        fetcher().inputs((f"{url}/endless",), tmp_path)
    with pytest.raises(RunError, match="larger"):
        fetcher(total_mb=1).inputs((f"{url}/data?1", f"{url}/data?2"), tmp_path)
    with pytest.raises(RunError, match="slow"):
        fetcher(seconds=1).inputs((f"{url}/slow",), tmp_path)
    began = time.monotonic()
    with pytest.raises(RunError):
        fetcher(seconds=2).inputs((f"{url}/silent",), tmp_path)
    assert time.monotonic() - began < 5
    with pytest.raises(Interrupted):
        Fetcher(OPEN, lambda: True).inputs((f"{url}/data",), tmp_path)


def test_input_files_are_named_by_their_address(url: str, tmp_path: Path) -> None:
    paths = fetcher().inputs((f"{url}/data?a", f"{url}/data?b"), tmp_path)
    assert [p.name for p in paths] == [input_name(f"{url}/data?a"), input_name(f"{url}/data?b")]
    assert paths[0].name == "0x" + hashlib.sha256(f"{url}/data?a".encode()).hexdigest()
    assert all(p.read_bytes() == DATA for p in paths)


def test_ipfs_needs_a_gateway(url: str, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="gateway"):
        fetcher().dataset(ADDRESS, "/ipfs/bafydata", CHECKSUM, tmp_path)
    gateways = (f"{url}/nothing", url)
    assert fetcher(ipfs_gateways=gateways).dataset(ADDRESS, "/ipfs/bafydata", CHECKSUM, tmp_path).read_bytes() == DATA
    for bad in ("ftp://x/y", "/etc/passwd", "file:///etc/passwd", "data"):
        with pytest.raises(RunError):
            fetcher().inputs((bad,), tmp_path)


def test_a_name_that_means_another_place_at_the_second_look_is_no_way_in(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: public when checked, private when connected to."""
    closed = OPEN.model_copy(update={"allow_private_addresses": False})
    port = int(url.rsplit(":", 1)[1])
    real, looks = socket.getaddrinfo, []

    def rebinding(host: str, *given: object, **named: object) -> object:
        looks.append(host)
        where = "8.8.8.8" if len(looks) == 1 else "127.0.0.1"
        return real(where, port, type=socket.SOCK_STREAM)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    Files.asked.clear()
    with pytest.raises(RunError, match="own network"):
        Fetcher(closed, lambda: False).inputs((f"http://rebind.example:{port}/data",), tmp_path)
    assert len(looks) == 2 and not Files.asked


def test_a_task_may_not_read_from_the_operators_network(url: str, tmp_path: Path) -> None:
    closed = OPEN.model_copy(update={"allow_private_addresses": False})
    for address in (
        f"{url}/data",
        "http://localhost/x",
        "http://10.0.0.1/x",
        "http://[::1]/x",
        "http://169.254.169.254/",
    ):
        with pytest.raises(RunError, match="own network"):
            Fetcher(closed, lambda: False).inputs((address,), tmp_path)
