"""Applies events to tasks: core decides, the store keeps, and whoever waits is woken. Every change passes here."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from sqlalchemy import Connection, delete, insert

from chain.wallet import Wallet
from poco.errors import Cause
from poco.hexes import ZERO_ADDRESS
from poco.ids import authorization_hash
from poco.states import Presence
from poco.states import ReplicateStatus as R
from poco.wire import Notification, NotificationType, Start, Verdict
from scheduler import core, forgotten, store
from scheduler import model as m
from scheduler import tables as t
from scheduler.bell import Bell
from scheduler.funds import Funds
from scheduler.leasing import Leasing
from scheduler.log import log
from scheduler.presence import Roll, Seen
from scheduler.store import Store

#: How many tasks a round of the clock looks at.
BATCH = 500
#: All who wait are looked at again so often: stakes, retries and clocks change without an event.
EVERYBODY_SECONDS = 3
#: Between two rounds of leasing, seconds.
LEASE_PAUSE = 0.02


class Engine:
    """The scheduler's moving part, called from the watcher, the outbox, the clock and the HTTP handlers.

    Args:
        wallet: the pool owner's; signs the leave to contribute.
        clock: Unix seconds.
    """

    def __init__(
        self, database: Store, roll: Roll, funds: Funds, wallet: Wallet, clock: Callable[[], float] = time.time
    ) -> None:
        self.store = database
        self.roll = roll
        self.funds = funds
        self.wallet = wallet
        self.bell = Bell()
        self.clock = clock
        #: set when there is something to lease, and when there is something to send
        self.work_to_lease = threading.Event()
        self.work_to_send = threading.Event()
        self.leasing = Leasing(database, roll, funds, self.bell, apply=self.apply, now=self.now)
        self._acking = threading.Lock()
        #: what workers have acknowledged: not yet deleted, and all
        self._acked: dict[str, int] = {}
        self._settled: dict[str, int] = {}
        self._forgotten_at = 0

    def now(self) -> int:
        return int(self.clock())

    def apply(self, task_id: str, event: m.Event) -> list[m.Effect]:
        """One event in a transaction of its own; the effects that were performed."""
        with self.store.write() as db:
            effects = self.apply_in(db, task_id, event)
        self.announce(effects)
        return effects

    def apply_in(self, db: Connection, task_id: str, event: m.Event) -> list[m.Effect]:
        """One event inside a transaction; call `announce` with the effects once that is committed."""
        task = store.load_task(db, task_id)
        if task is None:
            return [m.Answer(Verdict.ABORT)] if isinstance(event, m.Reported) else []
        now = self.now()
        after, effects = core.step(task, event, now)
        if after != task:
            store.save_task(db, task, after, now)
        for effect in effects:
            self._perform(db, after, effect, now)
        if isinstance(event, m.Reported) and event.cause is Cause.APP_IMAGE_PLATFORM_UNSUPPORTED:
            self._learn(db, task.app, event.worker, now)
        if after.status is not task.status:
            log("task", task=task_id, status=after.status.value)
        return [*effects, m.Vacancy(task_id)] if core.wants_worker(after, now) else list(effects)

    def add_tasks(self, db: Connection, tasks: Iterable[m.Task]) -> list[m.Effect]:
        """Store the tasks of a new deal and begin with them."""
        now = self.now()
        begun = [core.step(task, m.Tick(), now) for task in tasks]
        new = set(store.add_tasks(db, [task for task, _ in begun], now))
        effects: list[m.Effect] = []
        for task, wanted in begun:
            if task.id in new:
                effects += wanted
        store.queue_transactions(db, [effect for effect in effects if isinstance(effect, m.Send)], now)
        log("deal", tasks=len(new), deal=next((task.deal_id for task, _ in begun), None))
        return effects

    def announce(self, effects: Iterable[m.Effect]) -> None:
        """Wake those whom committed effects concern."""
        for effect in effects:
            if isinstance(effect, m.Notify | m.Authorize):
                self.bell.ring(effect.worker)
            elif isinstance(effect, m.Send):
                self.work_to_send.set()
            elif isinstance(effect, m.Vacancy):
                self.leasing.vacant()
                self.work_to_lease.set()

    def arrived(self, wallet: str) -> None:
        """A worker has opened a poll, or has told what it is."""
        self.leasing.arrived(wallet)
        self.work_to_lease.set()

    def report(self, task_id: str, worker: str, event: m.Reported) -> Verdict | None:
        """A worker's news; None where it claims what cannot be."""
        effects = self.apply(task_id, event)
        log("report", task=task_id, worker=worker, status=event.status.value, cause=event.cause)
        return next((e.verdict for e in effects if isinstance(e, m.Answer)), Verdict.ABORT)

    def acknowledged(self, wallet: str, acked: int) -> None:
        """A worker has taken over what it was told so far (deleted at the next `flush`: every poll says it again)."""
        with self._acking:
            if acked > self._settled.get(wallet, -1):
                self._acked[wallet] = self._settled[wallet] = acked

    def fetch(self, wallet: str, acked: int) -> list[Notification]:
        """What the worker has not acknowledged."""
        with self.store.read() as db:
            return store.unacked(db, wallet, acked)

    # --- the clock

    def tick(self) -> None:
        """What time alone requires: deadlines, and the tasks of workers that are gone or sleep too long."""
        now = self.now()
        with self.store.read() as db:
            due = store.due_tasks(db, now, BATCH)
        for task_id in due:
            self.apply(task_id, m.Tick())
        for seen, presence in self.roll.turned(now):
            if presence in {Presence.LOST, Presence.ASLEEP}:
                self._release(seen, presence)
        if now - self._forgotten_at >= forgotten.EVERY_SECONDS:
            self._forgotten_at = now
            with self.store.read() as db:
                lost = forgotten.find(db, self.roll, now)
            for worker, task_id in lost:
                log("worker_forgot", level="warning", worker=worker, task=task_id)
                self.apply(task_id, m.WorkerLost(worker))

    def flush(self) -> None:
        """Write down who was heard of and what was acknowledged."""
        with self._acking:
            acked, self._acked = self._acked, {}
        if self.roll.dirty or acked:
            with self.store.write() as db:
                self.roll.flush(db, self.clock())
                for wallet, seq in acked.items():
                    store.acknowledge(db, wallet, seq)

    def _release(self, seen: Seen, presence: Presence) -> None:
        with self.store.read() as db:
            held = [(task_id, r) for task_id, r in store.tasks_of_worker(db, seen.wallet) if r.status in _HELD]
            tasks = {task_id: store.load_task(db, task_id) for task_id, _ in held}
        for task_id, _ in held:
            task = tasks[task_id]
            if task is None:
                continue
            too_late = seen.resume_at is None or seen.resume_at + task.run_seconds > task.contribution_deadline
            if presence is Presence.LOST or too_late:
                log("worker_lost", level="warning", worker=seen.wallet, task=task_id, presence=presence.value)
                self.apply(task_id, m.WorkerLost(seen.wallet))

    # --- effects

    def _perform(self, db: Connection, task: m.Task, effect: m.Effect, now: int) -> None:
        if isinstance(effect, m.Send):
            store.queue_transactions(db, [effect], now)
        elif isinstance(effect, m.Notify):
            store.add_notification(db, effect, now)
        elif isinstance(effect, m.Authorize):
            leave = self.wallet.sign_message(authorization_hash(effect.worker, task.id))
            start = Start(
                deal_id=task.deal_id,
                index=task.index,
                enclave_challenge=ZERO_ADDRESS,
                authorization=leave,
                finalize=core.may_finalize_alone(task),
            ).model_dump()
            store.add_notification(db, m.Notify(effect.worker, NotificationType.START, task.id, start), now)

    def _learn(self, db: Connection, app: str, worker: str, now: int) -> None:
        seen = self.roll.get(worker)
        for platform in seen.platforms if seen else ():
            known = (t.missing_images.c.app == app) & (t.missing_images.c.platform == platform)
            db.execute(delete(t.missing_images).where(known))
            db.execute(insert(t.missing_images).values(app=app, platform=platform, learned_at=now))


