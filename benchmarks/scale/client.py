"""A lean HTTP/1.1 client for asyncio: one connection, one call at a time, bodies of known length.

`httpx` and `aiohttp` cost several times the CPU of what they would measure here.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from urllib.parse import urlsplit

#: A call that is not answered for so long has failed, seconds; polls add their own wait.
PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """`timing`: the header `Server-Timing`; empty where there is none."""

    status: int
    body: bytes
    timing: str = ""


class Connection(asyncio.Protocol):
    """A connection to one server, opened at the first call and again after the server has closed it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._where = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._host = f"{self._where[0]}:{self._where[1]}"
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._buffer = bytearray()
        self._head: tuple[int, int, str] | None = None

    async def call(
        self, method: str, path: str, body: bytes = b"", *, headers: str = "", patience: float = PATIENCE
    ) -> Answer:
        """Send a request and wait for its answer.

        Args:
            headers: more lines, each ending in CRLF.

        Raises:
            OSError: no connection, or it broke off. TimeoutError: no answer in time.
        """
        loop = asyncio.get_running_loop()
        transport = self._transport
        if transport is None or transport.is_closing():
            transport, _ = await loop.create_connection(lambda: self, *self._where)
            self._transport = transport
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
        waiting: asyncio.Future[Answer] = loop.create_future()
        self._waiting = waiting
        timer = loop.call_later(patience, self._give_up)
        transport.write(head.encode() + body)
        try:
            return await waiting
        finally:
            timer.cancel()
            self._waiting = None

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    # asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._head is None:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            self._head = _parse(bytes(self._buffer[:end]))
            del self._buffer[: end + 4]
        status, length, timing = self._head
        if len(self._buffer) >= length:
            answer = Answer(status, bytes(self._buffer[:length]), timing)
            self._buffer.clear()
            self._head = None
            if self._waiting is not None and not self._waiting.done():
                self._waiting.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._buffer.clear()
        self._head = self._transport = None
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionResetError(f"the server has closed the connection ({exc})"))

    def _give_up(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(TimeoutError("no answer in time"))
        self.close()


def _parse(head: bytes) -> tuple[int, int, str]:
    """(status, length of the body, Server-Timing)."""
    lines = head.split(b"\r\n")
    length, timing = 0, ""
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        match name.lower():
            case b"content-length":
                length = int(value)
            case b"server-timing":
                timing = value.decode().strip()
    return int(lines[0].split(b" ", 2)[1]), length, timing
