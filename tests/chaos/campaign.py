"""Rounds of faults: a fresh network each, faults while it works, then rest, then the audit."""

from __future__ import annotations

import json
import os
import random
import shutil
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ops.stack import Stack
from tests.chaos import states
from tests.chaos.audit import Auditor, Findings, processes_below
from tests.chaos.daemons import Daemon, release
from tests.chaos.faults import FAULTS, Fault
from tests.chaos.requester import HOPELESS, MISSING, LazyWorker, Requester, wait_until
from tests.chaos.world import World

#: Instants that come seldom: they are lain in wait for all the time.
SELDOM = ("claim", "reopen", "FAILED", "DECLINED", "ABORTED", "LOST", "ERROR", "deposit")
#: Nothing is killed at these while the node is: there is nobody who could wait.
ONLY_SELF = "writing-"
LONG_ROUND = 40
STATE_PAUSE = (0.5, 2.0)
FAULT_PAUSE = (0.3, 1.5)
#: Instants that were not met at all are lain in wait for alone so long.
FRESH_SECONDS = 4.0
#: Faults that kill nobody who is not at work wait so long for those who are not.
PATIENCE = 3.0
CHECK_SECONDS = 3.0
TIDY_SECONDS = 40
SAY_SECONDS = 30.0
#: A run with so many faults must have met every instant; where it has not, so many short rounds more are for those.
LONG = 900
MORE_ROUNDS, MORE_FAULTS = 3, 60
Target = tuple[str, str]


@dataclass
class Totals:
    """What a campaign has done so far."""

    seed: int
    wanted: set[Target]
    faults: list[dict[str, Any]] = field(default_factory=list)
    by_state: Counter[str] = field(default_factory=Counter)
    by_kind: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    findings: Findings = field(default_factory=Findings)
    errors: Counter[str] = field(default_factory=Counter)
    exits: Counter[str] = field(default_factory=Counter)
    left_out: set[str] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)
    deaths: int = 0

    @property
    def unmet(self) -> list[str]:
        """Instants at which nothing was killed yet."""
        return sorted(name for name in {*states.SCHEDULER, *states.WORKER} if not self.by_state[name])

    def as_dict(self, seconds: float) -> dict[str, Any]:
        names = {*states.SCHEDULER, *states.WORKER}
        return {
            "faults": len(self.faults), "by_state": {name: self.by_state[name] for name in sorted(names)},
            "by_kind": dict(sorted(self.by_kind.items())), **self.findings.counts(), "seed": self.seed,
            "tasks": dict(self.ended), "restarts": self.deaths, "exits": dict(self.exits), "seconds": round(seconds),
            "left_out": sorted(self.left_out), "broken": self.broken,
            "found": {name: lines for name, lines in asdict(self.findings).items() if lines},
            "unexpected": dict(self.errors.most_common(40)), "unmet": self.unmet,
            "unmet_pairs": sorted(f"{name} ({who})" for name, who in self.wanted),
        }  # fmt: skip


def all_targets() -> set[Target]:
    """Every instant with everything that is killed there."""
    names = (*states.SCHEDULER, *states.WORKER)
    return {(name, who) for name in names for who in ("self", "node") if who == "self" or ONLY_SELF not in name}


