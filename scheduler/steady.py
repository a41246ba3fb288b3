"""The scheduler's clock: the machine's, where that is to be believed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

#: A clock that differs by more from what it should show was set.
JUMP_SECONDS = 5.0
#: A clock that was set is followed once it has stood so long.
LASTING_SECONDS = 60.0


def elapsed() -> float:
    """Seconds on a clock that nobody sets and that goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class SteadyClock:
    """Unix seconds; call it.

    A clock that was set, by whomever, is followed only once it has stood `LASTING_SECONDS`; until then time goes on as
    it did. Where blocks come by themselves it is held against them too: never before the newest block's time, never
    more than `ahead` seconds after it.

    Args:
        ahead: seconds; None where blocks come only with transactions.
        wall: the machine's clock, Unix seconds.
        since: seconds on a clock that nobody sets.
    """

    def __init__(
        self, ahead: float | None, wall: Callable[[], float] = time.time, since: Callable[[], float] = elapsed
    ) -> None:
        self._ahead, self._wall, self._since = ahead, wall, since
        self._lock = threading.Lock()
        #: what is added to `since`
        self._offset = wall() - since()
        #: what would be, by a clock that was set, and since when
        self._other: tuple[float, float] | None = None
        #: the newest block's time, and when it was seen first
        self._block: tuple[float, float] | None = None

    def __call__(self) -> float:
        with self._lock:
            at = self._since()
            offset = self._wall() - at
            if abs(offset - self._offset) <= JUMP_SECONDS:
                self._offset, self._other = offset, None
            elif self._other is None or abs(offset - self._other[0]) > JUMP_SECONDS:
                self._other = (offset, at)
            elif at - self._other[1] >= LASTING_SECONDS:
                self._offset, self._other = offset, None
            return self._bounded(at)

    def saw(self, block_time: float) -> None:
        """The newest block has this time."""
        with self._lock:
            if self._block is None or block_time > self._block[0]:
                self._block = (block_time, self._since())

    def _bounded(self, at: float) -> float:
        now = at + self._offset
        if self._block is None or self._ahead is None:
            return now
        block_time, seen = self._block
        return min(max(now, block_time), block_time + (at - seen) + self._ahead)
