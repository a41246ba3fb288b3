"""Transactions of one wallet: leases of nonces, fees, sending, replacing, receipts, and reverts in words."""

from __future__ import annotations

import itertools
import math
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from web3 import Web3
from web3.exceptions import ContractLogicError, TransactionNotFound, Web3RPCError

from chain import abi, nonces
from chain.book import Book, Ended, MemoryBook, Prepared
from chain.client import Chain, ChainUnreachableError, decode_log
from chain.fees import FeePolicy, FeesTooHighError, fee
from chain.nonces import Attempt, Lease, Sight, Verdict
from chain.outcomes import PendingError, Receipt, RevertedError, TakenError, node_said, revert_data
from chain.wallet import Wallet
from poco.errors import PewError
from poco.hexes import to_bytes, to_hex

__all__ = ["GAS_LIMITS", "PendingError", "Prepared", "Receipt", "RevertedError", "Sender", "TakenError", "revert_data"]

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


#: How often the wallet's count is read for a lease without a receipt.
COUNT_SECONDS = 2.0
#: How often what is urgent is sent again until it is mined, whatever the node says of it.
RESEND_SECONDS = 3.0
_NONCE_USED = re.compile(r"nonce.*(too low|expected|already)|correct nonce|already (known|imported)|underpriced", re.I)


