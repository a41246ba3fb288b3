"""A JSON-RPC node that misbehaves on order: a proxy on loopback before a real one.

In a test: `with FlakyRpc(url) as node: node.faults.lag = 3`. As a process of its own:
`python -m tests.flaky_rpc UPSTREAM PORT`, then `POST /faults` with the fields that are to change, as JSON (`GET` of
anything shows them). What is asked is counted by method in `asked`; the same seed and requests make the same faults.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests

#: Where the block stands among the parameters of what reads state.
_BLOCK_AT = {"eth_call": 1, "eth_getBalance": 1, "eth_getCode": 1, "eth_getTransactionCount": 1}


@dataclass
class Faults:
    """What goes wrong now. Shares are of all requests, 0 to 1; `only` limits the faults to those methods."""

    #: the connection is closed before the node hears of it, and after it has done what was asked
    drop: float = 0.0
    drop_answer: float = 0.0
    #: seconds before each answer
    delay: float = 0.0
    #: the request reaches the node twice
    duplicate: float = 0.0
    #: HTTP 429 with that `Retry-After`, or the same as a JSON-RPC error
    too_many: float = 0.0
    too_many_code: float = 0.0
    retry_after: int = 1
    #: an HTTP 502, and a body that is no JSON-RPC answer
    bad_gateway: float = 0.0
    garbage: float = 0.0
    #: the node knows so many blocks less than it could; or none beyond this one
    lag: int = 0
    stuck_at: int | None = None
    #: it says that it is on this chain
    chain_id: int | None = None
    #: it refuses log queries over more blocks, and answers with more logs
    max_blocks: int | None = None
    max_logs: int | None = None
    #: so many blocks at the end are known without their logs
    logs_lag: int = 0
    #: states of all blocks but the newest are forgotten, as after a start from a snapshot
    amnesia: bool = False
    #: transactions are answered with their hash and thrown away
    swallow: bool = False
    only: list[str] = field(default_factory=list)


GARBAGE = (
    b"<html>bad</html>",
    b"",
    b"[]",
    b"null",
    b'{"jsonrpc":"2.0","id":1}',
    b'{"jsonrpc":"2.0","id":1,"result":"zz"}',
    b'{"jsonrpc":"2.0","id":1,"result":{}}',
    b'{"jsonrpc":"2.0","id":1,"result":"0x',
    b'{"jsonrpc":"2.0","id":1,"result":null,"error":"no"}',
)


class FlakyRpc:
    """The proxy; `url` is where it listens.

    Args:
        upstream: the real node.
        port: 0 for any that is free.
        seed: of the choice of requests that fail.
    """

    def __init__(self, upstream: str, port: int = 0, seed: int = 1) -> None:
        self.upstream = upstream
        self.faults = Faults()
        self.asked: Counter[str] = Counter()
        #: called with method and parameters before they are passed on
        self.listener: Callable[[str, Any], None] | None = None
        self._chance = random.Random(seed)  # noqa: S311 - which requests fail
        self._lock = threading.Lock()
        self._local = threading.local()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def handle(self) -> None:
                with suppress(OSError):
                    super().handle()

            def do_GET(self) -> None:
                self._reply(200, json.dumps({"faults": asdict(outer.faults), "asked": outer.asked}).encode())

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.path == "/faults":
                    outer.change(**json.loads(body))
                    self._reply(200, b"{}")
                    return
                status, answer, headers = outer.answer(body)
                if status == 0:
                    self.close_connection = True
                    return
                self._reply(status, answer, headers)

            def _reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

        self._server = Server(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def __enter__(self) -> FlakyRpc:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def change(self, **values: Any) -> None:
        """Set some faults; the others stay as they are."""
        known = {f.name for f in fields(Faults)}
        if not set(values) <= known:
            raise ValueError(f"no such fault: {sorted(set(values) - known)}")
        self.faults = Faults(**{**asdict(self.faults), **values})

    def mend(self) -> None:
        """A faultless node again."""
        self.faults = Faults()

    def answer(self, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        """(HTTP status or 0 to hang up, body, headers) for one request."""
        asked = json.loads(body)
        faults, method = self.faults, asked["method"]
        with self._lock:
            self.asked[method] += 1
            happens = {name: self._chance.random() < getattr(faults, name) for name in _SHARES}
            rubbish = self._chance.choice(GARBAGE)
        if faults.only and method not in faults.only:
            happens = dict.fromkeys(_SHARES, False)
        elif faults.delay:
            time.sleep(faults.delay)
        if happens["drop"]:
            return 0, b"", {}
        if happens["too_many"]:
            return 429, b"too many requests", {"Retry-After": str(faults.retry_after)}
        if happens["too_many_code"]:
            return 200, _error(asked, -32005, "daily request count exceeded, request rate limited"), {}
        if happens["bad_gateway"]:
            return 502, b"<html>bad gateway</html>", {}
        if happens["garbage"]:
            return 200, rubbish, {}
        if self.listener is not None:
            self.listener(method, asked.get("params"))
        answer = self._pass(asked, faults)
        if happens["duplicate"]:
            self._pass(asked, faults)
        return (0, b"", {}) if happens["drop_answer"] else (200, answer, {})

    def _pass(self, asked: dict[str, Any], faults: Faults) -> bytes:
        method, params = asked["method"], list(asked.get("params") or [])
        if method == "eth_chainId" and faults.chain_id is not None:
            return _result(asked, hex(faults.chain_id))
        if method == "net_version" and faults.chain_id is not None:
            return _result(asked, str(faults.chain_id))
        if method == "eth_sendRawTransaction" and faults.swallow:
            from eth_utils.crypto import keccak

            return _result(asked, "0x" + keccak(hexstr=params[0]).hex())
        if method == "eth_getLogs" and faults.max_blocks is not None:
            first, last = (int(params[0][name], 16) for name in ("fromBlock", "toBlock"))
            if last - first + 1 > faults.max_blocks:
                return _error(asked, -32005, f"query exceeds max block range {faults.max_blocks}")
        if faults.amnesia and method in _BLOCK_AT:
            block = params[_BLOCK_AT[method]]
            if block.startswith("0x") and int(block, 16) < self._head():
                said = f"BlockOutOfRangeError: block height is {self._head()} but requested was {int(block, 16)}"
                return _error(asked, -32000, said)
        end = self._end(faults)
        if end is not None:
            refused = self._behind(asked, method, params, end)
            if refused is not None:
                return refused
        if method == "eth_getLogs" and faults.logs_lag:
            last = min(int(params[0]["toBlock"], 16), self._head() - faults.logs_lag)
            params[0] = {**params[0], "toBlock": hex(last)}
        found = self._ask({**asked, "params": params})
        if end is not None and method in ("eth_getTransactionReceipt", "eth_getTransactionByHash"):
            found = _hide(asked, found, end)
        if method == "eth_getLogs" and faults.max_logs is not None:
            count = len(json.loads(found).get("result") or [])
            if count > faults.max_logs:
                return _error(asked, -32005, f"query returned more than {faults.max_logs} results")
        return found

    def _end(self, faults: Faults) -> int | None:
        """The last block that the node is to know; None for all."""
        if not faults.lag and faults.stuck_at is None:
            return None
        end = self._head() - faults.lag
        return max(0, end if faults.stuck_at is None else min(end, faults.stuck_at))

    def _behind(self, asked: dict[str, Any], method: str, params: list[Any], end: int) -> bytes | None:
        """Make the request one of an earlier block (in place), or say what a node without that block says."""
        if method == "eth_blockNumber":
            return _result(asked, hex(end))
        if method == "eth_getBlockByNumber":
            if params[0] in ("latest", "pending"):
                params[0] = hex(end)
            elif params[0].startswith("0x") and int(params[0], 16) > end:
                return _result(asked, None)
        if method in _BLOCK_AT:
            place = _BLOCK_AT[method]
            block = params[place] if len(params) > place else "latest"
            if block in ("latest", "pending"):
                params[place:] = [hex(end)]
            elif isinstance(block, str) and block.startswith("0x") and int(block, 16) > end:
                return _error(asked, -32000, "header not found")
        if method == "eth_getLogs":
            if int(params[0]["fromBlock"], 16) > end:
                return _result(asked, [])
            params[0] = {**params[0], "toBlock": hex(min(int(params[0]["toBlock"], 16), end))}
        return None

    def _head(self) -> int:
        asked = {"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber", "params": []}
        return int(json.loads(self._ask(asked))["result"], 16)

    def _ask(self, asked: dict[str, Any]) -> bytes:
        session = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.trust_env = False
        return bytes(session.post(self.upstream, json=asked, timeout=30).content)


_SHARES = ("drop", "drop_answer", "duplicate", "too_many", "too_many_code", "bad_gateway", "garbage")


def _result(asked: dict[str, Any], value: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": asked.get("id"), "result": value}).encode()


def _error(asked: dict[str, Any], code: int, message: str) -> bytes:
    body = {"jsonrpc": "2.0", "id": asked.get("id"), "error": {"code": code, "message": message}}
    return json.dumps(body).encode()


def _hide(asked: dict[str, Any], answer: bytes, end: int) -> bytes:
    """What was mined after `end` is not known."""
    result = json.loads(answer).get("result")
    block = result.get("blockNumber") if isinstance(result, dict) else None
    return _result(asked, None) if block is not None and int(block, 16) > end else answer


def main() -> None:
    node = FlakyRpc(sys.argv[1], int(sys.argv[2]))
    sys.stdout.write(node.url + "\n")
    sys.stdout.flush()
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        node.close()


if __name__ == "__main__":
    main()
