"""A simulated worker's hands: each effect of its core as a delay, an act on the chain or a word to the pool."""

from __future__ import annotations

from random import Random
from typing import Protocol

from poco.errors import Cause
from poco.ids import result_hash
from poco.states import ChainTaskStatus, ContributionStatus
from scheduler import model as m
from simulator.clock import Clock
from simulator.hub import Hub, RevertedError
from simulator.pool import Pool
from simulator.scenario import Terms
from worker import core
from worker.core import Facts, Happened, Replicate, about
from worker.table import Do, What


class Body(Protocol):
    """The worker whose hands these are. `life` counts how often its board went down: what was begun before is gone."""

    wallet: str
    life: int

    def came(self, life: int, outcome: Happened) -> None:
        """The outcome of an effect that was begun in that life."""

    def weigh(self, replicate: Replicate) -> Happened:
        """Ask the gate about what is offered."""

    def begin(self, task_id: str, seconds: float) -> None:
        """Compute for so long."""

    def clean(self, task_id: str) -> None:
        """Forget what the task has left."""


class Hands:
    """Performs effects.

    Args:
        chance: decides which runs yield a result of their own.
    """

    def __init__(self, body: Body, terms: Terms, *, clock: Clock, hub: Hub, pool: Pool, chance: Random) -> None:
        self._body, self._terms, self._chance = body, terms, chance
        self._clock, self._hub, self._pool = clock, hub, pool
        self._images: set[str] = set()

    def perform(self, do: Do, replicate: Replicate) -> Happened | None:  # noqa: PLR0912
        """Do it; the outcome where there is one at once."""
        terms, task_id = self._terms, replicate.task_id
        match do:
            case Do.VERIFY:
                return self._verify(replicate)
            case Do.GATE:
                return self._body.weigh(replicate)
            case Do.PULL | Do.RUN if task_id not in self._pool.orders:
                return about(replicate, What.ABORT, Cause.TASK_NOT_ACTIVE)  # over for hours, this board was off
            case Do.PULL:
                app = self._pool.orders[task_id].kind.app_name
                if app in self._images or terms.experienced:
                    return about(replicate, What.PULLED)
                self._images.add(app)
                self._later(terms.pull_seconds, replicate, What.PULLED)
            case Do.FETCH:
                return about(replicate, What.FETCHED)
            case Do.RUN:
                self._body.begin(task_id, self._pool.orders[task_id].run_seconds)
            case Do.PROVE:
                wrong = self._chance.random() < terms.wrong_results
                return about(replicate, What.PROVEN, digest=digest_of(task_id, self._body.wallet if wrong else ""))
            case Do.DELIVER:
                self._clock.after(terms.upload_seconds, self._delivered, self._body.life, replicate)
            case Do.CONTRIBUTE | Do.FINALIZE:
                if replicate.aborted is not None:
                    return about(replicate, What.FAILED, replicate.aborted)
                self._hub.accounts[self._body.wallet].gas += terms.gas_nrlc
                self._clock.after(terms.block_seconds, self._voted, self._body.life, replicate, do)
            case Do.REVEAL:
                self._clock.after(terms.block_seconds, self._revealed, self._body.life, replicate)
            case Do.UPLOAD:
                self._clock.after(terms.upload_seconds, self._uploaded, self._body.life, replicate)
            case Do.CHECK:
                return self._seen(replicate)
            case Do.SETTLE:
                task = self._hub.tasks.get(task_id)
                if task is None or task.status in (ChainTaskStatus.COMPLETED, ChainTaskStatus.FAILED):
                    vote = task.votes.get(self._body.wallet) if task is not None else None
                    paid = vote is not None and vote.status is ContributionStatus.PROVED
                    return about(replicate, What.SETTLED_PAID if paid else What.SETTLED_UNPAID)
            case Do.CLEAN:
                self._body.clean(task_id)
            case Do.PROVE_ERROR:
                return about(replicate, What.FAILED, Cause.INTERNAL_ERROR)
        return None

    def _later(self, seconds: float, replicate: Replicate, what: What) -> None:
        self._clock.after(seconds, self._body.came, self._body.life, about(replicate, what))

    def _verify(self, replicate: Replicate) -> Happened:
        """What the chain says of the deal, and whether the stake suffices."""
        task, order = self._hub.tasks.get(replicate.task_id), self._pool.orders.get(replicate.task_id)
        if task is None or order is None:
            return about(replicate, What.DECLINED, Cause.TASK_NOT_ACTIVE)
        facts = Facts.model_construct(
            app=order.kind.app_name, image="", checksum="",
            trust=order.kind.trust, run_seconds=order.kind.limit_seconds,
            contribution_deadline=task.limits.contribution, final_deadline=task.limits.final, stake_nrlc=task.stake,
            reward_nrlc=self._hub.share_of(order.kind), gas_nrlc=self._terms.gas_nrlc,
        )  # fmt: skip
        if self._hub.accounts[self._body.wallet].free < task.stake:
            return about(replicate, What.DECLINED, Cause.STAKE_TOO_LOW, facts=facts)
        return about(replicate, What.VERIFIED, facts=facts)

    def _delivered(self, life: int, replicate: Replicate) -> None:
        alone = self._pool.may_finalize_alone(replicate.task_id)
        self._body.came(life, about(replicate, What.DELIVERED if alone else What.USUAL_WAY))

    def _voted(self, life: int, replicate: Replicate, do: Do) -> None:
        """A contribution is in a block, whatever has become of the board meanwhile."""
        task_id, now, hub = replicate.task_id, int(self._clock.now), self._hub
        what, cause = (What.FINALIZED if do is Do.FINALIZE else What.CONTRIBUTED), None
        digest = replicate.digest or ""
        task = hub.tasks.get(task_id)
        if task is None or self._body.wallet not in task.votes:
            name = result_hash(task_id, digest)
            try:
                if task is None:
                    raise RevertedError
                if do is Do.FINALIZE:
                    hub.contribute_and_finalize(task_id, self._body.wallet, name, now)
                    self._pool.apply(task_id, m.Finalized("/ipfs/result", self._body.wallet, digest))
                else:
                    agreed = hub.contribute(task_id, self._body.wallet, name, now)
                    self._pool.apply(task_id, m.Contributed(self._body.wallet, name))
                    if agreed:
                        self._pool.apply(task_id, m.ConsensusReached(name, task.reveal_deadline))
            except RevertedError:
                still = task is not None and task.status is ChainTaskStatus.ACTIVE
                usual = do is Do.FINALIZE and still
                what, cause = (What.USUAL_WAY, None) if usual else (What.FAILED, Cause.TASK_NOT_ACTIVE)
        self._body.came(life, about(replicate, what, cause))

    def _revealed(self, life: int, replicate: Replicate) -> None:
        task_id, hub = replicate.task_id, self._hub
        task = hub.tasks.get(task_id)
        vote = task.votes.get(self._body.wallet) if task is not None else None
        what = What.REVEALED
        if vote is None or vote.status is not ContributionStatus.PROVED:
            try:
                if task is None:
                    raise RevertedError
                hub.reveal(task_id, self._body.wallet, int(self._clock.now))
                self._pool.apply(task_id, m.Revealed(self._body.wallet, replicate.digest or ""))
            except RevertedError:
                what = What.FAILED
        self._body.came(life, about(replicate, what, Cause.REVEAL_TIMEOUT if what is What.FAILED else None))

    def _uploaded(self, life: int, replicate: Replicate) -> None:
        if life == self._body.life:
            self._pool.apply(replicate.task_id, m.Uploaded(self._body.wallet, "/ipfs/result"))
            self._body.came(life, about(replicate, What.UPLOADED))

    def _seen(self, replicate: Replicate) -> Happened:
        task = self._hub.tasks.get(replicate.task_id)
        if task is None:
            return about(replicate, What.SEEN_OVER)
        vote = task.votes.get(self._body.wallet)
        status = ContributionStatus.UNSET if vote is None else vote.status
        agrees = vote is not None and vote.result_hash == task.consensus
        return about(replicate, core.seen(task.status, status, agrees=agrees))


def digest_of(task_id: str, by: str) -> str:
    """What a run of the task yields: the same for all, but for those that are wrong by themselves."""
    return task_id if not by else f"0x{(int(task_id, 16) ^ (int(by, 16) << 8)):064x}"
