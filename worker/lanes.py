"""A few threads that do the work of many tasks: one effect at a time for each task, in order.

Some threads are kept for what touches a stake: whatever hangs elsewhere, a reveal finds one.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from worker.core import Replicate
from worker.table import Do


@dataclass(slots=True)
class Job:
    """An effect to perform on a replicate as it was; `stop` is set when its outcome is of no use any more."""

    do: Do
    replicate: Replicate
    stop: threading.Event = field(default_factory=threading.Event)


@dataclass(slots=True)
class _Lane:
    waiting: deque[Job] = field(default_factory=deque)
    running: Job | None = None


class Lanes:
    """Effects by task.

    Args:
        threads: how many effects are performed at once.
        perform: does one job; it must not raise.
        reserved: how many threads beside these do nothing but `urgent` effects.
        followed: effects that are only told to stop, never forgotten: an earlier process may have sent something.
    """

    def __init__(
        self,
        threads: int,
        perform: Callable[[Job], None],
        *,
        reserved: int = 0,
        urgent: frozenset[Do] = frozenset(),
        followed: frozenset[Do] = frozenset(),
    ) -> None:
        self._perform = perform
        self._urgent, self._followed = urgent, followed
        self._lanes: dict[str, _Lane] = {}
        self._ready: deque[str] = deque()
        self._wake = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, args=(n < reserved,), name=f"effect-{n}", daemon=True)
            for n in range(reserved + threads)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def submit(self, do: Do, replicate: Replicate) -> None:
        """Queue an effect behind those of the same task; one that waits already is not queued twice."""
        with self._wake:
            lane = self._lanes.setdefault(replicate.task_id, _Lane())
            if any(job.do is do and job.replicate.run == replicate.run for job in lane.waiting):
                return
            lane.waiting.append(Job(do, replicate))
            if lane.running is None and len(lane.waiting) == 1:
                self._ready.append(replicate.task_id)
                self._wake.notify_all()

    def cancel(self, task_id: str) -> None:
        """Stop what is done for a task and forget what waits, unless it has to be followed to its end."""
        with self._wake:
            lane = self._lanes.get(task_id)
            if lane is None:
                return
            lane.waiting = deque(job for job in lane.waiting if job.do in self._followed)
            for job in (lane.running, *lane.waiting):
                if job is not None:
                    job.stop.set()

    def busy(self, *dos: Do) -> bool:
        """Whether one of these effects is going on or waiting."""
        with self._wake:
            jobs = [job for lane in self._lanes.values() for job in (lane.running, *lane.waiting) if job is not None]
        return any(job.do in dos for job in jobs)

    def close(self) -> None:
        """Stop everything but programs, which go on without this process; threads end by themselves."""
        with self._wake:
            self._closed = True
            for lane in self._lanes.values():
                lane.waiting.clear()
                if lane.running is not None and lane.running.do is not Do.RUN:
                    lane.running.stop.set()
            self._wake.notify_all()

    def _next(self, only_urgent: bool) -> tuple[_Lane, Job] | None:
        """Take the first job that waits; called with the lock held."""
        for task_id in tuple(self._ready):
            lane = self._lanes.get(task_id)
            if lane is not None and lane.running is None and lane.waiting:
                if only_urgent and lane.waiting[0].do not in self._urgent:
                    continue
                self._ready.remove(task_id)
                job = lane.running = lane.waiting.popleft()
                return lane, job
            self._ready.remove(task_id)
            if lane is not None and lane.running is None:
                del self._lanes[task_id]
        return None

    def _work(self, only_urgent: bool) -> None:
        while True:
            with self._wake:
                while not self._closed and (found := self._next(only_urgent)) is None:
                    self._wake.wait()
                if self._closed or found is None:
                    return
                lane, job = found
            try:
                self._perform(job)
            finally:
                with self._wake:
                    lane.running = None
                    if lane.waiting:
                        self._ready.append(job.replicate.task_id)
                        self._wake.notify_all()
                    else:
                        self._lanes.pop(job.replicate.task_id, None)
