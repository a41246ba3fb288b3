"""The doctor and a pool whose certificate is its own: it believes whom the worker believes."""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chain import wallet as keystores
from poco.errors import PewError
from worker.config import WorkerConfig
from worker.doctor import Doctor

HUB, POOL, OWNER = "0x" + "11" * 20, "0x" + "22" * 20, "0x" + "33" * 20
ANSWERS = {
    "/config": {
        "protocol": 1, "chain_id": 1337, "hub": HUB, "workerpool": POOL, "scheduler": OWNER, "poll_seconds": 20,
    },
    "/login/challenge": {"nonce": "0x" + "55" * 32, "expires": 2_000_000_000},
    "/login": {"token": "t" * 26, "expires": 2_000_000_000},
}  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    """A scheduler whose clock is an hour fast."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def date_time_string(self, timestamp: float | None = None) -> str:
        return formatdate((timestamp or time.time()) + 3600, usegmt=True)

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        raw = json.dumps(ANSWERS[self.path]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    do_POST = do_GET  # noqa: N815


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Its address, and the certificate that vouches for itself."""
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    argv += ["-days", "2", "-subj", "/CN=pool", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*argv, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"https://127.0.0.1:{server.server_port}", certificate
    server.shutdown()


def doctor(folder: Path, url: str, ca_file: Path | None) -> Doctor:
    """One that has examined wallet and chain."""
    told: dict[str, Any] = dict.fromkeys(("deployment", "keystore", "password_file", "data_dir"), folder)
    config = WorkerConfig.model_validate(
        {"rpc_urls": ["http://127.0.0.1:9"], "scheduler_url": url, "name": "w", "workerpool": POOL, "ca_file": ca_file}
        | told
    )
    found = Doctor(config)
    found._wallet = keystores.create(folder / "k.json", "p", iterations=1024)
    chain: Any = SimpleNamespace(
        deployment=SimpleNamespace(chain_id=1337, hub=HUB),
        workerpool=lambda _address: SimpleNamespace(owner=OWNER),
        block=lambda: (1, "0x", int(time.time())),
    )
    found._chain = chain
    return found


def test_who_vouches_for_the_pool_is_believed_by_the_doctor_too(tmp_path: Path, pool: tuple[str, Path]) -> None:
    url, certificate = pool
    assert doctor(tmp_path, url, certificate)._scheduler() == f"{url} takes this wallet"
    with pytest.raises(PewError):
        doctor(tmp_path, url, None)._scheduler()


def test_the_clock_of_such_a_pool_is_read(tmp_path: Path, pool: tuple[str, Path]) -> None:
    with pytest.raises(PewError, match=r"3(599|600|601) s apart"):
        doctor(tmp_path, *pool)._clock()
