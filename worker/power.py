"""Meter, gate and power source together, as the rest of the worker uses them; safe from any thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from poco.energy import RECORD_S
from poco.orders import Domain
from poco.wire import Energy, Sample
from worker.core import Facts, Replicate, Stance
from worker.energy import (
    Action,
    Book,
    Decision,
    EnergyConfig,
    EnergyRecord,
    Load,
    Offer,
    OpenStake,
    PowerReading,
    RunningTask,
    Sensing,
    create_gate,
    create_learnt,
    create_meter,
    create_power_source,
    profile_of,
)
from worker.journal import Journal
from worker.orders import Orders
from worker.table import Stage

_NO_ORDERS = Orders()
_COMPUTES = frozenset({Stage.RUNNING})
_STAKED = frozenset({Stage.FINALIZING, Stage.CONTRIBUTING, Stage.CONTRIBUTED, Stage.REVEALING})


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs the energy ledger with the worker's key, for one chain's `EnergyLedger`."""

    sign: Callable[[bytes], str]
    where: Domain


class Power:
    """The energy of one worker: reads it, keeps its books, and asks the gate.

    Args:
        config: the `energy` section.
        journal: where the meter's state is kept, so that totals survive a restart.
        now: Unix seconds.
        signer: keeps the energy ledger; nothing is told of the quarter hours where there is none.
    """

    def __init__(self, config: EnergyConfig, journal: Journal, now: float, signer: Signer | None = None) -> None:
        self._lock = threading.Lock()
        self._journal = journal
        self._learnt = create_learnt(config)
        self._restore("learnt", self._learnt)
        self._source = create_power_source(config, self._learnt)
        self._meter = create_meter(config)
        self._gate = create_gate(config, self._source, self._learnt)
        for name, part in self._parts().items():
            self._restore(name, part)
        self._running: tuple[RunningTask, ...] = ()
        self._stakes: tuple[OpenStake, ...] = ()
        self._book: Book | None = None
        if signer is not None:
            profile = profile_of(config, self._source)
            journal.profile_kept(profile)
            self._book = Book(profile, signer.sign, signer.where, journal.last_record())
        self._quarters: list[EnergyRecord] = []
        self._samples: list[Sample] = []
        self._notes: list[dict[str, Any]] = []
        self._reading: PowerReading = self._source.read(now)
        self._duty = Load.IDLE
        self._stance = Stance(willing=False, words="the meter has not been read yet")

    def _restore(self, name: str, part: Any) -> None:
        snapshot = self._journal.energy_snapshot(name)
        if snapshot is None:
            return
        with suppress(ValueError, KeyError):  # of another version of this program: it begins anew
            part.restore(snapshot)

    def _parts(self) -> dict[str, Any]:
        return {"source": self._source, "meter": self._meter, "gate": self._gate}

    @property
    def halted(self) -> bool:
        """Whether what runs must pause."""
        return self._stance.halted

    def look(
        self,
        now: float,
        replicates: Sequence[Replicate],
        began: dict[str, float],
        draining: bool,
        orders: Orders = _NO_ORDERS,
    ) -> Stance:
        """Read the meter and let the gate decide about the worker as it stands.

        Args:
            now: Unix seconds.
            replicates: what the worker has in hand.
            began: Unix seconds at which each task's program began, by task.
            draining: the operator's wish.
            orders: the wishes of the pool's operator.
        """
        with self._lock:
            self._running = tuple(
                RunningTask(
                    r.task_id,
                    max(0.0, self._expected(r.facts) - (now - began.get(r.task_id, now))),
                    r.facts.contribution_deadline,
                    self._stance.halted,
                )
                for r in replicates
                if r.stage in _COMPUTES and r.facts is not None
            )
            self._stakes = tuple(
                OpenStake(r.task_id, 2.0 * r.facts.run_seconds, r.facts.stake_nrlc)
                for r in replicates
                if r.stage in _STAKED and r.facts is not None
            )
            self._reading = self._source.read(now)
            over = self._meter.record(self._reading)
            self._quarters += over
            self._gate.observe(self._reading)
            self._learnt.observe(self._reading)
            decision = self._gate.decide(
                int(now),
                self._reading,
                running=self._running,
                stakes=self._stakes,
                draining=draining or orders.drain,
                pause_until=orders.pause_until,
                wake_at=orders.wake_at,
            )
            if self._stance.words.split(":")[0] != decision.action:
                self._note("decision", action=decision.action.value, reason=decision.reason)
            self._stance = _stance(decision)
            self._samples += [self._sample(quarter, decision) for quarter in over]
            self._source.set_load(self._load(), now)
            return self._stance

    def _sample(self, quarter: EnergyRecord, decision: Decision) -> Sample:
        """A quarter hour as it is told; what the battery and the gate say is that of its end."""
        current = self._reading.at - quarter.end < RECORD_S
        stored, soc = quarter.stored_wh, self._reading.battery_soc if current else None
        if soc is None and stored is not None and self._reading.capacity_wh:
            soc = stored / self._reading.capacity_wh
        return Sample(
            at=quarter.start,
            harvested_wh=quarter.harvested_wh if quarter.harvest_unknown_s < RECORD_S else None,
            consumed_wh=quarter.consumed_wh if quarter.load_unknown_s < RECORD_S else None,
            soc=None if soc is None else min(1.0, max(0.0, soc)),
            temperature_c=self._reading.temperature_c if current else None,
            action=decision.action.value if current else "",
            reason=decision.reason[:300] if current else "",
            tasks=len(self._running) if current else 0,
        )

    def note(self, kind: str, **what: Any) -> None:
        """Say beside the energies that something happens now."""
        with self._lock:
            self._note(kind, **what)

    def _note(self, kind: str, **what: Any) -> None:
        self._notes.append({"at": int(self._reading.at), "kind": kind, **what})

    def _expected(self, facts: Facts) -> float:
        """Seconds that a run may take: twice what the app's last one took, at most what its category allows."""
        last = self._journal.expected_seconds(facts.app)
        return float(facts.run_seconds) if last is None else min(2.0 * last + 10.0, float(facts.run_seconds))

    def _load(self) -> Load:
        if self._stance.asleep:
            return Load.ASLEEP
        return Load.COMPUTING if self._running and not self._stance.halted else self._duty

    def sense(self) -> Sensing:
        """Whether the device may work for itself."""
        with self._lock:
            return self._gate.sense(self._reading)

    @property
    def asleep(self) -> bool:
        """Whether the device would be shut down now."""
        return self._stance.asleep

    def doing(self, duty: Load) -> None:
        """What the device does for itself: `IDLE`, `SENSING` or `COMPUTING`."""
        self._duty = duty

    def rest(self, resume_at: int | None, now: float) -> bool:
        """Switch the board off until `resume_at`; False where that is not set up or not worth it.

        Raises:
            PewError: it is set up and failed.
        """
        if resume_at is None:
            return False
        self.save()
        with self._lock:
            return self._source.sleep(resume_at - now)

    def weigh(self, offer: Offer, now: float) -> Decision:
        """What the gate says of an offered task."""
        with self._lock:
            return self._gate.decide(int(now), self._reading, offer=offer, running=self._running, stakes=self._stakes)

    def energy(self) -> Energy:
        """The meter as the scheduler is told; unknown is None."""
        with self._lock:
            totals, reading, trouble = self._meter.totals, self._reading, self._source.trouble
            known = totals.since is not None
            return Energy(
                harvested_wh=totals.harvested_wh if known else None,
                consumed_wh=totals.consumed_wh if known else None,
                stored_wh=_positive(reading.stored_wh),
                soc=None if reading.battery_soc is None else min(1.0, max(0.0, reading.battery_soc)),
                harvest_w=_positive(reading.harvest_w),
                load_w=_positive(reading.load_w),
                run_seconds=self._gate.longest_run_s(reading, self._running),
                decision=(f"{trouble}; {self._stance.words}" if trouble else self._stance.words)[:300],
            )

    def save(self) -> None:
        """Keep everything in the journal."""
        summary = self.energy().model_dump()
        with self._lock:
            snapshots = {name: part.snapshot() for name, part in [*self._parts().items(), ("learnt", self._learnt)]}
            entries = self._book.extend(self._quarters) if self._book is not None else []
            self._journal.energy_kept({**snapshots, "summary": summary}, entries, self._notes, self._samples)
            if self._book is not None:
                self._book.kept(entries)
            self._quarters, self._notes, self._samples = [], [], []


def _positive(value: float | None) -> float | None:
    return None if value is None else max(0.0, value)


def _stance(decision: Decision) -> Stance:
    until = f"; until {decision.until}" if decision.until else ""
    return Stance(
        willing=decision.action is Action.RUN,
        halted=decision.action in (Action.PAUSE, Action.SLEEP, Action.DRAIN),
        asleep=decision.action is Action.SLEEP,
        words=f"{decision.action}: {decision.reason}{until}",
        resume_at=decision.resume_at,
    )
