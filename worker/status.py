"""What the journal knows, for people and programs: `python -m worker status`."""

from __future__ import annotations

from typing import Any

from worker.config import WorkerConfig
from worker.journal import Journal


def read(config: WorkerConfig) -> dict[str, Any]:
    """Energy totals, tasks and earnings of a worker, running or not.

    Raises:
        BadInputError: it has never been started.
    """
    journal = Journal(config.data_dir / "journal.db", read_only=True)
    try:
        earnings = journal.earnings()
        return {
            "name": config.name,
            "wallet": journal.note("owner.wallet"),
            "workerpool": config.workerpool,
            "platform": config.platform,
            "energy": journal.energy_snapshot("summary"),
            "earnings": {**earnings, "gas_wei": journal.gas_wei()},
            "tasks": [_told(task) for task in journal.tasks()],
            **_sensors(config),
        }
    finally:
        journal.close()


def _told(task: dict[str, Any]) -> dict[str, Any]:
    """A task with what it was taken for: nRLC of reward, of gas, and what that leaves."""
    facts = task.pop("facts")
    if facts is None:
        return {**task, "expected": None}
    reward, gas = facts["reward_nrlc"], facts["gas_nrlc"]
    return {**task, "expected": {"reward_nrlc": reward, "gas_nrlc": gas, "net_nrlc": reward - gas}}


def _sensors(config: WorkerConfig) -> dict[str, Any]:
    if config.sensors is None:
        return {}
    from worker.sensors.export import summary  # only devices with sensors need what it imports

    return {"sensors": summary(config.data_dir)}
