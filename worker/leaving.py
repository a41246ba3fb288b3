"""What a worker that is stopped, or has no energy left, still brings to an end, and what it gives back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from poco import consensus
from worker.core import Facts, Replicate, Stance
from worker.journal import Journal
from worker.table import SLOT_STAGES, UNSTAKED, Stage


@dataclass(frozen=True, slots=True)
class Leaving:
    """Judges by how long the app took here the last time, or else by its category."""

    journal: Journal
    drain_seconds: float

    def seconds_left(self, replicate: Replicate, began: Mapping[str, float], now: float) -> float:
        """Seconds that a task's program may still compute; infinite before its data is there."""
        if replicate.facts is None or replicate.stage not in (Stage.RUNNING, Stage.PROVING):
            return float("inf")
        if replicate.stage is Stage.PROVING:
            return 0.0
        last = self.journal.expected_seconds(replicate.facts.app)
        expected = float(replicate.facts.run_seconds) if last is None else last
        return max(0.0, expected - (now - began.get(replicate.task_id, now)))

    def given_back(
        self, replicates: Iterable[Replicate], stance: Stance, began: Mapping[str, float], now: float
    ) -> frozenset[str]:
        """Tasks that a stopped worker does not finish.

        Those without a stake that take longer than `drain_seconds`, are paused for lack of energy, or would leave a
        stake behind that waits for others (a trust that one worker alone cannot satisfy).
        """
        return frozenset(
            r.task_id
            for r in replicates
            if r.stage in SLOT_STAGES
            and (
                not _alone(r.facts)
                or (stance.halted and r.stage is Stage.RUNNING)
                or self.seconds_left(r, began, now) > self.drain_seconds
            )
        )

    def hopeless(
        self, replicates: Iterable[Replicate], stance: Stance, began: Mapping[str, float], now: float
    ) -> frozenset[str]:
        """Paused tasks that will be too late when there is energy again: somebody else should have them at once."""
        if not stance.halted:
            return frozenset()
        resume = max(now, stance.resume_at or now)
        return frozenset(
            r.task_id
            for r in replicates
            if r.stage is Stage.RUNNING
            and r.facts is not None
            and resume + self.seconds_left(r, began, now) > r.facts.contribution_deadline
        )


def _alone(facts: Facts | None) -> bool:
    return facts is not None and facts.trust > 0 and consensus.workers_needed(facts.trust) == 1


def without_stake(replicates: Iterable[Replicate]) -> frozenset[str]:
    """Tasks that can still be given back."""
    return frozenset(r.task_id for r in replicates if r.stage in UNSTAKED)
