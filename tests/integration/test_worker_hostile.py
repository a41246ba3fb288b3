"""Programs that want more than they are given, in both runtimes: what is stopped, and where."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from poco.errors import Cause
from poco.result import ResultError, digest
from tests.integration.runner_bench import LIMITS, NATIVE, Bench, BubblewrapRuntime, Publisher, Runtime, compile_static
from worker.runner.outputs import OutFolder, write_zip
from worker.runner.usage import usage

Make = Callable[..., Bench]
MB = 1_048_576


@pytest.fixture(scope="session")
def hostile(publisher: Publisher, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The image of the hostile program."""
    program = compile_static("hostile_probe.c", tmp_path_factory.mktemp("hostile"))
    return publisher.push("hostile", {NATIVE: program}, volumes=("/data",))


@pytest.fixture
def one(bench: Make, hostile: tuple[str, str]) -> Bench:
    return bench(hostile)


@contextlib.contextmanager
def listening() -> Iterator[tuple[int, str]]:
    """A port on this machine's loopback, and an abstract socket, that take connections."""
    name = f"pew-hostile-{os.getpid()}"
    with socket.create_server(("127.0.0.1", 0)) as port, socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind("\0" + name)
        abstract.listen()
        yield port.getsockname()[1], name


def test_the_network_is_not_there(one: Bench) -> None:
    with listening() as (port, name):
        assert one.run("network", str(port), name).logs.stdout == "", (
            "stopped by: a network namespace with nothing in it"
        )


def test_the_kernel_and_the_host_are_out_of_reach(one: Bench, runtime: Runtime) -> None:
    could = set(one.run("kernel").logs.stdout.split())
    assert could <= runtime.weaker, "stopped by: user namespace or user, no capabilities, seccomp, mounts"


def test_a_fork_bomb_stays_small(one: Bench) -> None:
    before = len(list(Path("/proc").glob("[0-9]*")))
    most = []

    def count() -> None:
        time.sleep(1.5)
        most.append(len(list(Path("/proc").glob("[0-9]*"))))

    thread = threading.Thread(target=count)
    thread.start()
    ended = one.fails("forkbomb", seconds=2).cause
    assert ended in {Cause.APP_COMPUTE_TIMEOUT, Cause.APP_COMPUTE_FAILED}, "ended by: the time limit, or that of memory"
    thread.join()
    assert most[0] - before < LIMITS.pids + 40, "stopped by: pids limit or RLIMIT_NPROC of the user namespace"


def test_nothing_but_the_outputs_can_be_filled(one: Bench) -> None:
    tmp, shm, dev, root, volume = (int(mb) for mb in one.run("fill").logs.stdout.split())
    assert tmp <= LIMITS.tmp_mb, "stopped by: tmpfs of a fixed size"
    assert volume <= LIMITS.tmp_mb
    assert shm <= 1
    assert dev <= (0 if one.runner.__class__.__name__ == "BubblewrapRunner" else 64), (
        "Docker's /dev: 64 MB for root only"
    )
    assert root == 0, "stopped by: a read-only root"


@pytest.mark.parametrize("how", ["deep", "hidden"])
def test_tricks_with_the_disk(one: Bench, how: str) -> None:
    """Folders in folders for ever; files that are deleted but still open, which no walk through folders sees."""
    assert one.fails(how, seconds=5).cause is Cause.OUTPUT_TOO_LARGE, "ended by: the watch"


def test_a_sparse_file_of_a_terabyte(one: Bench) -> None:
    assert one.run("sparse").logs.stdout == "", "stopped by: RLIMIT_FSIZE"


def test_a_zip_holds_no_more_than_is_allowed(one: Bench) -> None:
    one.run("zeros")
    tree = OutFolder(one.folder.out)
    _, size = write_zip(tree, tree.files(), one.folder.zip)
    assert size < MB
    with zipfile.ZipFile(one.folder.zip) as archive:
        assert sum(entry.file_size for entry in archive.infolist()) <= LIMITS.output_mb * MB


