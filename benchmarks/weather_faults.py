"""Faults of weather sensors, put into real records by a seeded generator, and how well marks find them.

What is injected was fixed before the checks were tuned. Per station, variable and year: 14 spikes, 2 stuck sensors, 2
drifts, 3 dropouts, and a step in two of three series (hours in the ratio of the measured table the project set out
from, 163 : 676 : 1149 for spikes, stuck and drift). A value counts as faulty wherever the sensor does not tell what
it measured, also at the beginning of a drift where the error is smaller than the sensor's resolution.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

HOURS_A_YEAR = 8766
VARIABLES = ("temperature_c", "humidity_pct", "pressure_hpa", "wind_ms")
KINDS = ("spike", "stuck", "drift", "step", "dropout")
#: Episodes per series and year.
EPISODES = {"spike": 14.0, "stuck": 2.0, "drift": 2.0, "step": 0.67, "dropout": 3.0}
#: Hours an episode lasts.
DURATIONS = {"spike": (1, 1), "stuck": (6, 48), "drift": (24, 96), "step": (6, 72), "dropout": (1, 12)}
#: Size of the error in the variable's unit, of either sign; of wind, the factor the speed ends with (a worn bearing, a
#: wrong unit), and spikes that only add.
SPIKES = {"temperature_c": (5, 20), "humidity_pct": (20, 50), "pressure_hpa": (4, 20), "wind_ms": (8, 25)}
SHIFTS = {"temperature_c": (3, 8), "humidity_pct": (12, 35), "pressure_hpa": (3, 8)}
WIND_FACTORS = {"drift": ((0.2, 0.5),), "step": ((0.25, 0.5), (1.8, 2.5))}
#: What a sensor whose cable broke reports.
DROPOUT = {"temperature_c": -40.0, "humidity_pct": 0.0, "pressure_hpa": 300.0, "wind_ms": 0.0}

Series = list[float | None]


@dataclass
class Faulty:
    """Series with faults by (station, variable): values, and the kind of each sample's fault (None: it has none)."""

    values: dict[tuple[str, str], Series]
    kinds: dict[tuple[str, str], list[str | None]]


@dataclass
class Score:
    """Counts over samples."""

    found: int = 0
    missed: int = 0
    false: int = 0
    clean: int = 0
    by_kind: dict[str, list[int]] = field(default_factory=dict)
    by_variable: dict[str, list[int]] = field(default_factory=dict)
    by_check: dict[str, list[int]] = field(default_factory=dict)

    def figures(self) -> dict[str, object]:
        """Precision, recall, F1 and the share of clean values that is marked; per kind, variable and check."""
        return {
            **_rates(self.found, self.false, self.missed),
            "faulty": self.found + self.missed,
            "clean": self.clean,
            "clean_flagged": round(self.false / max(self.clean, 1), 5),
            "recall_per_kind": {
                kind: {"recall": round(found / (found + missed), 3), "faulty": found + missed}
                for kind, (found, missed) in self.by_kind.items()
            },
            "per_variable": {name: _rates(*counts) for name, counts in self.by_variable.items()},
            "precision_per_check": {
                name: {"precision": round(right / max(right + wrong, 1), 3), "right": right, "wrong": wrong}
                for name, (right, wrong) in self.by_check.items()
            },
        }


def _rates(found: int, false: int, missed: int) -> dict[str, float]:
    return {
        "precision": round(found / max(found + false, 1), 3),
        "recall": round(found / max(found + missed, 1), 3),
        "f1": round(2 * found / max(2 * found + false + missed, 1), 3),
    }


def inject(clean: dict[tuple[str, str], Series], seed: int, kinds: tuple[str, ...] = KINDS) -> Faulty:
    """Copies of hourly series with faults in them; the same seed gives the same faults."""
    chance = random.Random(seed)
    values = {key: list(series) for key, series in clean.items()}
    truth: dict[tuple[str, str], list[str | None]] = {key: [None] * len(series) for key, series in clean.items()}
    for key in sorted(clean):
        if key[1] not in VARIABLES:
            continue
        used = [value is None for value in clean[key]]
        for kind in kinds:
            expected = EPISODES[kind] * len(clean[key]) / HOURS_A_YEAR
            count = int(expected) + (chance.random() < expected - int(expected))
            for _ in range(count):
                _episode(_Place(values[key], truth[key], used), key[1], kind, chance)
    return Faulty(values, truth)


