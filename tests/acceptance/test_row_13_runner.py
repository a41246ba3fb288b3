"""Row 13: the runner.

Parity: environment variables, binds, a time limit and logs reach the program and come back. Beat: bounds on what it
takes, no capabilities, a read-only root, the image of its own platform, pinned by the registered digest; and all of
that without Docker too.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from ops import emulation
from poco.errors import Cause
from tests.integration.runner_bench import LIMITS, NATIVE, Bench, Publisher, Runtime
from worker.runner.errors import RunError

Make = Callable[..., Bench]


def test_what_a_program_is_given_and_what_comes_back(bench: Make) -> None:
    one = bench()
    one.folder.make()
    (one.folder.inputs / "data").write_text("x")
    told = {"IEXEC_IN": "/iexec_in", "IEXEC_OUT": "/iexec_out", "IEXEC_TASK_ID": one.task_id}
    one.runner.run(one.spec("environment", "two words", env=told), one.control())
    lines = one.result().splitlines()
    assert {f"{name}={value}" for name, value in told.items()} <= set(lines)
    assert "argument two words" in lines and "inputs data " in lines

    failed = bench().fails("exit", "3")
    assert (failed.cause, failed.program_exit) == (Cause.APP_COMPUTE_FAILED, 3)
    assert failed.logs is not None and failed.logs.stderr == "no good\n"

    began = time.monotonic()
    assert bench().fails("sleep", "60", seconds=1).cause is Cause.APP_COMPUTE_TIMEOUT
    assert time.monotonic() - began < 15


def test_a_program_is_bounded_and_shut_in(bench: Make, runtime: Runtime) -> None:
    shut_in = bench()
    shut_in.run("escape")  # root and inputs written, mount, unshare, setuid, chroot, mknod, a volume without end
    assert set(shut_in.result().split()) <= runtime.weaker
    assert bench().fails("disk").cause is Cause.OUTPUT_TOO_LARGE
    assert "memory" in bench().fails("memory").message
    assert 0 < int(bench().run("forks").logs.stdout) < LIMITS.pids


@pytest.mark.emulation
def test_each_device_runs_its_own_platforms_program(publisher: Publisher, bench: Make) -> None:
    reference = publisher.push("row13", {each.name: emulation.probe_binary(each) for each in emulation.PLATFORMS})
    pulled = set()
    for platform in emulation.PLATFORMS:
        one = bench(reference, platform=platform.name)
        assert one.fails().program_exit == emulation.PROBE_CODE
        pulled.add(one.reference)
    assert len(pulled) == len(emulation.PLATFORMS)


def test_a_tag_that_moves_is_not_followed(publisher: Publisher, probe: bytes, runtime: Runtime) -> None:
    reference, registered = publisher.push("moving", {NATIVE: probe})
    pulled = runtime.runner().pull(reference, registered, lambda: False)
    assert "@sha256:" in pulled
    _, poisoned = publisher.push("moving", {NATIVE: probe + b"poison"})
    assert poisoned != registered
    assert runtime.runner().pull(reference, registered, lambda: False) == pulled, "the registered one, whatever the tag"
    with pytest.raises(RunError) as caught:
        runtime.runner().pull(reference, "0x" + "12" * 32, lambda: False)
    assert caught.value.cause is Cause.APP_IMAGE_BAD_CHECKSUM
