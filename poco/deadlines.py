"""Deadlines of a task, all from its category's reference time."""

from __future__ import annotations

from dataclasses import dataclass

CONTRIBUTION_RATIO = 7
REVEAL_RATIO = 2
FINAL_RATIO = 10


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Unix seconds; `reveal` is counted from the consensus and is not known before."""

    contribution: int
    final: int
    reveal_seconds: int
    run_seconds: int


def of_deal(start: int, reference_seconds: int) -> Deadlines:
    """Deadlines of a deal that started at `start` in a category of `reference_seconds`."""
    return Deadlines(
        contribution=start + CONTRIBUTION_RATIO * reference_seconds,
        final=start + FINAL_RATIO * reference_seconds,
        reveal_seconds=REVEAL_RATIO * reference_seconds,
        run_seconds=reference_seconds,
    )
