"""Where leases of nonces are kept, and what a signed transaction says of itself."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any, Protocol

import rlp  # type: ignore[import-untyped]

from chain.fees import Fee
from chain.nonces import Attempt, Lease


@dataclass(frozen=True, slots=True)
class Prepared:
    """A signed transaction: a plain list of fields (EIP-155), or a type and then its fields (EIP-2718, EIP-1559)."""

    tx_hash: str
    raw: bytes

    @property
    def _fields(self) -> list[Any]:
        fields: list[Any] = rlp.decode(self.raw[1:]) if self._typed else rlp.decode(self.raw)
        return fields

    @property
    def _typed(self) -> bool:
        return self.raw[0] < 0x80

    @property
    def nonce(self) -> int:
        return _int(self._fields[1 if self._typed else 0])

    @property
    def fee(self) -> Fee:
        fields = self._fields
        return Fee(_int(fields[3]), _int(fields[2])) if self._typed else Fee(_int(fields[1]))

    @property
    def gas(self) -> int:
        return _int(self._fields[4 if self._typed else 2])

    @property
    def to(self) -> str:
        return "0x" + bytes(self._fields[5 if self._typed else 3]).hex()

    @property
    def data(self) -> bytes:
        return bytes(self._fields[7 if self._typed else 5])


def _int(raw: bytes) -> int:
    return int.from_bytes(raw, "big")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a lease ended: `state` is MINED, REVERTED or GONE; block and cost where it was mined."""

    state: str
    tx_hash: str | None = None
    block: int | None = None
    cost_wei: int | None = None


class Book(Protocol):
    """Durable leases of one wallet. Each call is one transaction, on disk when it returns."""

    def open(self) -> list[Lease]:
        """Leases that have not ended, oldest first."""

    def keep(self, step: str, prepared: Prepared, now: int) -> None:
        """Write down a signed transaction before it is sent: it opens its step's lease, or is one more attempt."""

    def end(self, lease: Lease, ended: Ended) -> None:
        """Write down how a lease ended."""


@dataclass
class MemoryBook:
    """For a process that sends while somebody watches: what was sent is known as long as it runs."""

    leases: dict[str, Lease] = field(default_factory=dict)
    ended: dict[str, Ended] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def open(self) -> list[Lease]:
        with self._lock:
            return list(self.leases.values())

    def keep(self, step: str, prepared: Prepared, now: int) -> None:
        attempt = Attempt(prepared.tx_hash, prepared.raw, now)
        with self._lock:
            known = self.leases.get(step)
            attempts = known.attempts if known is not None else ()
            self.leases[step] = Lease(step, prepared.nonce, (*attempts, attempt))

    def end(self, lease: Lease, ended: Ended) -> None:
        with self._lock:
            self.leases.pop(lease.step, None)
            self.ended[lease.step] = ended
