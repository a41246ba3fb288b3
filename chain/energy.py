"""What the chain holds of the workers' energy ledgers."""

from __future__ import annotations

from functools import partial
from typing import Any

from web3 import Web3

from chain import abi
from chain.client import Chain, decode_log
from poco.energy import Claim
from poco.errors import BadInputError

#: As many blocks as a node is asked for at once.
_SPAN = 10_000


class EnergyLedger:
    """The `EnergyLedger` of a chain; BadInputError where it has none."""

    def __init__(self, chain: Chain) -> None:
        where = chain.deployment.energy_ledger
        if where is None:
            raise BadInputError(
                f"network {chain.deployment.network} has no energy ledger",
                hint="deploy anew (brownie run deploy), or leave the chain out: --offline",
                code="NO_ENERGY_LEDGER",
            )
        self.address = where
        self._chain = chain
        self._contract = chain.contract("energy_ledger", where)

    def claims(self, worker: str) -> dict[int, Claim]:
        """What a worker has anchored, by day (read from the events)."""
        topics = [
            next(topic for topic, entry in abi.topics().items() if entry["name"] == "Anchored"),
            "0x" + worker.lower()[2:].zfill(64),
        ]
        found: dict[int, Claim] = {}
        first, last = self._chain.deployment.block, self._chain.block_number()
        while first <= last:
            query: Any = {
                "address": Web3.to_checksum_address(self.address),
                "fromBlock": first,
                "toBlock": min(first + _SPAN - 1, last),
                "topics": topics,
            }
            for log in self._chain.ask(partial(self._chain.web3.eth.get_logs, query)):
                said: dict[str, Any] = decode_log(log).args
                claim = Claim(**{name: value for name, value in said.items() if name != "worker"})
                found[claim.day] = claim
            first += _SPAN
        return found

    def window_of(self, workerpool: str) -> int:
        """Over how many days a pool's workers must be net positive to take green tasks."""
        return int(self._chain.ask(self._contract.functions.windowOf(workerpool).call))

    def is_green(self, worker: str, workerpool: str) -> bool:
        """Whether the hub would let that worker contribute to a green task of that pool."""
        return bool(self._chain.ask(self._contract.functions.isGreen(worker, workerpool).call))

    def declare_window(self, workerpool: str, days: int) -> Any:
        """The call with which a pool's owner declares that window."""
        return self._contract.functions.declareWindow(workerpool, days)
