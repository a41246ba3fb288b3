"""Rounds of leasing: who waits is given what it can do, and is told why where it gets nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from sqlalchemy import select

from poco.states import ReplicateStatus as R
from scheduler import core, matcher, store
from scheduler import model as m
from scheduler import tables as t
from scheduler.bell import Bell
from scheduler.funds import Funds
from scheduler.log import log
from scheduler.presence import Roll, Seen
from scheduler.store import Store

#: How many tasks one round looks at.
BATCH = 500
#: How long it is believed that an app has no image for a platform: images are pushed, and workers may lie.
BARRED_SECONDS = 3600
#: More than any stake.
RICH = 2**256


class Leasing:
    """Gives tasks to workers; called by the clock's thread.

    Args:
        bell: knows whose polls are open.
        apply: one event of a task in a transaction of its own; the effects.
        now: Unix seconds.
    """

    def __init__(
        self,
        database: Store,
        roll: Roll,
        funds: Funds,
        bell: Bell,
        *,
        apply: Callable[[str, m.Event], list[m.Effect]],
        now: Callable[[], int],
    ) -> None:
        self._store = database
        self._roll = roll
        self._funds = funds
        self._bell = bell
        self._apply = apply
        self._now = now
        self._vacant = True
        self._arriving = threading.Lock()
        self._arrivals: set[str] = set()

    def arrived(self, wallet: str) -> None:
        """A worker has opened a poll, or has told what it is."""
        with self._arriving:
            self._arrivals.add(wallet)

    def vacant(self) -> None:
        """A task has come to want a worker: all who wait are to be looked at."""
        self._vacant = True

    def lease(self, *, everybody: bool = False) -> None:
        """Give waiting workers what they can do; say why where they get nothing.

        Args:
            everybody: look at all who wait, not only at those who have come since the last time.
        """
        with self._arriving:
            arrived, self._arrivals = self._arrivals, set()
        everybody, self._vacant = everybody or self._vacant, False
        now = self._now()
        with self._store.read() as db:
            tasks = [task for task in store.wanted_tasks(db, BATCH) if core.wants_worker(task, now)]
            learned = select(t.missing_images).where(t.missing_images.c.learned_at > now - BARRED_SECONDS)
            barred = {(row.app, row.platform) for row in db.execute(learned)}
            given = store.leases_not_begun(db)
        polling = self._bell.open_polls()
        if not tasks:
            self._roll.explain_all(polling, "no task waits for a worker")
            return
        wallets = polling if everybody else polling & arrived
        for seen in sorted(filter(None, map(self._roll.get, wallets)), key=lambda s: s.last_seen):
            tasks = self._lease_to(seen, tasks, barred, given.get(seen.wallet, []), now)
        self._exhaust(tasks, barred, now)

    def _lease_to(
        self, seen: Seen, tasks: list[m.Task], barred: set[tuple[str, str]], given: list[str], now: int
    ) -> list[m.Task]:
        while True:
            # the chain is asked for its stake and its energy only where everything else fits
            candidate = replace(self._candidate(seen, now), given=sum(one not in seen.running for one in given))
            choice = matcher.choose(replace(candidate, stake=RICH, green=True), tasks, barred, now)
            standing = self._funds.standing(seen.wallet) if choice.task is not None else None
            if choice.task is not None:
                green = not choice.task.green or self._funds.is_green(seen.wallet) is True
                candidate = replace(candidate, stake=standing.stake if standing else None, green=green)
                choice = matcher.choose(candidate, tasks, barred, now)
            self._roll.explain(seen.wallet, choice.reason)
            if choice.task is None or standing is None:
                return tasks
            self._funds.forget(seen.wallet)
            done = self._apply(choice.task.id, m.Leased(seen.wallet, standing.weight))
            if any(isinstance(effect, m.Authorize) for effect in done):
                log("lease", task=choice.task.id, worker=seen.wallet, name=seen.name)
                given = [*given, choice.task.id]
            with self._store.read() as db:
                changed = store.load_task(db, choice.task.id)
            tasks = [task for task in tasks if task.id != choice.task.id]
            if changed is not None and core.wants_worker(changed, now):
                tasks.append(changed)

    def _candidate(self, seen: Seen, now: int) -> matcher.Candidate:
        return matcher.Candidate(
            wallet=seen.wallet,
            platforms=seen.platforms,
            presence=self._roll.presence(seen, now),
            free_slots=seen.free_slots,
            stake=None,
            resume_at=seen.resume_at,
        )

    def _exhaust(self, tasks: list[m.Task], barred: set[tuple[str, str]], now: int) -> None:
        """Where nobody is left who could do it, the failure is the task's: what was met, or a missing image."""
        suspects = [
            task
            for task in tasks
            if not task.exhausted
            and (any(r.status is R.FAILED for r in task.replicates) or any(app == task.app for app, _ in barred))
        ]
        if not suspects:
            return
        workers = [self._candidate(seen, now) for seen in self._roll.all() if seen.registered]
        for task in suspects:
            if not any(matcher.could_still(worker, task, ()) or task.replicate(worker.wallet) for worker in workers):
                continue  # nobody is there: whoever comes may be able
            able = [worker for worker in workers if matcher.could_still(worker, task, barred)]
            if not any(self._has_means(worker.wallet, task) for worker in able):
                log("exhausted", level="warning", task=task.id)
                self._apply(task.id, m.Exhausted())

    def _has_means(self, wallet: str, task: m.Task) -> bool:
        """Stake, and energy where it is asked for; also where the chain does not say: then it is waited for."""
        if task.green and self._funds.is_green(wallet) is False:
            return False
        standing = self._funds.standing(wallet)
        return standing is None or standing.stake >= task.worker_stake
