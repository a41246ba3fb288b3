"""What a transaction will cost, told before it is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chain.transactions import Sender


@dataclass(frozen=True, slots=True)
class Quote:
    """What a transaction is expected to cost: gas, and wei of the chain's own coin; None where the node cannot say."""

    function: str
    gas: int | None
    wei: int | None

    def words(self) -> str:
        if self.gas is None or self.wei is None:
            return "the node cannot say what gas it takes"
        return f"about {self.gas} gas, {self.wei / 10**18:.6f} of the chain's own coin"

    def as_json(self) -> dict[str, Any]:
        return {"function": self.function, "gas": self.gas, "fee_wei": self.wei}


def quote(sender: Sender, call: Any) -> Quote:
    """What a bound contract call will likely cost this sender."""
    gas = sender.estimate(call)
    return Quote(call.fn_name, gas, None if gas is None else gas * sender.expected_price())
