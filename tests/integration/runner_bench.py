"""A bench for runners: small images, a probe that tries what strangers try, and what differs between the runtimes."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import docker
import pytest

from oci.layout import BlobStore, Tree, write_index
from oci.manifest import OCI_CONFIG, OCI_MANIFEST, parse_document
from oci.platform import Platform, parse
from oci.registry import RegistryClient
from ops import emulation
from worker.config import DockerLimits
from worker.journal import ContainerRow
from worker.runner import processes
from worker.runner.bubblewrap import BubblewrapRunner
from worker.runner.docker import WORKER_LABEL, DockerRunner
from worker.runner.errors import Interrupted, RunError
from worker.runner.folders import TaskFolder
from worker.runner.protocol import Control, Finished, Runner, RunSpec

HERE = Path(__file__).parent
OWNER = "0x" + secrets.token_hex(20)
LIMITS = DockerLimits(memory_mb=48, pids=32, tmp_mb=2, output_mb=16, output_files=500, image_mb_max=16)
NATIVE = emulation.PLATFORMS[0].name
RUNTIMES = [
    pytest.param("docker", marks=pytest.mark.docker),
    pytest.param("bubblewrap", marks=pytest.mark.bubblewrap),
]


@dataclass
class Publisher:
    """Pushes small images to the registry of the session."""

    registry: str
    store: BlobStore

    def push(
        self,
        name: str,
        programs: dict[str, bytes],
        *,
        volumes: tuple[str, ...] = (),
        config_label: str = "",
        labels: dict[str, str] | None = None,
    ) -> tuple[str, str]:
        """Push an image with one program by platform; returns its reference and the digest of its index."""
        manifests, repository = [], f"runner/{name}"
        with RegistryClient(self.registry) as client:
            for platform_name, program in programs.items():
                platform = parse(platform_name)
                tree = Tree()
                tree.file("/probe", program, 0o755)
                layer = self.store.put_layer(tree, 0)
                claimed = parse(config_label or platform_name)
                config = self.store.put(self._config(claimed, layer.diff_id, volumes, labels or {}), OCI_CONFIG)
                body = {
                    "schemaVersion": 2, "mediaType": OCI_MANIFEST,
                    "config": config.to_json(), "layers": [layer.descriptor.to_json()],
                }  # fmt: skip
                manifests.append(self.store.put(json.dumps(body).encode(), OCI_MANIFEST, platform))
                for blob in (config, layer.descriptor):
                    client.push_blob(repository, blob.digest, self.store.path(blob.digest))
                self._push_manifest(client, repository, manifests[-1].digest, manifests[-1].digest)
            index = write_index(self.store, manifests)
            self._push_manifest(client, repository, "1", index.digest)
        return f"{self.registry}/{repository}:1", "0x" + index.digest.removeprefix("sha256:")

    def _push_manifest(self, client: RegistryClient, repository: str, selector: str, blob: str) -> None:
        client.push_manifest(repository, selector, parse_document(self.store.path(blob).read_bytes()))

    @staticmethod
    def _config(platform: Platform, diff_id: str, volumes: tuple[str, ...], labels: dict[str, str]) -> bytes:
        inner: dict[str, object] = {"Entrypoint": ["/probe"], "User": "0:0", "Labels": labels}
        if volumes:
            inner["Volumes"] = {volume: {} for volume in volumes}
        variant = {"variant": platform.variant} if platform.variant else {}
        body = {
            "architecture": platform.architecture, "os": "linux", **variant, "config": inner,
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        }  # fmt: skip
        return json.dumps(body).encode()


class Runtime(Protocol):
    """A runtime, and what a test does behind its back."""

    name: str
    #: What a program may do here, though it had better not, in the probe's words.
    weaker: frozenset[str]

    def runner(self, limits: DockerLimits = LIMITS, platform: str = NATIVE) -> Runner: ...
    def identity(self, name: str) -> object: ...
    def paused(self, name: str) -> bool: ...
    def kill(self, name: str) -> None: ...
    def exists(self, name: str) -> bool: ...
    def log_bytes(self, name: str) -> int: ...
    def leftovers(self) -> list[str]: ...


class DockerRuntime:
    name = "docker"

    def __init__(self, client: docker.DockerClient) -> None:
        self._client = client
        old = int(client.version()["Version"].partition(".")[0]) < 23
        # a socket to the hypervisor: the profile of engines before 23 lets it through
        self.weaker = frozenset({"vsock"} if old else ())

    def runner(self, limits: DockerLimits = LIMITS, platform: str = NATIVE) -> Runner:
        return DockerRunner(limits, platform, OWNER)

    def identity(self, name: str) -> object:
        return self._client.containers.get(name).id

    def paused(self, name: str) -> bool:
        return bool(self._client.containers.get(name).status == "paused")

    def kill(self, name: str) -> None:
        self._client.containers.get(name).kill()

    def exists(self, name: str) -> bool:
        return bool(self._client.containers.list(all=True, filters={"name": name}))

    def log_bytes(self, name: str) -> int:
        """What the engine keeps; read through it, since only root may look at its files."""
        return len(self._client.containers.get(name).logs())

    def leftovers(self) -> list[str]:
        filters = {"label": f"{WORKER_LABEL}={OWNER}"}
        return [str(each.name) for each in self._client.containers.list(all=True, filters=filters)]


class BubblewrapRuntime:
    name = "bubblewrap"
    weaker = frozenset({"exec-from-tmp"})

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir

    def runner(self, limits: DockerLimits = LIMITS, platform: str = NATIVE) -> Runner:
        return BubblewrapRunner(limits, platform, OWNER, self.data_dir)

    def first(self, name: str) -> int:
        state: dict[str, Any] = json.loads((self.data_dir / "runs" / name / "state.json").read_text())
        return int(state["first"])

    def identity(self, name: str) -> object:
        return self.first(name)

    def paused(self, name: str) -> bool:
        return processes.paused(self.first(name))

    def kill(self, name: str) -> None:
        os.kill(self.first(name), signal.SIGKILL)

    def exists(self, name: str) -> bool:
        return (self.data_dir / "runs" / name).exists()

    def log_bytes(self, name: str) -> int:
        return sum(each.stat().st_size for each in (self.data_dir / "runs" / name).iterdir())

    def kill_shim(self, name: str) -> None:
        """As a power cut would, or the kernel in want of memory."""
        for each in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if str(self.data_dir / "runs" / name).encode() in each.read_bytes():
                    os.kill(int(each.parent.name), signal.SIGKILL)

    def leftovers(self) -> list[str]:
        """Run folders, and processes that belong to one."""
        runs = self.data_dir / "runs"
        found = [each.name for each in runs.iterdir()] if runs.exists() else []
        for each in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if str(runs).encode() in each.read_bytes():
                    found.append(each.parent.name)
        return found


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Runtime]:
    """Each runtime in turn; what it leaves behind is a failure."""
    made: Runtime
    if request.param == "docker":
        made = DockerRuntime(request.getfixturevalue("docker_client"))
    else:
        if shutil.which("bwrap") is None:
            pytest.fail("bubblewrap is missing: apt-get install bubblewrap, or leave out with -m 'not bubblewrap'")
        made = BubblewrapRuntime(tmp_path / "worker")
    yield made
    until = time.monotonic() + 5
    while (left := made.leftovers()) and time.monotonic() < until:
        time.sleep(0.1)
    assert not left, "something runs on"


def compile_static(source: str, folder: Path) -> bytes:
    """A program of this folder, for this machine and without libraries."""
    out = folder / "program"
    compiler = ["gcc", "-static"] if shutil.which("gcc") else [sys.executable, "-m", "ziglang", "cc", "-static"]
    subprocess.run([*compiler, "-O1", "-w", "-D_GNU_SOURCE", str(HERE / source), "-o", str(out)], check=True)
    return out.read_bytes()


@pytest.fixture(scope="session")
def probe(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The static probe for this machine."""
    return compile_static("worker_probe.c", tmp_path_factory.mktemp("probe"))


