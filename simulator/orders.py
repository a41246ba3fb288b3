"""Who orders what, and when: at random by a seed, or as a file says."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from random import Random

from poco import amounts
from poco.errors import BadInputError
from simulator.scenario import CATEGORIES, Scenario, TaskKind, require_owners

_COLUMNS = ("at_seconds", "category", "trust", "reward_rlc", "run_seconds")
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Order:
    """One task. `at`: seconds from the start; `run_seconds`: what its program computes on a free worker."""

    number: int
    at: float
    kind: TaskKind
    run_seconds: float


def make(scenario: Scenario) -> list[Order]:
    """All orders of the scenario by time, on the workers' clock."""
    horizon = scenario.days * _DAY_S / scenario.speed
    if scenario.work.file is not None:
        return _read(scenario.work.file, scenario, horizon)
    chance = Random(f"{scenario.seed}/orders")  # noqa: S311
    rate = scenario.work.tasks_per_day * scenario.speed / _DAY_S
    kinds, shares = scenario.work.kinds, [kind.share for kind in scenario.work.kinds]
    found: list[Order] = []
    at = chance.expovariate(rate) if rate > 0.0 else math.inf
    while at < horizon:
        kind = chance.choices(kinds, shares)[0]
        seconds = kind.median_seconds * math.exp(chance.gauss(0.0, kind.run_spread))
        found.append(Order(len(found), at, kind, min(seconds, float(kind.limit_seconds))))
        at += chance.expovariate(rate)
    return found


def _read(path: Path, scenario: Scenario, horizon: float) -> list[Order]:
    """A CSV with `at_seconds,category,trust,reward_rlc,run_seconds`, in any order."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            if tuple(rows.fieldnames or ()) != _COLUMNS:
                raise BadInputError(f"{path} has no heading {','.join(_COLUMNS)}", hint="docs/how-to/size-a-fleet.md")
            found = [_order(path, number, row, scenario) for number, row in enumerate(rows, 2)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInputError(f"{path} cannot be read: {error}", hint="give a CSV of orders") from None
    found.sort(key=lambda pair: pair[0])
    return [Order(number, at, kind, seconds) for number, (at, kind, seconds) in enumerate(found) if at < horizon]


def _order(path: Path, line: int, row: dict[str, str], scenario: Scenario) -> tuple[float, TaskKind, float]:
    try:
        at, seconds = float(row["at_seconds"]), float(row["run_seconds"])
        category = row["category"].strip().upper()
        if not (math.isfinite(at) and at >= 0.0 and 0.0 < seconds <= CATEGORIES[category]):
            raise ValueError("a time is negative, or longer than its category allows")
        kind = TaskKind.model_validate(
            {
                "category": category,
                "trust": int(row["trust"]),
                "reward_nrlc": amounts.parse(row["reward_rlc"]),
                "run_seconds": seconds,
            }
        )
    except (KeyError, TypeError, ValueError, BadInputError) as error:
        said = f"unknown category {error}" if isinstance(error, KeyError) else str(error).splitlines()[0]
        raise BadInputError(f"{path}, line {line}: {said}", hint=f"a row is {','.join(_COLUMNS)}") from None
    require_owners(scenario, kind.trust)
    return at, kind, seconds
