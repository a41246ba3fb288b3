"""The scheduler on virtual time: its core decides, its openings and its matcher choose; what is around them in
production (store, HTTP, outbox, watcher) is a delay here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from poco import consensus, deadlines
from poco.hexes import ZERO_ADDRESS
from poco.states import FINAL_TASK, PENDING_REPLICATE, Presence
from poco.states import ReplicateStatus as R
from poco.wire import Notification, NotificationType, Start, StatusUpdate, Verdict
from scheduler import backoff, core, rules
from scheduler import model as m
from scheduler.matcher import Candidate
from scheduler.openings import Openings
from scheduler.owners import OwnerRule, Owners
from simulator.clock import Clock
from simulator.hub import Hub, RevertedError
from simulator.orders import Order
from simulator.scenario import Terms

#: Who waits while tasks wait is looked at again after so long, and twice as long each time in vain. Seconds.
_AGAIN_S, _LONGEST_AGAIN_S = 3.0, 600.0
#: A task that is over is remembered for so long, for what its workers still report.
_REMEMBERED_S = 7200.0
_RICH = 2**256
_WILLING = frozenset({Presence.WAITING, Presence.WORKING})
_NO_SIGNATURE = "0x" + "00" * 65
_PLATFORMS = ("linux/arm64",)
#: Tasks of a worker that is gone or sleeps too long are taken from it in these states (as `scheduler.engine` does).
_HELD = frozenset({*PENDING_REPLICATE, R.FAILED, R.RESULT_UPLOAD_REQUESTED, R.RESULT_UPLOADING})


class Worker(Protocol):
    """A worker as its pool meets it."""

    wallet: str

    def notify(self, notification: Notification) -> None:
        """Give it a message; a worker that is off finds it when it is back."""

    def longest_run_s(self) -> int | None:
        """The longest run that its battery and forecast allow."""

    def holds(self, task_id: str) -> bool:
        """Whether it names that task in its polls."""


@dataclass(slots=True)
class Member:
    """What the pool knows of a worker."""

    worker: Worker
    presence: Presence = Presence.UNKNOWN
    free_slots: int = 0
    resume_at: int | None = None
    #: since when its polls are open without a break
    since: float = 0.0
    faults: float = 0.0
    faults_at: int = 0
    sequence: int = 0


class Pool:
    """One pool.

    Args:
        moved: is told of every task that changed, with the event that changed it.
    """

    def __init__(
        self, clock: Clock, hub: Hub, terms: Terms, moved: Callable[[m.Task, m.Event, m.Task, bool], None]
    ) -> None:
        self._clock, self._hub, self._terms, self._moved = clock, hub, terms, moved
        self.members: dict[str, Member] = {}
        self.tasks: dict[str, m.Task] = {}
        self.orders: dict[str, Order] = {}
        self.leases = 0
        self.transactions: Counter[str] = Counter()
        self._owners = Owners(OwnerRule())
        self._openings = Openings()
        self._held: dict[str, dict[str, tuple[int, bool]]] = {}
        self._due: dict[str, int] = {}
        self._willing: dict[str, None] = {}
        self._arrived: dict[str, None] = {}
        self._everybody = False
        self._round_at: float | None = None
        self._pause = _AGAIN_S

    # --- what comes in

    def join(self, worker: Worker, owner: str) -> None:
        """A worker registers."""
        self.members[worker.wallet] = Member(worker)
        self._owners.put(worker.wallet, owner, None)
        self._hub.join(worker.wallet)

    def order(self, order: Order) -> None:
        """A deal was made: one task."""
        kind, now = order.kind, int(self._clock.now)
        limits = deadlines.of_deal(now, kind.limit_seconds)
        terms = m.TaskTerms(
            deal_id=f"0x{order.number + 1:064x}",
            app=kind.app_name,
            callback=False,
            trust=kind.trust,
            worker_stake=self._hub.stake_of(kind),
            run_seconds=kind.limit_seconds,
            contribution_deadline=limits.contribution,
            final_deadline=limits.final,
        )
        task = terms.task(0)
        self._hub.open(task.id, kind, limits)
        self.tasks[task.id], self.orders[task.id] = task, order
        self.apply(task.id, m.Tick())

    def heard(self, wallet: str, presence: Presence, free_slots: int, resume_at: int | None) -> None:
        """A worker says how it is."""
        member = self.members[wallet]
        was = wallet in self._willing
        member.presence, member.free_slots, member.resume_at = presence, free_slots, resume_at
        if presence in _WILLING and free_slots > 0:
            if not was:
                member.since = self._clock.now
                self._willing[wallet] = None
            self._arrived[wallet] = None
            self._look(0.0)
        else:
            self._willing.pop(wallet, None)
        if presence is Presence.ASLEEP:
            self._release(wallet, resume_at)

    def silent(self, wallet: str, presence: Presence) -> None:
        """Nothing was heard of a worker for so long that it is UNKNOWN, or LOST."""
        self.members[wallet].presence = presence
        self._willing.pop(wallet, None)
        if presence is Presence.LOST:
            self._release(wallet, None)

    def report(self, wallet: str, task_id: str, update: StatusUpdate) -> Verdict | None:
        """A worker's report; None where it is refused as impossible."""
        return self.apply(task_id, m.Reported(wallet, update.status, update.cause))

    def may_finalize_alone(self, task_id: str) -> bool:
        task = self.tasks.get(task_id)
        return task is not None and core.may_finalize_alone(task)

    def apply(self, task_id: str, event: m.Event) -> Verdict | None:
        """One event of one task; the verdict on a report."""
        before = self.tasks.get(task_id)
        if before is None:
            return Verdict.ABORT
        now = int(self._clock.now)
        after, effects = core.step(before, event, now)
        verdict = None
        for effect in effects:
            if isinstance(effect, m.Answer):
                verdict = effect.verdict
            else:
                self._perform(after, effect)
        if after != before:
            self.tasks[task_id] = after
            self._changed(before, event, after)
        if after != before or isinstance(event, m.Tick):
            self._set_timer(after, now)
        return verdict

    # --- what goes out

    def _perform(self, task: m.Task, effect: m.Effect) -> None:
        if isinstance(effect, m.Send):
            self.transactions[effect.kind.value] += 1
            self._clock.after(self._terms.block_seconds, self._mined, effect)
        elif isinstance(effect, m.Notify):
            self._tell(effect.worker, effect.type, task.id, dict(effect.data))
        elif isinstance(effect, m.Authorize):
            start = Start.model_construct(
                deal_id=task.deal_id,
                index=task.index,
                enclave_challenge=ZERO_ADDRESS,
                authorization=_NO_SIGNATURE,
                finalize=core.may_finalize_alone(task),
            )
            self._tell(effect.worker, NotificationType.START, task.id, start.model_dump())

    def _tell(self, wallet: str, kind: NotificationType, task_id: str, data: dict[str, object]) -> None:
        member = self.members[wallet]
        member.sequence += 1
        said = Notification.model_construct(seq=member.sequence, type=kind, task_id=task_id, data=data)
        self._clock.after(self._terms.latency_seconds, member.worker.notify, said)

    def _mined(self, send: m.Send) -> None:
        """A transaction of the pool's owner is in a block."""
        now, hub = int(self._clock.now), self._hub
        event: m.Event
        try:
            match send.kind:
                case m.Tx.INITIALIZE:
                    hub.initialize(send.task_id, now)
                    event = m.Initialized()
                case m.Tx.FINALIZE:
                    hub.finalize(send.task_id, now)
                    event = m.Finalized(send.location)
                case m.Tx.REOPEN:
                    hub.reopen(send.task_id, now)
                    event = m.Reopened()
                case m.Tx.CLAIM:
                    hub.claim(send.task_id, now)
                    event = m.Claimed()
        except RevertedError:
            event = m.TransactionFailed(send.kind)
        self.apply(send.task_id, event)

    def _set_timer(self, task: m.Task, now: int) -> None:
        at = rules.due(task, now)
        if at is None:
            self._due.pop(task.id, None)
        elif self._due.get(task.id) != max(at, now + 1):
            self._due[task.id] = max(at, now + 1)
            self._clock.at(self._due[task.id], self._tick, task.id, self._due[task.id])

    def _tick(self, task_id: str, due: int) -> None:
        if self._due.get(task_id) == due:
            del self._due[task_id]
            self.apply(task_id, m.Tick())

    def _changed(self, before: m.Task, event: m.Event, after: m.Task) -> None:
        now = int(self._clock.now)
        over = after.status in FINAL_TASK and before.status not in FINAL_TASK
        self._moved(before, event, after, over)
        if after.status in rules.OPEN or before.status in rules.OPEN:
            if self._openings.update(after, now):
                self._everybody = True
                self._look(0.0)
            elif after.id in self._openings:
                self._look(_AGAIN_S)
        for r in before.replicates:
            self._held.get(r.worker, {}).pop(after.id, None)
        for r in after.replicates:
            if r.status in PENDING_REPLICATE and r.result_hash is None:
                self._held.setdefault(r.worker, {})[after.id] = (after.worker_stake, r.status is not R.CREATED)
        for wallet, mark in backoff.marks(before, after).items():
            member = self.members[wallet]
            if mark or member.faults:
                member.faults = backoff.after_mark(member.faults, member.faults_at, mark, now)
                member.faults_at = now
        if over:
            self._clock.after(_REMEMBERED_S, self._forget, after.id)

    def _forget(self, task_id: str) -> None:
        del self.tasks[task_id], self.orders[task_id], self._hub.tasks[task_id]

    def _release(self, wallet: str, resume_at: int | None) -> None:
        for task_id in [*self._held.get(wallet, {}), *self._uploads_of(wallet)]:
            task = self.tasks[task_id]
            replicate = task.replicate(wallet)
            too_late = resume_at is None or resume_at + task.run_seconds > task.contribution_deadline
            if replicate is not None and replicate.status in _HELD and too_late:
                self.apply(task_id, m.WorkerLost(wallet))

    def _uploads_of(self, wallet: str) -> list[str]:
        return [task.id for task in self.tasks.values() if task.uploader == wallet and task.status not in FINAL_TASK]

    # --- leasing

    def _look(self, seconds: float) -> None:
        at = self._clock.now + seconds
        if self._round_at is None or at < self._round_at:
            self._round_at = at
            self._clock.at(at, self._round, at)

    def _round(self, due: float) -> None:
        """Give those who wait what they can do."""
        if self._round_at != due:
            return
        self._round_at = None
        arrived, self._arrived = self._arrived, {}
        everybody, self._everybody = self._everybody or not arrived, False
        if not self._openings:
            self._pause = _AGAIN_S
            return
        now = self._clock.now
        wallets = [w for w in (self._willing if everybody else arrived) if w in self._willing]
        before = self.leases
        for wallet in self._in_turn(wallets, now):
            if not self._openings:
                break
            self._lease_to(wallet, int(now))
        self._pause = _AGAIN_S if self.leases > before else min(2 * self._pause, _LONGEST_AGAIN_S)
        if self._openings and self._willing:
            self._look(self._pause)

    def _in_turn(self, wallets: list[str], now: float) -> list[str]:
        """Whose poll is open longest first; where several must agree the heaviest."""
        poll, members = self._terms.poll_seconds, self.members
        by_trust = any(terms.trust > 1 for terms in self._openings.terms())
        open_for = {w: (now - members[w].since) % poll for w in wallets}
        if not by_trust:
            return sorted(wallets, key=lambda w: -open_for[w])
        return sorted(wallets, key=lambda w: (-consensus.weight(self._hub.accounts[w].score), -open_for[w]))

    def _lease_to(self, wallet: str, now: int) -> None:
        account = self._hub.accounts[wallet]
        while self._openings:
            candidate = self._candidate(wallet)
            choice = self._openings.choose(replace(candidate, stake=_RICH, green=True), frozenset(), now)
            if choice.task is None:
                return
            held = sum(stake for stake, _ in self._held.get(wallet, {}).values())
            choice = self._openings.choose(replace(candidate, stake=account.free - held), frozenset(), now)
            if choice.task is None:
                return
            before = self.tasks[choice.task.id]
            self.apply(choice.task.id, m.Leased(wallet, consensus.weight(account.score)))
            if self.tasks[choice.task.id] == before:
                self._openings.discard(choice.task.id)  # time alone has ended it
            else:
                self.leases += 1

    def _candidate(self, wallet: str) -> Candidate:
        member, held = self.members[wallet], self._held.get(wallet, {})
        return Candidate(
            wallet=wallet,
            platforms=_PLATFORMS,
            presence=member.presence,
            free_slots=member.free_slots,
            stake=None,
            resume_at=member.resume_at,
            given=sum(not begun and not member.worker.holds(task_id) for task_id, (_, begun) in held.items()),
            run_seconds=member.worker.longest_run_s(),
            kin=self._owners.kin(wallet),
            held_until=backoff.until(member.faults, member.faults_at) if member.faults else 0,
        )
