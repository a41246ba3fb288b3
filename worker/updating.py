"""Whether a new version may be installed now, asked by the timer of `ansible-pull`: `python -m worker may-update`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from worker.config import WorkerConfig
from worker.energy import Action
from worker.journal import Journal

#: State of charge below which an update waits for more sun: to unpack and compile is some minutes of full load.
LOWEST_SOC = 0.4


@dataclass(frozen=True, slots=True)
class Answer:
    """`may`, and why in words."""

    may: bool
    why: str


def ask(config: WorkerConfig, lowest_soc: float = LOWEST_SOC) -> Answer:
    """What the gate's last decision, the battery and the tasks in hand say; a worker that never ran has none of them.

    Args:
        config: of the worker, running or not.
        lowest_soc: 0 to 1.
    """
    path = config.data_dir / "journal.db"
    if not path.exists():
        return Answer(True, "the worker has not been started yet")
    journal = Journal(path, read_only=True)
    try:
        tasks = len(journal.load(config.slots).replicates)
        return judge(tasks, journal.energy_snapshot("summary") or {}, lowest_soc)
    finally:
        journal.close()


def judge(tasks: int, energy: dict[str, Any], lowest_soc: float) -> Answer:
    """The rule alone.

    Args:
        tasks: that the worker has in hand.
        energy: a `poco.wire.Energy` as a dictionary; what is None or missing is unknown and says nothing.
        lowest_soc: 0 to 1.
    """
    if tasks:
        return Answer(False, f"{tasks} task{'s' if tasks > 1 else ''} in hand")
    decision = str(energy.get("decision") or "")
    if any(f"{action}:" in decision for action in (Action.PAUSE, Action.SLEEP)):
        return Answer(False, f"the energy gate says {decision}")
    soc = energy.get("soc")
    if soc is not None and soc < lowest_soc:
        return Answer(False, f"the battery is at {soc:.0%}, an update waits for {lowest_soc:.0%}")
    return Answer(True, decision or "nothing is known of the energy")
