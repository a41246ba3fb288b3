"""The contracts as far as a pool meets them: tasks, votes, stakes, pay. Arithmetic is `poco.consensus`, rules are those
of `contracts/hub`."""

from __future__ import annotations

from dataclasses import dataclass, field

from poco import consensus, deadlines
from poco.states import ChainTaskStatus, ContributionStatus
from simulator.scenario import TaskKind, Terms


class RevertedError(Exception):
    """The contracts refuse it; nothing was done."""


@dataclass(slots=True)
class Account:
    """A worker's escrow account, nRLC, and its score."""

    free: int
    locked: int = 0
    score: int = 0
    earned: int = 0
    seized: int = 0
    gas: int = 0


@dataclass(slots=True)
class Vote:
    """One contribution."""

    result_hash: str
    weight: int
    status: ContributionStatus = ContributionStatus.CONTRIBUTED


@dataclass(slots=True)
class ChainTask:
    """A task on chain."""

    kind: TaskKind
    stake: int
    limits: deadlines.Deadlines
    status: ChainTaskStatus = ChainTaskStatus.UNSET
    consensus: str | None = None
    reveal_deadline: int = 0
    votes: dict[str, Vote] = field(default_factory=dict)


class Hub:
    """All tasks and accounts. `paid`: by requesters for finished tasks; `scheduler`: the pool owner's part; nRLC."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self.tasks: dict[str, ChainTask] = {}
        self.accounts: dict[str, Account] = {}
        self.scheduler = 0
        self.finalized = self.paid = 0

    def join(self, worker: str) -> None:
        self.accounts[worker] = Account(self._terms.deposit_nrlc)

    def stake_of(self, kind: TaskKind) -> int:
        """What a contribution locks, nRLC."""
        return consensus.stake(kind.reward_nrlc, self._terms.stake_ratio)

    def share_of(self, kind: TaskKind) -> int:
        """nRLC that a new worker may expect of a task."""
        for_workers = kind.reward_nrlc * (100 - self._terms.scheduler_reward_ratio) // 100
        return for_workers // consensus.workers_needed(kind.trust)

    def open(self, task_id: str, kind: TaskKind, limits: deadlines.Deadlines) -> None:
        """A deal was made."""
        self.tasks[task_id] = ChainTask(kind, self.stake_of(kind), limits)

    def initialize(self, task_id: str, now: int) -> None:
        task = self._of(task_id, ChainTaskStatus.UNSET)
        _require(now < task.limits.contribution)
        task.status = ChainTaskStatus.ACTIVE

    def contribute(self, task_id: str, worker: str, result_hash: str, now: int) -> bool:
        """Lock a stake and vote; whether that makes consensus."""
        task, account = self._of(task_id, ChainTaskStatus.ACTIVE), self.accounts[worker]
        _require(now < task.limits.contribution and worker not in task.votes and account.free >= task.stake)
        account.free -= task.stake
        account.locked += task.stake
        task.votes[worker] = Vote(result_hash, consensus.weight(account.score))
        standing = [
            (v.result_hash, v.weight) for v in task.votes.values() if v.status is ContributionStatus.CONTRIBUTED
        ]
        if not consensus.tally(task.kind.trust, standing).reached(result_hash):
            return False
        task.status, task.consensus = ChainTaskStatus.REVEALING, result_hash
        task.reveal_deadline = now + task.limits.reveal_seconds
        return True

    def reveal(self, task_id: str, worker: str, now: int) -> None:
        task = self._of(task_id, ChainTaskStatus.REVEALING)
        vote = task.votes.get(worker)
        _require(now < task.reveal_deadline and vote is not None and vote.status is ContributionStatus.CONTRIBUTED)
        _require(vote is not None and vote.result_hash == task.consensus)
        task.votes[worker].status = ContributionStatus.PROVED

    def reopen(self, task_id: str, now: int) -> None:
        """Nobody has revealed in time: throw the winners' votes out."""
        task = self._of(task_id, ChainTaskStatus.REVEALING)
        proved = any(vote.status is ContributionStatus.PROVED for vote in task.votes.values())
        _require(task.reveal_deadline <= now < task.limits.final and not proved)
        for vote in task.votes.values():
            if vote.result_hash == task.consensus:
                vote.status = ContributionStatus.REJECTED
        task.status, task.consensus, task.reveal_deadline = ChainTaskStatus.ACTIVE, None, 0

    def finalize(self, task_id: str, now: int) -> None:
        """Pay the winners with the losers' stakes."""
        task = self._of(task_id, ChainTaskStatus.REVEALING)
        winners = [v for v in task.votes.values() if v.result_hash == task.consensus]
        proved = sum(v.status is ContributionStatus.PROVED for v in winners)
        rejected = sum(v.status is ContributionStatus.REJECTED for v in winners)
        _require(proved > 0 and (proved + rejected == len(winners) or now >= task.reveal_deadline))
        _require(now < task.limits.final)
        task.status = ChainTaskStatus.COMPLETED
        shares = [
            consensus.Share(worker, vote.weight, vote.status is ContributionStatus.PROVED)
            for worker, vote in task.votes.items()
        ]
        pay = consensus.pay(task.kind.reward_nrlc, task.stake, self._terms.scheduler_reward_ratio, shares)
        self.scheduler += pay.scheduler
        for share in shares:
            account = self.accounts[share.worker]
            account.locked -= task.stake
            if share.accurate:
                account.free += task.stake + pay.workers[share.worker]
                account.earned += pay.workers[share.worker]
                account.score += len(shares) > 1
            else:
                account.seized += task.stake
                account.score = account.score * 2 // 3
        self.finalized += 1
        self.paid += task.kind.reward_nrlc

    def contribute_and_finalize(self, task_id: str, worker: str, result_hash: str, now: int) -> None:
        """One worker ends a task of trust 1 in one transaction, without a stake."""
        task, account = self._of(task_id, ChainTaskStatus.ACTIVE), self.accounts[worker]
        _require(now < task.limits.contribution and not task.votes and task.kind.trust == 1)
        task.votes[worker] = Vote(result_hash, consensus.weight(account.score), ContributionStatus.PROVED)
        task.status, task.consensus = ChainTaskStatus.COMPLETED, result_hash
        for_worker = task.kind.reward_nrlc * (100 - self._terms.scheduler_reward_ratio) // 100
        account.free += for_worker
        account.earned += for_worker
        self.scheduler += task.kind.reward_nrlc - for_worker
        self.finalized += 1
        self.paid += task.kind.reward_nrlc

    def claim(self, task_id: str, now: int) -> None:
        """Past the final deadline everybody gets back what was locked."""
        task = self.tasks[task_id]
        _require(task.status in (ChainTaskStatus.UNSET, ChainTaskStatus.ACTIVE, ChainTaskStatus.REVEALING))
        _require(now >= task.limits.final)
        task.status = ChainTaskStatus.FAILED
        for worker in task.votes:
            self.accounts[worker].locked -= task.stake
            self.accounts[worker].free += task.stake

    def _of(self, task_id: str, status: ChainTaskStatus) -> ChainTask:
        task = self.tasks[task_id]
        _require(task.status is status)
        return task


def _require(holds: bool) -> None:
    if not holds:
        raise RevertedError
