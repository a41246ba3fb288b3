"""What the long run of the contract tests counts as unexplained."""

from __future__ import annotations

from typing import Any

import pytest

from ops.contracts_long import campaigns, summary


def test_sound_runs() -> None:
    results: dict[str, tuple[bool, dict[str, Any] | None]] = {
        "differential": (True, {"steps": 10_000, "differences": 0}),
        "invariants": (True, {"steps": 10_050}),
    }
    report = summary(7, results)
    assert (report["steps"], report["unexplained"], report["seed"]) == (20_050, 0, 7)
    assert report["invariants"]["unexplained"] == 0


@pytest.mark.parametrize(
    ("passed", "record", "unexplained"),
    [
        (True, {"steps": 5, "differences": 0}, 0),
        (False, {"steps": 5, "differences": 3}, 3),
        (False, {"steps": 5, "differences": 0}, 1),
        (False, None, 1),
        (True, None, 1),
    ],
)
def test_a_run_that_failed_or_says_nothing_is_a_difference(
    passed: bool, record: dict[str, Any] | None, unexplained: int
) -> None:
    assert summary(1, {"differential": (passed, record)})["unexplained"] == unexplained


def test_seed_and_steps_reach_the_tests() -> None:
    differential, invariants = campaigns(500, 9)
    assert differential.variables == {"PEW_DIFFERENTIAL_STEPS": "500", "PEW_DIFFERENTIAL_SEED": "9"}
    assert invariants.variables == {"PEW_INVARIANT_STEPS": "500"}
    assert "--hypothesis-seed=9" in invariants.arguments
