"""Simulate a fleet of solar workers, or find how large it must be."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from poco import amounts
from poco.errors import BadInputError, PewError
from simulator import plots, report
from simulator.scenario import CATEGORIES, Scenario, load
from simulator.search import GOOD, Answer, search
from simulator.skies import parse_site
from simulator.world import World, memory_mb


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadInputError(message, hint=f"{self.prog} --help lists the options")


def parser() -> argparse.ArgumentParser:
    """The options; those left out keep what the scenario file says, or its defaults."""
    made = _Parser(prog="pew fleet simulate", description=__doc__)
    made.add_argument("--scenario", type=Path, help="YAML with any of the settings")
    made.add_argument("--workers", type=int)
    made.add_argument("--days", type=float)
    made.add_argument("--seed", type=int)
    made.add_argument("--start", help="instant in the record, like 2001-06-21T00:00")
    made.add_argument("--site", action="append", help="RECORD, LATITUDE,LONGITUDE or LATITUDE,LONGITUDE=RECORD")
    made.add_argument("--board")
    made.add_argument("--panel", type=float, help="Wp")
    made.add_argument("--battery", type=float, help="Wh")
    made.add_argument("--tasks-per-day", type=float)
    made.add_argument("--category", choices=list(CATEGORIES))
    made.add_argument("--run-seconds", type=float)
    made.add_argument("--trust", type=int)
    made.add_argument("--reward", help="RLC for a task")
    made.add_argument("--orders", type=Path, help="CSV of orders in place of random ones")
    made.add_argument("--gas", help="RLC that a worker pays to contribute and reveal")
    made.add_argument("--plan", action="store_true", help="workers plan what their energy is worth")
    made.add_argument("--panels", help="Wp of several panels, like 5,10,20: find the smallest pool for each")
    made.add_argument("--most", type=int, default=500, help="no pool of a search is larger")
    made.add_argument("--plots", type=Path, help="folder for pictures")
    made.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="searches at once")
    made.add_argument("--json", action="store_true")
    return made


def scenario_of(options: argparse.Namespace) -> Scenario:
    """The scenario that the options ask for."""
    kind = {
        "category": options.category,
        "run_seconds": options.run_seconds,
        "trust": options.trust,
        "reward_nrlc": None if options.reward is None else amounts.parse(options.reward),
    }
    kind = {name: value for name, value in kind.items() if value is not None}
    work: dict[str, Any] = {"tasks_per_day": options.tasks_per_day, "file": options.orders}
    if kind:
        work["kinds"] = [kind]
    changes: dict[str, Any] = {
        "workers": options.workers,
        "days": options.days,
        "seed": options.seed,
        "start": options.start,
        "sites": [parse_site(text).model_dump() for text in options.site] if options.site else None,
        "machine": {"board": options.board, "panel_wp": options.panel, "battery_wh": options.battery},
        "work": work,
        "terms": {"gas_nrlc": None if options.gas is None else amounts.parse(options.gas)},
    }
    scenario = load(options.scenario, _given(changes))
    return with_plan(scenario) if options.plan and scenario.gate.market is None else scenario


def with_plan(scenario: Scenario) -> Scenario:
    """With the planner on: what work is worth is told as an operator would who knows the load."""
    kinds = scenario.work.kinds
    whole = sum(kind.share for kind in kinds)
    hourly = sum(kind.share * kind.reward_nrlc * 3600.0 / kind.median_seconds for kind in kinds) / whole
    if hourly <= 0.0:
        raise BadInputError("a plan weighs rewards, and there are none", hint="give a --reward, or leave out --plan")
    offers = max(0.01, scenario.work.tasks_per_day / 24.0 / scenario.workers)
    gate = {**scenario.gate.model_dump(), "market": {"task_nrlc_per_h": hourly, "offers_per_h": offers}}
    return load(None, {**scenario.model_dump(mode="json"), "gate": gate})


def _given(changes: dict[str, Any]) -> dict[str, Any]:
    """Without what was left out."""
    kept = {name: _given(value) if isinstance(value, dict) else value for name, value in changes.items()}
    return {name: value for name, value in kept.items() if value is not None and value != {}}


class _Progress:
    """One line on a terminal, rewritten; nothing elsewhere."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._shown = sys.stderr.isatty()

    def share(self, done: float) -> None:
        """That share of the time is simulated."""
        spent = time.monotonic() - self._began
        left = spent / done - spent if done > 0.0 else 0.0
        self.say(f"simulating: {done:4.0%}, {report.duration(left)} left")

    def say(self, text: str) -> None:
        if self._shown:
            print(f"\r{text:60s}", end="", file=sys.stderr, flush=True)

    def done(self) -> None:
        if self._shown:
            print(f"\r{'':60s}\r", end="", file=sys.stderr, flush=True)


def _simulate(options: argparse.Namespace, scenario: Scenario) -> None:
    began, progress = time.monotonic(), _Progress()
    try:
        world = World(scenario)
        world.run(progress.share)
    finally:
        progress.done()
    result = world.result()
    result["run"] = {"seconds": round(time.monotonic() - began, 2), "rss_mb": round(memory_mb(), 1)}
    files = plots.write(result, options.plots) if options.plots else []
    said = [*report.lines(result), *(f"picture: {file}" for file in files)]
    print(json.dumps({**result, "plots": [str(file) for file in files]}, indent=2) if options.json else "\n".join(said))


def _search(options: argparse.Namespace, scenario: Scenario) -> None:
    try:
        panels = [float(text) for text in options.panels.split(",")]
    except ValueError:
        panels = []
    if not panels or min(panels) <= 0.0 or max(panels) > 10_000.0 or options.most < 1:
        raise BadInputError("--panels is a list of watts, and --most at least 1", hint="--panels 5,10,20 --most 200")
    progress, began = _Progress(), time.monotonic()
    progress.say(f"searching: {len(panels)} panels")

    def told(answer: Answer) -> None:
        progress.done()
        if not options.json:
            print(report.answer_line(answer), flush=True)

    if not options.json:
        print(f"smallest pool that finishes {GOOD:.0%} in time without a brown-out, for each panel", flush=True)
    try:
        answers = search(scenario, panels, options.most, options.jobs, told)
    finally:
        progress.done()
    if options.json:
        run = {"seconds": round(time.monotonic() - began, 2)}
        print(json.dumps({"answers": [answer.as_json() for answer in answers], "good": GOOD, "run": run}, indent=2))


def run(argv: list[str] | None = None) -> int:
    """The program; its exit code."""
    try:
        options = parser().parse_args(argv)
        scenario = scenario_of(options)
        (_search if options.panels else _simulate)(options, scenario)
    except PewError as error:
        print(f"error: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        return error.exit_code
    return 0
