"""Markets one after the other until enough steps were compared; a difference ends in the shortest way to see it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any

from ops.console import ROOT
from tests.contracts.differential.cast import Cast
from tests.contracts.differential.shrink import shrink
from tests.contracts.differential.trader import Trader
from tests.contracts.differential.twin import DifferenceError, Twin

STEPS_OF_A_MARKET = 500
OUTPUT = ROOT / "build" / "bench" / "differential.json"


@dataclass
class Found:
    """A difference with the moves that lead to it: the market of that seed, and of its moves only these."""

    seed: int
    moves: list[int]
    what: str
    trace: list[str]

    def __str__(self) -> str:
        moves = ",".join(map(str, self.moves))
        again = f"PEW_DIFFERENTIAL_SEED={self.seed} PEW_DIFFERENTIAL_MOVES={moves}"
        return "\n".join([self.what, *self.trace, f"again: {again} brownie test tests/contracts/differential -s"])


class Campaign:
    """Random markets on one twin, each from the same beginning."""

    def __init__(self, twin: Twin) -> None:
        self.twin = twin
        self.cast = Cast(twin)
        twin.keep()

    def run(self, steps: int, seed: int) -> Found | None:
        """Compare that many steps, with market after market; the first difference, made short."""
        goal = self.twin.steps + steps
        while self.twin.steps < goal:
            found = self.market(seed, count(), min(goal, self.twin.steps + STEPS_OF_A_MARKET))
            if found:
                return self.reduced(found)
            seed += 1
        return None

    def market(self, seed: int, moves: Iterable[int], goal: int | None = None) -> Found | None:
        """The moves of one market, until they are done or the steps reach the goal."""
        self.twin.rewind()
        done: list[int] = []
        try:
            trader = Trader(self.twin, self.cast, seed)
            for move in moves:
                done.append(move)
                trader.move(move)
                if goal is not None and self.twin.steps >= goal:
                    break
        except DifferenceError as difference:
            return Found(seed, done, str(difference), list(self.twin.trace))
        return None

    def reduced(self, found: Found) -> Found:
        """The same difference after as few moves as possible."""
        kind = found.what.partition(":")[0]
        shortest = found

        def fails(moves: list[int]) -> bool:
            nonlocal shortest
            again = self.market(found.seed, moves)
            same = again is not None and again.what.partition(":")[0] == kind
            if again is not None and same:
                shortest = again
            return same

        steps, taken = self.twin.steps, self.twin.taken
        shrink(found.moves, fails)
        self.twin.steps, self.twin.taken = steps, taken
        return shortest


def write(steps: int, taken: int, seed: int, found: Found | None) -> None:
    """Record a campaign for other programs."""
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    record: dict[str, Any] = {"steps": steps, "taken": taken, "seed": seed, "differences": 0 if found is None else 1}
    if found is not None:
        record["found"] = asdict(found)
    OUTPUT.write_text(json.dumps(record, indent=2) + "\n")