@dataclass
class Round:
    """The faults on one network that was built."""

    world: World
    totals: Totals
    count: int
    say: Callable[[str], None]

    def __post_init__(self) -> None:
        self.requester = Requester(self.world, target=4 * self.world.workers)
        self.lazy = LazyWorker(self.world)
        self.auditor = Auditor(self.world)
        self.done = 0
        #: whether there is time for what is seldom
        self.long = self.count >= LONG_ROUND
        self._over = threading.Event()
        self._guard = threading.Lock()
        self._began = time.monotonic()

    def run(self) -> bool:
        """Whether nothing was wrong."""
        world = self.world
        if self.long:
            for daemon in world.daemons.values():
                daemon.arm(self._seldom(daemon.role))
        world.launch()
        self._began = time.monotonic()
        self.requester.start()
        if self.long:
            self.lazy.start()
            self.requester.ask(HOPELESS)
            self.requester.ask(MISSING)
        bodies = (self._kill_at_states, self._do_faults, self._look)
        threads = [threading.Thread(target=self._safely, args=(body,), daemon=True) for body in bodies]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:  # interrupted: nothing more is done to what is being ended
            self._over.set()
        return self._settle()

    def _safely(self, body: Callable[[], None]) -> None:
        try:
            body()
        except Exception:
            self.totals.broken.append(traceback.format_exc(limit=-4))
            self.say(self.totals.broken[-1])
            self._over.set()

    def _count(self, fault: Fault, state: str = "") -> None:
        with self._guard:
            self.done += 1
            entry = {"at": round(time.monotonic() - self._began, 2), **asdict(fault), "state": state}
            self.totals.faults.append(entry)
            self.totals.by_kind[fault.kind] += 1
            if state:
                self.totals.by_state[state] += 1
            with (self.world.folder / "faults.jsonl").open("a") as log:
                log.write(json.dumps({"unix": round(time.time(), 2), **entry}) + "\n")
            if self.done >= self.count:
                self._over.set()

    # kills at instants

    def _seldom(self, role: str) -> dict[str, str]:
        return {name: who for name, who in self._wanted(role) if any(word in name for word in SELDOM)}

    def _wanted(self, role: str) -> list[Target]:
        """Not met yet, in chance's order: of one name only one target at a time."""
        names = states.WORKER if role == "worker" else states.SCHEDULER
        missing = sorted(one for one in self.totals.wanted if one[0] in names)
        self.world.random.shuffle(missing)
        # of a name the last one counts: first itself, the node once that was met
        return sorted(missing, key=lambda one: one[1] == "self" and not self.totals.by_state[one[0]])

    def _arm(self, waited: float | None) -> None:
        """Lie in wait: for what is seldom alone (None), for names not met yet, and after a while for everything."""
        for daemon in self.world.daemons.values():
            points = self._seldom(daemon.role) if self.long else {}
            if waited is not None and daemon.settled:
                wanted = self._wanted(daemon.role)
                fresh = [one for one in wanted if one[0] not in points and not self.totals.by_state[one[0]]]
                points |= dict((fresh if waited < FRESH_SECONDS else []) or wanted or self._some(daemon.role))
            daemon.arm(points)

    def _some(self, role: str) -> list[Target]:
        names = states.WORKER if role == "worker" else states.SCHEDULER
        picked = self.world.random.sample(names, 4)
        return [
            (name, "self" if ONLY_SELF in name else self.world.random.choice(("self", "self", "node")))
            for name in picked
        ]

    def _kill_at_states(self) -> None:
        resume = 0.0
        armed: float | None = None
        rearm = 0.0
        while not self._over.wait(0.01):
            for daemon in self.world.daemons.values():
                hit = daemon.hit()
                if hit is None:
                    continue
                name, who = hit
                if who == "node":
                    if not self.world.node_rested:
                        daemon.go_on()
                        continue
                    at_it = self._kill_node_at(daemon)
                    if not at_it:  # the node was being hit by another: it died later than that
                        self._count(Fault("kill-node", "chain", "an instant was missed"))
                        continue
                self.totals.wanted.discard((name, who))
                self._count(Fault(f"kill-{'node' if who == 'node' else daemon.role}-at-state", daemon.name), name)
                resume, armed = time.monotonic() + self.world.random.uniform(*STATE_PAUSE), None
                self._arm(None)
            now = time.monotonic()
            if now >= resume and (armed is None or now >= rearm) and self._at_work():
                armed = now if armed is None else armed
                self._arm(now - armed)
                rearm = now + 2

    def _kill_node_at(self, daemon: Daemon) -> bool:
        """Whether the daemon still stood at its instant when the node was dead."""
        stood: list[bool] = []

        def meanwhile() -> None:
            stood.append(daemon.waits)
            daemon.go_on()

        self.world.restart_node(away=self.world.random.uniform(0.2, 1.0), meanwhile=meanwhile)
        return stood[0]

    def _at_work(self) -> bool:
        """Whether the faults have something to hit: no more of them before what they hit last has come back."""
        daemons = self.world.daemons.values()
        return all(d.settled for d in daemons if d.role == "scheduler") and any(
            d.settled for d in daemons if d.role == "worker"
        )

    # other faults

    def _do_faults(self) -> None:
        chance = random.Random(self.world.random.random())
        first = sorted(FAULTS)
        chance.shuffle(first)
        weights = {name: weight for name, (_, weight) in FAULTS.items()}
        self._over.wait(4)
        while not self._over.wait(chance.uniform(*FAULT_PAUSE)):
            wait_until(lambda: self._over.is_set() or self._at_work(), PATIENCE, 0.1)
            if self._over.is_set():
                break
            name = first.pop() if first else chance.choices(list(weights), list(weights.values()))[0]
            fault = FAULTS[name][0](self.world)
            if fault is not None:
                self._count(fault)
        for name in ("fill-disk",):
            if not all(daemon.mounted for daemon in self.world.daemons.values()):
                self.totals.left_out.add(f"{name}: this user may not mount")

    # what must hold

    def _look(self) -> None:
        told = time.monotonic()
        while not self._over.wait(CHECK_SECONDS):
            if time.monotonic() - told >= SAY_SECONDS:
                told = time.monotonic()
                left = f"{len(self.totals.unmet)} instants and {len(self.totals.wanted)} pairs not met yet"
                self.say(f"{self.done} of {self.count} faults, {self.requester.ordered} tasks ordered; {left}")
            with suppress(Exception):  # while the node is away there is nothing to see
                found = self.auditor.during()
                if found.any():
                    self.say(f"found: {found}")
                    self.totals.findings.add(found)
                    self._over.set()

    def _settle(self) -> bool:
        """Let it come to rest, end it, and judge."""
        world = self.world
        self.say(f"{self.done} faults done, {self.requester.ordered} tasks ordered; now it may rest")
        world.heal()
        self.requester.stop()
        self.lazy.stop()
        rested = time.time()
        while True:
            try:
                until = self.auditor.open_until(rested)
            except Exception as error:  # the node has just come back
                if time.time() > rested + TIDY_SECONDS:
                    self.totals.broken.append(f"the chain does not answer: {error!r}")
                    break
            else:
                if until is None or time.time() > until:
                    break
            time.sleep(1)
        tidy = wait_until(lambda: not world.containers(), TIDY_SECONDS)
        found = self.auditor.at_the_end(world.stop())
        if not tidy and not found.orphans:
            found.orphans.append(f"containers were there {TIDY_SECONDS} s after the last task")
        known = {process.pid for process in world.stack.processes.values()} | {os.getpid()}
        found.orphans += processes_below(world.folder, known)
        self.totals.findings.add(found)
        self.totals.ended += self.auditor.ended
        if not self.auditor.ended["COMPLETED"]:
            self.totals.broken.append("no task was completed: that nothing is wrong says nothing")
        self.totals.errors.update(world.errors())
        self.totals.exits += world.exits
        self.totals.deaths += sum(daemon.deaths for daemon in world.daemons.values())
        return not found.any() and not self.totals.findings.any() and not self.totals.broken


