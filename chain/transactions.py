"""Transactions of one wallet: nonces, fees, sending, receipts, and reverts in words."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import rlp  # type: ignore[import-untyped]
from web3.exceptions import ContractCustomError, ContractLogicError, TransactionNotFound, Web3RPCError

from chain import abi
from chain.client import Chain, decode_log
from chain.fees import FeePolicy, fee
from chain.model import Event
from chain.wallet import Wallet
from poco.errors import PewError
from poco.hexes import to_bytes, to_hex

#: Gas limits of the protocol's steps (those of the real system, with room); others are estimated.
GAS_LIMITS = {
    "initialize": 300_000,
    "contribute": 500_000,
    "reveal": 150_000,
    "contributeAndFinalize": 900_000,
    "finalize": 900_000,
    "claim": 500_000,
    "reopen": 500_000,
}


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


_HINTS: dict[str, str] = {
    "InsufficientStake": "deposit more RLC: pew account deposit <amount>",
}


@dataclass(frozen=True, slots=True)
class Prepared:
    """A signed transaction that can be sent, and sent again, without doing its work twice."""

    tx_hash: str
    raw: bytes

    @property
    def nonce(self) -> int:
        """A plain list of fields (EIP-155) begins with it; a typed transaction (EIP-2718, 1559) with type and chain."""
        typed = self.raw[0] < 0x80
        return int.from_bytes(rlp.decode(self.raw[1:])[1] if typed else rlp.decode(self.raw)[0], "big")


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


class Sender:
    """Sends for one wallet; one `Sender` per wallet and process (it hands out the nonces)."""

    def __init__(self, chain: Chain, wallet: Wallet, fees: FeePolicy | None = None) -> None:
        self.chain = chain
        self.wallet = wallet
        self.fees = fees or FeePolicy()
        self._lock = threading.Lock()

    def gas_price(self) -> int:
        """Wei that a unit of gas may cost now, at most.

        Raises:
            chain.fees.FeesTooHighError: more than the cap.
        """
        return fee(self.chain, self.fees).limit

    def transact(
        self,
        call: Any,
        *,
        preview: bool = True,
        on_prepared: Callable[[Prepared], None] | None = None,
        timeout: float = 120,
    ) -> Receipt:
        """Check a contract call, sign, send and wait for its receipt.

        Args:
            call: a bound web3 contract function.
            preview: ask the node first whether it would succeed; False for what depends on the next block's time.
            on_prepared: called with the signed transaction before it is sent (to journal it).
            timeout: seconds to wait for the receipt.

        Raises:
            RevertedError: refused, before sending or on chain.
            chain.fees.FeesTooHighError: gas costs more than the cap; nothing was sent.
            PendingError: sent, not mined in time.
        """
        if preview:
            self.preview(call)
        with self._lock:
            prepared = self._prepare(call)
            if on_prepared is not None:
                on_prepared(prepared)
            self.broadcast(prepared)
        return self.wait(prepared.tx_hash, timeout, call)

    def preview(self, call: Any) -> Any:
        """Run the call without sending it; RevertedError when the contracts would refuse."""
        try:
            return self.chain.ask(lambda: call.call({"from": self.wallet.address}))
        except (ContractLogicError, Web3RPCError) as error:
            raise RevertedError(call.fn_name, revert_data(error)) from None

    def broadcast(self, prepared: Prepared) -> None:
        """Send, or send again: a node that has it already is no error."""
        try:
            self.chain.ask(lambda: self.chain.web3.eth.send_raw_transaction(prepared.raw))
        except Web3RPCError as error:
            if self.known(prepared.tx_hash):
                return
            raise PewError(
                f"the node refused transaction {prepared.tx_hash}: {_said(error)}",
                hint="check the wallet's native balance for gas",
                code="NOT_SENT",
            ) from None

    def known(self, tx_hash: str) -> bool:
        """Whether the node has the transaction, mined or not."""
        try:
            self.chain.ask(lambda: self.chain.web3.eth.get_transaction(to_bytes(tx_hash)))  # type: ignore[arg-type]
        except TransactionNotFound:
            return False
        return True

    def receipt(self, tx_hash: str, call: Any = None) -> Receipt | None:
        """The receipt where it is mined, None where not (yet); RevertedError where it failed on chain."""
        try:
            raw = self.chain.ask(lambda: self.chain.web3.eth.get_transaction_receipt(to_bytes(tx_hash)))  # type: ignore[arg-type]
        except TransactionNotFound:
            return None
        if raw is None:
            return None
        if not raw["status"]:
            raise RevertedError(call.fn_name if call is not None else "the transaction", self._why(call), tx_hash)
        events = [
            decode_log(log)
            for log in raw["logs"]
            if log["address"] == self.chain.deployment.hub and to_hex(log["topics"][0]) in abi.topics()
        ]
        price = int(raw.get("effectiveGasPrice") or self.fees.cap_wei)
        return Receipt(tx_hash, int(raw["blockNumber"]), int(raw["gasUsed"]), int(raw["gasUsed"]) * price, events)

    def wait(self, tx_hash: str, timeout: float, call: Any = None) -> Receipt:
        """Poll for the receipt; PendingError when time is up."""
        end = time.monotonic() + timeout
        pause = 0.05
        while True:
            receipt = self.receipt(tx_hash, call)
            if receipt is not None:
                return receipt
            if time.monotonic() > end:
                raise PendingError(tx_hash, timeout)
            time.sleep(pause)
            pause = min(pause * 1.5, 2)

    def _prepare(self, call: Any) -> Prepared:
        eth = self.chain.web3.eth
        gas = GAS_LIMITS.get(call.fn_name)
        if gas is None:
            try:
                estimate = self.chain.ask(lambda: call.estimate_gas({"from": self.wallet.address}))
            except (ContractLogicError, Web3RPCError) as error:
                raise RevertedError(call.fn_name, revert_data(error)) from None
            gas = int(estimate * 1.2) + 20_000
        transaction = {
            "to": call.address,
            "data": call._encode_transaction_data(),
            "value": 0,
            "gas": gas,
            **fee(self.chain, self.fees).fields(),
            "nonce": self.chain.ask(lambda: eth.get_transaction_count(self.wallet.address, "pending")),  # type: ignore[arg-type]
            "chainId": self.chain.deployment.chain_id,
        }
        return Prepared(*self.wallet.sign_transaction(transaction))

    def _why(self, call: Any) -> bytes:
        try:
            if call is not None:
                call.call({"from": self.wallet.address})
        except (ContractLogicError, Web3RPCError) as error:
            return revert_data(error)
        return b""


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


def _said(error: Web3RPCError) -> str:
    response = error.rpc_response
    return str(response["error"].get("message", error)) if response and "error" in response else str(error)
