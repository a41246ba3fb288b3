"""How a battery ages: cycles counted by rainflow, and time.

Rainflow: ASTM E1049-85, 5.4.4. A cycle of depth d uses 1 / N(d) of the life, N(d) = N80 (0.8 / d)^k (Woehler's line
through the data sheet's figure at a depth of 80 %); shares add up (Palmgren, Miner). Standing uses `calendar_per_year`
of the capacity at 25 degrees C, twice as much for each 10 degrees more. At the end of its life a battery has 80 %
left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

_SNAPSHOT_VERSION = 1
_END_OF_LIFE_LOSS = 0.2
_YEAR_S = 365.25 * 86_400
#: Movements of the charge that are noise of the meter rather than cycles.
_DEADBAND = 0.01


@dataclass(frozen=True)
class Ageing:
    """What the data sheet says; the defaults are a common LiFePO4 cell's."""

    cycles_at_80: float = 3000.0
    exponent: float = 1.2
    calendar_per_year: float = 0.015

    def damage(self, depth: float) -> float:
        """Share of the life that one full cycle of this depth (0 to 1) uses."""
        return math.pow(depth / 0.8, self.exponent) / self.cycles_at_80


class Rainflow:
    """Counts cycles while they happen. Half cycles that may still grow stay open."""

    def __init__(self, deadband: float = 0.0) -> None:
        self._deadband = deadband
        self._turns: list[float] = []
        self._tip: float | None = None

    def add(self, value: float) -> list[tuple[float, float]]:
        """Take the next value; the cycles that are now closed, as (range, count), count 0.5 or 1."""
        if self._tip is None:
            self._tip = value
            self._turns = [value]
            return []
        rising = self._tip > self._turns[-1]
        if self._tip == self._turns[-1] or (value >= self._tip if rising else value <= self._tip):
            # the way goes on, or has not yet left the deadband
            if abs(value - self._turns[-1]) > self._deadband:
                self._tip = value
            return []
        if abs(value - self._tip) <= self._deadband:
            return []
        self._turns.append(self._tip)
        self._tip = value
        return _close(self._turns)

    def rest(self) -> list[tuple[float, float]]:
        """What would be counted on top if the history ended here."""
        turns = [*self._turns, *([] if self._tip is None else [self._tip])]
        return _close(turns) + [(abs(b - a), 0.5) for a, b in pairwise(turns) if a != b]

    def snapshot(self) -> dict[str, Any]:
        """What `restore` needs: JSON types only."""
        return {"turns": self._turns, "tip": self._tip}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on from a snapshot."""
        self._turns, self._tip = [float(turn) for turn in snapshot["turns"]], snapshot["tip"]


def _close(turns: list[float]) -> list[tuple[float, float]]:
    """Take the closed cycles out of the turning points."""
    closed = []
    while len(turns) >= 3:
        last, before = abs(turns[-1] - turns[-2]), abs(turns[-2] - turns[-3])
        if last < before:
            break
        if len(turns) == 3:  # the range that holds the start counts half
            closed.append((before, 0.5))
            del turns[0]
        else:
            closed.append((before, 1.0))
            del turns[-3:-1]
    return closed


class Wear:
    """The age of one battery, from its state of charge as it is read."""

    def __init__(self, ageing: Ageing) -> None:
        self._ageing = ageing
        self._rainflow = Rainflow(_DEADBAND)
        self._cycles = 0.0
        self._calendar_loss = 0.0
        self._at: float | None = None

    def observe(self, at: float, soc: float | None, temperature_c: float | None = None) -> None:
        """Take one look; an unknown charge ages by time alone, an unknown temperature counts as 25 degrees C."""
        if self._at is not None and at > self._at:
            warmth = 2.0 ** (((25.0 if temperature_c is None else temperature_c) - 25.0) / 10.0)
            self._calendar_loss += self._ageing.calendar_per_year * warmth * (at - self._at) / _YEAR_S
        self._at = at
        if soc is not None:
            self._cycles += sum(count * self._ageing.damage(depth) for depth, count in self._rainflow.add(soc))

    @property
    def health(self) -> float:
        """Share of the rated capacity that should be left, 0 to 1."""
        cycles = self._cycles + sum(count * self._ageing.damage(depth) for depth, count in self._rainflow.rest())
        return max(0.0, 1.0 - _END_OF_LIFE_LOSS * cycles - self._calendar_loss)

    def snapshot(self) -> dict[str, Any]:
        """What `restore` needs: JSON types only."""
        return {
            "version": _SNAPSHOT_VERSION,
            "rainflow": self._rainflow.snapshot(),
            "cycles": self._cycles,
            "calendar_loss": self._calendar_loss,
            "at": self._at,
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on from a snapshot; the time since counts."""
        if snapshot.get("version") != _SNAPSHOT_VERSION:
            raise ValueError(f"snapshot of another version: {snapshot.get('version')}")
        self._rainflow.restore(snapshot["rainflow"])
        self._cycles, self._calendar_loss = snapshot["cycles"], snapshot["calendar_loss"]
        self._at = snapshot["at"]
