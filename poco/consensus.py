"""PoCo's consensus and pay, in the integer arithmetic of the contracts.

A worker weighs ``w = max(score // 3, 3) - 1``. Equal results form a group of weight ``g``; a contribution turns it into
``max(g, 1) * w`` and the total (which starts at 1) grows by the difference. The group wins when
``g * trust > total * (trust - 1)`` with ``trust = max(trust, 1)``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field


def weight(score: int) -> int:
    """Weight of a worker with that score (at least 2)."""
    return max(score // 3, 3) - 1


def log_weight(worker_weight: int) -> int:
    """floor(log2(weight)): the worker's share in the reward."""
    return worker_weight.bit_length() - 1


@dataclass(frozen=True, slots=True)
class Tally:
    """Votes of one task so far: group weights by result hash, and their total."""

    trust: int
    groups: Mapping[str, int] = field(default_factory=dict)
    total: int = 1

    def add(self, result: str, worker_weight: int) -> Tally:
        """The tally after one more contribution."""
        group = self.groups.get(result, 0)
        delta = max(group, 1) * worker_weight - group
        return Tally(self.trust, {**self.groups, result: group + delta}, self.total + delta)

    def reached(self, result: str) -> bool:
        """Whether `result` has consensus."""
        trust = max(self.trust, 1)
        return self.groups.get(result, 0) * trust > self.total * (trust - 1)

    def best(self) -> str | None:
        """The heaviest result (the first contributed among equals)."""
        return max(self.groups, key=lambda name: self.groups[name], default=None)


def tally(trust: int, contributions: Iterable[tuple[str, int]]) -> Tally:
    """The tally of (result hash, worker weight) pairs in the order of the chain."""
    votes = Tally(trust)
    for result, worker_weight in contributions:
        votes = votes.add(result, worker_weight)
    return votes


def would_agree(votes: Tally, pending_weights: Iterable[int]) -> bool:
    """Whether consensus comes if every pending worker joins the heaviest group: no further worker is needed then."""
    result = votes.best() or "pending"
    if votes.reached(result):
        return True
    for worker_weight in pending_weights:
        votes = votes.add(result, worker_weight)
        if votes.reached(result):
            return True
    return False


def further_workers(votes: Tally, pending_weights: Iterable[int], available: Iterable[int]) -> int | None:
    """How many of the available workers, taken in their order, make consensus with those that are at work.

    All are counted as joining the heaviest group. None where they do not suffice.
    """
    result = votes.best() or "pending"
    for worker_weight in pending_weights:
        votes = votes.add(result, worker_weight)
    count = 0
    for worker_weight in available:
        if votes.reached(result):
            break
        votes = votes.add(result, worker_weight)
        count += 1
    return count if votes.reached(result) else None


def workers_needed(trust: int, worker_weight: int = 2) -> int:
    """How many unanimous workers of one weight make consensus for `trust` (new workers: weight 2)."""
    votes = Tally(trust)
    count = 0
    while not votes.reached("result"):
        votes = votes.add("result", worker_weight)
        count += 1
    return count


@dataclass(frozen=True, slots=True)
class Share:
    """One contributor at the end: weight at contribution, whether it agreed with the consensus and revealed."""

    worker: str
    weight: int
    accurate: bool


@dataclass(frozen=True, slots=True)
class Pay:
    """nRLC that finalize moves: rewards by worker, and the scheduler's part (without the kitty)."""

    workers: Mapping[str, int]
    scheduler: int


def stake(pool_price: int, ratio: int) -> int:
    """A share in per cent of the pool's price, rounded down (30 by default)."""
    return pool_price * ratio // 100


def pay(pool_price: int, worker_stake: int, scheduler_reward_ratio: int, shares: Sequence[Share]) -> Pay:
    """The split of the pool's price and of the losers' stakes.

    Args:
        pool_price: nRLC for one task.
        worker_stake: nRLC that each contributor locked.
        scheduler_reward_ratio: per cent of the pot that the scheduler keeps.
        shares: every contributor; at least one is accurate.
    """
    winners = [s for s in shares if s.accurate]
    pot = pool_price + worker_stake * (len(shares) - len(winners))
    for_workers = pot * (100 - scheduler_reward_ratio) // 100
    parts = {s.worker: log_weight(s.weight) for s in winners}
    total = sum(parts.values())
    rewards = {worker: for_workers * part // total for worker, part in parts.items()}
    return Pay(rewards, pot - sum(rewards.values()))
