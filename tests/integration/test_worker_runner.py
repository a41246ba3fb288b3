"""The runners against real containers and a real registry: what works, what fails, and how a run goes on."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from ops import emulation
from poco.errors import Cause
from poco.hexes import ZERO_BYTES32
from poco.result import ResultError, digest
from tests.integration.runner_bench import LIMITS, NATIVE, OWNER, Bench, Publisher, Runtime
from worker.runner.docker import DockerRunner
from worker.runner.errors import Interrupted, RunError
from worker.runner.outputs import OutFolder, write_zip

Make = Callable[..., Bench]


def test_a_program_runs_and_its_result_is_proven(bench: Make) -> None:
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


def test_conventions_reach_the_program_and_the_network_does_not(bench: Make) -> None:
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


@pytest.mark.parametrize("runtime", [pytest.param("docker", marks=pytest.mark.docker)], indirect=True)
def test_the_network_takes_an_app_that_asks_and_an_operator_who_allows(
    publisher: Publisher, probe: bytes, bench: Make
) -> None:
    asking = publisher.push("asking", {NATIVE: probe}, labels={"pew.network": "required"})
    silent = publisher.push("silent", {NATIVE: probe})

    def interfaces(image: tuple[str, str], *, allowed: bool) -> set[str]:
        one = bench(image)
        one.folder.make()
        one.runner.run(replace(one.spec("environment"), network=allowed), one.control())
        (line,) = (line for line in one.result().splitlines() if line.startswith("interfaces "))
        return set(line.split()[1:])

    assert interfaces(asking, allowed=True) > {"lo"}
    assert interfaces(asking, allowed=False) == interfaces(silent, allowed=True) == {"lo"}


def test_nothing_gets_out_of_the_container(bench: Make, runtime: Runtime) -> None:
    one = bench()
    one.run("escape")
    assert set(one.result().split()) <= runtime.weaker, f"the program could: {one.result()}"


def test_exit_code_and_logs_are_told(bench: Make) -> None:
    error = bench().fails("exit", "3")
    assert error.cause is Cause.APP_COMPUTE_FAILED
    assert error.program_exit == 3
    assert error.logs is not None and error.logs.stderr == "no good\n"


def test_time_is_limited(bench: Make) -> None:
    one = bench()
    began = time.monotonic()
    assert one.fails("sleep", "60", seconds=2).cause is Cause.APP_COMPUTE_TIMEOUT
    assert time.monotonic() - began < 15
    assert one.fails("sleep", "60", seconds=2).cause is Cause.APP_COMPUTE_TIMEOUT, "the verdict stays"


def test_contribution_deadline_ends_a_run(bench: Make) -> None:
    one = bench()
    one.folder.make()
    with pytest.raises(RunError) as caught:
        one.runner.run(one.spec("sleep", "60", deadline=int(time.time()) + 1), one.control())
    assert caught.value.cause is Cause.CONTRIBUTION_TIMEOUT


@pytest.mark.parametrize("trick", [("disk",), ("files",), ("disk", "/iexec_checkpoint")], ids=" ".join)
def test_disk_is_limited(bench: Make, trick: tuple[str, ...]) -> None:
    one = bench()
    assert one.fails(*trick).cause is Cause.OUTPUT_TOO_LARGE


def test_memory_is_limited(bench: Make) -> None:
    error = bench().fails("memory")
    assert error.cause is Cause.APP_COMPUTE_FAILED
    assert "memory" in error.message


def test_processes_are_limited(bench: Make) -> None:
    ended = bench().run("forks")
    assert 0 < int(ended.logs.stdout) < LIMITS.pids


def test_logs_are_bounded(bench: Make) -> None:
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
def test_bad_results_have_a_cause(bench: Make, argv: tuple[str, ...], cause: Cause, tmp_path: Path) -> None:
    one = bench()
    assert one.run(*argv).exit_code == 0
    tree = OutFolder(one.folder.out)
    with pytest.raises(ResultError) as caught:
        digest(tree, callback=False)
    assert caught.value.cause is cause
    write_zip(tree, tree.files(), one.folder.zip)
    assert set(tree.files()) <= {PurePosixPath("computed.json")}


def test_a_run_can_be_given_up(bench: Make, runtime: Runtime) -> None:
    one = bench()
    threading.Timer(1.5, lambda: setattr(one, "stopped", True)).start()
    with pytest.raises(Interrupted):
        one.run("sleep", "60")
    assert not runtime.exists(one.name())


def test_a_halted_run_pauses_and_its_time_stands_still(bench: Make, runtime: Runtime) -> None:
    one = bench()
    seen: list[bool] = []

    def hold() -> None:
        time.sleep(1)
        one.halted = True
        time.sleep(4)
        seen.append(runtime.paused(one.name()))
        one.halted = False

    threading.Thread(target=hold).start()
    began = time.monotonic()
    assert one.run("sleep", "3", seconds=4).exit_code == 0
    assert seen == [True]
    assert time.monotonic() - began > 4.5


def test_a_restarted_worker_finds_its_container(bench: Make, runtime: Runtime) -> None:
    one = bench()
    one.begin("sleep", "5")
    before = runtime.identity(one.name())
    other = Bench(runtime.runner(), one.reference, one.folder, one.task_id, list(one.rows))
    assert other.run("sleep", "5").exit_code == 0
    assert runtime.identity(one.name()) == before, "it is the same container"
    assert other.rows[-1].attempt == 1


def test_what_something_else_killed_is_run_again(bench: Make, runtime: Runtime) -> None:
    one = bench()
    threading.Timer(1.5, lambda: runtime.kill(one.name())).start()
    assert one.run("sleep", "3").exit_code == 0
    assert one.rows[-1].attempt == 2


def cut_off(one: Bench, *argv: str) -> None:
    """Run until the program has left a checkpoint, then lose the container as a power cut would."""
    thread = one.begin(*argv)
    one.stopped = True
    thread.join()
    one.stopped = False
    one.rows.append(replace(one.rows[-1], boot="the boot before"))


def test_after_power_cuts_a_program_goes_on_from_its_checkpoint(bench: Make) -> None:
    one = bench()
    for _ in range(4):
        cut_off(one, "checkpoint", "5")
    assert one.run("checkpoint", "5").exit_code == 0
    assert one.result() == "5"
    assert one.rows[-1].attempt == 1, "cuts do not count for a program that gets on"
    one.folder.drop_work()
    assert not one.folder.checkpoint.exists()


def test_without_a_checkpoint_power_cuts_are_counted(bench: Make) -> None:
    one = bench()
    cut_off(one, "sleep", "60")
    assert one.run("sleep", "1").exit_code == 0
    assert one.rows[-1].attempt == 2


def test_what_ends_as_if_killed_each_time_has_failed(bench: Make) -> None:
    one = bench()
    error = one.fails("exit", "137")
    assert one.rows[-1].attempt == 2
    assert (error.cause, error.program_exit) == (Cause.APP_COMPUTE_FAILED, 137)


def test_leftovers_are_pruned(bench: Make) -> None:
    one, two = bench(), bench()
    for each in (one, two):
        each.begin("sleep", "30")
    assert one.runner.prune({two.task_id}) == [one.name()]


def test_image_that_nobody_has(registry: str, runtime: Runtime) -> None:
    runner = runtime.runner()
    for reference, checksum in (
        (f"{registry}/runner/unknown:1", "0x" + "11" * 32),
        ("127.0.0.1:9/runner/probe:1", "0x" + "11" * 32),
        ("NOT AN IMAGE", ZERO_BYTES32),
    ):
        with pytest.raises(RunError) as caught:
            runner.pull(reference, checksum, lambda: False)
        assert caught.value.cause is Cause.APP_IMAGE_DOWNLOAD_FAILED


def test_image_that_is_not_the_registered_one(image: tuple[str, str], runtime: Runtime) -> None:
    with pytest.raises(RunError) as caught:
        runtime.runner().pull(image[0], "0x" + "22" * 32, lambda: False)
    assert caught.value.cause is Cause.APP_IMAGE_BAD_CHECKSUM


def test_image_for_no_architecture_of_ours(publisher: Publisher, probe: bytes, runtime: Runtime) -> None:
    only_s390 = publisher.push("s390", {"linux/s390x": probe})
    mislabelled = publisher.push("liar", {NATIVE: probe}, config_label="linux/s390x")
    for reference in (only_s390, mislabelled):
        with pytest.raises(RunError) as caught:
            runtime.runner().pull(*reference, lambda: False)
        assert caught.value.cause is Cause.APP_IMAGE_PLATFORM_UNSUPPORTED


def test_image_that_is_too_large(publisher: Publisher, probe: bytes, runtime: Runtime) -> None:
    large = publisher.push("large", {NATIVE: probe + os.urandom(2_000_000)})
    bomb = publisher.push("bomb", {NATIVE: probe + bytes(40_000_000)})
    for reference, bound in ((large, {"image_mb_max": 1}), (bomb, {"image_unpacked_mb_max": 20})):
        with pytest.raises(RunError) as caught:
            runtime.runner(LIMITS.model_copy(update=bound)).pull(*reference, lambda: False)
        assert caught.value.cause is Cause.APP_IMAGE_DOWNLOAD_FAILED
        assert "allowed" in caught.value.message


@pytest.mark.emulation
@pytest.mark.parametrize("platform", [p.name for p in emulation.PLATFORMS])
def test_every_platform_runs_by_its_own_manifest(publisher: Publisher, bench: Make, platform: str) -> None:
    reference = publisher.push("exit42", {p.name: emulation.probe_binary(p) for p in emulation.PLATFORMS})
    assert bench(reference, platform=platform).fails().program_exit == emulation.PROBE_CODE


def test_what_the_machine_cannot_run_is_the_machines_fault(publisher: Publisher, bench: Make) -> None:
    broken = publisher.push("broken", {NATIVE: b"\x7fELF" + bytes(200)})
    assert bench(broken).fails().cause is Cause.APP_IMAGE_PLATFORM_UNSUPPORTED


@pytest.mark.docker
def test_an_engine_that_is_not_there(tmp_path: Path) -> None:
    runner = DockerRunner(LIMITS, NATIVE, OWNER, f"unix://{tmp_path}/no.sock")
    with pytest.raises(RunError) as caught:
        runner.prune(set())
    assert caught.value.cause is Cause.INTERNAL_ERROR