@dataclass
class _Place:
    """A series, what is true of it, and which samples have a fault or are missing."""

    series: Series
    truth: list[str | None]
    used: list[bool]


def _episode(place: _Place, name: str, kind: str, chance: random.Random) -> None:
    """One fault somewhere it does not meet another."""
    series, used = place.series, place.used
    length = chance.randint(*DURATIONS[kind])
    for _ in range(200):
        first = chance.randrange(2, len(series) - length - 2)
        if not used[first - 1] and not used[first] and sum(used[first - 2 : first + length + 2]) <= length // 4:
            break
    else:
        return
    true = [value if value is not None else 0.0 for value in series[first : first + length]]
    error = _error(true, series[first - 1] or 0.0, name, kind, chance)
    for index in range(first, first + length):
        value = series[index]
        used[index] = True
        if value is not None:
            read = round(_read(error[index - first], name), 3)
            if read != value or kind in {"drift", "step"}:
                series[index], place.truth[index] = read, kind
    used[first - 1] = used[first + length] = True


def _error(true: list[float], before: float, name: str, kind: str, chance: random.Random) -> list[float]:
    """What the faulty sensor reads instead of `true`, after it read `before`."""
    length = len(true)
    sign = chance.choice((-1.0, 1.0))
    if kind == "stuck":
        return [before] * length
    if kind == "dropout":
        return [DROPOUT[name]] * length
    if kind == "spike":
        size = chance.uniform(*SPIKES[name])
        return [value + (size if name == "wind_ms" else sign * size) for value in true]
    grown = [(index + 1) / length if kind == "drift" else 1.0 for index in range(length)]
    if name == "wind_ms":
        factor = chance.uniform(*chance.choice(WIND_FACTORS[kind]))
        return [value * (1.0 + part * (factor - 1.0)) for value, part in zip(true, grown, strict=True)]
    size = sign * chance.uniform(*SHIFTS[name])
    return [value + part * size for value, part in zip(true, grown, strict=True)]


def _read(value: float, name: str) -> float:
    """What the sensor's scale lets through."""
    if name == "humidity_pct":
        return min(100.0, max(0.0, value))
    return max(0.0, value) if name == "wind_ms" else value


def total(scores: list[Score]) -> Score:
    """The counts of several runs together."""
    result = Score()
    for score in scores:
        result.found += score.found
        result.missed += score.missed
        result.false += score.false
        result.clean += score.clean
        for mine, theirs in (
            (result.by_kind, score.by_kind), (result.by_variable, score.by_variable), (result.by_check, score.by_check),
        ):  # fmt: skip
            for name, counts in theirs.items():
                mine[name] = [a + b for a, b in zip(mine.get(name, [0] * len(counts)), counts, strict=True)]
    return result


def score(faulty: Faulty, marks: dict[tuple[str, str], list[int]], names: dict[int, str]) -> Score:
    """Compare marks (bits per sample; `names`: the checks by bit) with the truth; missing samples do not count."""
    result = Score()
    for (station, variable), kinds in faulty.kinds.items():
        if variable not in VARIABLES:
            continue
        row = result.by_variable.setdefault(variable, [0, 0, 0])
        series = zip(faulty.values[station, variable], kinds, marks[station, variable], strict=True)
        for value, kind, mark in series:
            if value is None:
                continue
            if kind is None:
                result.clean += 1
                result.false += mark > 0
                row[1] += mark > 0
            else:
                found = mark > 0
                result.found += found
                result.missed += not found
                row[0] += found
                row[2] += not found
                result.by_kind.setdefault(kind, [0, 0])[not found] += 1
            for bit, name in names.items():
                if mark & bit:
                    result.by_check.setdefault(name, [0, 0])[kind is None] += 1
    return result
