"""HTTP as the link needs it: a whole request ends in time, whatever the other side does with its bytes."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

_LOOK_SECONDS = 0.1
_local = threading.local()


class _Known:
    """A connection that this thread can be cut off from."""

    def request(self, *given: Any, **named: Any) -> None:
        holder: list[Any] | None = getattr(_local, "connections", None)
        if holder is not None:
            holder.append(self)
        super().request(*given, **named)  # type: ignore[misc]
        scissors: Scissors | None = getattr(_local, "scissors", None)
        if scissors is not None and scissors.used:  # while there was no connection to cut yet
            raise OSError("no longer wanted")


class _Plain(_Known, HTTPConnection):
    pass


class _Secure(_Known, HTTPSConnection):
    pass


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _Secure


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *given: Any, **named: Any) -> None:
        super().init_poolmanager(*given, **named)
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecurePool}


class Connections(requests.Session):
    """Connections of one thread.

    Args:
        ca_file: PEM of who may vouch for the server; None: the system's.
    """

    def __init__(self, ca_file: Path | None = None) -> None:
        super().__init__()
        self.ca_file: str | bool = str(ca_file) if ca_file is not None else True
        self.auth = _as_it_is  # a .netrc of the operator's is not for the scheduler
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter())


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Cut this thread's connection when time is up: a socket's own timeout begins anew with every byte that drips."""
    connections: list[Any] = []
    _local.connections = connections

    def cut() -> None:
        for connection in connections:
            with suppress(OSError, AttributeError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    stop: threading.Event | None = getattr(_local, "stop", None)
    scissors: Scissors | None = getattr(_local, "scissors", None)
    if scissors is not None:
        scissors.hold(cut)
    over = threading.Event()

    def watch() -> None:
        end = time.monotonic() + seconds
        while stop is not None and not stop.is_set() and time.monotonic() < end and not over.wait(_LOOK_SECONDS):
            pass
        if not over.is_set():
            cut()

    watcher = threading.Timer(seconds if stop is None else 0.0, watch)
    watcher.daemon = True
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.cancel()
        if scissors is not None:
            scissors.hold(None)
        _local.connections = None


class Scissors:
    """Cuts the request that another thread waits for inside `with scissors.blades():`.

    `used` says that something was cut, or is to be cut as soon as it begins; whoever makes requests sets it back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cut: Callable[[], None] | None = None
        self.used = False

    def hold(self, cut: Callable[[], None] | None) -> None:
        """How the request that begins now is cut; None: it is over."""
        with self._lock:
            self._cut = cut

    def snip(self) -> None:
        """Cut it."""
        with self._lock:
            self.used = True
            if self._cut is not None:
                self._cut()

    @contextmanager
    def blades(self) -> Iterator[None]:
        """Requests of this thread can be cut meanwhile."""
        _local.scissors = self
        try:
            yield
        finally:
            _local.scissors = None


@contextmanager
def while_wanted(stop: threading.Event) -> Iterator[None]:
    """Requests of this thread are cut as soon as `stop` is set."""
    _local.stop = stop
    try:
        yield
    finally:
        _local.stop = None
