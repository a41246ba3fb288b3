"""How a transaction ends: its receipt, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass, field

from web3.exceptions import ContractCustomError, ContractLogicError, Web3RPCError

from chain import abi
from chain.model import Event
from chain.nonces import Lease
from poco.errors import PewError


class RevertedError(PewError):
    """The contracts refused; `name` and `arguments` are those of the custom error (empty when unknown)."""

    def __init__(self, function: str, data: bytes, tx_hash: str | None = None) -> None:
        self.name, self.arguments = abi.revert(data)
        self.function = function
        self.tx_hash = tx_hash
        said = f"{self.name}({', '.join(f'{k}={v}' for k, v in self.arguments.items())})" if self.name else "no reason"
        super().__init__(f"the contracts refused {function}: {said}", hint=_HINTS.get(self.name, ""), code="REVERTED")


class PendingError(PewError):
    """A transaction was sent and is not mined yet: neither done nor failed."""

    def __init__(self, tx_hash: str, seconds: float) -> None:
        self.tx_hash = tx_hash
        super().__init__(
            f"transaction {tx_hash} is not mined after {seconds:.0f} s",
            hint="it may still be: look again",
            code="PENDING",
        )


class TakenError(PewError):
    """The nonce of a step went to a transaction that this process did not sign: nothing of the step is on chain."""

    def __init__(self, lease: Lease) -> None:
        super().__init__(
            f"nonce {lease.nonce}, meant for {lease.step}, was used by another transaction",
            hint="let one process alone send with this wallet",
            code="NONCE_TAKEN",
        )


_HINTS: dict[str, str] = {
    "InsufficientStake": "deposit more RLC: pew account deposit <amount>",
}


@dataclass(frozen=True, slots=True)
class Receipt:
    """A mined transaction. `cost_wei` is what the sender paid; `events` are the hub's."""

    tx_hash: str
    block: int
    gas_used: int
    cost_wei: int
    events: list[Event] = field(default_factory=list)

    def event(self, name: str) -> Event:
        """The first event of that name; PewError where there is none."""
        for event in self.events:
            if event.name == name:
                return event
        raise PewError(f"transaction {self.tx_hash} has no event {name}", hint="check the contracts' version")


def revert_data(error: Exception) -> bytes:
    """The revert data that a node put somewhere into its error, or nothing."""
    if isinstance(error, ContractCustomError | ContractLogicError) and isinstance(error.data, str):
        return _hex(error.data)
    response = getattr(error, "rpc_response", None)
    data = response.get("error", {}).get("data") if isinstance(response, dict) else getattr(error, "data", None)
    while isinstance(data, dict):
        data = data.get("result") or data.get("data")
    return _hex(data) if isinstance(data, str) else b""


def _hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        return b""


def node_said(error: Web3RPCError) -> str:
    response = error.rpc_response
    return str(response["error"].get("message", error)) if response and "error" in response else str(error)
