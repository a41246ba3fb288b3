"""The worker's life: events in, journal, effects out.

One thread takes events in order: the core steps, the journal has the new state and its reports on disk, then effects
begin. Beside it: a thread that long-polls, one that reports, one that reads the meter, one that looks after the means,
and the lanes that do the work.
"""

from __future__ import annotations

import queue
import shutil
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from poco.errors import Cause, PewError
from worker import core
from worker.anchor import Anchor, signer
from worker.chain import PoolChain
from worker.commands import diagnose
from worker.config import WorkerConfig
from worker.core import (
    Drain,
    Effect,
    Event,
    Funded,
    GiveBack,
    Happened,
    Replicate,
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
from worker.leaving import Leaving, without_stake
from worker.link import Link
from worker.log import Log
from worker.orders import Reply
from worker.polling import Poller, Reporter, Shared
from worker.postbox import Postbox
from worker.power import Power
from worker.runner.fetch import RESERVE_BYTES
from worker.runner.protocol import Runner
from worker.table import FOLLOWED, SLOT_STAGES, STAKE_EFFECTS, UNSTAKED, WORK, Do, Stage, What

_MB = 1_048_576
#: Threads beside one for each slot: contributions, checks, reveals, uploads.
_SPARE_LANES = 2
#: And for nothing but what touches a stake.
_STAKE_LANES = 2
#: What each task may fill up to `output_mb`: its output, its checkpoint and the zip.
_FOLDERS = 3
_MEANS_SECONDS = 60.0
_TROUBLE_SECONDS = 5.0
_SAVE_SECONDS = 15.0
_KEEP_SECONDS = 90 * 86_400
_REDO_SECONDS = 5.0
_DUTY_ENDS_SECONDS = 5.0
#: What was given back at the end of a drain is reported and cleaned up within so many seconds.
_GOODBYE_SECONDS = 5.0


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
        self._lanes = Lanes(
            config.slots + _SPARE_LANES, self._perform, reserved=_STAKE_LANES, urgent=STAKE_EFFECTS, followed=FOLLOWED
        )
        # may be put to from a signal handler, which the other queues may not
        self._events: queue.SimpleQueue[tuple[Event | None, threading.Event | None]] = queue.SimpleQueue()
        self._state = journal.load(config.slots).model_copy(update={"trouble": "its means have not been looked at yet"})
        self._began: dict[str, float] = {}
        self._left: dict[str, Replicate] = {}
        self._shared = Shared(lambda: self._state, self._tell)
        self._over = self._shared.over
        self._postbox = Postbox(journal, config.telemetry_seconds)
        self._reporter = Reporter(self._shared, journal, self._postbox, link, log)
        self._poller = Poller(
            config, self._shared, postbox=self._postbox, chain=chain, link=link, power=self._power, log=log
        )
        self._leaving = Leaving(journal, config.drain_seconds)
        self._task_ended = threading.Event()
        self._drain = threading.Event()

    def drain(self) -> None:
        """Ask for an orderly end (from a signal handler too); asked again, it ends at once."""
        if self._drain.is_set():
            self._over.set()
        self._drain.set()
        self._events.put((None, None))

    def run(self) -> None:
        """Work until drained."""
        self._prune()
        self._journal.forget(int(time.time()) - _KEEP_SECONDS)
        self._handle(Weighed(self._look()))
        self._lanes.start()
        for seq in self._postbox.unanswered():
            self._reply(Reply(seq, None))
        for effect in core.resume(self._state):
            self._log.info("resumed", task=effect.task_id, do=effect.do)
            self._begin(self._state, effect)
        bodies = {
            "meter": self._metering,
            "means": self._watching_means,
            **self._poller.bodies(),
            "report": self._reporter.run,
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
                event, handled = self._events.get(timeout=min(1.0, self._config.watch_seconds))
            except queue.Empty:
                pass
            else:
                if event is not None:
                    self._handle(event)
                if handled is not None:
                    handled.set()
            if time.monotonic() - ticked >= self._config.watch_seconds:
                ticked = time.monotonic()
                self._ticks()
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
        said = [effect for effect in effects if isinstance(effect, Report | Reply)]
        self._journal.commit(before, after, said, now)
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
            elif isinstance(effect, Reply):
                self._reply(effect)
            else:
                self._log.info("report", task=effect.task_id, status=effect.update.status, reason=effect.update.reason)
        if said:
            self._shared.report_waits.set()
        if before.orders != after.orders:
            self._log.info("orders", **after.orders.model_dump(exclude_defaults=True))
            self._handle(Weighed(self._look()))  # the gate hears it before the next offer
        if core.presence(before) is not core.presence(after):
            self._poller.poll_now()

    def _ticks(self) -> None:
        """Look at the chain, and remove what could not be removed because the engine or the disk failed."""
        self._handle(Tick())
        for task_id, left in list(self._left.items()):
            del self._left[task_id]
            now = self._state.replicates.get(task_id)
            if now is None or (now.run == left.run and Do.CLEAN in WORK[now.stage]):
                self._lanes.submit(Do.CLEAN, left)

    def _reply(self, reply: Reply) -> None:
        """What is said to a command; the doctor is asked beside, it takes its time."""
        if reply.state is not None:
            self._log.info("command", seq=reply.seq, state=reply.state, answer=reply.answer[:200])
            return

        def ask() -> None:
            self._postbox.keep(diagnose(self._config, reply.seq))
            self._shared.report_waits.set()

        threading.Thread(target=ask, name="doctor", daemon=True).start()

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
                if self._over.is_set():
                    return
                known = isinstance(error, PewError)
                self._log.error(
                    "effect_failed", task=job.replicate.task_id, do=job.do, why=str(error)[:500],
                    where=None if known else traceback.format_exc(limit=-3),
                )  # fmt: skip
                if job.do is Do.CLEAN:
                    self._left[job.replicate.task_id] = job.replicate
                    return
                if job.replicate.stage in UNSTAKED:
                    outcome = Happened(
                        job.replicate.task_id, job.replicate.run, What.FAILED, cause=Cause.INTERNAL_ERROR,
                        reason=str(error) if known else type(error).__name__,
                    )  # fmt: skip
                else:
                    stopped = job.stop.wait(_REDO_SECONDS)
                    if stopped and job.do not in FOLLOWED:
                        return
                    if stopped:
                        self._over.wait(_REDO_SECONDS)
                    continue
            if outcome is not None and job.do is Do.CLEAN:
                self._log.warning("cannot_clean", task=job.replicate.task_id, why=outcome.reason)
                self._left[job.replicate.task_id] = job.replicate
            elif outcome is not None:
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
                try:
                    self._performer.folder(folder.name).remove()
                except (PewError, OSError) as error:  # none of ours, like lost+found; it must not keep a stake waiting
                    self._log.warning("cannot_prune", folder=folder.name, why=str(error))

    # drain

    def _at_work(self) -> bool:
        """Whether a paid task is at hand."""
        return any(r.stage in SLOT_STAGES for r in self._state.replicates.values())

    def _begin_drain(self) -> None:
        """Take nothing new, keep what is staked and what is nearly done, give back the rest at once."""
        state = self._state
        self._handle(Drain())
        self._leaving = Leaving(self._journal, self._drain_seconds())
        back = self._leaving.given_back(state.replicates.values(), state.stance, self._began, time.time())
        kept = sorted(r.task_id for r in core.unfinished(state.replicates.values()) if r.task_id not in back)
        self._log.info("draining", seconds=self._leaving.drain_seconds, finishes=kept, gives_back=sorted(back))
        self._handle(GiveBack(back, Cause.WORKER_STOPPED, "the operator stopped this worker"))
        self._poller.poll_now()
        threading.Thread(target=self._finish, name="drain", daemon=True).start()

    def _drain_seconds(self) -> float:
        told = self._state.orders.settings.drain_seconds
        return self._config.drain_seconds if told is None else told

    def _finish(self) -> None:
        """Stay for what was kept, within the operator's patience; then give back what can be, and say goodbye."""
        self._patiently(self._leaving.drain_seconds, lambda: not core.unfinished(self._state.replicates.values()))
        back = without_stake(self._state.replicates.values())
        if back:
            self._tell(GiveBack(back, Cause.WORKER_STOPPED, "the operator stopped this worker"))
            self._patiently(_GOODBYE_SECONDS, lambda: True)
        for replicate in core.unfinished(self._state.replicates.values()):
            self._log.warning(
                "leaves_open", task=replicate.task_id, stage=replicate.stage,
                hint="start this worker again soon: what it has staked is revealed by nobody else",
            )  # fmt: skip
        if not self._over.is_set():
            self._poller.goodbye()
        self._over.set()

    def _patiently(self, seconds: float, enough: Callable[[], bool]) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self._over.wait(0.1):
            if enough() and not self._lanes.busy(Do.RUN, Do.CLEAN) and not self._journal.next_report():
                return

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
            late = self._leaving.hopeless(self._state.replicates.values(), stance, self._began, time.time())
            if late or (self._drain.is_set() and stance.halted):
                self._give_back_paused(late, stance)
            if time.monotonic() - saved >= _SAVE_SECONDS or self._task_ended.is_set():
                saved = time.monotonic()
                self._task_ended.clear()
                self._power.save()

    def _give_back_paused(self, late: frozenset[str], stance: Stance) -> None:
        """What stands still for lack of energy and will be too late, or keeps a stopped worker, is for others."""
        if self._drain.is_set():
            late |= {r.task_id for r in self._state.replicates.values() if r.stage is Stage.RUNNING}
        if late:
            self._log.info("given_back", tasks=sorted(late), why=stance.words)
            self._events.put((GiveBack(late, Cause.ENERGY, stance.words[:500]), None))

    def _look(self) -> Stance:
        state = self._state
        replicates = list(state.replicates.values())
        return self._power.look(time.time(), replicates, self._began, state.draining, state.orders)

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
            self._shared.looked.set()
            if self._over.wait(_MEANS_SECONDS if not trouble else _TROUBLE_SECONDS):
                return

    def _anchoring(self) -> None:
        """Bring the energy ledger out, where no stake and no lack of energy speaks against it."""
        while not self._over.wait(_MEANS_SECONDS):
            busy = core.in_hand(self._state.replicates.values()) or self._state.stance.halted
            self._anchor.step(may_spend=not busy)

    def _full(self) -> str:
        need = _FOLDERS * self._config.docker.output_mb * self._config.slots + RESERVE_BYTES // _MB
        free = shutil.disk_usage(self._config.data_dir).free // _MB
        return f"{free} MB are free in {self._config.data_dir}, tasks may take {need}" if free < need else ""