_HELD = frozenset(
    {
        R.CREATED,
        R.STARTED,
        R.APP_DOWNLOADED,
        R.DATA_DOWNLOADED,
        R.COMPUTING,
        R.COMPUTED,
        R.CONTRIBUTING,
        R.FAILED,
        R.RESULT_UPLOAD_REQUESTED,
        R.RESULT_UPLOADING,
    }
)


class Clock(threading.Thread):
    """Ticks once a second, and leases whenever something has changed.

    Args:
        ready: whether the chain has been read up to its end; nothing is leased before.
    """

    def __init__(self, engine: Engine, ready: Callable[[], bool]) -> None:
        super().__init__(name="clock", daemon=True)
        self._engine = engine
        self._ready = ready
        self._stopping = threading.Event()

    def run(self) -> None:
        ticked = flushed = looked = 0.0
        while not self._stopping.is_set():
            self._engine.work_to_lease.wait(0.5)
            self._engine.work_to_lease.clear()
            try:
                now = time.monotonic()
                if now - ticked >= 0.5:
                    ticked = now
                    self._engine.tick()
                if now - flushed >= 2:
                    flushed = now
                    self._engine.flush()
                if self._ready():
                    again = now - looked >= EVERYBODY_SECONDS
                    looked = now if again else looked
                    self._engine.leasing.lease(everybody=again)
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
