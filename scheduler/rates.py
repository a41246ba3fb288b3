"""How often each wallet may do something: a burst at once, then so many a second."""

from __future__ import annotations

import threading
from collections import OrderedDict

from scheduler.challenges import TooManyError

MAX_WALLETS = 10_000


class Rates:
    """One bucket a wallet, in this process; those that were not used for longest are forgotten, which fills them.

    Args:
        burst: calls that a wallet has at once.
        per_second: calls that it gets back each second.
    """

    def __init__(self, burst: int, per_second: float) -> None:
        self._burst = burst
        self._per_second = per_second
        self._lock = threading.Lock()
        #: wallet: what was left in its bucket, and when (Unix seconds)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, wallet: str, now: float) -> None:
        """TooManyError where the wallet's bucket is empty; it says when there is one more."""
        with self._lock:
            left, then = self._buckets.pop(wallet, (float(self._burst), now))
            left = min(left + max(now - then, 0) * self._per_second, float(self._burst))
            self._buckets[wallet] = (left - 1 if left >= 1 else left, max(now, then))
            if len(self._buckets) > MAX_WALLETS:
                self._buckets.popitem(last=False)
        if left < 1:
            wait = (1 - left) / self._per_second
            raise TooManyError(
                f"{wallet} has changed the order book too often",
                hint=f"go on in {wait:.0f} s, with {self._per_second:g} a second",
                code="TOO_MANY_CHANGES",
            )
