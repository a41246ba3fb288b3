"""A few threads that do the work of many tasks: one effect at a time for each task, in order."""

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
    """

    def __init__(self, threads: int, perform: Callable[[Job], None]) -> None:
        self._perform = perform
        self._lanes: dict[str, _Lane] = {}
        self._ready: deque[str] = deque()
        self._wake = threading.Condition()
        self._closed = False
        self._threads = [threading.Thread(target=self._work, name=f"effect-{n}", daemon=True) for n in range(threads)]

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
                self._wake.notify()

    def cancel(self, task_id: str) -> None:
        """Stop what is done for a task and forget what waits."""
        with self._wake:
            lane = self._lanes.get(task_id)
            if lane is None:
                return
            lane.waiting.clear()
            if lane.running is not None:
                lane.running.stop.set()

    def busy(self, *dos: Do) -> bool:
        """Whether one of these effects is going on or waiting."""
        with self._wake:
            jobs = [job for lane in self._lanes.values() for job in (lane.running, *lane.waiting) if job is not None]
        return any(job.do in dos for job in jobs)

    def close(self) -> None:
        """Stop everything; threads end by themselves."""
        with self._wake:
            self._closed = True
            for lane in self._lanes.values():
                lane.waiting.clear()
                if lane.running is not None:
                    lane.running.stop.set()
            self._wake.notify_all()

    def _work(self) -> None:
        while True:
            with self._wake:
                while not self._ready and not self._closed:
                    self._wake.wait()
                if self._closed:
                    return
                task_id = self._ready.popleft()
                lane = self._lanes.get(task_id)
                if lane is None or lane.running is not None:
                    continue
                if not lane.waiting:
                    del self._lanes[task_id]
                    continue
                job = lane.running = lane.waiting.popleft()
            try:
                self._perform(job)
            finally:
                with self._wake:
                    lane.running = None
                    if lane.waiting:
                        self._ready.append(task_id)
                        self._wake.notify()
                    else:
                        self._lanes.pop(task_id, None)
