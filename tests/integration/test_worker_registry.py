"""Registries that send for ever, too much, something else or bombs: stopped in both runtimes, with the reason."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import tarfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from oci.manifest import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST
from ops import emulation
from poco.errors import Cause
from tests.integration.runner_bench import LIMITS, NATIVE, Runtime
from worker.runner.errors import Interrupted, RunError

MB = 1_048_576


def digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


@dataclass
class HostileRegistry:
    """Serves blobs and manifests as they are put in; `endless` are digests whose content never ends."""

    host: str = ""
    content: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    endless: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    sent: int = 0
    open: int = 0

    def put(self, media_type: str, content: bytes) -> dict[str, object]:
        """Offer content; returns its descriptor."""
        self.content[digest(content)] = (media_type, content)
        return {"mediaType": media_type, "digest": digest(content), "size": len(content)}

    def image(self, layers: list[dict[str, object]], diff_ids: list[str], **config: object) -> tuple[str, str]:
        """Offer an image of these layers; returns its reference and the checksum for the chain."""
        os_, architecture = NATIVE.split("/")[:2]
        inner = {"architecture": architecture, "os": os_, "config": {"Entrypoint": ["/probe"], **config},
                 "rootfs": {"type": "layers", "diff_ids": diff_ids}}  # fmt: skip
        about = self.put(OCI_CONFIG, json.dumps(inner).encode())
        manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": about, "layers": layers}
        entry = self.put(OCI_MANIFEST, json.dumps(manifest).encode())
        entry["platform"] = {"os": os_, "architecture": architecture}
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}
        return f"{self.host}/hostile:1", "0x" + str(self.put(OCI_INDEX, json.dumps(index).encode())["digest"])[7:]


@pytest.fixture
def hostile_registry() -> Iterator[HostileRegistry]:
    state, over = HostileRegistry(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            name = self.path.rpartition("/")[2]
            found = state.content.get(name)
            self.send_response(200 if found or self.path == "/v2/" else 404)
            self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
            if found:
                self.send_header("Content-Type", found[0])
                self.send_header("Docker-Content-Digest", name)
                if name not in state.endless | state.silent:
                    self.send_header("Content-Length", str(len(found[1])))
            else:
                self.send_header("Content-Length", "0")
            self.end_headers()
            if found and self.command == "GET":
                with contextlib.suppress(OSError):
                    self._send(name, found[1])

        def _send(self, name: str, body: bytes) -> None:
            state.open += 1
            try:
                self.wfile.write(body)
                while name in state.endless and not over.is_set():
                    state.sent += self.wfile.write(bytes(MB))
                while name in state.silent and not over.wait(0.1):
                    pass
            finally:
                state.open -= 1

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.host = f"127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield state
    over.set()
    server.shutdown()
    server.server_close()


def layer(size: int = 0) -> bytes:
    """A tar with the probe, and with a file of zeros."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in (("probe", emulation.probe_binary(emulation.PLATFORMS[0])), ("zeros", bytes(size))):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def refusal(runtime: Runtime, image: tuple[str, str], **limits: int) -> RunError:
    with pytest.raises(RunError) as caught:
        runtime.runner(LIMITS.model_copy(update=limits)).pull(*image, lambda: False)
    return caught.value


def test_a_layer_without_end(hostile_registry: HostileRegistry, runtime: Runtime) -> None:
    plain = layer(fresh_size())
    entry = hostile_registry.put(OCI_LAYER, gzip.compress(plain))
    hostile_registry.endless.add(str(entry["digest"]))
    began = time.monotonic()
    error = refusal(runtime, hostile_registry.image([entry], [digest(plain)]))
    assert error.cause is Cause.APP_IMAGE_DOWNLOAD_FAILED
    assert "more than" in error.message, "stopped by: the size that the manifest names"
    assert time.monotonic() - began < 30
    until = time.monotonic() + 10
    while hostile_registry.open and time.monotonic() < until:
        time.sleep(0.1)
    assert not hostile_registry.open, "the transfer itself has ended too"


def fresh_size() -> int:
    """A size that no other run has used: an engine keeps layers that it knows."""
    return time.time_ns() % 100_000


def test_content_that_is_not_its_digests(hostile_registry: HostileRegistry, runtime: Runtime) -> None:
    plain = layer(fresh_size())
    entry = hostile_registry.put(OCI_LAYER, gzip.compress(plain))
    other = bytearray(gzip.compress(plain))
    other[20] ^= 1
    hostile_registry.content[str(entry["digest"])] = (OCI_LAYER, bytes(other))
    error = refusal(runtime, hostile_registry.image([entry], [digest(plain)]))
    assert error.cause in (Cause.APP_IMAGE_BAD_CHECKSUM, Cause.APP_IMAGE_DOWNLOAD_FAILED)


def test_a_layer_that_unpacks_to_too_much(hostile_registry: HostileRegistry, runtime: Runtime) -> None:
    plain = layer(400 * MB + fresh_size())
    packed = gzip.compress(plain, 1)
    assert len(packed) < 4 * MB
    entry = hostile_registry.put(OCI_LAYER, packed)
    error = refusal(runtime, hostile_registry.image([entry], [digest(plain)]), image_unpacked_mb_max=20)
    assert error.cause is Cause.APP_IMAGE_DOWNLOAD_FAILED
    assert "allowed" in error.message


def test_thousands_of_layers(hostile_registry: HostileRegistry, runtime: Runtime) -> None:
    plain = layer()
    entry = hostile_registry.put(OCI_LAYER, gzip.compress(plain))
    error = refusal(runtime, hostile_registry.image([entry] * 5000, [digest(plain)] * 5000))
    assert error.cause is Cause.APP_IMAGE_DOWNLOAD_FAILED
    assert "at most 512" in error.message


def test_a_config_that_is_a_bomb(hostile_registry: HostileRegistry, runtime: Runtime) -> None:
    plain = layer()
    entry = hostile_registry.put(OCI_LAYER, gzip.compress(plain))
    error = refusal(runtime, hostile_registry.image([entry], [digest(plain)], Env=["A=" + "x" * 2 * MB]))
    assert error.cause is Cause.APP_IMAGE_DOWNLOAD_FAILED
    assert "config of" in error.message


def test_a_pull_can_be_given_up(hostile_registry: HostileRegistry, runtime: Runtime) -> None:
    plain = layer(fresh_size())
    entry = hostile_registry.put(OCI_LAYER, gzip.compress(plain)) | {"size": 15 * MB}
    hostile_registry.endless.add(str(entry["digest"]))
    image = hostile_registry.image([entry], [digest(plain)])
    with pytest.raises(Interrupted):
        runtime.runner().pull(*image, lambda: hostile_registry.sent > 0)


@pytest.mark.parametrize("runtime", [pytest.param("bubblewrap", marks=pytest.mark.bubblewrap)], indirect=True)
def test_nothing_of_a_failed_pull_stays(hostile_registry: HostileRegistry, runtime: Runtime, tmp_path: Path) -> None:
    plain = layer()
    entry = hostile_registry.put(OCI_LAYER, gzip.compress(plain))
    refusal(runtime, hostile_registry.image([entry], [digest(plain + b"x")]))
    assert not list((tmp_path / "worker" / "images").iterdir())
