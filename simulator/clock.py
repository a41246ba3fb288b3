"""Virtual time: what is to happen, in order."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any


class Clock:
    """A heap of events; those of one instant happen in the order in which they were asked for.

    Args:
        start: Unix seconds of the workers' clock.
    """

    def __init__(self, start: float) -> None:
        self.now = start
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._number = 0
        self.happened = 0

    def at(self, instant: float, call: Callable[..., None], *arguments: Any) -> None:
        """Call then; what lies in the past happens now."""
        self._number += 1
        heapq.heappush(self._heap, (max(instant, self.now), self._number, call, arguments))

    def after(self, seconds: float, call: Callable[..., None], *arguments: Any) -> None:
        self.at(self.now + seconds, call, *arguments)

    def run(self, end: float) -> None:
        """Let everything happen that is due before `end`."""
        heap = self._heap
        while heap and heap[0][0] < end:
            self.now, _, call, arguments = heapq.heappop(heap)
            self.happened += 1
            call(*arguments)
        self.now = end
