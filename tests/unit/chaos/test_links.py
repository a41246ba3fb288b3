"""The lines of the crash campaign: one round's ports are free for the next."""

from __future__ import annotations

import random
import socket
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import requests

from ops.ports import HOST, free_port, is_free
from tests.chaos.links import Lines


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_args: object) -> None:
        pass


def test_a_round_gives_its_ports_back() -> None:
    server = HTTPServer((HOST, 0), Answer)
    Thread(target=server.serve_forever, daemon=True).start()
    port = free_port()
    lines = Lines(random.Random(1))  # noqa: S311
    try:
        url = lines.open("a", port, server.server_address[1])
        session = requests.Session()
        session.trust_env = False
        assert session.get(url, timeout=5).text == "ok"
        with socket.create_connection((HOST, port)):  # somebody who says nothing and stays
            assert not is_free(port)
            lines.close()
            assert is_free(port)
    finally:
        server.shutdown()
        server.server_close()
