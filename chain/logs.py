"""Logs by range, as many blocks at once as the nodes put up with."""

from __future__ import annotations

from collections.abc import Sequence

from chain.client import Chain, ChainUnreachableError, LogsTooWideError
from chain.model import Event

#: Blocks in one query, at first and at most.
FIRST, MOST = 1000, 10_000


class LogReader:
    """The hub's events of some names. The range is halved where a node refuses it or fails, and grows again slowly."""

    def __init__(self, chain: Chain, names: Sequence[str]) -> None:
        self._chain = chain
        self._names = names
        self.size = FIRST

    def read(self, first: int, last: int, last_hash: str | None = None) -> tuple[list[Event], int, str] | None:
        """(events from `first` on, the block up to which that is all, its hash); None while the chain changes.

        Args:
            last_hash: of block `last`, where it was just asked for.

        Raises:
            LogsTooWideError: a node refuses even a single block.
            ChainUnreachableError: no node answers; the next query is smaller.
        """
        while True:
            end = min(first + self.size - 1, last)
            end_hash = last_hash if end == last and last_hash else self._chain.block(end)[1]
            try:
                events = self._chain.logs(first, end, self._names)
            except LogsTooWideError:
                if end == first:
                    raise
                self.size = (end - first + 1) // 2
                continue
            except ChainUnreachableError:
                self.size = max(1, self.size // 2)
                raise
            if self._chain.block(end)[1] != end_hash:
                return None
            if end < last:
                self.size = min(self.size + self.size // 4 + 1, MOST)
            return events, end, end_hash
