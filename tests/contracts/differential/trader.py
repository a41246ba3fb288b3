"""A random market on both sides: each move is one rule with choices of its own, so that moves can be left out."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.contracts.differential.accounts import Accounts
from tests.contracts.differential.cast import Cast
from tests.contracts.differential.orders import Orders
from tests.contracts.differential.tasks import Tasks
from tests.contracts.differential.twin import Twin


class Trader(Orders, Tasks, Accounts):
    """Chooses the steps; the twin compares."""

    RULES = (
        ("match", 9),
        ("match_again", 2),
        ("manage", 2),
        ("broadcast", 1),
        ("compatible", 1),
        ("initialize", 6),
        ("contribute", 15),
        ("reveal", 10),
        ("finalize", 7),
        ("fast", 4),
        ("reopen", 2),
        ("claim", 2),
        ("claim_unstarted", 1),
        ("wait", 3),
        ("money", 3),
        ("deposit", 1),
        ("policy", 1),
        ("entry", 2),
        ("administer", 1),
    )
    NAMES = tuple(name for name, weight in RULES for _ in range(weight))

    def __init__(self, twin: Twin, cast: Cast, seed: int) -> None:
        super().__init__(twin, cast, Random(f"{seed}/parties"))  # noqa: S311
        self.seed = seed
        self.hub_step("setCallbackGas", cast.admin, 1_000_000)  # enough for what the receivers try on either side
        twin.trace.clear()

    def move(self, number: int) -> None:
        """The move of that number, whatever was done before, and a comparison of the state after it."""
        self.random = Random(f"{self.seed}/{number}")  # noqa: S311
        rule: Callable[[], None] = getattr(self, self.pick(self.NAMES))
        self.twin.trace.append(f"move {number}: {rule.__name__}")
        rule()
        self.compare()
