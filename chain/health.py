"""How the endpoints are doing, and which of them may answer: pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from chain.answers import FaultError, Kind

#: Seconds for which an endpoint is left alone after its first failure; doubled at each further one, up to the longest.
FIRST_WAIT = 0.5
LONGEST_WAIT = 60.0
#: An endpoint on another chain is looked at again so rarely: someone has to mend its configuration.
OTHER_CHAIN_WAIT = 600.0


@dataclass(frozen=True, slots=True)
class Health:
    """What is known of one endpoint. Instants are of a monotonic clock; `block_time` is Unix seconds."""

    url: str
    #: its chain was found to be the right one since it failed last
    checked: bool = False
    failures: int = 0
    retry_at: float = 0.0
    trouble: str = ""
    kind: Kind | None = None
    #: newest block seen there, and when; -1 where none was
    head: int = -1
    head_at: float = float("-inf")
    block_time: int = 0

    def failed(self, fault: FaultError, now: float) -> Health:
        """After a failure."""
        wait = min(FIRST_WAIT * 2 ** min(self.failures, 16), LONGEST_WAIT)
        if fault.kind is Kind.OTHER_CHAIN:
            wait = OTHER_CHAIN_WAIT
        elif fault.wait is not None:
            wait = min(max(fault.wait, FIRST_WAIT), OTHER_CHAIN_WAIT)
        elif fault.kind is Kind.BEHIND:
            wait = FIRST_WAIT
        return replace(
            self,
            checked=self.checked and fault.kind in (Kind.BUSY, Kind.BEHIND),
            failures=self.failures + 1,
            retry_at=now + wait,
            trouble=str(fault),
            kind=fault.kind,
        )

    def answered(self) -> Health:
        """After an answer."""
        return replace(self, failures=0, retry_at=0.0, trouble="", kind=None) if self.failures else self

    def at(self, head: int, now: float, block_time: int = 0) -> Health:
        """A newest block was seen there."""
        return replace(self, head=head, head_at=now, block_time=block_time or self.block_time)


def best_head(known: Sequence[Health]) -> int:
    """The newest block that any endpoint on the right chain has shown; -1 where none has."""
    return max((one.head for one in known if one.kind is not Kind.OTHER_CHAIN), default=-1)


def usable(known: Sequence[Health], now: float) -> list[int]:
    """Endpoints to ask, in order: those in order of the configuration that are not left alone after a failure.

    Where all are, the one that is to be asked next, unless it asked for the pause or is on another chain.
    """
    ready = [n for n, one in enumerate(known) if one.retry_at <= now and one.kind is not Kind.OTHER_CHAIN]
    ready += [n for n, one in enumerate(known) if one.retry_at <= now and one.kind is Kind.OTHER_CHAIN]
    if ready:
        return ready
    waiting = [n for n, one in enumerate(known) if one.kind not in (Kind.OTHER_CHAIN, Kind.BUSY)]
    return [min(waiting, key=lambda n: known[n].retry_at)] if waiting else []


def has(one: Health, known: Sequence[Health], needed: int, max_lag: int) -> bool:
    """Whether an endpoint has block `needed` (-1: any), and is not too far behind the best."""
    if one.head < needed:
        return False
    return len(known) == 1 or one.head >= best_head(known) - max_lag


def pause(known: Sequence[Health], now: float) -> float | None:
    """Seconds until the first endpoint that asked for a pause may be asked again; None where none did."""
    return min((one.retry_at - now for one in known if one.kind is Kind.BUSY), default=None)
