"""A registry whose every answer the test decides: for answers no honest registry gives."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Registry:
    """Paths to (status, headers, body); `seen` are the requests as (method, path, authorization)."""

    def __init__(self, port: int) -> None:
        self.host = f"127.0.0.1:{port}"
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.guarded = False
        self.drip_s = 0.0
        self.seen: list[tuple[str, str, str]] = []


@pytest.fixture
def registry() -> Iterator[Registry]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            authorization = self.headers.get("Authorization", "")
            state.seen.append((self.command, self.path, authorization))
            status, headers, body = state.answers.get(self.path, (404, {}, b"{}"))
            if state.guarded and self.path.startswith("/v2/") and authorization != "Bearer let-me":
                realm = f'Bearer realm="http://{state.host}/token",service="s",scope="repository:a:pull"'
                status, headers, body = 401, {"WWW-Authenticate": realm}, b"{}"
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if not state.drip_s:
                self.wfile.write(body)
                return
            for number in range(len(body)):
                if stopped.wait(state.drip_s):
                    return
                self.wfile.write(body[number : number + 1])
                self.wfile.flush()

        def log_message(self, *arguments: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *arguments: object) -> None:
            """A client that hangs up early is what the tests are about."""

    stopped = threading.Event()
    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state = Registry(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield state
    stopped.set()
    server.shutdown()
    server.server_close()
