"""The worker's life: events in, journal, effects out.

One thread takes events in order: the core steps, the journal has the new state and its reports on disk, then effects
begin. Beside it: a thread that long-polls, one that reports, one that reads the meter, one that looks after the means,
and the lanes that do the work.
"""

from __future__ import annotations

import os
import queue
import shutil
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from poco.errors import Cause, PewError
from poco.states import Presence
from poco.wire import Poll, WorkerInfo
from worker import core
from worker.anchor import Anchor, signer
from worker.chain import PoolChain
from worker.config import WorkerConfig
from worker.core import (
    Answered,
    Drain,
    Effect,
    Event,
    Funded,
    Happened,
    Notified,
    Report,
    Stance,
    Tick,
    Weighed,
    Worker,
)
from worker.effects import Performer
from worker.energy import Decision, Offer
from worker.journal import Journal
from worker.lanes import Job, Lanes
from worker.link import Backoff, Link, SchedulerDownError, SchedulerRefusedError
from worker.log import Log
from worker.power import Power
from worker.runner.protocol import Runner
from worker.table import SLOT_STAGES, UNSTAKED, Do, Stage, What

_MB = 1_048_576
#: Threads beside one for each slot: contributions, checks, reveals, uploads.
_SPARE_LANES = 4
_FULL_POLL_SECONDS = 5
_MEANS_SECONDS = 60.0
_TROUBLE_SECONDS = 5.0
_SAVE_SECONDS = 15.0
_KEEP_SECONDS = 90 * 86_400
_REDO_SECONDS = 5.0
_DUTY_ENDS_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Guard:
    """The energy gate for the performer."""

    power: Power

    @property
    def halted(self) -> bool:
        return self.power.halted

    def weigh(self, offer: Offer) -> Decision:
        return self.power.weigh(offer, time.time())


