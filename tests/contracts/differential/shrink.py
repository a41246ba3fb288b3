"""A long failing sequence made short (delta debugging, Zeller and Hildebrandt 2002)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def shrink(items: Sequence[Item], fails: Callable[[list[Item]], bool], attempts: int = 400) -> list[Item]:
    """A subsequence that still fails, and from which no single item can be left out.

    Args:
        items: a sequence that fails.
        fails: whether a subsequence fails in the same way.
        attempts: calls of `fails` at most; after them the shortest sequence found is returned, minimal or not.
    """
    left = list(items)
    size = max(1, len(left) // 2)
    while attempts > 0:
        before = len(left)
        start = len(left) - size
        while start > -size and attempts > 0:  # from the end: what was late depends on what was early
            shorter = left[: max(0, start)] + left[max(0, start + size) :]
            attempts -= 1
            if shorter and fails(shorter):
                left = shorter
            start -= size
        if size > 1:
            size //= 2
        elif len(left) == before:
            break
    return left
