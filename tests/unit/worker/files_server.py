"""A real HTTP server for downloads that misbehaves on demand."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DATA = bytes(range(256)) * 4000


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server does once: bytes from where it was asked to begin, or from `begin`; `cut` after so many."""

    data: bytes = DATA
    status: int | None = None
    etag: str = '"one"'
    cut: int | None = None
    begin: int | None = None
    ranges: bool = True
    headers: tuple[tuple[str, str], ...] = ()


@dataclass
class Files:
    """Answers by path; `asked` are the paths and ranges that came, `play` what a path answers in turn."""

    url: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    play: dict[str, list[Answer]] = field(default_factory=dict)
    raw: dict[str, Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=dict)


def drip(handler: BaseHTTPRequestHandler, head: bytes, drop: bytes, seconds: float, pause: float = 0.1) -> None:
    """Write `head`, then `drop` again and again."""
    handler.close_connection = True
    end = time.monotonic() + seconds
    with contextlib.suppress(OSError):
        handler.wfile.write(head)
        while time.monotonic() < end:
            handler.wfile.write(drop)
            handler.wfile.flush()
            time.sleep(pause)


@contextmanager
def serving() -> Iterator[Files]:
    """The server, on loopback."""
    files = Files()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def handle(self) -> None:
            with contextlib.suppress(ConnectionError):
                super().handle()

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            files.asked.append((self.path, self.headers.get("Range", "")))
            files.headers.append(dict(self.headers))
            if path in files.raw:
                files.raw[path](self)
                return
            turns = files.play.get(path)
            if not turns:
                self._send(Answer(b"", status=404))
            else:
                self._send(turns.pop(0) if len(turns) > 1 else turns[0])

        def _send(self, answer: Answer) -> None:
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            same = self.headers.get("If-Range", answer.etag) == answer.etag
            start = int(asked[1]) if asked and answer.ranges and same and answer.begin is None else answer.begin or 0
            partial = asked is not None and answer.ranges and (same or answer.begin is not None)
            body = answer.data[start:]
            self.send_response(answer.status or (206 if partial else 200))
            if partial:
                self.send_header("Content-Range", f"bytes {start}-{len(answer.data) - 1}/{len(answer.data)}")
            if answer.etag:
                self.send_header("ETag", answer.etag)
            for name, value in answer.headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body if answer.cut is None else body[: answer.cut])
            self.close_connection = answer.cut is not None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    files.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield files
    finally:
        server.shutdown()
        server.server_close()
