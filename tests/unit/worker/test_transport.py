"""Requests that end in time, and say nothing that is not theirs."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from chain import wallet as keystores
from worker import link as links
from worker.link import Link, SchedulerDownError
from worker.transport import Connections, while_wanted, within


@pytest.fixture
def server() -> Iterator[Callable[[Callable[[socket.socket], None]], str]]:
    """Serves one connection after the other by a function; returns the address."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve(answer: Callable[[socket.socket], None]) -> str:
        def accept() -> None:
            while not over.is_set():
                try:
                    found, _ = listener.accept()
                    with found:
                        answer(found)
                except OSError:
                    continue

        threading.Thread(target=accept, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield serve
    over.set()
    listener.close()


def drip(connection: socket.socket) -> None:
    """An answer's head, a byte at a time: each would begin a socket's time-out anew."""
    connection.recv(65_536)
    for byte in b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


def test_a_head_that_drips_is_cut_off(server: Callable[..., str]) -> None:
    session, url = Connections(), server(drip)
    began = time.monotonic()
    with pytest.raises(requests.RequestException), within(0.5):
        session.get(url, timeout=30)
    assert time.monotonic() - began < 5


def test_the_link_calls_that_no_answer(
    server: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "_CONNECT_SECONDS", 0.3)
    monkeypatch.setattr(links, "_ANSWER_SECONDS", 0.3)
    wallet = keystores.create(tmp_path / "k.json", "p", iterations=1024)
    link = Link(server(drip), wallet, 1, "0x" + "11" * 20, "0x" + "22" * 20)
    monkeypatch.setattr(link, "_send", _with_seconds(link._send, 0.3))
    with pytest.raises(SchedulerDownError, match="/config"):
        link.config()


def _with_seconds(send: Callable[..., bytes], seconds: float) -> Callable[..., bytes]:
    return lambda *given, **named: send(*given, **{**named, "seconds": seconds})


def test_a_netrc_is_not_for_the_scheduler(
    server: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    asked: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        asked.append(connection.recv(65_536))
        connection.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")

    url = server(answer)
    Connections().get(url, headers={"Authorization": "Bearer mine"}, timeout=5)
    assert b"Bearer mine" in asked[0] and b"Basic" not in asked[0]


def test_a_request_that_nobody_wants_any_more_is_cut(server: Callable[..., str]) -> None:
    session, url, stop = Connections(), server(drip), threading.Event()
    threading.Timer(0.3, stop.set).start()
    began = time.monotonic()
    with pytest.raises(requests.RequestException), while_wanted(stop), within(30):
        session.get(url, timeout=30)
    assert time.monotonic() - began < 5
