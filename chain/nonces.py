"""Which nonce a step gets, and what becomes of it: the pure part of sending.

A lease binds one nonce to one step. All signed transactions of a lease bear that nonce, so at most one of them is ever
mined: whichever it is counts. A lease ends when one of them is deep enough in the chain, or when the chain has given
the nonce to a transaction of somebody else. A step whose lease has not ended gets no other nonce.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from chain.fees import Fee

#: Nodes take a replacement only where it pays a tenth more; an eighth is on the safe side of every node.
_RAISE_NUMERATOR, _RAISE_DENOMINATOR = 9, 8
#: The count of a node may be ahead of its receipts: a nonce is held for another's only after so many seconds.
TAKEN_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Attempt:
    """One signed transaction of a lease, and when it was first sent (Unix seconds)."""

    tx_hash: str
    raw: bytes
    at: int


@dataclass(frozen=True, slots=True)
class Lease:
    """A nonce given to a step; `attempts` in the order they were signed, at least one."""

    step: str
    nonce: int
    attempts: tuple[Attempt, ...]

    @property
    def last(self) -> Attempt:
        return self.attempts[-1]


@dataclass(frozen=True, slots=True)
class Sight:
    """What the chain shows of a lease.

    Args:
        head: the newest block.
        mined: block of the attempt that has a receipt; None where none has.
        ok: whether that one succeeded.
        used: nonces that the wallet has used in blocks that are deep enough; read before the receipts were looked for.
        missing_since: Unix seconds since when the nonce has been used without a receipt of ours; None where it is not.
    """

    head: int
    mined: int | None
    ok: bool
    used: int
    missing_since: int | None


class Verdict(StrEnum):
    """What is to be done about a lease."""

    WAIT = "wait"
    DONE = "done"
    REVERTED = "reverted"
    #: the nonce went to a transaction that is none of ours
    TAKEN = "taken"
    #: it is time for the same nonce at a higher fee
    REPLACE = "replace"


def judge(lease: Lease, sight: Sight, *, confirmations: int, stuck_seconds: float, now: int) -> Verdict:
    """What a lease's state is. What is mined is never taken for lost, however late that is seen."""
    if sight.mined is not None:
        if sight.head - sight.mined + 1 < confirmations:
            return Verdict.WAIT
        return Verdict.DONE if sight.ok else Verdict.REVERTED
    if sight.used > lease.nonce:
        since = sight.missing_since
        return Verdict.TAKEN if since is not None and now - since >= TAKEN_SECONDS else Verdict.WAIT
    return Verdict.REPLACE if now - lease.last.at >= stuck_seconds else Verdict.WAIT


def next_nonce(used: int, pending: int, leased: Collection[int]) -> int:
    """The lowest nonce that nobody has.

    Args:
        used: nonces used in blocks.
        pending: the same with what waits at the node, without a gap.
        leased: nonces of leases that have not ended. One that the node lost stays its step's: it is sent again.
    """
    nonce = max(used, pending)
    while nonce in leased:
        nonce += 1
    return nonce


def gaps(used: int, pending: int, leased: Collection[int]) -> list[int]:
    """Nonces below those of leases that nobody has: nothing above them is mined before they are filled.

    A reorganisation leaves such a gap where it drops the transaction of a step that was done, or of a stranger.
    """
    return [nonce for nonce in range(max(used, pending), max(leased, default=0)) if nonce not in leased]


def strangers(used: int, pending: int, leased: Collection[int]) -> list[int]:
    """Nonces that wait at the node and are not ours: another process sends with this wallet."""
    return [nonce for nonce in range(used, pending) if nonce not in leased]


def raised(before: Fee, market: Fee, cap: int) -> Fee | None:
    """The fee of a replacement: an eighth more at least, or what the chain asks now; None above the cap."""
    limit = _more(before.limit)
    if limit > cap:
        return None
    if before.tip is None:
        return Fee(min(max(limit, market.limit), cap))
    limit = min(max(limit, market.limit), cap)
    tip = max(_more(before.tip), market.tip or 0)
    return Fee(limit, min(tip, limit))


def _more(amount: int) -> int:
    return max(-(-amount * _RAISE_NUMERATOR // _RAISE_DENOMINATOR), amount + 1)
