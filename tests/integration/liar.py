"""An HTTP server that stands before a real one, and passes on what it likes."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests


class Liar:
    """A proxy on loopback before a real server.

    What is asked below `path` waits until `go` is set; what `lie` takes (it answers True) is answered by it alone.
    """

    def __init__(self, upstream: str) -> None:
        self.path, self.hit, self.go = "", threading.Event(), threading.Event()
        self.lie: Callable[[BaseHTTPRequestHandler], bool] = lambda _: False
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    super().handle()

            def _any(self) -> None:
                outer.asked.append(self.path)
                if outer.path and self.path.startswith(outer.path):
                    outer.hit.set()
                    outer.go.wait(60)
                if outer.lie(self):
                    self.close_connection = True
                    return
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                names = {"Host", "Content-Length", "Connection"}
                headers = {name: value for name, value in self.headers.items() if name not in names}
                got = requests.request(
                    self.command, upstream + self.path, data=body, headers=headers, timeout=60, allow_redirects=False
                )
                self.send_response(got.status_code)
                for name in ("Content-Type", "Docker-Content-Digest", "Location"):
                    if name in got.headers:
                        self.send_header(name, got.headers[name])
                length = got.headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(got.content))
                self.send_header("Content-Length", length)
                self.end_headers()
                self.wfile.write(got.content)

            do_GET = do_POST = do_PUT = do_HEAD = _any  # noqa: N815

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stall(self, path: str) -> None:
        self.path = path
        self.hit.clear()
        self.go.clear()
