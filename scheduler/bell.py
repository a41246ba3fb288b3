"""Who waits for notifications, and for whom some lie ready: wakes the long polls of one worker from any thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager


class Bell:
    """Open polls by wallet, and the wallets for which something may lie in the store.

    A poll asks the store only for a wallet that has been rung for: whoever commits a notification (this process or,
    on a shared store, one that hears of another's) rings. What is rung between two waits is not lost.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, list[tuple[asyncio.AbstractEventLoop, asyncio.Event]]] = {}
        #: by wallet with mail, the instant (monotonic) of its first ring since it had none
        self._mail: dict[str, float] = {}
        #: events of open polls that were nudged
        self._nudged: set[asyncio.Event] = set()
        self._listener: Callable[[str], None] | None = None

    def load(self, wallets: Iterable[str]) -> None:
        """What lies ready from before this process began."""
        now = time.monotonic()
        with self._lock:
            self._mail.update(dict.fromkeys(wallets, now))

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
                self._nudged.discard(entry[1])
                self._waiting[wallet].remove(entry)
                if not self._waiting[wallet]:
                    del self._waiting[wallet]

    def collect(self, wallet: str) -> float | None:
        """Since when (monotonic) something lies ready; None where nothing does. Call it before the store is read.

        The mark is gone after this: `keep` puts it back where the store holds what is not acknowledged yet.
        """
        with self._lock:
            return self._mail.pop(wallet, None)

    def keep(self, wallet: str) -> None:
        """What was found for this wallet lies there until the worker acknowledges it."""
        with self._lock:
            self._mail.setdefault(wallet, time.monotonic())

    def open_polls(self) -> set[str]:
        with self._lock:
            return set(self._waiting)

    def counts(self) -> tuple[int, int]:
        """(workers with an open poll, workers with notifications not acknowledged)."""
        with self._lock:
            return len(self._waiting), len(self._mail)

    def ring(self, wallet: str) -> None:
        """Something was committed for this wallet."""
        now = time.monotonic()
        with self._lock:
            self._mail.setdefault(wallet, now)
            entries, listener = list(self._waiting.get(wallet, ())), self._listener
        for loop, event in entries:
            loop.call_soon_threadsafe(event.set)
        if listener is not None:
            listener(wallet)

    def listen(self, listener: Callable[[str], None]) -> None:
        """Tell somebody of every ring from now on."""
        with self._lock:
            self._listener = listener

    def unlisten(self, listener: Callable[[str], None]) -> None:
        """No longer, where it is still this one who is told."""
        with self._lock:
            if self._listener == listener:
                self._listener = None

    def mail(self) -> set[str]:
        """Wallets for which something may lie in the store."""
        with self._lock:
            return set(self._mail)

    def nudge(self, wallet: str) -> None:
        """End the wait of this wallet's open polls, whether or not something lies ready."""
        with self._lock:
            entries = list(self._waiting.get(wallet, ()))
            self._nudged.update(event for _, event in entries)
        for loop, event in entries:
            loop.call_soon_threadsafe(event.set)

    def nudged(self, rung: asyncio.Event) -> bool:
        """Whether the poll that this event has woken was nudged."""
        with self._lock:
            return rung in self._nudged

    def wake_all(self) -> None:
        """End the wait of every open poll."""
        with self._lock:
            entries = [entry for waiting in self._waiting.values() for entry in waiting]
        for loop, event in entries:
            loop.call_soon_threadsafe(event.set)
