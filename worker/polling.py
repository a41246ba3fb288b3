"""The conversation with the scheduler: who serves this pool, the long poll, and reports one after the other."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from poco.errors import PewError
from poco.states import Presence
from poco.wire import (
    MAX_SAMPLES,
    QUARTER_S,
    Notification,
    NotificationType,
    Poll,
    PollAnswer,
    PoolConfig,
    Sample,
    WorkerInfo,
)
from worker import core
from worker.chain import PoolChain
from worker.commands import Judge
from worker.config import WorkerConfig
from worker.core import Answered, Event, Notified, Worker
from worker.journal import Journal
from worker.link import Backoff, Link, SchedulerDownError, SchedulerRefusedError
from worker.log import Log
from worker.postbox import Postbox
from worker.power import Power
from worker.transport import Scissors

if TYPE_CHECKING:
    from worker.messaging import Messenger

_MB = 1_048_576
_FULL_POLL_SECONDS = 5
#: The journal is asked for reports so often though nothing said that there is one.
_LOOK_SECONDS = 30.0
#: The first poll waits so long for the first look at the means: it should not say that nothing is known yet.
_FIRST_LOOK_SECONDS = 5.0


@dataclass(slots=True)
class Shared:
    """What the loop and the threads of the conversation share.

    `state` gives the worker as it stands; `tell` puts an event and returns once it is in the journal; `over` ends
    everything; `changed` says that the next poll has something new to tell; `report_waits` that a report was written;
    `looked` that the means were looked at.
    """

    state: Callable[[], Worker]
    tell: Callable[[Event], None]
    over: threading.Event = field(default_factory=threading.Event)
    changed: threading.Event = field(default_factory=threading.Event)
    report_waits: threading.Event = field(default_factory=threading.Event)
    looked: threading.Event = field(default_factory=threading.Event)


class Poller:
    """Polls for work, and takes over what the pool's operator changes."""

    def __init__(
        self,
        config: WorkerConfig,
        shared: Shared,
        *,
        postbox: Postbox,
        chain: PoolChain,
        link: Link,
        power: Power,
        log: Log,
    ) -> None:
        self._config, self._shared, self._chain, self._link = config, shared, chain, link
        self._postbox, self._power, self._log = postbox, power, log
        self._judge = Judge(link.chain_id, config.workerpool, link.wallet, config.obeys)
        self._owner = ""
        self._pool: PoolConfig | None = None
        self._registered = False
        self._no_work = ""
        self._told_seconds = config.poll_seconds
        self._scissors = Scissors()
        self._messenger: Messenger | None = None
        if config.messaging is not None:
            from worker.messaging import Messenger  # paho-mqtt only where the configuration asks

            self._messenger = Messenger(
                config.messaging, config.workerpool, link=link, judge=self._judge, postbox=postbox,
                state=shared.state, owner=lambda: self._owner, tell=shared.tell, poll_now=self.poll_now, log=log,
            )  # fmt: skip

    def run(self) -> None:
        """Poll until the end."""
        shared, pauses = self._shared, Backoff(0.5, 30)
        shared.looked.wait(_FIRST_LOOK_SECONDS)
        while not shared.over.is_set():
            shared.changed.clear()
            self._scissors.used = False
            try:
                if self._pool is None or not self._registered:
                    self._meet()
                poll = self._poll(self._patience())
                asked = time.monotonic()
                with self._scissors.blades():
                    answer = self._link.poll(poll)
            except PewError as error:
                if self._scissors.used:
                    continue
                self._registered = False
                self._log.warning("no_scheduler", why=error.message, hint=error.hint)
                shared.over.wait(pauses.pause())
                continue
            self._take(poll, answer)
            if poll.acked < shared.state().acked or time.monotonic() - asked >= min(1, poll.wait_seconds):
                pauses.reset()
            else:
                shared.over.wait(pauses.pause())  # answered at once, and nothing in it: do not hurry
            if poll.presence is Presence.ASLEEP and not answer.notifications:
                self._sleep(poll.resume_at)
                shared.changed.wait(max(1.0, min(60.0, (poll.resume_at or 0) - time.time())))

    def _take(self, poll: Poll, answer: PollAnswer) -> None:
        """What an answer says of the pool, and the notifications in it, into the journal."""
        shared = self._shared
        if answer.config and self._pool is not None and answer.config != self._pool.version():
            self._pool = None
        if answer.no_work != self._no_work:
            self._no_work = answer.no_work
            if answer.no_work:
                self._log.info("no_work", why=answer.no_work)
        if poll.telemetry:
            self._postbox.told(poll.telemetry)
        if answer.wait_seconds is not None:
            self._told_seconds = answer.wait_seconds
        for notification in answer.notifications:
            self._log.info("told", task=notification.task_id, type=notification.type, seq=notification.seq)
            shared.tell(self._heard(notification))

    def bodies(self) -> dict[str, Callable[[], None]]:
        """What threads are needed for, by name."""
        messenger, over = self._messenger, self._shared.over
        return {"poll": self.run} | ({"mqtt": lambda: messenger.run(over)} if messenger is not None else {})

    def poll_now(self) -> None:
        """There is something to tell or to ask: a poll that may be held for long is ended, and the next begins."""
        self._shared.changed.set()
        if self._messenger is not None:
            self._scissors.snip()

    def goodbye(self) -> None:
        """Say how this worker leaves."""
        try:
            self._link.poll(self._poll(0))
        except PewError as error:
            self._log.warning("no_goodbye", why=error.message)

    def _meet(self) -> None:
        """See that the scheduler serves this pool and may speak for it, then register."""
        pool = self._link.config()
        self._chain.require_owner(pool.scheduler)
        if not self._registered:
            self._link.register(machine(self._config))
            self._registered = True
            self._log.info("connected", scheduler=self._config.scheduler_url)
        else:
            self._log.info("pool_changed", **pool.model_dump())
        self._pool, self._owner = pool, pool.scheduler
        self._told_seconds = pool.poll_seconds

    def _heard(self, notification: Notification) -> Event:
        if notification.type is not NotificationType.COMMAND:
            return Notified(notification)
        return self._judge.told(notification.data, self._owner, notification.seq)

    def _patience(self) -> int:
        """How long this worker would have a poll held: long while it has no task and a broker would wake it."""
        state = self._shared.state()
        held = self._messenger.hold_seconds if self._messenger is not None else 0
        if held and not state.replicates:
            return held
        usual = min(self._told_seconds, state.orders.settings.poll_seconds or self._config.poll_seconds)
        return min(usual, _FULL_POLL_SECONDS) if core.free_slots(state) == 0 else usual

    def _telemetry(self, presence: Presence) -> list[Sample]:
        """Quarter hours to tell now: some together, or all that wait where the worker is about to sleep or go."""
        leaving = presence in (Presence.ASLEEP, Presence.DRAINING)
        if self._messenger is not None and self._messenger.telemetry_by_broker() and not leaving:
            return []
        enough = 1 if leaving else self._postbox.telemetry_seconds(self._shared.state().orders) // QUARTER_S
        return self._postbox.samples(MAX_SAMPLES) if self._postbox.waiting() >= enough else []

    def _sleep(self, resume_at: int | None) -> None:
        """The scheduler knows: switch the board off, where something will switch it on again."""
        if self._messenger is not None:
            self._messenger.part()
        try:
            if self._power.rest(resume_at, time.time()):
                self._log.info("switched_off", resume_at=resume_at)
                self._shared.over.set()  # no drain: what is open is taken up again after the sleep
        except PewError as error:
            self._log.warning("stays_on", why=error.message, hint=error.hint)

    def _poll(self, wait_seconds: int) -> Poll:
        state = self._shared.state()
        slots = core.free_slots(state)
        presence = core.presence(state)
        energy = self._power.energy()
        if state.trouble and not energy.decision.startswith("sleep"):
            energy = energy.model_copy(update={"decision": f"takes no work: {state.trouble}"[:300]})
        return Poll(
            presence=presence,
            resume_at=state.stance.resume_at if presence is Presence.ASLEEP else None,
            free_slots=slots,
            acked=state.acked,
            energy=energy,
            disk_mb=disk_mb(self._config),
            running=sorted(state.replicates)[:1024],
            wait_seconds=wait_seconds if presence is not Presence.ASLEEP else 0,
            telemetry=self._telemetry(presence),
        )


