"""Endpoints against a server that loses a request."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from chain.endpoints import PATIENCE_SECONDS, Endpoints
from chain.settings import ChainSettings

CHAIN_ID = 1337
ANSWERS = {"eth_chainId": hex(CHAIN_ID), "eth_estimateGas": "0x5208"}


@pytest.fixture
def forgetful() -> Iterator[str]:
    """The address of a node that never answers the first estimate, and answers all else."""
    lost, over = [], threading.Event()

    class Node(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if asked["method"] == "eth_estimateGas" and not lost:
                lost.append(asked)
                over.wait(30)
                return
            body = json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": ANSWERS[asked["method"]]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Node)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    over.set()
    server.shutdown()
    server.server_close()
    assert lost


def test_a_request_that_a_node_loses_is_asked_again_however_long_that_took(forgetful: str) -> None:
    settings = ChainSettings(request_seconds=PATIENCE_SECONDS + 0.2)
    endpoints = Endpoints([forgetful], CHAIN_ID, settings, lambda *_, **__: None)
    assert endpoints.make_request("eth_estimateGas", [{}])["result"] == "0x5208"  # type: ignore[arg-type]
