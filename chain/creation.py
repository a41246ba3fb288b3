"""The creation of a contract in the form in which `chain.transactions.Sender` takes calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from web3 import Web3


@dataclass(frozen=True)
class Creation:
    """A transaction to nobody: `code` is the creation code with the constructor's arguments behind it."""

    web3: Web3
    fn_name: str
    code: bytes
    address: str = ""

    def _encode_transaction_data(self) -> str:
        return "0x" + self.code.hex()

    def call(self, tx: dict[str, Any]) -> bytes:
        """The runtime code that the constructor returns; raises as a web3 contract function does."""
        return bytes(self.web3.eth.call({**tx, "data": self.code}))  # type: ignore[typeddict-item]

    def estimate_gas(self, tx: dict[str, Any]) -> int:
        """Units of gas; raises as a web3 contract function does."""
        return int(self.web3.eth.estimate_gas({**tx, "data": self.code}))  # type: ignore[typeddict-item]