class Sender:
    """Sends for one wallet; one `Sender` per wallet (it hands out the nonces).

    Args:
        fees: what gas may cost.
        book: where leases are kept; in memory by default.
        clock: Unix seconds.
    """

    def __init__(
        self,
        chain: Chain,
        wallet: Wallet,
        fees: FeePolicy | None = None,
        *,
        book: Book | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.chain = chain
        self.wallet = wallet
        self.fees = fees or FeePolicy()
        self.book: Book = book or MemoryBook()
        #: what shows that another process sends with this wallet; empty where nothing does
        self.shared = ""
        self._log = chain.log
        self._clock = clock
        self._lock = threading.Lock()
        self._unnamed = itertools.count()
        self._missing: dict[tuple[str, int], int] = {}
        self._counted: dict[tuple[str, int], float] = {}
        self._resent: dict[tuple[str, int], float] = {}

    def gas_price(self) -> int:
        """Wei that a unit of gas may cost now, at most.

        Raises:
            chain.fees.FeesTooHighError: more than the cap.
        """
        return fee(self.chain, self.fees).limit

    def expected_price(self) -> int:
        """Wei that a unit of gas will likely cost now. Raises as `gas_price`."""
        return fee(self.chain, self.fees).expected

    def estimate(self, call: Any) -> int | None:
        """The gas that the node thinks a call takes; None where it would fail."""
        try:
            return int(self.chain.ask(lambda: call.estimate_gas({"from": self.wallet.address})))
        except (ContractLogicError, Web3RPCError):
            return None

    def transact(
        self, call: Any, *, step: str = "", preview: bool = True, urgent: bool = False, timeout: float = 120
    ) -> Receipt:
        """Check a contract call, sign, send and wait for its receipt.

        Args:
            call: a bound web3 contract function, or a `chain.creation.Creation`.
            step: what it is for. A step that has a lease is not sent again: that lease is waited for.
            preview: ask the node first whether it would succeed; False for what depends on the next block's time.
            urgent: a stake is lost without it: the emergency cap holds.
            timeout: seconds to wait for the receipt.

        Raises:
            RevertedError: refused, before sending or on chain.
            chain.fees.FeesTooHighError: gas costs more than the cap; nothing was sent.
            PendingError: sent, not mined in time.
            TakenError: another process has used the nonce.
        """
        return self.wait(self.begin(call, step=step, preview=preview, urgent=urgent), timeout, urgent=urgent)

    def begin(
        self, call: Any, *, step: str = "", preview: bool = True, urgent: bool = False, gas: int | None = None
    ) -> Lease:
        """Check, sign, write down and send; the lease to look at. Arguments and errors as `transact`.

        Args:
            gas: the limit, where it is not that of the function.
        """
        step = step or f"unnamed-{next(self._unnamed)}"
        known = self.lease_of(step)
        if known is not None:
            return known
        if preview:
            self.preview(call)
        with self._lock:
            prepared = self._sign(self._nonce(), call, gas, urgent=urgent)
            now = int(self._clock())
            self.book.keep(step, prepared, now)
            self.broadcast(prepared)
        return self.lease_of(step) or Lease(step, prepared.nonce, (Attempt(prepared.tx_hash, prepared.raw, now),))

    def lease_of(self, step: str) -> Lease | None:
        """The lease of a step that has not ended."""
        return next((lease for lease in self.book.open() if lease.step == step), None)

    def preview(self, call: Any) -> Any:
        """Run the call without sending it; RevertedError when the contracts would refuse."""
        try:
            return self.chain.ask(lambda: call.call({"from": self.wallet.address}))
        except (ContractLogicError, Web3RPCError) as error:
            raise RevertedError(call.fn_name, revert_data(error)) from None

    def look(self, lease: Lease, *, urgent: bool = False) -> Receipt | None:
        """See what became of a lease, and do what it needs: sent again where the node lost it, or at a higher fee.

        Returns:
            The receipt of whichever attempt was mined, deep enough; None while that is open.

        Raises:
            RevertedError: mined and failed.
            TakenError: the nonce went to a transaction of somebody else.
        """
        key, now = (lease.step, lease.nonce), time.monotonic()
        if urgent and self._clock() - lease.last.at >= RESEND_SECONDS <= now - self._resent.get(key, -math.inf):
            # where a node answers for moments only, one request that gets through is enough
            self.broadcast(Prepared(lease.last.tx_hash, lease.last.raw))
            self._resent[key] = now
        found = self._mined(lease)
        if found is None and now - self._counted.get(key, now - COUNT_SECONDS) < COUNT_SECONDS:
            return None
        sight, found = self._sight(lease, found)
        self._counted[key] = now
        rules = self.chain.settings
        verdict = nonces.judge(
            lease,
            sight,
            confirmations=self.chain.confirmations,
            stuck_seconds=rules.stuck_seconds,
            now=int(self._clock()),
        )
        if found is None and sight.used <= lease.nonce and (urgent or verdict is Verdict.REPLACE):
            self._see_to_first(lease, urgent=urgent)
        match verdict:
            case Verdict.REPLACE:
                self._replace(lease, urgent=urgent)
            case Verdict.WAIT if found is None and sight.used <= lease.nonce and not self.known(lease.last.tx_hash):
                self.broadcast(Prepared(lease.last.tx_hash, lease.last.raw))
            case Verdict.TAKEN if not self._in_a_block(lease):  # a node may have a block before its receipts
                self._end(lease, Ended("GONE"))
                self.shared = f"nonce {lease.nonce} went to a transaction that this process did not send"
                raise TakenError(lease)
            case Verdict.DONE | Verdict.REVERTED if found is not None:
                receipt = self._receipt(found)
                state = "MINED" if verdict is Verdict.DONE else "REVERTED"
                self._end(lease, Ended(state, receipt.tx_hash, receipt.block, receipt.cost_wei))
                if verdict is Verdict.DONE:
                    return receipt
                raise self._why(lease, receipt.tx_hash)
        return None

    def wait(self, lease: Lease, timeout: float, *, urgent: bool = False) -> Receipt:
        """Look until it is over; PendingError when time is up. Other errors as `look`."""
        end = time.monotonic() + timeout
        pause = 0.05
        while True:
            receipt = self.look(lease, urgent=urgent)
            if receipt is not None:
                return receipt
            if time.monotonic() > end:
                raise PendingError(lease.last.tx_hash, timeout)
            time.sleep(pause)
            pause = min(pause * 1.5, 2)
            lease = self.lease_of(lease.step) or lease

    def known(self, tx_hash: str) -> bool:
        """Whether a node has the transaction, mined or not."""
        return self._transaction(tx_hash) is not None

    def receipt(self, tx_hash: str) -> Receipt | None:
        """The receipt of a transaction that succeeded, however deep; None where there is none."""
        raw = self._raw_receipt(tx_hash)
        return self._receipt(raw) if raw is not None and raw["status"] else None

    # --- one lease

    def _mined(self, lease: Lease) -> Mapping[str, Any] | None:
        """The receipt of any attempt, the latest first."""
        found = (self._raw_receipt(attempt.tx_hash) for attempt in reversed(lease.attempts))
        return next((raw for raw in found if raw is not None), None)

    def _in_a_block(self, lease: Lease) -> bool:
        found = (self._transaction(attempt.tx_hash) for attempt in reversed(lease.attempts))
        return any(one is not None and one.get("blockNumber") is not None for one in found)

    def _transaction(self, tx_hash: str) -> Mapping[str, Any] | None:
        eth = self.chain.web3.eth
        try:
            found: Mapping[str, Any] = self.chain.ask(lambda: eth.get_transaction(to_bytes(tx_hash)))  # type: ignore[arg-type]
        except TransactionNotFound:
            return None
        return found

    def _raw_receipt(self, tx_hash: str) -> Mapping[str, Any] | None:
        try:
            raw = self.chain.ask(lambda: self.chain.web3.eth.get_transaction_receipt(to_bytes(tx_hash)))  # type: ignore[arg-type]
        except TransactionNotFound:
            return None
        if raw is not None:
            self.chain.endpoints.require(int(raw["blockNumber"]))
        found: Mapping[str, Any] | None = raw
        return found

    def _sight(self, lease: Lease, found: Mapping[str, Any] | None) -> tuple[Sight, Mapping[str, Any] | None]:
        """What the chain shows; the count is read first, so that what it counts has its receipt when that is sought."""
        key = (lease.step, lease.nonce)
        depth = self.chain.confirmations
        head = self.chain.block_number() if found is None or depth > 1 else int(found["blockNumber"])
        used = 0
        if found is None:
            try:
                used = self._count(max(head - depth + 1, 0))
            except ChainUnreachableError:
                used = 0  # not known to be used: at worst it is sent again, and a nonce counts once
            if used > lease.nonce:
                found = self._mined(lease)
        if found is not None or used <= lease.nonce:
            self._missing.pop(key, None)
        else:
            self._missing.setdefault(key, int(self._clock()))
        mined = int(found["blockNumber"]) if found is not None else None
        ok = found is not None and bool(found["status"])
        return Sight(head, mined, ok, used, self._missing.get(key)), found

    def _count(self, block: int | str) -> int:
        eth, me = self.chain.web3.eth, Web3.to_checksum_address(self.wallet.address)
        return int(self.chain.ask(lambda: eth.get_transaction_count(me, block)))  # type: ignore[arg-type]

    def _nonce(self) -> int:
        used, pending = self._count("latest"), self._count("pending")
        leased = {lease.nonce for lease in self.book.open()}
        others = nonces.strangers(used, pending, leased)
        self.shared = ""
        if others:
            self.shared = f"transactions with nonces {others[:5]} wait that this process did not send"
            self._log("wallet_shared", level="error", wallet=self.wallet.address, nonces=others[:5])
        return nonces.next_nonce(used, pending, leased)

    def _sign(self, nonce: int, call: Any, gas: int | None, *, urgent: bool) -> Prepared:
        gas = gas or GAS_LIMITS.get(call.fn_name)
        if gas is None:
            try:
                estimate = self.chain.ask(lambda: call.estimate_gas({"from": self.wallet.address}))
            except (ContractLogicError, Web3RPCError) as error:
                raise RevertedError(call.fn_name, revert_data(error)) from None
            gas = int(estimate * 1.2) + 20_000
        price = fee(self.chain, self.fees, urgent=urgent)
        if price.limit > self.fees.cap_wei:
            self._log("emergency_fee", level="warning", function=call.fn_name, gwei=price.limit / 1e9)
        return self._signed(nonce, call.address, call._encode_transaction_data(), gas, price.fields())

    def _signed(self, nonce: int, to: str, data: Any, gas: int, fees: dict[str, int]) -> Prepared:
        target = Web3.to_checksum_address(to) if len(to) > 2 else ""  # nobody: it creates a contract
        plain = {"to": target, "data": data, "value": 0, "gas": gas, **fees, "nonce": nonce}
        return Prepared(*self.wallet.sign_transaction({**plain, "chainId": self.chain.deployment.chain_id}))

    def broadcast(self, prepared: Prepared) -> None:
        """Send, or send again. A node that has it, or does not answer, is no error: `look` sees to it."""
        try:
            self.chain.ask(lambda: self.chain.web3.eth.send_raw_transaction(prepared.raw))
        except ChainUnreachableError:
            return
        except Web3RPCError as error:
            said = node_said(error)
            if self.known(prepared.tx_hash) or _NONCE_USED.search(said):
                return
            raise PewError(
                f"the node refused transaction {prepared.tx_hash}: {said}",
                hint="check the wallet's native balance for gas",
                code="NOT_SENT",
            ) from None

    def _replace(self, lease: Lease, *, urgent: bool) -> None:
        """The same at a higher fee, up to the cap; sent again as it is where the cap is reached."""
        self._fill_gaps()
        last = Prepared(lease.last.tx_hash, lease.last.raw)
        cap = self.fees.cap(urgent=urgent)
        try:
            market = fee(self.chain, self.fees, urgent=urgent)
        except FeesTooHighError:
            market = last.fee
        price = nonces.raised(last.fee, market, cap)
        if price is None:
            self._log("transaction_at_cap", level="warning", step=lease.step, nonce=lease.nonce, tx=last.tx_hash)
            if not self.known(last.tx_hash):
                self.broadcast(last)
            return
        if price.limit > self.fees.cap_wei:
            self._log("emergency_fee", level="warning", step=lease.step, gwei=price.limit / 1e9)
        again = self._signed(lease.nonce, last.to, last.data, last.gas, price.fields())
        self.book.keep(lease.step, again, int(self._clock()))
        self._log("transaction_replaced", step=lease.step, nonce=lease.nonce, old=last.tx_hash, tx=again.tx_hash)
        self.broadcast(again)

    def _see_to_first(self, lease: Lease, *, urgent: bool) -> None:
        """Nothing is mined before the lowest nonce that waits: nobody may follow its step, or it is at a lower cap."""
        lower = [one for one in self.book.open() if one.nonce < lease.nonce]
        used = self._count("latest") if lower else 0
        for first in (one for one in lower if one.nonce == used):
            try:
                if self._clock() - first.last.at >= self.chain.settings.stuck_seconds:
                    self._replace(first, urgent=urgent)
                elif not self.known(first.last.tx_hash):
                    self.broadcast(Prepared(first.last.tx_hash, first.last.raw))
            except ChainUnreachableError:
                raise
            except PewError as error:
                self._log("transaction_in_the_way", level="warning", step=first.step, nonce=used, error=str(error))

    def _fill_gaps(self) -> None:
        """Send nothing to oneself where a nonce below a lease is nobody's."""
        with self._lock:
            leased = {lease.nonce for lease in self.book.open()}
            for nonce in nonces.gaps(self._count("latest"), self._count("pending"), leased):
                price = fee(self.chain, self.fees, urgent=True)
                empty = self._signed(nonce, self.wallet.address, b"", 21_000, price.fields())
                self._log("nonce_filled", level="warning", nonce=nonce, tx=empty.tx_hash)
                self.book.keep(f"gap-{nonce}", empty, int(self._clock()))
                self.broadcast(empty)

    def _end(self, lease: Lease, ended: Ended) -> None:
        self.book.end(lease, ended)
        for known in (self._missing, self._counted, self._resent):
            known.pop((lease.step, lease.nonce), None)

    def _receipt(self, raw: Mapping[str, Any]) -> Receipt:
        events = [
            decode_log(log)
            for log in raw["logs"]
            if log["address"] == self.chain.deployment.hub and to_hex(log["topics"][0]) in abi.topics()
        ]
        price = int(raw.get("effectiveGasPrice") or self.fees.cap_wei)
        gas = int(raw["gasUsed"])
        return Receipt(to_hex(raw["transactionHash"]), int(raw["blockNumber"]), gas, gas * price, events)

    def _why(self, lease: Lease, tx_hash: str) -> RevertedError:
        """The reason of a failure on chain, as the same call gives it now."""
        sent = Prepared(lease.last.tx_hash, lease.last.raw)
        target = {"to": Web3.to_checksum_address(sent.to)} if len(sent.to) > 2 else {}
        data = b""
        again = {"from": self.wallet.address, **target, "data": sent.data}
        try:
            self.chain.ask(lambda: self.chain.web3.eth.call(again))  # type: ignore[arg-type]
        except (ContractLogicError, Web3RPCError) as error:
            data = revert_data(error)
        return RevertedError(abi.function_of(sent.data), data, tx_hash)
