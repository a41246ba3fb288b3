"""Lines between processes that can be cut, silenced, slowed, made to lose answers and to deliver requests twice.

Every line is a loopback port that hands HTTP/1.1 on to another. It works on whole requests and answers, for that is
what a network loses or repeats as a client sees it; it needs no root, unlike network namespaces, and cuts one
direction of one peer's conversation without touching the Docker Engine's.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

HOST = "127.0.0.1"
_LIMIT = 2**26
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class CutError(Exception):
    """The line is closed under its users."""


@dataclass
class Line:
    """One line; set `mode` to break it, "" to mend it.

    Modes: "cut" (connections are closed), "silent" (nothing passes, nothing is closed), "slow" (`seconds` each way),
    "lose" (requests arrive, answers do not), "twice" (requests arrive two times).
    """

    name: str
    port: int
    target: int
    mode: str = ""
    seconds: float = 0.0
    chance: float = 1.0
    random: random.Random = field(default_factory=random.Random)
    done: Counter[str] = field(default_factory=Counter)
    clients: set[asyncio.StreamWriter] = field(default_factory=set)
    #: the event loop alone would let one be forgotten while it waits
    serving: set[asyncio.Task[None] | None] = field(default_factory=set)

    def strikes(self, mode: str) -> bool:
        """Whether this request is met."""
        met = self.mode == mode and self.random.random() < self.chance
        self.done[mode] += met
        return met

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.clients.add(writer)
        self.serving.add(asyncio.current_task())
        upstream: Streams | None = None
        try:
            while True:
                request = await _message(reader)
                upstream = await self._exchange(request, writer, upstream)
        except (CutError, OSError, EOFError, ValueError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass  # cancelled by `Lines.close` alone
        finally:
            self.clients.discard(writer)
            self.serving.discard(asyncio.current_task())
            for one in (writer, upstream[1] if upstream else None):
                if one is not None:
                    with suppress(OSError):
                        one.close()

    async def _exchange(self, request: bytes, writer: asyncio.StreamWriter, upstream: Streams | None) -> Streams:
        await self._pass()
        if upstream is None or upstream[1].is_closing():
            upstream = await asyncio.open_connection(HOST, self.target, limit=_LIMIT)
        head = request.split(b" ", 1)[0]
        for _ in range(2 if self.strikes("twice") else 1):
            upstream[1].write(request)
            await upstream[1].drain()
            answer = await _message(upstream[0], bodiless=head == b"HEAD", answers=True)
        if self.strikes("lose"):
            raise CutError
        await self._pass()
        writer.write(answer)
        await writer.drain()
        if b"connection: close" in answer.split(b"\r\n\r\n", 1)[0].lower():
            raise CutError
        return upstream

    async def _pass(self) -> None:
        if self.mode == "slow":
            self.done["slow"] += 1
            await asyncio.sleep(self.seconds)
        silenced = False
        while self.mode == "silent":
            silenced = True
            await asyncio.sleep(0.05)
        if silenced or self.mode == "cut":  # what was silent for so long is given up
            self.done["cut"] += 1
            raise CutError


async def _message(reader: asyncio.StreamReader, *, bodiless: bool = False, answers: bool = False) -> bytes:
    """One whole request or answer."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        raise EOFError from error
    lines = head.lower().split(b"\r\n")
    fields = dict(line.split(b":", 1) for line in lines[1:] if b":" in line)
    status = lines[0].split(b" ")[1] if answers else b""
    try:
        if status[:1] == b"1":  # "continue" and the like: the answer comes after it
            return await _message(reader, bodiless=bodiless, answers=True)
        if bodiless or status in (b"204", b"304"):
            return head
        if b"content-length" in fields:
            return head + await reader.readexactly(int(fields[b"content-length"]))
        if b"chunked" in fields.get(b"transfer-encoding", b""):
            return head + await _chunks(reader)
        return head + (await reader.read() if answers else b"")
    except asyncio.IncompleteReadError as error:
        raise EOFError from error


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    found = b""
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        found += line + await reader.readexactly(size + 2)
        if size == 0:
            return found


class Lines:
    """All lines, in a thread of their own."""

    def __init__(self, chance: random.Random) -> None:
        self._random = chance
        self.lines: dict[str, Line] = {}
        self._servers: list[asyncio.Server] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="lines", daemon=True)
        self._thread.start()

    def open(self, name: str, port: int, target: int) -> str:
        """A new line; returns its URL."""
        line = Line(name, port, target, random=random.Random(self._random.random()))
        served = asyncio.start_server(line.serve, HOST, port, limit=_LIMIT)
        self._servers.append(asyncio.run_coroutine_threadsafe(served, self._loop).result(10))
        self.lines[name] = line
        return f"http://{HOST}:{port}"

    def close(self) -> None:
        """Give the ports back and end the thread."""

        async def end() -> None:
            for server in self._servers:
                server.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def set(self, name: str, mode: str, seconds: float = 0.0, chance: float = 1.0) -> None:
        """Break or mend a line."""
        line = self.lines[name]
        line.mode, line.seconds, line.chance = mode, seconds, chance
        if mode == "cut":
            self._loop.call_soon_threadsafe(lambda: [client.close() for client in list(line.clients)])

    def mend(self) -> None:
        """All lines are whole."""
        for name in self.lines:
            self.set(name, "")
