"""Row 19: purge.

Parity: what a task leaves is removed. Beat: nothing at all is left after a task, whatever its end; images are kept
within a budget, those used longest ago go first; what earlier processes left is found and removed.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from poco.errors import Cause
from tests.integration.runner_bench import LIMITS, NATIVE, Bench, Publisher, Runtime
from worker.runner.errors import RunError

Make = Callable[..., Bench]


@pytest.mark.parametrize("argv", [("ok",), ("exit", "3")], ids=["done", "failed"])
def test_nothing_is_left_after_a_task(bench: Make, runtime: Runtime, argv: tuple[str, ...]) -> None:
    one = bench()
    if argv == ("ok",):
        one.run(*argv)
    else:
        one.fails(*argv)
    assert one.folder.root.exists()
    one.runner.remove(one.task_id)
    one.folder.remove()
    assert not runtime.exists(one.name()) and not runtime.leftovers()
    assert not one.folder.root.exists()


def test_what_earlier_processes_left_is_removed_and_nothing_else(bench: Make, runtime: Runtime) -> None:
    lost, alive = bench(), bench()
    for each in (lost, alive):
        each.begin("sleep", "30")
    assert runtime.runner().prune({alive.task_id}) == [lost.name()]
    assert not runtime.exists(lost.name()) and runtime.exists(alive.name())


def test_images_are_kept_within_the_budget(publisher: Publisher, probe: bytes, bench: Make, runtime: Runtime) -> None:
    limits = LIMITS.model_copy(update={"images_keep_mb": 7})
    made = [publisher.push(f"kept{n}", {NATIVE: probe + os.urandom(2_000_000)}) for n in range(3)]
    benches = [bench(each, limits=limits) for each in made]
    pulled = [each.reference for each in benches]
    runner = runtime.runner(limits)
    assert runner.trim(pulled) == pulled[:1], "the one used longest ago"
    with pytest.raises(RunError) as caught:
        benches[0].run("ok")
    assert caught.value.cause is Cause.INTERNAL_ERROR
    assert benches[2].run("ok").exit_code == 0
    benches[2].runner.remove(benches[2].task_id)
    assert runtime.runner(LIMITS.model_copy(update={"images_keep_mb": 0})).trim(pulled[1:]) == pulled[1:]