def test_an_endless_log_costs_little(one: Bench, runtime: Runtime) -> None:
    error = one.fails("spam", seconds=3)
    assert error.cause is Cause.APP_COMPUTE_TIMEOUT
    assert error.logs is not None
    assert 50_000 < len(error.logs.stdout) <= 100_000
    assert runtime.log_bytes(one.name()) < 4 * MB, "stopped by: rotation (Docker), the shim's memory of the last 400 kB"


@pytest.mark.parametrize("secret", ["journal.db", "wallet.json"])
def test_links_to_secrets_lead_nowhere(one: Bench, tmp_path: Path, secret: str) -> None:
    (tmp_path / secret).write_text("secret")
    for target in (str(tmp_path / secret), f"../../../{secret}"):
        assert one.run("symlink", target).exit_code == 0
        tree = OutFolder(one.folder.out)
        with pytest.raises(ResultError) as caught:
            digest(tree, callback=False)
        assert caught.value.cause is Cause.COMPUTED_PATH_INVALID, "stopped by: openat with O_NOFOLLOW"
        write_zip(tree, tree.files(), one.folder.zip)
        assert b"secret" not in one.folder.zip.read_bytes()
        one.rows.clear()


def test_hard_links(one: Bench) -> None:
    one.folder.make()
    (one.folder.inputs / "data").write_text("x")
    assert one.run("hardlink").logs.stdout == "", "stopped by: separate mounts"
    with pytest.raises(ResultError) as caught:
        digest(OutFolder(one.folder.out), callback=False)
    assert caught.value.cause is Cause.COMPUTED_PATH_INVALID, "stopped by: a file with a second name is none"


def test_absurd_names(one: Bench) -> None:
    assert one.run("names").exit_code == 0
    tree = OutFolder(one.folder.out)
    names = {path.name for path in tree.files()}
    assert names == {"computed.json", "a\nb", "..\\evil", " ", "-rf", "\u202etxt", "C:x", "...", "n" * 255}
    assert digest(tree, callback=False) == digest(tree, callback=False)
    write_zip(tree, tree.files(), one.folder.zip)
    with zipfile.ZipFile(one.folder.zip) as archive:
        assert not any(".." in Path(name).parts or name.startswith("/") for name in archive.namelist())
    one.folder.remove()
    assert not one.folder.root.exists()


def test_who_ignores_every_signal_ends_too(one: Bench) -> None:
    began = time.monotonic()
    assert one.fails("stubborn", seconds=1).cause is Cause.APP_COMPUTE_TIMEOUT
    assert time.monotonic() - began < 10, "ended by: SIGKILL to the first process of the PID namespace"


def test_nothing_is_written_after_the_end(one: Bench) -> None:
    assert one.run("daemon").exit_code == 0
    written = (one.folder.out / "result.txt").stat().st_mtime_ns
    time.sleep(0.3)
    assert (one.folder.out / "result.txt").stat().st_mtime_ns == written, "daemons end with the PID namespace"


@pytest.mark.parametrize("how", ["family", "shared"])
def test_memory_counts_for_all_processes_together(one: Bench, how: str) -> None:
    error = one.fails(how)
    assert error.cause is Cause.APP_COMPUTE_FAILED
    assert "memory" in error.message, "stopped by: the control group, or the shim's watch"


def test_a_disk_bomb_overshoots_little(bench: Make, record_property: Callable[[str, object], None]) -> None:
    """The figure in docs/reference/worker.md; the bound here allows for a busy machine."""
    bomb = bench()
    assert bomb.fails("disk").cause is Cause.OUTPUT_TOO_LARGE
    over = usage(bomb.folder.out, 10_000).size / MB - LIMITS.output_mb
    record_property("overshoot_mb", over)
    assert over < 1000, "ended by: the watch"


@pytest.mark.parametrize("runtime", [pytest.param("bubblewrap", marks=pytest.mark.bubblewrap)], indirect=True)
def test_a_shim_that_is_killed_takes_its_sandbox_along(bench: Make, runtime: BubblewrapRuntime) -> None:
    one = bench()
    one.begin("sleep", "60")
    first = runtime.first(one.name())
    one.stopped = True
    runtime.kill_shim(one.name())
    until = time.monotonic() + 5
    while Path(f"/proc/{first}").exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not Path(f"/proc/{first}").exists()
