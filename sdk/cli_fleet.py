"""`pew fleet`: the workers of a pool."""

from __future__ import annotations

import time
from typing import Any

import click

from poco.errors import PewError
from sdk import cli_fleet_commands, cli_fleet_login, cli_fleet_provision, cli_fleet_simulate
from sdk.cli_common import Settings, json_option, table


@click.group()
def fleet() -> None:
    """The workers of a pool, as its scheduler sees them.

    \b
    Examples:
      pew fleet status
      pew --scheduler http://127.0.0.1:8400 fleet status --json
    """


@fleet.command("status")
@json_option
@click.pass_obj
def status(settings: Settings) -> None:
    """Every worker with its presence, energy and tasks, and the pool's tasks by state."""
    from sdk.service import service_of

    service = service_of(settings.scheduler)
    pool = service.get("/status")
    if not isinstance(pool, dict) or not isinstance(pool.get("workers"), list):
        raise PewError(f"{service.url} is no scheduler", hint="check the address")
    tasks = pool.get("tasks") or {}
    counts = ", ".join(f"{count} {state}" for state, count in tasks.items() if count) or "none yet"
    head = [f"pool {pool.get('workerpool')} at {service.url}", f"tasks: {counts}"]
    settings.show(
        {name: pool.get(name) for name in ("workerpool", "time", "tasks", "workers", "chain", "money")},
        [*head, *_workers(pool["workers"], int(pool.get("time") or time.time()))],
    )


def _workers(workers: list[dict[str, Any]], now: int) -> list[str]:
    rows = [["worker", "platforms", "presence", "charge", "harvested", "consumed", "tasks", "why no work"]]
    for worker in workers:
        energy = worker.get("energy") or {}
        presence = str(worker.get("presence", ""))
        if presence == "ASLEEP" and isinstance(worker.get("resume_at"), int):
            presence += f" {max(worker['resume_at'] - now, 0) // 60} min more"
        running = worker.get("tasks") or []
        rows.append(
            [
                str(worker.get("name", "")),
                ",".join(map(str, worker.get("platforms") or [])),
                presence,
                _number(energy.get("soc"), 100, "%"),
                _number(energy.get("harvested_wh"), 1, "Wh"),
                _number(energy.get("consumed_wh"), 1, "Wh"),
                ", ".join(f"{str(t.get('task'))[:10]}.. {t.get('status')}" for t in running) or "-",
                str(worker.get("no_work_because") or ""),
            ]
        )
    return table(rows) or ["no workers"]


def _number(value: Any, factor: float, unit: str) -> str:
    return f"{value * factor:.1f} {unit}" if isinstance(value, int | float) else "?"


for _command in (*cli_fleet_provision.COMMANDS, *cli_fleet_commands.COMMANDS):
    fleet.add_command(_command)
fleet.add_command(cli_fleet_simulate.simulate)
fleet.add_command(cli_fleet_login.login)
