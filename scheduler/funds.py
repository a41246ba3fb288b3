"""What workers have to show, stake and energy: looked at before each lease, and for the pool's standing orders."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass

from chain.client import Chain
from chain.energy import EnergyLedger
from poco.consensus import stake, weight
from poco.errors import BadInputError, PewError

#: Per cent of the pool's price that the contracts lock of the scheduler at each deal.
SCHEDULER_STAKE_RATIO = 30
#: What contribute and reveal take at most; measured 0.45 million on our contracts.
CONTRIBUTE_AND_REVEAL_GAS = 650_000
GAS_PRICE_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Standing:
    """A worker's free stake (nRLC), its weight in the consensus, and the wei that it lacks to contribute and reveal."""

    stake: int
    weight: int
    gas_lacking: int = 0


class Funds:
    """Reads escrow and energy ledger, remembering each worker's account for `seconds`.

    Args:
        workerpool: whose window of days counts for green tasks.
    """

    def __init__(self, chain: Chain, workerpool: str, seconds: float = 5) -> None:
        self.chain = chain
        self.workerpool = workerpool
        self.seconds = seconds
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, Standing]] = {}
        self._green: dict[str, tuple[float, bool]] = {}
        self._price = (-math.inf, 0)

    def standing(self, wallet: str) -> Standing | None:
        """None where the chain does not answer."""
        with self._lock:
            found = self._known.get(wallet)
        if found and time.monotonic() - found[0] < self.seconds:
            return found[1]
        try:
            lacking = max(CONTRIBUTE_AND_REVEAL_GAS * self._gas_price() - self.chain.native_balance(wallet), 0)
            standing = Standing(self.chain.account(wallet).stake, weight(self.chain.score(wallet)), lacking)
        except PewError:
            return None
        with self._lock:
            self._known[wallet] = (time.monotonic(), standing)
        return standing

    def known_weight(self, wallet: str) -> int:
        """The weight that was seen last, without asking the chain; a new worker's where none was."""
        with self._lock:
            found = self._known.get(wallet)
        return found[1].weight if found else weight(0)

    def _gas_price(self) -> int:
        if time.monotonic() - self._price[0] > GAS_PRICE_SECONDS:
            self._price = (time.monotonic(), int(self.chain.ask(lambda: self.chain.web3.eth.gas_price)))
        return self._price[1]

    def is_green(self, wallet: str) -> bool | None:
        """Whether the hub would take that worker's contribution to a green task; None where the chain does not answer.

        Where the chain has no energy ledger nobody is.
        """
        if self.chain.deployment.energy_ledger is None:
            return False
        with self._lock:
            found = self._green.get(wallet)
        if found and time.monotonic() - found[0] < self.seconds:
            return found[1]
        try:
            green = EnergyLedger(self.chain).is_green(wallet, self.workerpool)
        except PewError:
            return None
        with self._lock:
            self._green[wallet] = (time.monotonic(), green)
        return green

    def forget(self, wallet: str) -> None:
        """Its account has changed: it is read again when it is needed."""
        with self._lock:
            found = self._known.get(wallet)
            if found is not None:
                self._known[wallet] = (-math.inf, found[1])


def scheduler_stake(price: int) -> int:
    """What the contracts lock of the scheduler for one task at that price, nRLC."""
    return stake(price, SCHEDULER_STAKE_RATIO)


def check_gas(chain: Chain, owner: str) -> None:
    """BadInputError where the pool's owner could not send a single transaction."""
    if chain.native_balance(owner) == 0 and int(chain.ask(lambda: chain.web3.eth.gas_price)) > 0:
        raise BadInputError(
            f"the scheduler's wallet {owner} has no native currency to pay for transactions",
            hint="send it some, then start again",
            code="NO_GAS",
        )


def check_deposit(chain: Chain, owner: str, needed: int, purpose: str) -> None:
    """BadInputError with the missing sum where the escrow account of `owner` does not cover `needed` nRLC."""
    free = chain.account(owner).stake
    if free < needed:
        raise BadInputError(
            f"{owner} has {free} nRLC free in escrow, {purpose} needs {needed}",
            hint=f"deposit {needed - free} nRLC more (pew account deposit)",
            code="DEPOSIT_TOO_LOW",
        )