@pytest.fixture(scope="session")
def publisher(registry: str, tmp_path_factory: pytest.TempPathFactory) -> Publisher:
    return Publisher(registry, BlobStore(tmp_path_factory.mktemp("blobs")))


@pytest.fixture(scope="session")
def image(publisher: Publisher, probe: bytes) -> tuple[str, str]:
    return publisher.push("probe", {NATIVE: probe}, volumes=("/data",))


@dataclass
class Bench:
    """Runs the probe as a worker would, with a journal in memory."""

    runner: Runner
    reference: str
    folder: TaskFolder
    task_id: str
    rows: list[ContainerRow] = field(default_factory=list)
    halted: bool = False
    stopped: bool = False

    def control(self) -> Control:
        return Control(
            lambda: self.stopped, lambda: self.halted, lambda: self.rows[-1] if self.rows else None, self.rows.append
        )

    def spec(self, *argv: str, seconds: int = 20, deadline: int = 0, env: dict[str, str] | None = None) -> RunSpec:
        until = deadline or int(time.time()) + 600
        return RunSpec(self.task_id, self.reference, list(argv), env or {}, self.folder, seconds, until)

    def run(self, *argv: str, seconds: int = 20) -> Finished:
        self.folder.make()
        return self.runner.run(self.spec(*argv, seconds=seconds), self.control())

    def fails(self, *argv: str, seconds: int = 20) -> RunError:
        with pytest.raises(RunError) as caught:
            self.run(*argv, seconds=seconds)
        return caught.value

    def begin(self, *argv: str) -> threading.Thread:
        """Run in a thread that nobody listens to; returns once the container has begun."""
        before = len(self.rows)

        def quietly() -> None:
            with contextlib.suppress(RunError, Interrupted):
                self.run(*argv)

        thread = threading.Thread(target=quietly, daemon=True)
        thread.start()
        while len(self.rows) == before:
            time.sleep(0.02)
        time.sleep(1)
        return thread

    def result(self) -> str:
        return (self.folder.out / "result.txt").read_text()

    def name(self) -> str:
        return self.rows[-1].name


@pytest.fixture
def bench(image: tuple[str, str], tmp_path: Path, runtime: Runtime) -> Iterator[Callable[..., Bench]]:
    """Makes benches, each for one task; what they ran is removed in the end."""
    made: list[Bench] = []

    def make(reference: tuple[str, str] = image, limits: DockerLimits = LIMITS, platform: str = NATIVE) -> Bench:
        runner = runtime.runner(limits, platform)
        task_id = "0x" + secrets.token_hex(32)
        pulled = runner.pull(*reference, lambda: False)
        made.append(Bench(runner, pulled, TaskFolder(tmp_path / "tasks", task_id), task_id))
        return made[-1]

    yield make
    for each in made:
        each.stopped = True
        each.runner.remove(each.task_id)
        each.folder.remove()
