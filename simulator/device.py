"""One worker on virtual time: its core and its energy gate are the real ones, its hands are delays.

What the board does decides what it draws, what the battery holds decides what it does; a board without power does
nothing, forgets what it computed, and keeps what its journal holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from random import Random
from typing import cast

from poco.errors import Cause
from poco.states import Presence
from poco.wire import Notification
from simulator import looks
from simulator.clock import Clock
from simulator.figures import kind_of
from simulator.hands import Hands
from simulator.hub import Hub
from simulator.pool import Pool
from simulator.scenario import Scenario
from simulator.skies import Sky
from worker import core
from worker.core import (
    Answered,
    Effect,
    Facts,
    GiveBack,
    Happened,
    Notified,
    Replicate,
    Report,
    Stance,
    Tick,
    Weighed,
    about,
)
from worker.energy import Action, Decision, Gate, Load, Meter, Offer, OpenStake, PowerReading, RunningTask
from worker.energy.battery import Battery
from worker.energy.device import Device as Board
from worker.energy.simulated import SimulatedPower
from worker.journal import Journal
from worker.leaving import Leaving
from worker.table import Stage, What

_COMPUTES = frozenset({Stage.RUNNING})
_STAKED = frozenset({Stage.FINALIZING, Stage.CONTRIBUTING, Stage.CONTRIBUTED, Stage.REVEALING})
#: An alarm that rings earlier would find the board still on (`worker.energy.hardware`).
_SHORTEST_OFF_S = 300.0


class Device:
    """One worker.

    Args:
        sky: what stands above it.
        gate: its own.
        soc: state of charge at the start.
        phase: 0 to 1; its looks at the meter lie so far behind those of others.
        known_seconds: how long apps took that it has run before.
    """

    def __init__(
        self, wallet: str, scenario: Scenario, *, sky: Sky, board: Board, gate: Gate, soc: float, phase: float,
        known_seconds: Mapping[str, float], clock: Clock, hub: Hub, pool: Pool,
    ) -> None:  # fmt: skip
        self.wallet = wallet
        self._machine, self._terms, self._config = scenario.machine, scenario.terms, scenario.gate
        self._speed, self._plans = scenario.speed, scenario.gate.market is not None
        self._sky, self._board, self.gate = sky, board, gate
        self._clock, self._hub, self._pool = clock, hub, pool
        self._battery = Battery(scenario.machine.battery_wh)
        self.source = SimulatedPower(sky.replay, self._battery, board, start=sky.start, speed=scenario.speed, soc=soc)
        self.meter = Meter()
        self.began_soc = soc
        self._look_s = looks.usual_s(self._battery, board) / scenario.speed
        self._state = core.Worker(slots=scenario.machine.slots)
        self._leaving = Leaving(cast(Journal, self), 0.0)
        chance = Random(f"{scenario.seed}/{wallet}")  # noqa: S311
        self._hands = Hands(self, scenario.terms, clock=clock, hub=hub, pool=pool, chance=chance)
        self._seconds = dict(known_seconds)
        self._inbox: list[Notification] = []
        #: by task, computing seconds that are left, and since when it computes (None: paused)
        self._runs: dict[str, tuple[float, float | None]] = {}
        self._began: dict[str, float] = {}
        self.life = 0  # counts the times the board went down: what was begun before is gone
        self._looking = 0  # only the look that was planned last happens
        self.on = False
        self._load = Load.IDLE
        self._said: tuple[Presence, int, int | None] | None = None
        self._longest: tuple[float, int | None] = (-1.0, None)
        self.reading: PowerReading = self.source.read(clock.now)
        #: what the gate said, by kind of reason; seconds by what the board did
        self.declined: Counter[str] = Counter()
        self.offers = 0
        self.wakes = 0
        self.computed_s = 0.0
        self.spent: dict[str, float] = {}
        self._doing, self._doing_since = "idle", clock.now
        clock.after(phase * self._look_s, self._up, self.life)

    # --- as its pool meets it

    def notify(self, notification: Notification) -> None:
        """A message; kept until the board is on."""
        if self.on:
            self._handle(Notified(notification))
        else:
            self._inbox.append(notification)

    def longest_run_s(self) -> int | None:
        """What its last poll said: the longest run for which there is energy."""
        if self._longest[0] != self.reading.at:
            self._longest = (self.reading.at, self.gate.longest_run_s(self.reading, self._running()))
        return self._longest[1]

    def holds(self, task_id: str) -> bool:
        return task_id in self._state.replicates

    def expected_seconds(self, app: str) -> float | None:
        """How long the app's last run computed here (what `worker.journal` remembers)."""
        return self._seconds.get(app)

    @property
    def doing(self) -> str:
        """`off` (no power), `asleep`, `computing`, `idle` (willing or not)."""
        return self._doing

    def settle(self) -> None:
        """Bring meter and battery up to now; changes nothing else."""
        reading = self.source.read(self._clock.now)
        self.meter.record(reading)
        self._note(self._doing)

    # --- looking at the meter

    def _look(self, token: int) -> None:
        if token != self._looking or not self.on:
            return
        now = self._clock.now
        self.reading = self.source.read(now)
        if self.source.cut:
            self._die()
            return
        self.meter.record(self.reading)
        self.gate.observe(self.reading)
        while self.gate.planning(self.reading.at):  # a worker reads every second: the plan stands soon
            self.gate.observe(self.reading)
        stakes = tuple(
            OpenStake(r.task_id, 2.0 * r.facts.run_seconds, r.facts.stake_nrlc)
            for r in self._state.replicates.values()
            if r.stage in _STAKED and r.facts is not None
        )
        decision = self.gate.decide(int(now), self.reading, running=self._running(), stakes=stakes)
        stance, old = _stance(decision), self._state.stance
        if (stance.willing, stance.halted, stance.asleep, stance.resume_at) != (
            old.willing, old.halted, old.asleep, old.resume_at,
        ):  # fmt: skip
            self._handle(Weighed(stance))
        if self._state.replicates:
            self._handle(Tick())
            late = self._leaving.hopeless(self._state.replicates.values(), stance, self._began, now)
            if late:
                self._handle(GiveBack(late, Cause.ENERGY, stance.words))
        if self._said is None:
            self._say()
        if self._may_switch_off():
            self._switch_off()
        else:
            self._plan_look()

    def _plan_look(self) -> None:
        self._looking += 1
        self._clock.after(self._next_look_s(), self._look, self._looking)

    def _next_look_s(self) -> float:
        """Seconds until the next look: later in the dark, where nothing can change before that."""
        soc, idle = self.reading.battery_soc, not self._state.replicates and self._state.stance.willing
        if self._plans or soc is None or not idle or self._load is not Load.IDLE:
            return self._look_s
        dark_s = self._sky.replay.dark_seconds(self.reading.at, looks.LONGEST_NIGHT_S)
        steady_s = looks.steady_s(self._battery, self._board, self._config, soc)
        return max(self._look_s, min(steady_s, dark_s) / self._speed)

    def _running(self) -> tuple[RunningTask, ...]:
        now = self._clock.now
        return tuple(
            RunningTask(
                r.task_id,
                max(0.0, self._expected(r.facts) - (now - self._began.get(r.task_id, now))),
                r.facts.contribution_deadline,
                self._state.stance.halted,
            )
            for r in self._state.replicates.values()
            if r.stage in _COMPUTES and r.facts is not None
        )

    def _expected(self, facts: Facts) -> float:
        """Seconds that a run may take, as `worker.power` says it to the gate."""
        last = self._seconds.get(facts.app)
        return float(facts.run_seconds) if last is None else min(2.0 * last + 10.0, float(facts.run_seconds))

    # --- up and down

    def _may_switch_off(self) -> bool:
        stance = self._state.stance
        if not (self._machine.switches_off and stance.asleep and stance.resume_at is not None):
            return False
        return stance.resume_at - self._clock.now >= _SHORTEST_OFF_S / self._speed

    def _switch_off(self) -> None:
        self._down("asleep", Load.ASLEEP)
        resume_at = self._state.stance.resume_at
        if resume_at is not None:
            self._clock.at(float(resume_at), self._boot, self.life)

    def _boot(self, life: int) -> None:
        if life != self.life:
            return
        self.wakes += 1
        self._draw(Load.COMPUTING)
        self._note("idle")
        self._clock.after(self._board.boot_s / self._speed, self._up, life)

    def _up(self, life: int) -> None:
        """The worker's program begins, or goes on with what its journal holds."""
        if life != self.life:
            return
        self.reading = self.source.read(self._clock.now)
        if self.source.cut:
            self._die()
            return
        self.on = True
        self._draw(Load.IDLE)
        for effect in core.resume(self._state):
            replicate = self._state.replicates.get(effect.task_id)
            outcome = self._hands.perform(effect.do, replicate) if replicate is not None else None
            if outcome is not None:
                self._handle(outcome)
        inbox, self._inbox = self._inbox, []
        for notification in inbox:
            self._handle(Notified(notification))
        self._said = None
        self._looking += 1
        self._look(self._looking)

    def _die(self) -> None:
        """The low-voltage cut-off has opened. The board starts when it closes."""
        self._down("off", Load.IDLE)
        life = self.life
        self._clock.after(self._terms.unknown_after, self._unheard, life, Presence.UNKNOWN)
        self._clock.after(self._terms.lost_after, self._unheard, life, Presence.LOST)
        self._clock.after(self._look_s, self._recover, life)

    def _unheard(self, life: int, presence: Presence) -> None:
        if life == self.life and not self.on:
            self._pool.silent(self.wallet, presence)

    def _recover(self, life: int) -> None:
        if life != self.life:
            return
        self.source.read(self._clock.now)
        if self.source.cut:
            self._clock.after(self._look_s, self._recover, life)
        else:
            self._boot(life)

    def _down(self, doing: str, load: Load) -> None:
        self.computed_s += sum(self._clock.now - since for _, since in self._runs.values() if since is not None)
        self._runs.clear()
        self.on = False
        self.life += 1
        self._draw(load)
        self._note(doing)

    # --- events and effects

    def _handle(self, event: core.Event) -> None:
        queue = [event]
        before = self._state
        while queue and self.on:
            self._state, effects = core.step(self._state, queue.pop(0), int(self._clock.now))
            for effect in effects:
                if isinstance(effect, Report):
                    verdict = self._pool.report(self.wallet, effect.task_id, effect.update)
                    if verdict is not None:
                        queue.append(Answered(effect.task_id, effect.update.status, verdict))
                elif isinstance(effect, Effect) and (replicate := self._state.replicates.get(effect.task_id)):
                    outcome = self._hands.perform(effect.do, replicate)
                    if outcome is not None:
                        queue.append(outcome)
        self._mind_runs()
        self._say()
        if self._state.replicates and not before.replicates:
            self._plan_look()

    def _say(self) -> None:
        """What the next poll says, where it is something new."""
        presence, slots = core.presence(self._state), core.free_slots(self._state)
        resume_at = self._state.stance.resume_at if presence is Presence.ASLEEP else None
        if self._said != (presence, slots, resume_at):
            self._said = (presence, slots, resume_at)
            self._pool.heard(self.wallet, presence, slots, resume_at)

    def begin(self, task_id: str, seconds: float) -> None:
        """A program is to run for so long; one that runs goes on."""
        if task_id not in self._runs:
            self._began.setdefault(task_id, self._clock.now)
            self._runs[task_id] = (seconds, None)

    def clean(self, task_id: str) -> None:
        """The task is over here."""
        self._began.pop(task_id, None)

    def came(self, life: int, outcome: Happened) -> None:
        if life == self.life:
            self._handle(outcome)

    def weigh(self, replicate: Replicate) -> Happened:
        facts = replicate.facts
        if facts is None:
            return about(replicate, What.DECLINED, Cause.INTERNAL_ERROR)
        now = self._clock.now
        self.offers += 1
        self.reading = self.source.read(now)
        if self.source.cut:
            self._clock.after(0.0, self._look, self._looking)  # it falls before it can answer
            return about(replicate, What.DECLINED, Cause.ENERGY)
        offer = Offer(
            replicate.task_id,
            self._seconds.get(facts.app) or float(facts.run_seconds),
            facts.reward_nrlc,
            facts.gas_nrlc,
            facts.contribution_deadline,
        )
        decision = self.gate.decide(int(now), self.reading, offer=offer, running=self._running())
        if decision.action is Action.RUN:
            return about(replicate, What.ADMITTED)
        self.declined[kind_of(decision)] += 1
        return about(replicate, What.DECLINED, Cause.ENERGY, reason=decision.reason)

    # --- the chain and the scheduler, some seconds later

    # --- programs, and what the board draws

    def _mind_runs(self) -> None:
        """Programs run, pause or are gone as their replicates and the gate want it; the load follows."""
        now, halted = self._clock.now, self._state.stance.halted
        for task_id, (left, since) in list(self._runs.items()):
            replicate = self._state.replicates.get(task_id)
            if replicate is None or replicate.stage is not Stage.RUNNING:
                if since is not None:
                    self.computed_s += now - since
                del self._runs[task_id]
            elif halted and since is not None:
                self.computed_s += now - since
                self._runs[task_id] = (left - (now - since), None)
            elif not halted and since is None:
                self._runs[task_id] = (left, now)
                self._clock.after(left, self._ran, self.life, replicate, now)
        if self.on:
            computing = any(since is not None for _, since in self._runs.values())
            asleep = self._state.stance.asleep
            self._draw(Load.ASLEEP if asleep else Load.COMPUTING if computing else Load.IDLE)
            self._note("asleep" if asleep else "computing" if computing else "idle")

    def _ran(self, life: int, replicate: Replicate, since: float) -> None:
        run = self._runs.get(replicate.task_id)
        if life != self.life or run is None or run[1] != since:
            return
        self.reading = self.source.read(self._clock.now)
        if self.source.cut:
            self._die()
            return
        if replicate.facts is not None:
            self._seconds[replicate.facts.app] = self._pool.orders[replicate.task_id].run_seconds
        self._handle(about(replicate, What.RAN))

    def _draw(self, load: Load) -> None:
        if load is not self._load:
            self._load = load
            self.source.set_load(load, self._clock.now)

    def _note(self, doing: str) -> None:
        now = self._clock.now
        self.spent[self._doing] = self.spent.get(self._doing, 0.0) + now - self._doing_since
        self._doing, self._doing_since = doing, now


def _stance(decision: Decision) -> Stance:
    return Stance.model_construct(
        willing=decision.action is Action.RUN,
        halted=decision.action in (Action.PAUSE, Action.SLEEP, Action.DRAIN),
        asleep=decision.action is Action.SLEEP,
        words=decision.reason,
        resume_at=decision.resume_at,
    )
