"""`pew status`: node, hub and pool at a glance."""

from __future__ import annotations

from typing import Any

import click

from poco.errors import PewError
from sdk.cli_common import Settings, json_option, table


@click.command()
@json_option
@click.pass_obj
def status(settings: Settings) -> None:
    """Whether chain and scheduler answer, and how the pool's workers are.

    \b
    Examples:
      pew status
      pew --scheduler http://127.0.0.1:18300 status --json
    """
    client = settings.client()
    block, _, instant = client.chain.block()
    data: dict[str, Any] = {
        "chain": {
            "rpc": settings.rpc,
            "chain_id": client.chain.deployment.chain_id,
            "block": block,
            "time": instant,
            "hub": client.chain.deployment.hub,
        }
    }
    lines = [f"chain      {settings.rpc}, id {client.chain.deployment.chain_id}, block {block}"]
    lines.append(f"hub        {client.chain.deployment.hub}")
    if settings.scheduler:
        pool = client.service.get("/status")
        if not isinstance(pool, dict):
            raise PewError(f"{settings.scheduler} is no scheduler", hint="check the address")
        data["pool"] = pool
        lines += [f"scheduler  {settings.scheduler}", *_workers(pool)]
    settings.show(data, lines)


def _workers(pool: dict[str, Any]) -> list[str]:
    workers = pool.get("workers")
    rows = [["worker", "platforms", "presence", "charge", "harvested", "consumed"]]
    for worker in workers if isinstance(workers, list) else []:
        energy = worker.get("energy") or {}
        rows.append(
            [
                str(worker.get("name", "")),
                ",".join(map(str, worker.get("platforms") or [])),
                str(worker.get("presence", "")),
                _number(energy.get("soc"), 100, "%"),
                _number(energy.get("harvested_wh"), 1, "Wh"),
                _number(energy.get("consumed_wh"), 1, "Wh"),
            ]
        )
    return table(rows) or ["no workers"]


def _number(value: Any, factor: float, unit: str) -> str:
    return f"{value * factor:.1f} {unit}" if isinstance(value, int | float) else "?"
