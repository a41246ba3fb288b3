"""Rounds of leasing: who waits is given what it can do, and is told why where it gets nothing.

Which tasks want a worker, and who has how many, is kept in memory (`scheduler.openings`) and follows every change; a
lease itself is an event of its task, so that what memory has wrong costs a moment and nothing else.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace

from sqlalchemy import select

from poco.consensus import Tally, further_workers
from poco.states import PENDING_REPLICATE
from poco.states import ReplicateStatus as R
from scheduler import backoff, matcher, store
from scheduler import model as m
from scheduler import tables as t
from scheduler.bell import Bell
from scheduler.funds import Funds
from scheduler.log import log
from scheduler.matcher import Candidate, Choice, Terms
from scheduler.openings import Openings
from scheduler.owners import OwnerRule, Owners
from scheduler.presence import Roll, Seen
from scheduler.rules import OPEN
from scheduler.store import Store

#: How long it is believed that an app has no image for a platform: images are pushed, and workers may lie.
BARRED_SECONDS = 3600
#: So often what is in memory is held against the store, and the pool against what tasks ask of it.
CHECK_SECONDS = 5
REACH_SECONDS = 1
#: A round of leasing ends after so long; the clock has other things to do. Seconds.
ROUND_SECONDS = 0.1
#: More than any stake.
RICH = 2**256


class Leasing:
    """Gives tasks to workers; called by the clock's thread, but for `arrived`, `changed*` and `doubt`.

    Args:
        bell: knows whose polls are open.
        owners: which workers are taken for one owner's.
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
        owners: OwnerRule,
        apply: Callable[[str, m.Event], list[m.Effect]],
        now: Callable[[], int],
    ) -> None:
        self._store = database
        self._roll = roll
        self._funds = funds
        self._bell = bell
        self._apply = apply
        self._now = now
        self._owners = Owners(owners)
        self._openings = Openings()
        #: by worker, the tasks that it has and has not contributed to, with their stakes and whether it has begun
        self._held: dict[str, dict[str, tuple[int, bool]]] = {}
        self._changes: deque[tuple[m.Task, m.Task]] = deque()
        self._elsewhere: deque[str] = deque()
        self._vacant = True
        self._arriving = threading.Lock()
        self._arrivals: set[str] = set()
        #: who was not looked at in the last round, for want of time
        self._put_off: set[str] = set()
        self._checked_at: int | None = None
        self._doubt = False
        self._reached_at = 0
        self._reached: set[Terms] = set()
        self._short: dict[Terms, str] = {}

    def arrived(self, wallet: str) -> None:
        """A worker has opened a poll, or has told what it is."""
        with self._arriving:
            self._arrivals.add(wallet)

    def changed(self, before: m.Task, after: m.Task) -> None:
        """A task has become another."""
        self._changes.append((before, after))

    def changed_elsewhere(self, task_ids: Iterable[str]) -> None:
        """Another process on the same store has changed these tasks."""
        self._elsewhere.extend(task_ids)

    def doubt(self) -> None:
        """Changes of another process may have been missed: hold memory against the store in the next round."""
        self._doubt = True

    def lease(self, *, everybody: bool = False) -> bool:
        """Give waiting workers what they can do; say why where they get nothing.

        Args:
            everybody: look at all who wait, not only at those who have come since the last time.

        Returns:
            whether some are left for the next round, which are then looked at first: a round is bounded in time.
        """
        with self._arriving:
            arrived, self._arrivals = self._arrivals, set()
        now = self._now()
        self._look_at_owners(arrived)
        self._take_over(now)
        barred = self._check(now)
        polling = self._bell.open_polls()
        if not self._openings:
            self._vacant = False
            self._put_off.clear()
            self._roll.explain_all(polling if everybody else polling & arrived, "no task waits for a worker")
            return False
        self._reach(barred, bool(arrived), now)
        everybody, self._vacant = everybody or self._vacant, False
        wallets = polling if everybody else polling & (arrived | self._put_off)
        turn = self._in_turn(wallets)
        turn.sort(key=lambda seen: seen.wallet not in self._put_off)
        self._put_off = set()
        end = time.monotonic() + ROUND_SECONDS
        for number, seen in enumerate(turn):
            if not self._openings:
                break  # thousands may wait for a handful of tasks
            if time.monotonic() > end:
                self._put_off = {late.wallet for late in turn[number:]}
                break
            self._lease_to(seen, barred, now)
        self._exhaust(barred, now)
        return bool(self._put_off)

    # --- what is open, and who has what

    def _take_over(self, now: int) -> None:
        while self._changes:
            before, after = self._changes.popleft()
            self._vacant |= self._openings.update(after, now)
            self._hold(before, after)
            for wallet, mark in backoff.marks(before, after).items():
                seen = self._roll.get(wallet)
                if seen is not None and (mark or seen.faults):
                    self._roll.blame(wallet, backoff.after_mark(seen.faults, seen.faults_at, mark, now), now)
        elsewhere = set()
        while self._elsewhere:
            elsewhere.add(self._elsewhere.popleft())
        if elsewhere:
            with self._store.read() as db:
                found = store.tasks_by_id(db, elsewhere)
            for task in found:
                self._vacant |= self._openings.update(task, now)
                self._hold(task, task)

    def _hold(self, before: m.Task | None, after: m.Task) -> None:
        for r in before.replicates if before is not None else ():
            self._held.get(r.worker, {}).pop(after.id, None)
        for r in after.replicates:
            if r.status in PENDING_REPLICATE and r.result_hash is None:
                self._held.setdefault(r.worker, {})[after.id] = (after.worker_stake, r.status is not R.CREATED)

    def _check(self, now: int) -> set[tuple[str, str]]:
        """Hold memory against the store: at the start, where others share it, where two changes overtook another."""
        with self._store.read() as db:
            learned = select(t.missing_images).where(t.missing_images.c.learned_at > now - BARRED_SECONDS)
            barred = {(row.app, row.platform) for row in db.execute(learned)}
            if self._checked_at is not None and now - self._checked_at < CHECK_SECONDS and not self._doubt:
                return barred
            self._doubt = False
            if self._checked_at is None:
                for seen in self._roll.all():
                    self._owners.put(seen.wallet, seen.operator, seen.network)
                rows = db.execute(select(t.tasks).where(t.tasks.c.status.in_([s.value for s in OPEN]))).mappings()
            else:
                wanted = set(db.scalars(select(t.tasks.c.id).where(t.tasks.c.wanted)))
                for task in [task for task in self._openings.all() if task.id not in wanted]:
                    self._openings.discard(task.id)
                lacking = [task_id for task_id in wanted if task_id not in self._openings][:500]
                rows = db.execute(select(t.tasks).where(t.tasks.c.id.in_(lacking))).mappings()
            found = store.load_tasks(db, rows)
        for task in found:
            self._vacant |= self._openings.update(task, now)
            self._hold(None, task)
        self._checked_at = now
        return barred

    def _look_at_owners(self, arrived: Iterable[str]) -> None:
        for seen in filter(None, map(self._roll.get, arrived)):
            self._owners.put(seen.wallet, seen.operator, seen.network)

    # --- who gets what

    def _in_turn(self, wallets: Iterable[str]) -> list[Seen]:
        """Who has waited longest first; where several must agree the heaviest, as then fewer are needed."""
        found = [seen for seen in map(self._roll.get, wallets) if seen is not None]
        if not any(terms.trust > 1 for terms in self._openings.terms()):
            return sorted(found, key=lambda s: s.last_seen)
        return sorted(found, key=lambda s: (-self._funds.known_weight(s.wallet), s.last_seen))

    def _lease_to(self, seen: Seen, barred: set[tuple[str, str]], now: int) -> None:
        while True:
            # the chain is asked for its stake, gas and energy only where everything else fits
            candidate = self._candidate(seen, now)
            choice = self._choose(replace(candidate, stake=RICH, green=True), barred, now)
            standing = self._funds.standing(seen.wallet) if choice.task is not None else None
            if choice.task is not None:
                held = sum(stake for stake, _ in self._held.get(seen.wallet, {}).values())
                green = not choice.task.green or self._funds.is_green(seen.wallet) is True
                stake = standing.stake - held if standing else None
                lacking = standing.gas_lacking if standing else 0
                candidate = replace(candidate, stake=stake, green=green, gas_lacking=lacking)
                choice = self._choose(candidate, barred, now)
            self._roll.explain(seen.wallet, choice.reason)
            if choice.task is None or standing is None:
                return
            self._funds.forget(seen.wallet)
            done = self._apply(choice.task.id, m.Leased(seen.wallet, standing.weight, candidate.kin))
            if any(isinstance(effect, m.Authorize) for effect in done):
                log("lease", task=choice.task.id, worker=seen.wallet, name=seen.name)
            else:
                self._openings.discard(choice.task.id)  # it was not what memory has: `_check` finds it again
            self._take_over(now)

    def _choose(self, candidate: Candidate, barred: set[tuple[str, str]], now: int) -> Choice:
        return self._openings.choose(candidate, barred, now, self._short)

    def _candidate(self, seen: Seen, now: int) -> Candidate:
        held = self._held.get(seen.wallet, {})
        return Candidate(
            wallet=seen.wallet,
            platforms=seen.platforms,
            presence=self._roll.presence(seen, now),
            free_slots=seen.free_slots,
            stake=None,
            resume_at=seen.resume_at,
            given=sum(not begun and task_id not in seen.running for task_id, (_, begun) in held.items()),
            memory_mb=seen.memory_mb,
            disk_mb=seen.disk_mb,
            cpus=seen.cpus,
            features=seen.features,
            run_seconds=seen.energy.get("run_seconds"),
            kin=self._owners.kin(seen.wallet),
            held_until=backoff.until(seen.faults, seen.faults_at) if seen.faults else 0,
        )

    # --- what the pool as a whole can do

    def _reach(self, barred: set[tuple[str, str]], anybody_new: bool, now: int) -> None:
        """Find the tasks on which the whole pool could not agree: nobody is to stake on them in vain."""
        asked = {terms for terms in self._openings.terms() if terms.fresh and terms.trust > 1}
        again = now - self._reached_at >= REACH_SECONDS or (anybody_new and self._short)
        if not again and asked <= self._reached:
            return
        self._reached_at, self._reached = now, asked
        before, self._short = self._short, {}
        everybody = self._everybody(now) if asked else []
        everybody.sort(key=lambda one: -self._funds.known_weight(one.wallet))
        for terms in asked:
            tried: list[str] = []
            # who has no image can still agree that there is none
            known = () if terms.exhausted else barred
            for wallet in self._of_different_owners(o for o in everybody if matcher.could_ever(o, terms, known)):
                tried.append(wallet)
                if further_workers(Tally(terms.trust), (), map(self._funds.known_weight, tried)) is not None:
                    break
            else:
                self._short[terms] = (
                    f"a trust of {terms.trust} needs more workers of different owners "
                    f"than the {len(tried)} of this pool that could do it"
                )
        self._vacant |= bool(before.keys() - self._short.keys())

    @staticmethod
    def _of_different_owners(workers: Iterable[Candidate]) -> Iterable[str]:
        out: set[str] = set()
        for one in workers:
            if one.wallet not in out:
                out |= one.kin
                yield one.wallet

    def _everybody(self, now: int) -> list[Candidate]:
        return [self._candidate(seen, now) for seen in self._roll.all() if seen.registered]

    def _exhaust(self, barred: set[tuple[str, str]], now: int) -> None:
        """Where nobody is left who could do it, the failure is the task's: what was met, or a missing image."""
        apps = {app for app, _ in barred}
        suspects = [
            task
            for terms, tasks in self._openings.queues()
            if not terms.exhausted and (not terms.fresh or terms.app in apps)
            for task in tasks
            if terms.app in apps or any(r.status is R.FAILED for r in task.replicates)
        ]
        if not suspects:
            return
        workers = self._everybody(now)
        for task in suspects:
            if not any(matcher.could_still(worker, task, ()) or task.replicate(worker.wallet) for worker in workers):
                continue  # nobody is there: whoever comes may be able
            able = (worker for worker in workers if matcher.could_still(worker, task, barred))
            if not any(self._has_means(worker.wallet, task) for worker in able):
                log("exhausted", level="warning", task=task.id)
                self._apply(task.id, m.Exhausted())
        self._take_over(now)

    def _has_means(self, wallet: str, task: m.Task) -> bool:
        """Stake, and energy where it is asked for; also where the chain does not say: then it is waited for."""
        if task.green and self._funds.is_green(wallet) is False:
            return False
        standing = self._funds.standing(wallet)
        return standing is None or standing.stake >= task.worker_stake
