"""Applies events to tasks: core decides, the store keeps, and whoever waits is woken. Every change passes here."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import lru_cache

from sqlalchemy import Connection, update

from chain.wallet import Wallet
from poco.errors import Cause
from poco.hexes import ZERO_ADDRESS
from poco.ids import authorization_hash
from poco.states import Presence
from poco.states import ReplicateStatus as R
from poco.wire import Notification, NotificationType, Start, Verdict
from scheduler import core, forgotten, presence, store
from scheduler import model as m
from scheduler import tables as t
from scheduler.bell import Bell
from scheduler.funds import Funds
from scheduler.lease import LeaseLostError
from scheduler.leasing import Leasing
from scheduler.log import log
from scheduler.owners import OwnerRule
from scheduler.postgres import StoreUnreachableError
from scheduler.presence import Roll, Seen
from scheduler.store import Store
from scheduler.tally import Tally

#: How many tasks a round of the clock looks at, and how many of them share a transaction.
BATCH = 500
TOGETHER = 50
_NO_IMAGE = Cause.APP_IMAGE_PLATFORM_UNSUPPORTED
#: A clock that shows so many seconds less than before was set back.
SET_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Wake:
    """Whom changes concern: workers with new notifications, tasks that are not what they were, leasing, the sender."""

    workers: frozenset[str] = frozenset()
    tasks: frozenset[str] = frozenset()
    lease: bool = False
    send: bool = False

    @classmethod
    def of(cls, effects: Sequence[m.Effect], now: int) -> Wake:
        changed = [e.after for e in effects if isinstance(e, m.Changed)]
        return cls(
            workers=frozenset(e.worker for e in effects if isinstance(e, m.Notify | m.Authorize)),
            tasks=frozenset(task.id for task in changed),
            lease=any(core.wants_worker(task, now) for task in changed),
            send=any(isinstance(e, m.Send) for e in effects),
        )

    def __or__(self, other: Wake) -> Wake:
        workers, tasks = self.workers | other.workers, self.tasks | other.tasks
        return Wake(workers, tasks, self.lease or other.lease, self.send or other.send)

    def __bool__(self) -> bool:
        return bool(self.workers or self.tasks or self.lease or self.send)


class Engine:
    """The scheduler's moving part, called from the watcher, the outbox, the clock and the HTTP handlers.

    Args:
        wallet: the pool owner's; signs the leave to contribute.
        owners: whose workers are taken for one owner's.
        clock: Unix seconds.
        seal: makes of a worker's notifications what it is told (commands are signed when they leave).
    """

    def __init__(
        self,
        database: Store,
        roll: Roll,
        funds: Funds,
        wallet: Wallet,
        *,
        owners: OwnerRule | None = None,
        clock: Callable[[], float] = time.time,
        seal: Callable[[str, list[Notification]], list[Notification]] = lambda _wallet, found: found,
    ) -> None:
        self._seal = seal
        self.store = database
        self.roll = roll
        self.funds = funds
        self.wallet = wallet
        self.bell = Bell()
        self.tally = Tally()
        self.clock = clock
        #: when `tick` was called last
        self._ticked: int | None = None
        #: set when there is something to lease, and when there is something to send
        self.work_to_lease = threading.Event()
        self.work_to_send = threading.Event()
        self.owners = owners or OwnerRule()
        self.leasing = Leasing(database, roll, funds, self.bell, owners=self.owners, apply=self.apply, now=self.now)
        self._acking = threading.Lock()
        #: what workers have acknowledged: not yet deleted, and all
        self._acked: dict[str, int] = {}
        self._settled: dict[str, int] = {}
        self._leave = lru_cache(maxsize=4096)(self._sign_leave)
        #: tells the other processes on the same database
        self.elsewhere: Callable[[Wake], None] | None = None

    def on(self, database: Store) -> Engine:
        """The same engine, writing through another view of the database (`Store.guarded`)."""
        other = copy(self)
        other.store = database
        other._ticked = None
        return other

    def now(self) -> int:
        return int(self.clock())

    def apply(self, task_id: str, event: m.Event) -> list[m.Effect]:
        """One event in a transaction of its own; the effects that were performed."""
        return self.apply_all([(task_id, event)])

    def apply_all(self, events: Sequence[tuple[str, m.Event]]) -> list[m.Effect]:
        """Events of several tasks, by rising id, in one transaction; the effects that were performed."""
        for task_id, event in events:
            if isinstance(event, m.Leased):
                self._leave(event.worker, task_id)  # signing takes milliseconds: not while others wait to write
        effects = self.store.transact(lambda db: [e for one in events for e in self.apply_in(db, *one)])
        self.announce(effects)
        return effects

    def apply_in(self, db: Connection, task_id: str, event: m.Event, *more: m.Event) -> list[m.Effect]:
        """One event inside a transaction, or several that are learned of together.

        Call `announce` with the effects once that is committed.
        """
        # a task that another process is just giving to a worker need not be waited for
        task = store.lock_task(db, task_id, wait=not isinstance(event, m.Leased))
        if task is None:
            return [m.Answer(Verdict.ABORT)] if isinstance(event, m.Reported) else []
        now = self.now()
        after, effects = core.steps(task, (event, *more), now)
        # what is wanted of a task, and when it is due next, may be other than it was while the task is not
        if after != task or isinstance(event, m.Tick | m.ClockSetBack):
            store.save_task(db, task, after, now)
        for effect in effects:
            self._perform(db, after, effect, now)
        if isinstance(event, m.Reported) and event.cause is _NO_IMAGE and m.Answer(Verdict.OK) in effects:
            self._learn(db, task.app, event.worker, now)
        if after.status is not task.status:
            log("task", task=task_id, status=after.status.value)
        # time alone may bring that a worker is wanted
        return [*effects, m.Changed(task, after)] if after != task or core.wants_worker(after, now) else list(effects)

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

    def announce(self, effects: Sequence[m.Effect]) -> None:
        """Wake those whom committed effects concern, here and in the other processes."""
        for effect in effects:
            if isinstance(effect, m.Changed):
                self.leasing.changed(effect.before, effect.after)
                self.tally.changed(effect.before, effect.after, self.now())
        concerned = Wake.of(effects, self.now())
        self._wake(concerned)
        if self.elsewhere is not None and concerned:
            self.elsewhere(concerned)

    def heard(self, concerned: Wake) -> None:
        """Another process has committed changes."""
        self.leasing.changed_elsewhere(concerned.tasks)
        self._wake(concerned)

    def told(self, workers: Iterable[str]) -> None:
        """Notifications that no task is about were committed for these workers."""
        concerned = Wake(workers=frozenset(workers))
        self._wake(concerned)
        if self.elsewhere is not None:
            self.elsewhere(concerned)

    def _wake(self, concerned: Wake) -> None:
        for wallet in concerned.workers:
            self.bell.ring(wallet)
        if concerned.send:
            self.work_to_send.set()
        if concerned.lease:
            self.work_to_lease.set()

    def doubt(self, wallet: str) -> None:
        """A worker may be gone: its poll is answered now, and it is missed if no other one follows."""
        self.roll.doubt(wallet, self.clock() + self.roll.unknown_after)
        self.bell.nudge(wallet)

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
            found = store.unacked(db, wallet, acked)
        return self._seal(wallet, found)

    # --- the clock

    def tick(self) -> None:
        """What time alone requires: deadlines, and the tasks of workers that are gone or sleep too long."""
        now = self.now()
        if self._ticked is None or now < self._ticked - SET_SECONDS:
            self._set_right(now)
        self._ticked = now
        with self.store.read() as db:
            due = store.due_tasks(db, now, BATCH)
        self._tell(due, m.Tick())
        gone = [(seen, turned) for seen, turned in self.roll.turned(now) if turned in {Presence.LOST, Presence.ASLEEP}]
        for number, (seen, turned) in enumerate(gone):
            try:
                self._release(seen, turned)
            except (LeaseLostError, StoreUnreachableError):  # not to be waited for once for each of them
                self.roll.look_again([late.wallet for late, _ in gone[number:]])
                raise
            except Exception as error:
                self.roll.look_again([seen.wallet])
                log("tick_failed", level="error", worker=seen.wallet, error=repr(error))

    def _set_right(self, now: int) -> None:
        """The clock shows less than it did, or may have while another process led."""
        self.roll.set_back(now)
        with self.store.read() as db:
            misjudged = store.misjudged(db, now)
        if self._ticked is not None or misjudged:
            log("clock_set_back", level="warning", seconds=(self._ticked or now) - now, tasks=len(misjudged))
        self.store.transact(lambda db: store.send_now(db, now, now + SET_SECONDS))
        self._tell(misjudged, m.ClockSetBack())

    def _tell(self, task_ids: Sequence[str], event: m.Event) -> None:
        """The same event to many tasks; one that fails does not stop the others."""
        for start in range(0, len(task_ids), TOGETHER):
            together = sorted(task_ids[start : start + TOGETHER])
            try:
                self.apply_all([(task_id, event) for task_id in together])
            except LeaseLostError:
                raise
            except Exception as error:
                if len(together) == 1:
                    log("tick_failed", level="error", task=together[0], error=repr(error))
                else:
                    for task_id in together:
                        self._tell([task_id], event)

    def look_for_forgotten(self) -> None:
        """Take tasks from workers that poll here and no longer name them."""
        now = self.now()
        with self.store.read() as db:
            lost = forgotten.find(db, self.roll, now)
        for worker, task_id in lost:
            log("worker_forgot", level="warning", worker=worker, task=task_id)
            self.apply(task_id, m.WorkerLost(worker))

    def flush(self) -> None:
        """Write down who was heard of and what was acknowledged."""
        with self._acking:
            acked, self._acked = self._acked, {}
        rows = self.roll.changed(self.clock())

        def write(db: Connection) -> None:
            presence.write(db, rows)
            store.acknowledge(db, acked)

        if not rows and not acked:
            return
        try:
            self.store.transact(write)
        except BaseException:  # written the next time, as nobody says it again
            self.roll.not_written(row["of"] for row in rows)
            with self._acking:
                self._acked = acked | self._acked
            raise

    def _release(self, seen: Seen, turned: Presence) -> None:
        with self.store.read() as db:
            held = [(task_id, r) for task_id, r in store.tasks_of_worker(db, seen.wallet) if r.status in _HELD]
            tasks = {task_id: store.load_task(db, task_id) for task_id, _ in held}
        for task_id, _ in held:
            task = tasks[task_id]
            if task is None:
                continue
            too_late = seen.resume_at is None or seen.resume_at + task.run_seconds > task.contribution_deadline
            if turned is Presence.LOST or too_late:
                log("worker_lost", level="warning", worker=seen.wallet, task=task_id, presence=turned.value)
                self.apply(task_id, m.WorkerLost(seen.wallet))

    # --- effects

    def _perform(self, db: Connection, task: m.Task, effect: m.Effect, now: int) -> None:
        if isinstance(effect, m.Send):
            store.queue_transactions(db, [effect], now)
        elif isinstance(effect, m.Recall):
            store.recall(db, effect)
        elif isinstance(effect, m.Notify):
            store.add_notification(db, effect, now)
        elif isinstance(effect, m.Authorize):
            start = Start(
                deal_id=task.deal_id,
                index=task.index,
                enclave_challenge=ZERO_ADDRESS,
                authorization=self._leave(effect.worker, task.id),
                finalize=core.may_finalize_alone(task),
            ).model_dump()
            store.add_notification(db, m.Notify(effect.worker, NotificationType.START, task.id, start), now)

    def _sign_leave(self, worker: str, task_id: str) -> str:
        return self.wallet.sign_message(authorization_hash(worker, task_id))

    def _learn(self, db: Connection, app: str, worker: str, now: int) -> None:
        seen = self.roll.get(worker)
        for platform in seen.platforms if seen else ():
            row = {"app": app, "platform": platform, "learned_at": now}
            if not store.insert_new(db, t.missing_images, row):
                known = (t.missing_images.c.app == app) & (t.missing_images.c.platform == platform)
                db.execute(update(t.missing_images).where(known).values(learned_at=now))


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
