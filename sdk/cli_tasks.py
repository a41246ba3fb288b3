"""`pew task` and `pew deal`."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from poco.amounts import show
from poco.errors import PewError
from sdk.cli_common import ID, Settings, json_option, sends, table
from sdk.cli_results import require_real, result_json, result_lines, watch_task
from sdk.progress import Progress

if TYPE_CHECKING:
    from chain.model import Deal, Task


@click.group()
def task() -> None:
    """Tasks on chain and their results.

    \b
    Examples:
      pew task show 0x...
      pew task watch 0x...
      pew task logs 0x... --follow
      pew task download 0x... --output result
    """


@task.command("show")
@click.argument("task_id", metavar="TASK", type=ID)
@json_option
@click.pass_obj
def show_task(settings: Settings, task_id: str) -> None:
    """What the chain says of a task; with a scheduler also what its workers do."""
    from sdk.service import ServiceError
    from sdk.watch import replicates_of

    client = settings.client()
    found = client.chain.task(task_id)
    deal = client.deal_of(found)
    data = _task_json(found)
    lines = [
        f"task {found.id}  {found.status.name}",
        f"  deal           {found.deal_id}, task {found.index}, trust {deal.trust}",
        f"  contributors   {', '.join(found.contributors) or 'none yet'}",
        f"  final deadline {_instant(found.final_deadline)}",
    ]
    if int(found.digest, 16):
        lines.append(f"  digest         {found.digest}")
    if settings.scheduler:
        try:
            replicates = replicates_of(client.service, task_id)
        except ServiceError as error:
            replicates = []
            lines.append(f"  (no news from the workers: {error.message})")
        data["replicates"] = [asdict(replicate) for replicate in replicates]
        for replicate in replicates:
            code = f", exit code {replicate.exit_code}" if replicate.exit_code is not None else ""
            reason = f" ({replicate.reason})" if replicate.reason else ""
            lines.append(f"  {replicate.worker}  {replicate.status}{code}{reason}")
    settings.show(data, lines)


@task.command("watch")
@click.argument("task_id", metavar="TASK", type=ID)
@click.option("--deal", type=ID, help="Its deal, for a task that was not started yet.")
@click.option("--timeout", type=click.FloatRange(0), help="Seconds to wait at most.")
@json_option
@click.pass_obj
def watch_one(settings: Settings, task_id: str, deal: str | None, timeout: float | None) -> None:
    """Follow a task to its end. Ctrl-C stops the watching, not the task."""
    found = watch_task(settings.client(), task_id, deal, Progress(quiet=settings.json), timeout)
    settings.show(_task_json(found), [f"task {found.id}  {found.status.name}"])


@task.command("logs")
@click.argument("task_id", metavar="TASK", type=ID)
@click.option("--follow", is_flag=True, help="Go on until its programs have ended.")
@json_option
@click.pass_obj
def task_logs(settings: Settings, task_id: str, follow: bool) -> None:
    """What a task's programs wrote, for its requester; with --follow as they write it.

    What they wrote to stdout comes on stdout, the rest on stderr. With --json one object for each piece.
    """
    logs = settings.client(wallet=True).logs(task_id)
    last = ""
    for piece in logs.follow() if follow else logs.read():
        settings.shown = True
        if settings.json:
            click.echo(json.dumps(asdict(piece)))
            continue
        if piece.worker != last and (piece.stdout or piece.stderr):
            click.echo(f"--- {piece.worker}", err=True)
            last = piece.worker
        for text, left_out, err in (
            (piece.stdout, piece.stdout_left_out, False),
            (piece.stderr, piece.stderr_left_out, True),
        ):
            if left_out:
                click.echo(f"({left_out} characters before this are not kept)", err=True)
            click.echo(text, nl=False, err=err)
    if not settings.shown:
        raise PewError(
            f"there are no logs of task {task_id}",
            hint="they come while it runs, and are kept for some days after its final deadline",
            code="NO_LOGS",
        )


@task.command("download")
@click.argument("task_id", metavar="TASK", type=ID)
@click.option("--output", type=click.Path(path_type=Path), help="Folder for the result.  [default: results/<task>]")
@json_option
@click.pass_obj
def download_task(settings: Settings, task_id: str, output: Path | None) -> None:
    """Fetch a result, check it against the chain and unpack it."""
    outcome = settings.client().download(task_id, output or Path("results") / task_id)
    settings.show(result_json(outcome), result_lines(outcome))
    require_real([outcome])


@task.command("claim")
@click.argument("task_id", metavar="TASK", type=ID)
@sends
@json_option
@click.pass_obj
def claim_task(settings: Settings, task_id: str) -> None:
    """Take the money of a task back that was not finished by its final deadline."""
    client = settings.client(wallet=True)
    receipt = client.claim(task_id)
    settings.show({"tx": receipt.tx_hash, "task": task_id}, [f"claimed {task_id}: the money is back in the escrow"])


@click.group()
def deal() -> None:
    """Deals: orders that were matched.

    \b
    Examples:
      pew deal show 0x...
      pew deal tasks 0x... --json
      pew deal claim 0x... 0
    """


@deal.command("show")
@click.argument("deal_id", metavar="DEAL", type=ID)
@json_option
@click.pass_obj
def show_deal(settings: Settings, deal_id: str) -> None:
    """What the chain says of a deal and its tasks."""
    chain = settings.chain()
    found = chain.deal(deal_id)
    tasks = found.task_ids
    states = [chain.task(one).status.name for one in tasks]
    data = {**asdict(found), "tasks": [{"id": t, "status": s} for t, s in zip(tasks, states, strict=True)]}
    settings.show(data, _deal_lines(found, tasks, states))


@deal.command("tasks")
@click.argument("deal_id", metavar="DEAL", type=ID)
@json_option
@click.pass_obj
def tasks_of_deal(settings: Settings, deal_id: str) -> None:
    """The tasks of a deal: state, workers that contributed, last deadline."""
    chain = settings.chain()
    found = chain.deal(deal_id)
    tasks = [chain.task(one) for one in found.task_ids]
    rows = [["index", "task", "state", "contributed", "until"]]
    for n, one in enumerate(tasks):
        contributed, until = str(len(one.contributors)), _instant(one.final_deadline)
        rows.append([str(found.bot_first + n), one.id, one.status.name, contributed, until])
    settings.show([_task_json(one) for one in tasks], table(rows))


@deal.command("claim")
@click.argument("deal_id", metavar="DEAL", type=ID)
@click.argument("index", type=click.IntRange(0))
@sends
@json_option
@click.pass_obj
def claim_of_deal(settings: Settings, deal_id: str, index: int) -> None:
    """Take the money of task INDEX back that the pool never started."""
    receipt = settings.client(wallet=True).claim_unstarted(deal_id, index)
    settings.show(
        {"tx": receipt.tx_hash, "deal": deal_id, "index": index}, ["claimed: the money is back in the escrow"]
    )


def _task_json(found: Task) -> dict[str, Any]:
    return {**asdict(found), "status": found.status.name, "results": found.results.decode("utf-8", "replace")}


def _deal_lines(found: Deal, tasks: tuple[str, ...], states: list[str]) -> list[str]:
    prices = [["", "address", "price"], ["app", found.app.pointer, show(found.app.price)]]
    if found.has_dataset:
        prices.append(["dataset", found.dataset.pointer, show(found.dataset.price)])
    prices.append(["pool", found.workerpool.pointer, show(found.workerpool.price)])
    head = f"deal {found.id}  since {_instant(found.start)}, trust {found.trust}, category {found.category}"
    return [
        head,
        f"requester {found.requester}",
        *table(prices),
        *(f"task {one}  {state}" for one, state in zip(tasks, states, strict=True)),
    ]


def _instant(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds)) if seconds else "not set yet"