@dataclass(frozen=True)
class Plan:
    """What a campaign is to be.

    Attributes:
        seed: fixes the order of faults and of orders; when each strikes depends on the machine too.
        per_round: faults on one network.
        chains: kinds of node, one round after the other.
        ports: first of 40 free ports.
        seconds: reference time of the tasks' category.
        keep: keep the folders of rounds that went well too.
    """

    seed: int
    faults: int
    per_round: int
    chains: tuple[str, ...]
    workers: int
    ports: int
    seconds: int
    folder: Path
    keep: bool


def run(
    plan: Plan, say: Callable[[str], None], save: Callable[[dict[str, Any]], None]
) -> tuple[dict[str, Any], Path | None]:
    """The whole campaign; the report, and the folder of the round that failed.

    Args:
        save: told the report after each round, and when it is interrupted.
    """
    began = time.monotonic()
    totals = Totals(plan.seed, all_targets())
    try:
        failed = _rounds(plan, totals, say, lambda: save(totals.as_dict(time.monotonic() - began)))
    finally:
        save(totals.as_dict(time.monotonic() - began))
    return totals.as_dict(time.monotonic() - began), failed


def _rounds(plan: Plan, totals: Totals, say: Callable[[str], None], save: Callable[[], None]) -> Path | None:
    """One round after the other; the folder of the one that failed."""
    number = more = 0
    failed: Path | None = None
    while failed is None:
        count = min(plan.per_round, plan.faults - len(totals.faults))
        if count <= 0:
            if plan.faults < LONG or not totals.unmet or more == MORE_ROUNDS:
                break
            more, count = more + 1, MORE_FAULTS
            say(f"not met yet: {', '.join(totals.unmet)}")
        number += 1
        kind = plan.chains[(number - 1) % len(plan.chains)]
        where = plan.folder / f"round-{number}"
        release(where)
        shutil.rmtree(where, ignore_errors=True)
        say(f"round {number}: {count} faults, {kind}, {plan.workers} workers, seed {plan.seed}")
        chance = random.Random(f"{plan.seed} {number}")
        with Stack(where, say=say) as stack:
            world = World(stack, plan.ports, kind, plan.workers, chance, plan.folder / "deployed", plan.seconds)
            try:
                world.build()
                failed = None if Round(world, totals, count, say).run() else where
            except Exception:
                failed = where
                totals.broken.append(traceback.format_exc(limit=-6))
            finally:
                with suppress(Exception):
                    world.clear()
        say(f"round {number}: {dict(totals.ended)} tasks so far, {totals.findings.counts()}, {totals.deaths} restarts")
        if failed is None and not plan.keep:
            shutil.rmtree(where, ignore_errors=True)
        save()
    return failed
