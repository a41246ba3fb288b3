"""How many workers a load needs: for each panel the smallest pool that serves it, by bisection on the simulator."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from poco.consensus import workers_needed
from simulator import orders
from simulator.scenario import Scenario, load
from simulator.world import World

#: Of the tasks that ended, so many must have been finished: PoCo's deadlines fail those that are late.
GOOD = 0.99
#: The answer may be this share too high: each step of the bisection is a whole simulation.
PRECISION = 0.02


@dataclass(frozen=True)
class Trial:
    """One simulation of a search. `in_time` is None where no task ended."""

    workers: int
    in_time: float | None
    brown_outs: int
    p99_seconds: float | None = None

    @property
    def good(self) -> bool:
        return self.brown_outs == 0 and (self.in_time is None or self.in_time >= GOOD)


@dataclass(frozen=True)
class Answer:
    """The smallest good number of workers for a panel; None with the reason why there is none."""

    panel_wp: float
    workers: int | None
    why: str
    trials: tuple[Trial, ...]

    def as_json(self) -> dict[str, Any]:
        trials = [{**trial.__dict__, "good": trial.good} for trial in self.trials]
        return {"panel_wp": self.panel_wp, "workers": self.workers, "why": self.why, "trials": trials}


def with_workers(scenario: Scenario, workers: int, panel_wp: float) -> Scenario:
    """The scenario with another number of workers under another panel, its load as it is."""
    machine = scenario.machine.model_copy(update={"panel_wp": panel_wp})
    return scenario.model_copy(update={"workers": workers, "machine": machine})


def attempt(scenario: Scenario) -> Trial:
    """Simulate once."""
    world = World(scenario)
    world.run()
    result = world.result()
    return Trial(scenario.workers, result["tasks"]["in_time"], result["energy"]["brown_outs"], result["latency"]["p99"])


def smallest(
    scenario: Scenario,
    panel_wp: float,
    most: int,
    try_one: Callable[[Scenario], Trial] = attempt,
) -> Answer:
    """The smallest good pool for that panel, of at most so many workers."""
    idle = scenario.work.model_copy(update={"tasks_per_day": 0.0, "file": None})
    few = min(8, most)
    alone = try_one(with_workers(scenario.model_copy(update={"work": idle}), few, panel_wp))
    if alone.brown_outs:
        why = f"this sun and battery do not keep even idle workers up ({alone.brown_outs} brown-outs of {few})"
        return Answer(panel_wp, None, why, (replace(alone, in_time=None),))
    trials: dict[int, Trial] = {}

    def good(workers: int) -> bool:
        trials[workers] = try_one(with_workers(scenario, workers, panel_wp))
        return trials[workers].good

    low, high = least_of(scenario) - 1, least_of(scenario)
    while not good(min(high, most)):
        if high >= most:
            last = trials[most]
            share = "no task ended" if last.in_time is None else f"{last.in_time:.1%} in time"
            why = f"even {most} workers: {share}, {last.brown_outs} brown-outs"
            return Answer(panel_wp, None, why, tuple(trials.values()))
        low, high = high, 2 * high
    high = min(high, most)
    while high - low > max(1, int(PRECISION * high)):
        middle = (low + high) // 2
        low, high = (low, middle) if good(middle) else (middle, high)
    return Answer(panel_wp, high, "", tuple(trials.values()))


def least_of(scenario: Scenario) -> int:
    """Fewer could not compute it even with endless energy, or not agree."""
    made = orders.make(scenario)
    trusts = [workers_needed(order.kind.trust) for order in made] or [1]
    computed = sum(order.run_seconds * needed for order, needed in zip(made, trusts, strict=False))
    seconds = scenario.days * 86_400.0 / scenario.speed * scenario.machine.slots
    return max(1, int(computed / seconds), max(trusts) * scenario.terms.workers_per_owner)


def search(
    scenario: Scenario, panels: Sequence[float], most: int, jobs: int, told: Callable[[Answer], None]
) -> list[Answer]:
    """An answer for each panel, several at once.

    Args:
        told: hears each answer as it is there.
    """
    if jobs <= 1 or len(panels) <= 1:
        found = []
        for panel in panels:
            found.append(smallest(scenario, panel, most))
            told(found[-1])
        return found
    # a pool that is interrupted ends with its parent, without a word
    pool = ProcessPoolExecutor(min(jobs, len(panels)), initializer=signal.signal, initargs=(signal.SIGINT, 0))
    try:
        plain = partial(_smallest_of, scenario.model_dump(mode="json", exclude_none=True), most)
        found = []
        for answer in pool.map(plain, panels):
            found.append(answer)
            told(answer)
        return found
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _smallest_of(scenario: dict[str, Any], most: int, panel_wp: float) -> Answer:
    return smallest(load(None, scenario), panel_wp, most)
