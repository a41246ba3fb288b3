"""What came out: counted while it happens, and put together at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from poco.states import ReplicateStatus as R
from poco.states import TaskStatus
from scheduler import model as m
from worker.energy.situation import Decision


@dataclass
class Figures:
    """Counted during a run. `hours`: a row for each simulated hour; `days`: one for each day."""

    ordered: int = 0
    finished: int = 0
    failed: int = 0
    latencies: list[float] = field(default_factory=list)
    causes: Counter[str] = field(default_factory=Counter)
    #: moves of tasks and replicates: (state before, event, state after)
    task_moves: set[tuple[str, str, str]] = field(default_factory=set)
    replicate_moves: set[tuple[str, str, str]] = field(default_factory=set)
    hours: list[dict[str, float]] = field(default_factory=list)
    days: list[dict[str, float]] = field(default_factory=list)

    def moved(self, before: m.Task, event: m.Event, after: m.Task) -> None:
        """A task has become another."""
        name = type(event).__name__
        if before.status is not after.status:
            self.task_moves.add((before.status.value, name, after.status.value))
        if before.replicates == after.replicates:
            return
        known = {r.worker: r for r in before.replicates}
        for r in after.replicates:
            old = known.get(r.worker)
            if old is None or old.status is not r.status:
                of_it = getattr(event, "worker", None) == r.worker
                said = f"reports {event.status.value}" if isinstance(event, m.Reported) and of_it else name
                state = "-" if old is None else old.status.value
                self.replicate_moves.add((state, said, r.status.value))
                if r.status in (R.DECLINED, R.FAILED, R.ABORTED, R.WORKER_LOST):
                    self.causes[f"{r.status.value} {r.cause.value}" if r.cause else r.status.value] += 1

    def over(self, task: m.Task, seconds: float) -> None:
        """A task came to its end that long after its order."""
        if task.status is TaskStatus.COMPLETED:
            self.finished += 1
            self.latencies.append(seconds)
        else:
            self.failed += 1


def quantile(values: Sequence[float], share: float) -> float | None:
    """The value below which that share lies; None for nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean, least, median, 90th percentile and most."""
    if not values:
        return {"mean": 0.0, "min": 0.0, "p50": 0.0, "p90": 0.0, "max": 0.0}
    p50, p90 = quantile(values, 0.5), quantile(values, 0.9)
    return {
        "mean": sum(values) / len(values),
        "min": min(values),
        "p50": p50 if p50 is not None else 0.0,
        "p90": p90 if p90 is not None else 0.0,
        "max": max(values),
    }


def rounded(value: Any) -> Any:
    """The same with floats to six digits, for people and for files that are compared."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(each) for each in value]
    return value


def kind_of(decision: Decision) -> str:
    """Why an offer was declined, in a word of its own for each ground of `worker.energy.gate`."""
    for words, kind in _KINDS:
        if words in decision.reason:
            return kind
    return decision.action.value


_KINDS = (
    ("does not pay", "does not pay"),
    ("past its contribution deadline", "too late"),
    ("until its reveal", "energy reserve"),
    ("its energy is worth", "energy price"),
    ("new work starts above", "battery low"),
    ("worth more than sensing", "rests"),
)
