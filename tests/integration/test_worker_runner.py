"""The runner against a real Docker Engine and a real registry: what works, what fails, and what tries to get out."""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import docker
import pytest

from oci.layout import BlobStore, Tree, write_index
from oci.manifest import OCI_CONFIG, OCI_MANIFEST
from oci.platform import Platform, parse
from oci.registry import RegistryClient
from ops import emulation
from poco.errors import Cause
from poco.hexes import ZERO_BYTES32
from poco.result import ResultError, digest
from worker.config import DockerLimits
from worker.journal import ContainerRow
from worker.runner.docker import TASK_LABEL, WORKER_LABEL, DockerRunner
from worker.runner.errors import Interrupted, RunError
from worker.runner.folders import TaskFolder
from worker.runner.outputs import OutFolder, write_zip
from worker.runner.protocol import Control, Finished, RunSpec

pytestmark = pytest.mark.docker
HERE = Path(__file__).parent
OWNER = "0x" + "ab" * 20
LIMITS = DockerLimits(memory_mb=48, pids=32, tmp_mb=2, output_mb=16, output_files=500, image_mb_max=16)
NATIVE = emulation.PLATFORMS[0].name


@pytest.fixture(scope="session")
def probe(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The static probe for this machine."""
    out = tmp_path_factory.mktemp("probe") / "probe"
    source = HERE / "worker_probe.c"
    compiler = ["gcc", "-static"] if shutil.which("gcc") else [sys.executable, "-m", "ziglang", "cc", "-static"]
    subprocess.run([*compiler, "-O1", "-w", "-D_GNU_SOURCE", str(source), "-o", str(out)], check=True)
    return out.read_bytes()


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
        label: str = "",
        config_label: str = "",
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
                config = self.store.put(self._config(claimed, layer.diff_id, volumes), OCI_CONFIG)
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
        from oci.manifest import parse_document

        client.push_manifest(repository, selector, parse_document(self.store.path(blob).read_bytes()))

    @staticmethod
    def _config(platform: Platform, diff_id: str, volumes: tuple[str, ...]) -> bytes:
        inner: dict[str, object] = {"Entrypoint": ["/probe"], "User": "0:0"}
        if volumes:
            inner["Volumes"] = {volume: {} for volume in volumes}
        variant = {"variant": platform.variant} if platform.variant else {}
        body = {
            "architecture": platform.architecture, "os": "linux", **variant, "config": inner,
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        }  # fmt: skip
        return json.dumps(body).encode()


@pytest.fixture(scope="session")
def publisher(registry: str, tmp_path_factory: pytest.TempPathFactory) -> Publisher:
    return Publisher(registry, BlobStore(tmp_path_factory.mktemp("blobs")))


@pytest.fixture(scope="session")
def image(publisher: Publisher, probe: bytes) -> tuple[str, str]:
    return publisher.push("probe", {NATIVE: probe}, volumes=("/data",))


@dataclass
class Bench:
    """Runs the probe as a worker would, with a journal in memory."""

    runner: DockerRunner
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

    def result(self) -> str:
        return (self.folder.out / "result.txt").read_text()

    def name(self) -> str:
        return self.rows[-1].name


@pytest.fixture
def bench(image: tuple[str, str], tmp_path: Path, docker_client: docker.DockerClient) -> Callable[[], Bench]:
    made: list[Bench] = []

    def make() -> Bench:
        runner = DockerRunner(LIMITS, NATIVE, OWNER)
        reference = runner.pull(*image, lambda: False)
        task_id = "0x" + secrets.token_hex(32)
        made.append(Bench(runner, reference, TaskFolder(tmp_path / "tasks", task_id), task_id))
        return made[-1]

    yield make
    for each in made:
        each.runner.remove(each.task_id)
    assert not docker_client.containers.list(all=True, filters={"label": f"{WORKER_LABEL}={OWNER}"})


def test_a_program_runs_and_its_result_is_proven(bench: Callable[[], Bench]) -> None:
    one = bench()
    ended = one.run("ok")
    assert ended.exit_code == 0
    assert ended.logs.stdout == "done\n"
    # sha256("hello"), the published vector
    assert digest(OutFolder(one.folder.out), callback=False) == (
        "0x2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    )
    again = one.run("ok")
    assert again == ended, "a finished run is not run twice"
    assert [row.attempt for row in one.rows] == [1, 1]


def test_conventions_reach_the_program_and_the_network_does_not(bench: Callable[[], Bench]) -> None:
    one = bench()
    one.folder.make()
    (one.folder.inputs / "data").write_text("x")
    spec = one.spec(
        "environment", "--two words", "$HOME", env={"IEXEC_OUT": "/iexec_out", "IEXEC_TASK_ID": one.task_id}
    )
    one.runner.run(spec, one.control())
    lines = one.result().splitlines()
    assert "IEXEC_OUT=/iexec_out" in lines
    assert f"IEXEC_TASK_ID={one.task_id}" in lines
    assert "argument --two words" in lines
    assert "argument $HOME" in lines
    assert "inputs data " in lines
    assert "interfaces lo " in lines
    assert not any(line.startswith("user 0") for line in lines)


def test_nothing_gets_out_of_the_container(bench: Callable[[], Bench]) -> None:
    one = bench()
    one.run("escape")
    assert one.result() == "", f"the program could: {one.result()}"


def test_exit_code_and_logs_are_told(bench: Callable[[], Bench]) -> None:
    error = bench().fails("exit", "3")
    assert error.cause is Cause.APP_COMPUTE_FAILED
    assert error.program_exit == 3
    assert error.logs is not None and error.logs.stderr == "no good\n"


def test_time_is_limited(bench: Callable[[], Bench]) -> None:
    one = bench()
    began = time.monotonic()
    assert one.fails("sleep", "60", seconds=2).cause is Cause.APP_COMPUTE_TIMEOUT
    assert time.monotonic() - began < 15
    assert one.fails("sleep", "60", seconds=2).cause is Cause.APP_COMPUTE_TIMEOUT, "the verdict stays"


def test_contribution_deadline_ends_a_run(bench: Callable[[], Bench]) -> None:
    one = bench()
    one.folder.make()
    with pytest.raises(RunError) as caught:
        one.runner.run(one.spec("sleep", "60", deadline=int(time.time()) + 1), one.control())
    assert caught.value.cause is Cause.CONTRIBUTION_TIMEOUT


@pytest.mark.parametrize("trick", [("disk",), ("files",), ("disk", "/iexec_checkpoint")], ids=" ".join)
def test_disk_is_limited(bench: Callable[[], Bench], trick: tuple[str, ...]) -> None:
    one = bench()
    assert one.fails(*trick).cause is Cause.OUTPUT_TOO_LARGE


def test_memory_is_limited(bench: Callable[[], Bench]) -> None:
    error = bench().fails("memory")
    assert error.cause is Cause.APP_COMPUTE_FAILED
    assert "memory" in error.message


def test_processes_are_limited(bench: Callable[[], Bench]) -> None:
    ended = bench().run("forks")
    assert 0 < int(ended.logs.stdout) < LIMITS.pids


def test_logs_are_bounded(bench: Callable[[], Bench]) -> None:
    ended = bench().run("log")
    assert len(ended.logs.stdout) <= 100_000
    assert ended.logs.stdout.rstrip().splitlines()[-1].startswith("399999 ")


@pytest.mark.parametrize(
    ("argv", "cause"),
    [
        (("nothing",), Cause.COMPUTED_FILE_NOT_FOUND),
        (("points", "/etc/passwd"), Cause.COMPUTED_PATH_INVALID),
        (("points", "/iexec_out/../etc/passwd"), Cause.COMPUTED_PATH_INVALID),
        (("points", "/iexec_out/nothing"), Cause.COMPUTED_PATH_INVALID),
        (("points", "/iexec_outside"), Cause.COMPUTED_PATH_INVALID),
        (("link",), Cause.COMPUTED_PATH_INVALID),
        (("link", "/iexec_out/folder/hostname"), Cause.COMPUTED_PATH_INVALID),
        (("link", "/iexec_out/pipe"), Cause.COMPUTED_PATH_INVALID),
    ],
)
def test_bad_results_have_a_cause(
    bench: Callable[[], Bench], argv: tuple[str, ...], cause: Cause, tmp_path: Path
) -> None:
    one = bench()
    assert one.run(*argv).exit_code == 0
    tree = OutFolder(one.folder.out)
    with pytest.raises(ResultError) as caught:
        digest(tree, callback=False)
    assert caught.value.cause is cause
    write_zip(tree, tree.files(), one.folder.zip)
    assert set(tree.files()) <= {PurePosixPath("computed.json")}


def test_a_run_can_be_given_up(bench: Callable[[], Bench], docker_client: docker.DockerClient) -> None:
    one = bench()
    threading.Timer(1.5, lambda: setattr(one, "stopped", True)).start()
    with pytest.raises(Interrupted):
        one.run("sleep", "60")
    assert not docker_client.containers.list(all=True, filters={"label": f"{TASK_LABEL}={one.task_id}"})


def test_a_halted_run_pauses_and_its_time_stands_still(
    bench: Callable[[], Bench], docker_client: docker.DockerClient
) -> None:
    one = bench()
    seen: list[str] = []

    def hold() -> None:
        time.sleep(1)
        one.halted = True
        time.sleep(4)
        seen.append(docker_client.containers.get(one.name()).status)
        one.halted = False

    threading.Thread(target=hold).start()
    began = time.monotonic()
    assert one.run("sleep", "3", seconds=4).exit_code == 0
    assert seen == ["paused"]
    assert time.monotonic() - began > 4.5


def test_a_restarted_worker_finds_its_container(bench: Callable[[], Bench]) -> None:
    one = bench()
    threading.Thread(target=lambda: _quietly(one, "sleep", "6"), daemon=True).start()
    while not one.rows:
        time.sleep(0.05)
    time.sleep(1)
    container = one.runner.client().containers.get(one.name()).id
    other = Bench(DockerRunner(LIMITS, NATIVE, OWNER), one.reference, one.folder, one.task_id, list(one.rows))
    assert other.run("sleep", "6").exit_code == 0
    assert other.runner.client().containers.get(one.name()).id == container, "it is the same container"
    assert other.rows[-1].attempt == 1


def test_what_something_else_killed_is_run_again(bench: Callable[[], Bench]) -> None:
    one = bench()

    def kill() -> None:
        while not one.rows:
            time.sleep(0.05)
        time.sleep(1)
        one.runner.client().containers.get(one.name()).kill()

    threading.Thread(target=kill).start()
    assert one.run("sleep", "3").exit_code == 0
    assert one.rows[-1].attempt == 2


def cut_off(one: Bench, *argv: str) -> None:
    """Run until the program has left a checkpoint, then lose the container as a power cut would."""
    before = len(one.rows)
    thread = threading.Thread(target=lambda: _quietly(one, *argv))
    thread.start()
    while len(one.rows) == before:
        time.sleep(0.05)
    time.sleep(2)
    one.stopped = True
    thread.join()
    one.stopped = False
    one.rows.append(replace(one.rows[-1], boot="the boot before"))


def test_after_power_cuts_a_program_goes_on_from_its_checkpoint(bench: Callable[[], Bench]) -> None:
    one = bench()
    for _ in range(4):
        cut_off(one, "checkpoint", "5")
    assert one.run("checkpoint", "5").exit_code == 0
    assert one.result() == "5"
    assert one.rows[-1].attempt == 1, "cuts do not count for a program that gets on"
    one.folder.drop_work()
    assert not one.folder.checkpoint.exists()


def test_without_a_checkpoint_power_cuts_are_counted(bench: Callable[[], Bench]) -> None:
    one = bench()
    cut_off(one, "sleep", "60")
    assert one.run("sleep", "1").exit_code == 0
    assert one.rows[-1].attempt == 2


def test_what_ends_as_if_killed_each_time_has_failed(bench: Callable[[], Bench]) -> None:
    one = bench()
    error = one.fails("exit", "137")
    assert one.rows[-1].attempt == 2
    assert (error.cause, error.program_exit) == (Cause.APP_COMPUTE_FAILED, 137)


def test_leftovers_are_pruned(bench: Callable[[], Bench]) -> None:
    one, two = bench(), bench()
    for each in (one, two):
        threading.Thread(target=lambda each=each: _quietly(each, "sleep", "30"), daemon=True).start()
    while not (one.rows and two.rows):
        time.sleep(0.05)
    time.sleep(1)
    assert one.runner.prune({two.task_id}) == [one.name()]


def test_image_that_nobody_has(registry: str, publisher: Publisher, image: tuple[str, str]) -> None:
    runner = DockerRunner(LIMITS, NATIVE, OWNER)
    for reference, checksum in (
        (f"{registry}/runner/unknown:1", "0x" + "11" * 32),
        ("127.0.0.1:9/runner/probe:1", "0x" + "11" * 32),
        ("NOT AN IMAGE", ZERO_BYTES32),
    ):
        with pytest.raises(RunError) as caught:
            runner.pull(reference, checksum, lambda: False)
        assert caught.value.cause is Cause.APP_IMAGE_DOWNLOAD_FAILED


def test_image_that_is_not_the_registered_one(image: tuple[str, str]) -> None:
    with pytest.raises(RunError) as caught:
        DockerRunner(LIMITS, NATIVE, OWNER).pull(image[0], "0x" + "22" * 32, lambda: False)
    assert caught.value.cause is Cause.APP_IMAGE_BAD_CHECKSUM


def test_image_for_no_architecture_of_ours(publisher: Publisher, probe: bytes, image: tuple[str, str]) -> None:
    only_s390 = publisher.push("s390", {"linux/s390x": probe})
    mislabelled = publisher.push("liar", {NATIVE: probe}, config_label="linux/s390x")
    for reference in (only_s390, mislabelled):
        with pytest.raises(RunError) as caught:
            DockerRunner(LIMITS, NATIVE, OWNER).pull(*reference, lambda: False)
        assert caught.value.cause is Cause.APP_IMAGE_PLATFORM_UNSUPPORTED


def test_image_that_is_too_large(publisher: Publisher, probe: bytes) -> None:
    import os

    large = publisher.push("large", {NATIVE: probe + os.urandom(2_000_000)})
    with pytest.raises(RunError) as caught:
        DockerRunner(LIMITS.model_copy(update={"image_mb_max": 1}), NATIVE, OWNER).pull(*large, lambda: False)
    assert caught.value.cause is Cause.APP_IMAGE_DOWNLOAD_FAILED
    bomb = publisher.push("bomb", {NATIVE: probe + bytes(40_000_000)})
    with pytest.raises(RunError) as caught:
        DockerRunner(LIMITS.model_copy(update={"image_unpacked_mb_max": 20}), NATIVE, OWNER).pull(*bomb, lambda: False)
    assert "unpacks to" in caught.value.message


@pytest.mark.emulation
@pytest.mark.parametrize("platform", [p.name for p in emulation.PLATFORMS])
def test_one_engine_runs_every_platform_by_its_own_manifest(
    publisher: Publisher, tmp_path: Path, platform: str
) -> None:
    image = publisher.push("exit42", {p.name: emulation.probe_binary(p) for p in emulation.PLATFORMS})
    runner = DockerRunner(LIMITS, platform, OWNER)
    reference = runner.pull(*image, lambda: False)
    task_id = "0x" + secrets.token_hex(32)
    one = Bench(runner, reference, TaskFolder(tmp_path, task_id), task_id)
    try:
        assert one.fails().program_exit == emulation.PROBE_CODE
        info = runner.client().api.inspect_image(reference)
        assert parse(platform).runs(parse(f"linux/{info['Architecture']}/{info.get('Variant') or ''}".rstrip("/")))
    finally:
        runner.remove(task_id)


def test_what_the_machine_cannot_run_is_the_machines_fault(publisher: Publisher, tmp_path: Path) -> None:
    broken = publisher.push("broken", {NATIVE: b"\x7fELF" + bytes(200)})
    runner = DockerRunner(LIMITS, NATIVE, OWNER)
    task_id = "0x" + secrets.token_hex(32)
    one = Bench(runner, runner.pull(*broken, lambda: False), TaskFolder(tmp_path, task_id), task_id)
    try:
        assert one.fails().cause is Cause.APP_IMAGE_PLATFORM_UNSUPPORTED
    finally:
        runner.remove(task_id)


def test_an_engine_that_is_not_there(tmp_path: Path) -> None:
    runner = DockerRunner(LIMITS, NATIVE, OWNER, f"unix://{tmp_path}/no.sock")
    with pytest.raises(RunError) as caught:
        runner.prune(set())
    assert caught.value.cause is Cause.INTERNAL_ERROR
    assert "docker info" in caught.value.hint


def _quietly(bench: Bench, *argv: str) -> None:
    with contextlib.suppress(RunError, Interrupted, AttributeError, FileNotFoundError):
        bench.run(*argv)
