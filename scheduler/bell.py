"""Wakes the long polls of one worker from any thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Bell:
    """Open polls by wallet. A ring between two waits is not lost: the event stays set."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, list[tuple[asyncio.AbstractEventLoop, asyncio.Event]]] = {}

    @contextmanager
    def waiting(self, wallet: str) -> Iterator[asyncio.Event]:
        """An event that `ring(wallet)` sets, while the poll is open. Call it inside the poll's event loop."""
        entry = (asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            self._waiting.setdefault(wallet, []).append(entry)
        try:
            yield entry[1]
        finally:
            with self._lock:
                self._waiting[wallet].remove(entry)
                if not self._waiting[wallet]:
                    del self._waiting[wallet]

    def open_polls(self) -> set[str]:
        with self._lock:
            return set(self._waiting)

    def ring(self, wallet: str) -> None:
        with self._lock:
            entries = list(self._waiting.get(wallet, ()))
        for loop, event in entries:
            loop.call_soon_threadsafe(event.set)

    def ring_all(self) -> None:
        for wallet in self.open_polls():
            self.ring(wallet)