class Reporter:
    """Brings reports and answers to commands to the scheduler, the oldest first, each until it has arrived."""

    def __init__(self, shared: Shared, journal: Journal, postbox: Postbox, link: Link, log: Log) -> None:
        self._shared, self._journal, self._postbox, self._link, self._log = shared, journal, postbox, link, log

    def run(self) -> None:
        """Report until the end."""
        shared, pauses = self._shared, Backoff(0.5, 30)
        while not shared.over.is_set():
            found = self._journal.next_report()
            if found is None and self._answer(pauses):
                continue
            if found is None:
                shared.report_waits.wait(_LOOK_SECONDS)
                shared.report_waits.clear()
                continue
            number, task_id, update = found
            try:
                verdict = self._link.report(task_id, update).verdict
            except SchedulerDownError as error:
                self._log.warning("report_waits", task=task_id, status=update.status, why=error.message)
                shared.over.wait(pauses.pause())
                continue
            except SchedulerRefusedError as error:
                self._log.warning("report_refused", task=task_id, status=update.status, why=error.message)
            else:
                shared.tell(Answered(task_id, update.status, verdict))
            pauses.reset()
            self._journal.report_done(number)

    def _answer(self, pauses: Backoff) -> bool:
        """Bring the oldest answer to a command; whether there was one."""
        found = self._postbox.next_reply()
        if found is None:
            return False
        seq, answer = found
        try:
            self._link.answer(seq, answer)
        except SchedulerDownError as error:
            self._log.warning("answer_waits", seq=seq, why=error.message)
            self._shared.over.wait(pauses.pause())
            return True
        except SchedulerRefusedError as error:
            self._log.warning("answer_refused", seq=seq, why=error.message)
        pauses.reset()
        self._postbox.replied(seq)
        return True


def machine(config: WorkerConfig) -> WorkerInfo:
    """What this worker offers to one task: its platform, and what a task may have of processors, memory and disk."""
    return WorkerInfo(
        name=config.name,
        platforms=[config.platform],
        cpus=max(1, int(config.docker.cpus)),
        memory_mb=config.docker.memory_mb,
        disk_mb=disk_mb(config),
        operator=config.declaration(),
        site=config.site,
    )


def disk_mb(config: WorkerConfig) -> int:
    """What a task may fill of the disk, MB: by the limits, and by what is free now."""
    config.data_dir.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(config.data_dir).free // _MB
    return min(free, config.docker.output_mb + config.fetch.total_mb)