class Loop:
    """One worker process. `run` returns when it was drained."""

    def __init__(
        self, config: WorkerConfig, *, journal: Journal, chain: PoolChain, link: Link, runner: Runner, log: Log
    ) -> None:
        self._config, self._journal, self._chain, self._link, self._runner = config, journal, chain, link, runner
        self._log = log
        self._power = Power(config.energy, journal, time.time(), signer(chain))
        self._anchor = Anchor(config.energy.ledger, journal, chain, link, log)
        self._duty = None
        if config.sensors is not None:
            from worker.duty import Duty  # only devices with sensors need what it imports

            self._duty = Duty(config, runner, self._power, self._at_work, log)
        inputs = self._duty.inputs if self._duty is not None else None
        self._performer = Performer(config, journal, chain, link, runner, Guard(self._power), log, inputs)
        self._lanes = Lanes(config.slots + _SPARE_LANES, self._perform)
        self._events: queue.Queue[tuple[Event, threading.Event | None]] = queue.Queue()
        self._state = journal.load(config.slots).model_copy(update={"trouble": "its means have not been looked at yet"})
        self._began: dict[str, float] = {}
        self._report_waits = threading.Event()
        self._changed = threading.Event()
        self._task_ended = threading.Event()
        self._looked = threading.Event()
        self._drain = threading.Event()
        self._over = threading.Event()

    def drain(self) -> None:
        """Ask for an orderly end (from a signal handler too); asked again, it ends at once."""
        if self._drain.is_set():
            self._over.set()
        self._drain.set()

    def run(self) -> None:
        """Work until drained."""
        self._prune()
        self._journal.forget(int(time.time()) - _KEEP_SECONDS)
        self._handle(Weighed(self._look()))
        self._lanes.start()
        for effect in core.resume(self._state):
            self._log.info("resumed", task=effect.task_id, do=effect.do)
            self._begin(self._state, effect)
        bodies = {
            "meter": self._metering,
            "means": self._watching_means,
            "poll": self._polling,
            "report": self._reporting,
            "ledger": self._anchoring,
        }
        for name, body in bodies.items():
            threading.Thread(target=self._alive, args=(name, body), name=name, daemon=True).start()
        duties = self._duty.bodies(self._over) if self._duty is not None else {}
        own = [threading.Thread(target=self._alive, args=item, name=item[0], daemon=True) for item in duties.items()]
        for thread in own:
            thread.start()
        ticked = time.monotonic()
        while not self._over.is_set():
            try:
                event, handled = self._events.get(timeout=0.25)
            except queue.Empty:
                pass
            else:
                self._handle(event)
                if handled is not None:
                    handled.set()
            if time.monotonic() - ticked >= self._config.watch_seconds:
                ticked = time.monotonic()
                self._handle(Tick())
            if self._drain.is_set() and not self._state.draining:
                self._begin_drain()
        self._lanes.close()
        for thread in own:
            thread.join(_DUTY_ENDS_SECONDS)
        self._power.save()
        self._log.info("stopped")

    # events

    def _handle(self, event: Event) -> None:
        now, before = int(time.time()), self._state
        after, effects = core.step(before, event, now)
        reports = [effect for effect in effects if isinstance(effect, Report)]
        self._journal.commit(before, after, reports, now)
        self._state = after
        for task_id, old in before.replicates.items():
            new = after.replicates.get(task_id)
            if new is None or new.stage is not old.stage or new.aborted is not old.aborted:
                self._lanes.cancel(task_id)
                stage = new.stage if new is not None else Stage.ENDED
                if new is None:
                    self._task_ended.set()
                self._log.info("stage", task=task_id, stage=stage, before=old.stage)
                if Stage.RUNNING in (stage, old.stage):
                    self._power.note("task", task=task_id, running=stage is Stage.RUNNING)
        for effect in effects:
            if isinstance(effect, Effect):
                self._begin(after if effect.task_id in after.replicates else before, effect)
            else:
                self._log.info("report", task=effect.task_id, status=effect.update.status, reason=effect.update.reason)
        if reports:
            self._report_waits.set()
        if core.presence(before) is not core.presence(after):
            self._changed.set()

    def _begin(self, state: Worker, effect: Effect) -> None:
        replicate = state.replicates[effect.task_id]
        if effect.do is Do.RUN:
            self._began.setdefault(effect.task_id, time.time())
        elif effect.do is Do.CLEAN:
            self._began.pop(effect.task_id, None)
        self._lanes.submit(effect.do, replicate)

    def _perform(self, job: Job) -> None:
        """Do a job and hand in its outcome; what nobody expected is not allowed to lose a stake."""
        while True:
            try:
                outcome = self._performer.perform(job.do, job.replicate, job.stop)
            except Exception as error:
                known = isinstance(error, PewError)
                self._log.error(
                    "effect_failed", task=job.replicate.task_id, do=job.do, why=str(error)[:500],
                    where=None if known else traceback.format_exc(limit=-3),
                )  # fmt: skip
                if job.do is Do.CLEAN:
                    return
                if job.replicate.stage in UNSTAKED:
                    outcome = Happened(
                        job.replicate.task_id, job.replicate.run, What.FAILED, cause=Cause.INTERNAL_ERROR,
                        reason=str(error) if known else type(error).__name__,
                    )  # fmt: skip
                elif job.stop.wait(_REDO_SECONDS):
                    return
                else:
                    continue
            if outcome is not None:
                self._events.put((outcome, None))
            return

    def _tell(self, event: Event) -> None:
        """Put an event and wait until it is in the journal."""
        handled = threading.Event()
        self._events.put((event, handled))
        while not handled.wait(0.5) and not self._over.is_set():
            pass

    def _prune(self) -> None:
        try:
            for name in self._runner.prune(set(self._state.replicates)):
                self._log.info("leftover_removed", container=name)
        except PewError as error:
            self._log.warning("cannot_prune", why=error.message, hint=error.hint)
        tasks = self._config.data_dir / "tasks"
        for folder in tasks.iterdir() if tasks.exists() else ():
            if folder.name not in self._state.replicates:
                self._performer.folder(folder.name).remove()

    # drain

    def _at_work(self) -> bool:
        """Whether a paid task is at hand."""
        return any(r.stage in SLOT_STAGES for r in self._state.replicates.values())

    def _begin_drain(self) -> None:
        self._log.info("draining")
        self._handle(Drain())
        self._changed.set()
        threading.Thread(target=self._finish, name="drain", daemon=True).start()

    def _finish(self) -> None:
        """Wait for what has a stake open, and for reports, within the operator's patience; then say goodbye."""
        end = time.monotonic() + self._config.drain_seconds
        while time.monotonic() < end and not self._over.wait(0.1):
            replicates = self._state.replicates.values()
            at_work = self._at_work() or self._lanes.busy(Do.RUN, Do.CLEAN)
            if not at_work and not core.in_hand(replicates) and not self._journal.next_report():
                break
        try:
            self._link.poll(self._poll(wait_seconds=0))
        except PewError as error:
            self._log.warning("no_goodbye", why=error.message)
        self._over.set()

    # threads

    def _alive(self, name: str, body: Callable[[], None]) -> None:
        """Keep a thread going whatever happens in it."""
        while not self._over.is_set():
            try:
                body()
            except Exception:
                self._log.error("thread_failed", thread=name, where=traceback.format_exc(limit=-3))
                self._over.wait(_REDO_SECONDS)

    def _metering(self) -> None:
        saved = 0.0
        while not self._over.wait(self._config.meter_seconds):
            stance = self._look()
            if stance != self._state.stance:
                self._events.put((Weighed(stance), None))
            if time.monotonic() - saved >= _SAVE_SECONDS or self._task_ended.is_set():
                saved = time.monotonic()
                self._task_ended.clear()
                self._power.save()

    def _look(self) -> Stance:
        state = self._state
        return self._power.look(time.time(), list(state.replicates.values()), self._began, state.draining)

    def _watching_means(self) -> None:
        """See that stake, gas, engine and disk suffice; take no work while they do not."""
        while True:
            try:
                trouble = self._chain.stand_in() or self._runner.trouble() or self._full()
            except PewError as error:
                trouble = str(error)
            if trouble != self._state.trouble:
                if trouble:
                    self._log.error("takes_no_work", why=trouble)
                else:
                    self._log.info("ready", stake_nrlc=self._config.stake_nrlc)
            self._tell(Funded(trouble))
            self._looked.set()
            if self._over.wait(_MEANS_SECONDS if not trouble else _TROUBLE_SECONDS):
                return

    def _anchoring(self) -> None:
        """Bring the energy ledger out, where no stake and no lack of energy speaks against it."""
        while not self._over.wait(_MEANS_SECONDS):
            busy = core.in_hand(self._state.replicates.values()) or self._state.stance.halted
            self._anchor.step(may_spend=not busy)

    def _full(self) -> str:
        need = 2 * self._config.docker.output_mb
        free = shutil.disk_usage(self._config.data_dir).free // _MB
        return f"{free} MB are free in {self._config.data_dir}, a task may take {need}" if free < need else ""

    def _polling(self) -> None:
        pauses = Backoff(0.5, 30)
        known = False
        self._looked.wait(_TROUBLE_SECONDS)  # the first poll should not say that nothing is known yet
        while not self._over.is_set():
            self._changed.clear()
            try:
                if not known:
                    self._chain.require_owner(self._link.config().scheduler)
                    self._link.register(machine(self._config))
                    self._log.info("connected", scheduler=self._config.scheduler_url)
                    known = True
                poll = self._poll(self._config.poll_seconds)
                answer = self._link.poll(poll)
            except PewError as error:
                known = False
                self._log.warning("no_scheduler", why=error.message, hint=error.hint)
                self._over.wait(pauses.pause())
                continue
            pauses.reset()
            for notification in answer.notifications:
                self._log.info("told", task=notification.task_id, type=notification.type, seq=notification.seq)
                self._tell(Notified(notification))
            if poll.presence is Presence.ASLEEP and not answer.notifications:
                self._sleep(poll.resume_at)
                self._changed.wait(max(1.0, min(60.0, (poll.resume_at or 0) - time.time())))

    def _sleep(self, resume_at: int | None) -> None:
        """The scheduler knows: switch the board off, where something will switch it on again."""
        try:
            if self._power.rest(resume_at, time.time()):
                self._log.info("switched_off", resume_at=resume_at)
                self._over.set()  # no drain: what is open is taken up again after the sleep
        except PewError as error:
            self._log.warning("stays_on", why=error.message, hint=error.hint)

    def _poll(self, wait_seconds: int) -> Poll:
        state = self._state
        slots = core.free_slots(state)
        presence = core.presence(state)
        if slots == 0:
            wait_seconds = min(wait_seconds, _FULL_POLL_SECONDS)
        energy = self._power.energy()
        if state.trouble and not energy.decision.startswith("sleep"):
            energy = energy.model_copy(update={"decision": f"takes no work: {state.trouble}"[:300]})
        return Poll(
            presence=presence,
            resume_at=state.stance.resume_at if presence is Presence.ASLEEP else None,
            free_slots=slots,
            acked=state.acked,
            energy=energy,
            running=sorted(state.replicates)[:1024],
            wait_seconds=wait_seconds if presence is not Presence.ASLEEP else 0,
        )

    def _reporting(self) -> None:
        pauses = Backoff(0.5, 30)
        while not self._over.is_set():
            found = self._journal.next_report()
            if found is None:
                self._report_waits.wait(1.0)
                self._report_waits.clear()
                continue
            number, task_id, update = found
            try:
                verdict = self._link.report(task_id, update).verdict
            except SchedulerDownError as error:
                self._log.warning("report_waits", task=task_id, status=update.status, why=error.message)
                self._over.wait(pauses.pause())
                continue
            except SchedulerRefusedError as error:
                self._log.warning("report_refused", task=task_id, status=update.status, why=error.message)
            else:
                self._tell(Answered(task_id, update.status, verdict))
            pauses.reset()
            self._journal.report_done(number)


def machine(config: WorkerConfig) -> WorkerInfo:
    """What this worker offers to one task: its platform, processors, the memory a task may use, and the free disk."""
    config.data_dir.mkdir(parents=True, exist_ok=True)
    return WorkerInfo(
        name=config.name,
        platforms=[config.platform],
        cpus=os.cpu_count() or 1,
        memory_mb=config.docker.memory_mb,
        disk_mb=shutil.disk_usage(config.data_dir).free // _MB,
    )
