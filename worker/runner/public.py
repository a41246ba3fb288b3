"""HTTP to the public internet only: what a task names must not reach into the operator's own network.

Addresses are looked at before the connection is made, so that nothing is learnt of what listens inside, and again when
it stands, so that no name can mean one place when it is checked and another when it is used. A proxy that the operator
has set is his own business: behind it, its rules count.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection


class PrivateAddressError(Exception):
    """The peer is this machine or in a private network."""


def _require_public(address: str) -> None:
    if not ipaddress.ip_address(address.partition("%")[0]).is_global:
        raise PrivateAddressError(address)


def _connect(host: str, port: int | None, connect: Callable[[], socket.socket]) -> socket.socket:
    with suppress(socket.gaierror):  # told better by the connection itself
        for *_, where in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            _require_public(str(where[0]))
    made = connect()
    try:
        _require_public(str(made.getpeername()[0]))
    except PrivateAddressError:
        made.close()
        raise
    return made


class _PublicHTTP(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _connect(self.host, self.port, super()._new_conn)


class _PublicHTTPS(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _connect(self.host, self.port, super()._new_conn)


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _PublicHTTP


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _PublicHTTPS


class _PublicAdapter(HTTPAdapter):
    def init_poolmanager(self, *given: Any, **named: Any) -> None:
        super().init_poolmanager(*given, **named)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}


def keep_public(session: requests.Session) -> None:
    """Let a session connect to public addresses alone."""
    session.mount("http://", _PublicAdapter())
    session.mount("https://", _PublicAdapter())
