"""The tasks that want a worker, in memory and in order: a choice looks at few of them, however many there are.

Tasks that ask for the same (`matcher.Terms`) stand in one queue by contribution deadline. The queues stand by the
deadline of their first task, so that a choice ends as soon as no later queue can hold a better task: with k queues it
costs at most O(k), and O(1) where the first fits. In a queue of tasks that nobody has tried the first one in time fits
every worker that the queue fits.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import replace

from scheduler.core import wants_worker
from scheduler.matcher import (
    Barred,
    Candidate,
    Choice,
    Short,
    Terms,
    beyond,
    explain,
    late,
    taken,
    unfit,
    unwilling,
)
from scheduler.model import Task

_Place = tuple[int, str]


class Openings:
    """Not safe from several threads: its owner sees to that."""

    def __init__(self) -> None:
        self._tasks: dict[str, Task] = {}
        self._queues: dict[Terms, list[_Place]] = {}
        #: (deadline, id) of each queue's first task, in order
        self._heads: list[tuple[_Place, Terms]] = []
        #: why no task that nobody has tried fits workers of a kind, as long as nothing changes
        self._barren: dict[Candidate, dict[str, int]] = {}
        self._asked: tuple[int, Barred, Short] | None = None

    def __len__(self) -> int:
        return len(self._tasks)

    def __contains__(self, task_id: str) -> bool:
        return task_id in self._tasks

    def get(self, task_id: str) -> Task | None:
        return self._tasks.get(task_id)

    def all(self) -> Iterator[Task]:
        return iter(self._tasks.values())

    def queues(self) -> Iterator[tuple[Terms, list[Task]]]:
        """What is asked for, and the tasks that ask for it."""
        for terms, queue in self._queues.items():
            yield terms, [self._tasks[task_id] for _, task_id in queue]

    def terms(self) -> Iterator[Terms]:
        return iter(self._queues)

    def update(self, task: Task, now: int) -> bool:
        """Take over what a task has become; whether it wants a worker and did not before."""
        self._barren.clear()
        before = task.id in self._tasks
        self.discard(task.id)
        if not wants_worker(task, now):
            return False
        terms, place = Terms.of(task), (task.contribution_deadline, task.id)
        self._tasks[task.id] = task
        queue = self._queues.get(terms)
        if queue is None:
            self._queues[terms] = [place]
            insort(self._heads, (place, terms))
        elif place < queue[0]:
            self._drop_head(queue[0], terms)
            queue.insert(0, place)
            insort(self._heads, (place, terms))
        else:
            insort(queue, place)
        return not before

    def discard(self, task_id: str) -> None:
        """Forget a task, if it is here."""
        task = self._tasks.pop(task_id, None)
        if task is None:
            return
        self._barren.clear()
        terms, place = Terms.of(task), (task.contribution_deadline, task_id)
        queue = self._queues[terms]
        where = bisect_left(queue, place)
        if where == 0:
            self._drop_head(place, terms)
        del queue[where]
        if not queue:
            del self._queues[terms]
        elif where == 0:
            insort(self._heads, (queue[0], terms))

    def choose(self, worker: Candidate, barred: Barred, now: int, short: Short | None = None) -> Choice:
        """The best task that this worker can have, as `matcher.choose` would find it."""
        reason = unwilling(worker, now)
        if reason:
            return Choice(None, reason)
        asked = (now, frozenset(barred), dict(short or {}))
        if self._asked != asked:
            self._asked = asked
            self._barren.clear()
        kind = replace(worker, wallet="", kin=frozenset(), given=0, free_slots=0, held_until=0)
        barren = self._barren.get(kind)
        best: tuple[bool, int, str] | None = None
        reasons: dict[str, int] = {}
        fresh: dict[str, int] = dict(barren or {})
        for head, terms in self._heads:
            if barren is not None and terms.fresh:
                continue
            costly = beyond(worker, terms.run_seconds)
            if best is not None and not best[0] and head >= best[1:]:
                break
            if best is not None and (costly, *head) >= best:
                continue
            general = unfit(worker, terms, barred, short)
            found = self._first(worker, terms, general, now, fresh if terms.fresh else reasons)
            if found is not None and (best is None or (costly, *found) < best):
                best = (costly, *found)
        if best is not None:
            return Choice(self._tasks[best[2]], "")
        if barren is None:
            self._barren[kind] = fresh
        for reason, number in fresh.items():
            _count(reasons, reason, number)
        return Choice(None, explain(reasons))

    def _first(self, worker: Candidate, terms: Terms, general: str, now: int, reasons: dict[str, int]) -> _Place | None:
        queue = self._queues[terms]
        if terms.fresh:
            # nobody is at these: what holds for one holds for all, but for the time that is left
            if general:
                _count(reasons, general, len(queue))
                return None
            start = bisect_left(queue, (now + terms.run_seconds, ""))
            if start:
                _count(reasons, late(terms, queue[0][0], now), start)
            return queue[start] if start < len(queue) else None
        for place in queue:
            reason = taken(worker, self._tasks[place[1]], now) or general or late(terms, place[0], now)
            if not reason:
                return place
            _count(reasons, reason, 1)
        return None

    def _drop_head(self, place: _Place, terms: Terms) -> None:
        del self._heads[bisect_left(self._heads, (place, terms))]


def _count(reasons: dict[str, int], reason: str, number: int) -> None:
    reasons[reason] = reasons.get(reason, 0) + number
