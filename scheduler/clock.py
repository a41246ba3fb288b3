"""What time alone brings: ticks, leases, tasks that were forgotten, and what is written down now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from scheduler import forgotten
from scheduler.engine import Engine
from scheduler.log import log

TICK_SECONDS = 0.5
FLUSH_SECONDS = 2
#: All who wait are looked at again so often: stakes, retries and clocks change without an event.
EVERYBODY_SECONDS = 3
#: Between two rounds of leasing, seconds.
LEASE_PAUSE = 0.02


class Clock(threading.Thread):
    """Ticks twice a second, and leases whenever something has changed.

    Args:
        leading: the engine whose `tick` is due in this process; None while another process ticks.
        ready: whether the chain has been read up to its end. Before, nothing is leased, and no deadline is held against
            workers: what they did in time may stand in blocks that nobody here has seen yet.
    """

    def __init__(self, engine: Engine, leading: Callable[[], Engine | None], ready: Callable[[], bool]) -> None:
        super().__init__(name="clock", daemon=True)
        self._engine = engine
        self._leading = leading
        self._ready = ready
        self._stopping = threading.Event()

    def run(self) -> None:
        ticked = flushed = looked = missed = 0.0
        while not self._stopping.is_set():
            self._engine.work_to_lease.wait(TICK_SECONDS)
            self._engine.work_to_lease.clear()
            try:
                now = time.monotonic()
                if now - ticked >= TICK_SECONDS and self._ready():
                    ticked = now
                    if (leading := self._leading()) is not None:
                        leading.tick()
                if now - missed >= forgotten.EVERY_SECONDS:
                    missed = now
                    self._engine.look_for_forgotten()
                if now - flushed >= FLUSH_SECONDS:
                    flushed = now
                    self._engine.flush()
                if self._ready():
                    again = now - looked >= EVERYBODY_SECONDS
                    looked = now if again else looked
                    if self._engine.leasing.lease(everybody=again):
                        self._engine.work_to_lease.set()
                # those who come meanwhile are looked at together, and leasing takes a third of the time at most
                self._stopping.wait(max(LEASE_PAUSE, 2 * (time.monotonic() - now)))
            except Exception as error:  # one bad round must not end the clock
                log("clock_failed", level="error", error=repr(error))
                self._stopping.wait(1)

    def stop(self) -> None:
        self._stopping.set()
        self._engine.work_to_lease.set()
        self.join(10)
        self._engine.flush()
