"""Connections for what a task names: to the public internet only, and such that another thread can end them.

A task must not reach into the operator's own network. Addresses are looked at before the connection is made, so that
nothing is learnt of what listens inside, and again when it stands, so that no name can mean one place when it is
checked and another when it is used. A proxy that the operator has set is his own business: behind it, its rules count.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from oci.errors import ImageError
from worker.runner.errors import Interrupted

_LOOK_SECONDS = 0.25
#: Prefixes whose last 32 bits are an IPv4 address behind a translator (RFC 6052, RFC 8215).
_NAT64 = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))


class PrivateAddressError(Exception):
    """The peer is this machine or in a private network."""


def is_public(address: str) -> bool:
    """Whether an IP address is one host of the public internet, also where it stands inside another address."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if any(ip in prefix for prefix in _NAT64):
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast


class Connections:
    """All connections of one session.

    Args:
        public: whether they may go to public addresses alone.
    """

    def __init__(self, *, public: bool) -> None:
        self._public = public
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []

    def attach(self, session: requests.Session) -> None:
        """Make all of a session's connections."""
        for scheme in ("http://", "https://"):
            session.mount(scheme, _Adapter(self))

    def cut(self) -> None:
        """End them all; whoever reads or writes there goes on at once."""
        with self._lock:
            ending, self._open = self._open, []
        for each in ending:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def connect(self, connection: HTTPConnection) -> socket.socket:
        """Connect, as the connection's own class would."""
        if self._public:
            with suppress(socket.gaierror):  # told better by the connection itself
                for *_, where in socket.getaddrinfo(connection.host, connection.port, type=socket.SOCK_STREAM):
                    self._require_public(str(where[0]))
        made = HTTPConnection._new_conn(connection)
        try:
            if self._public:
                self._require_public(str(made.getpeername()[0]))
            # TLS takes the descriptor over: what is kept here is another one of the same connection
            kept = socket.socket(fileno=os.dup(made.fileno()))
        except BaseException:
            made.close()
            raise
        with self._lock:
            self._open.append(kept)
        return made

    @contextmanager
    def cut_when(self, over: Callable[[], bool]) -> Iterator[None]:
        """Somebody ends the connections as soon as `over` says yes, and when this is left: a server that sends a byte
        now and then, in the middle of a header too, is never quiet for long, and one that is silent is waited for."""
        left = threading.Event()

        def watch() -> None:
            while not left.wait(_LOOK_SECONDS):
                if over():
                    self.cut()

        watcher = threading.Thread(target=watch, name="connections-watch", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            left.set()
            watcher.join()
            self.cut()

    @staticmethod
    def _require_public(address: str) -> None:
        if not is_public(address):
            raise PrivateAddressError(address)


@contextmanager
def wanted_until(stop: Callable[[], bool]) -> Iterator[requests.Session]:
    """A session for a registry, whose connections somebody ends as soon as `stop` says yes: who waits for a silent
    server asks nothing meanwhile. `Interrupted` is raised then in place of what broke off."""
    connections, session = Connections(public=False), requests.Session()
    connections.attach(session)
    try:
        with connections.cut_when(stop):
            yield session
    except ImageError:
        if stop():
            raise Interrupted from None
        raise


class _Adapter(HTTPAdapter):
    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        super().__init__()

    def init_poolmanager(self, *given: Any, **named: Any) -> None:
        super().init_poolmanager(*given, **named)
        connections = self._connections

        class Plain(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                return connections.connect(self)

        class Secure(HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                return connections.connect(self)

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = Secure

        self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}
