"""What a transaction pays for gas: EIP-1559 where the chain has a base fee, else a single price; never above a cap."""

from __future__ import annotations

from dataclasses import dataclass

from web3.exceptions import Web3RPCError

from chain.client import Chain
from chain.settings import FeeSettings
from poco.errors import PewError

_GWEI = 10**9
#: For nodes that suggest no tip.
_USUAL_TIP = _GWEI


class FeesTooHighError(PewError):
    """The chain asks more for gas than this wallet's cap: nothing was sent."""

    def __init__(self, asked: int, cap: int) -> None:
        super().__init__(
            f"the chain asks {asked / _GWEI:.3g} gwei for gas, the cap is {cap / _GWEI:.3g}",
            hint="wait for a quieter hour, or raise fees.cap_gwei",
            code="FEES_TOO_HIGH",
        )


@dataclass(frozen=True, slots=True)
class FeePolicy:
    """`multiplier` of what the node asks now, as room for what it asks a few blocks later; never above `cap_wei`.

    What is urgent, because a stake is lost without it, may cost up to `emergency_cap_wei`.
    """

    multiplier: float = 1.3
    cap_wei: int = 22_000_000_000
    emergency_cap_wei: int = 200_000_000_000

    @classmethod
    def of(cls, settings: FeeSettings) -> FeePolicy:
        """As a configuration says it, in gwei."""
        return cls(settings.multiplier, int(settings.cap_gwei * _GWEI), int(settings.emergency_cap_gwei * _GWEI))

    def cap(self, *, urgent: bool) -> int:
        """Wei for a unit of gas, at most."""
        return max(self.cap_wei, self.emergency_cap_wei) if urgent else self.cap_wei


@dataclass(frozen=True, slots=True)
class Fee:
    """Wei for a unit of gas: at most `limit`; `tip` of it to the block's proposer, None on a chain without base fee."""

    limit: int
    tip: int | None = None

    @property
    def expected(self) -> int:
        """What is likely paid: base fee and tip; the doubling of the base fee that `limit` leaves room for is rare."""
        return self.limit if self.tip is None else (self.limit + self.tip) // 2

    def fields(self) -> dict[str, int]:
        """As parts of a transaction."""
        if self.tip is None:
            return {"gasPrice": self.limit}
        return {"type": 2, "maxFeePerGas": self.limit, "maxPriorityFeePerGas": self.tip}


def fee(chain: Chain, policy: FeePolicy, *, urgent: bool = False) -> Fee:
    """The fee for a transaction that is sent now.

    With a base fee the limit leaves room for its doubling, which takes six full blocks in a row; what is not used is
    not paid. Without one the price is the node's times the multiplier.

    Raises:
        FeesTooHighError: the chain asks more than the cap.
    """
    eth, cap = chain.web3.eth, policy.cap(urgent=urgent)
    base = chain.ask(lambda: eth.get_block("latest")).get("baseFeePerGas")
    if base is None:
        asked = int(chain.ask(lambda: eth.gas_price))
        if asked > cap:
            raise FeesTooHighError(asked, cap)
        return Fee(min(int(asked * policy.multiplier), cap))
    try:
        tip = int(chain.ask(lambda: eth.max_priority_fee))
    except Web3RPCError:
        tip = _USUAL_TIP
    if base > cap:
        raise FeesTooHighError(int(base), cap)
    limit = min(2 * int(base) + tip, cap)
    return Fee(limit, min(tip, limit))
