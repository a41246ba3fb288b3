"""`pew run`, `pew task` and `pew deal`."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from poco.amounts import show
from poco.errors import BadInputError, PewError
from poco.params import DealParams, Needs
from poco.tags import GPU, GREEN, union
from sdk.cli_common import ADDRESS, AMOUNT, CATEGORY, ID, Settings, json_option, table
from sdk.progress import Progress

if TYPE_CHECKING:
    from chain.model import Deal, Task
    from sdk.client import Client
    from sdk.preflight import Preflight
    from sdk.results import Result
    from sdk.watch import Ending


class ErrorResultError(PewError):
    """The workers agreed that the task cannot be run."""


@click.command()
@click.argument("app", type=ADDRESS)
@click.option("--args", "arguments", default="", help="The program's command line.")
@click.option("--dataset", type=ADDRESS, help="Data to work on.")
@click.option("--input-file", "input_files", multiple=True, help="URL of a file to fetch into /iexec_in; repeatable.")
@click.option("--pool", type=ADDRESS, help="Only this pool; by default the cheapest of the book.")
@click.option("--category", type=CATEGORY, default="XS", show_default=True, help="XS, S, M, L or XL.")
@click.option("--trust", type=click.IntRange(1), default=1, show_default=True, help="At most 1 in N results is wrong.")
@click.option("--volume", type=click.IntRange(1, 1000), default=1, show_default=True, help="Number of tasks.")
@click.option("--memory-mb", type=click.IntRange(0), default=0, help="Only by workers that give a task so much memory.")
@click.option("--disk-mb", type=click.IntRange(0), default=0, help="Only by workers with so much free disk.")
@click.option("--cpus", type=click.IntRange(0), default=0, help="Only by workers with so many processors for a task.")
@click.option("--gpu", is_flag=True, help="Only by workers with a GPU.")
@click.option("--green", is_flag=True, help="Only by workers whose energy ledger is net positive.")
@click.option("--max-price", type=AMOUNT, help="The most that all of it may cost.")
@click.option("--output", type=click.Path(path_type=Path), help="Folder for the result.  [default: results/<task>]")
@click.option("--dry-run", is_flag=True, help="Only check and show the cost.")
@click.option("--yes", is_flag=True, help="Do not ask before money moves.")
@click.option("--skip-preflight", is_flag=True, help="Match even where the checks see problems.")
@click.option("--detach", is_flag=True, help="Do not wait for the result.")
@json_option
@click.pass_obj
def run(settings: Settings, /, **options: Any) -> None:
    """Run APP: best orders of the book, checks, match, watch, download, verify.

    \b
    Examples:
      pew run 0xA..pp --dataset 0xD..ata --args "--threshold 30" --trust 4
      pew run 0xA..pp --input-file https://example.org/a.avi --dry-run
      pew --json run 0xA..pp --yes
    """
    from sdk.client import Wish

    progress = Progress(quiet=settings.json)
    client = settings.client(wallet=True)
    wish = Wish(
        app=options["app"],
        params=DealParams(
            options["arguments"],
            options["input_files"],
            Needs(options["memory_mb"], options["disk_mb"], options["cpus"]),
        ),
        dataset=options["dataset"],
        workerpool=options["pool"],
        category=options["category"],
        trust=options["trust"],
        volume=options["volume"],
        tag=union(bit for bit, asked in ((GREEN, options["green"]), (GPU, options["gpu"])) if asked),
    )
    orders = client.best_orders(wish)
    checked = client.preflight(orders)
    _show_cost(progress, checked)
    if not options["skip_preflight"]:
        checked.require()
    _check_price(checked, options["max_price"])
    if options["dry_run"]:
        settings.show({"cost": checked.cost.as_json(), "escrow_nrlc": checked.escrow}, ["nothing was sent (--dry-run)"])
        return
    if not options["yes"]:
        _confirm(checked)
    made = client.match(orders)
    progress.say(f"deal {made.deal_id}")
    data: dict[str, Any] = {"deal": made.deal_id, "tasks": list(made.task_ids), "cost": checked.cost.as_json()}
    if options["detach"]:
        settings.show(data, [f"task {task}" for task in made.task_ids])
        return
    folder = options["output"] or Path("results")
    alone = options["output"] is not None and len(made.task_ids) == 1
    outcomes = []
    for task_id in made.task_ids:
        _watch(client, task_id, made.deal_id, progress)
        outcomes.append(client.download(task_id, folder if alone else folder / task_id))
    data["results"] = [_result_json(outcome) for outcome in outcomes]
    settings.show(data, [line for outcome in outcomes for line in _result_lines(outcome)])
    _require_real(outcomes)


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
def watch_task(settings: Settings, task_id: str, deal: str | None, timeout: float | None) -> None:
    """Follow a task to its end. Ctrl-C stops the watching, not the task."""
    found = _watch(settings.client(), task_id, deal, Progress(quiet=settings.json), timeout)
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
    settings.show(_result_json(outcome), _result_lines(outcome))
    _require_real([outcome])


@task.command("claim")
@click.argument("task_id", metavar="TASK", type=ID)
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
    """


@deal.command("show")
@click.argument("deal_id", metavar="DEAL", type=ID)
@json_option
@click.pass_obj
def show_deal(settings: Settings, deal_id: str) -> None:
    """What the chain says of a deal and its tasks."""
    from poco.ids import task_id

    chain = settings.chain()
    found = chain.deal(deal_id)
    tasks = [task_id(found.id, found.bot_first + n) for n in range(found.bot_size)]
    states = [chain.task(one).status.name for one in tasks]
    data = {**asdict(found), "tasks": [{"id": t, "status": s} for t, s in zip(tasks, states, strict=True)]}
    settings.show(data, _deal_lines(found, tasks, states))


@deal.command("claim")
@click.argument("deal_id", metavar="DEAL", type=ID)
@click.argument("index", type=click.IntRange(0))
@json_option
@click.pass_obj
def claim_of_deal(settings: Settings, deal_id: str, index: int) -> None:
    """Take the money of task INDEX back that the pool never started."""
    receipt = settings.client(wallet=True).claim_unstarted(deal_id, index)
    settings.show(
        {"tx": receipt.tx_hash, "deal": deal_id, "index": index}, ["claimed: the money is back in the escrow"]
    )


def _watch(client: Client, task_id: str, deal_id: str | None, progress: Progress, timeout: float | None = None) -> Task:
    from sdk.watch import Watcher, locate, watch

    found, block = locate(client.chain, task_id, deal_id)
    watcher = Watcher(client.chain, found, task_id, block, client.optional_service)
    with progress.waiting(f"task {task_id[:10]}.."):
        ending, end = watch(watcher, lambda news: progress.tell(news, {}), timeout=timeout)
    _require_completed(ending, end)
    return end


def _require_completed(ending: Ending, end: Task) -> None:
    from sdk.watch import Ending

    if ending is Ending.FAILED:
        raise PewError(
            f"task {end.id} failed: it was claimed after its deadline", hint="the money is back; run it again"
        )
    if ending is Ending.TIMED_OUT:
        raise PewError(
            f"task {end.id} was not finished by its final deadline",
            hint=f"take the money back: pew task claim {end.id}",
            code="TIMED_OUT",
        )


def _require_real(outcomes: list[Result]) -> None:
    """Exit 1 with words for an error result."""
    from sdk.explain import explain

    causes = dict.fromkeys(outcome.error for outcome in outcomes if outcome.error is not None)
    if causes:
        said = [explain(cause) for cause in causes]
        raise ErrorResultError(
            "; ".join(f"{what} ({cause.value})" for cause, (what, _) in zip(causes, said, strict=True)),
            hint="; ".join(way for _, way in said),
            code="ERROR_RESULT",
        )


def _show_cost(progress: Progress, checked: Preflight) -> None:
    cost = checked.cost
    parts = [
        f"app {show(cost.app)}",
        f"pool {show(cost.pool)}",
        *([f"data {show(cost.dataset)}"] if cost.dataset else []),
    ]
    times = f" x {cost.volume}" if cost.volume > 1 else ""
    progress.say(f"cost: {' + '.join(parts)}{times} = {show(cost.total)}; {show(checked.escrow)} in the escrow")
    for unknown in checked.unknown:
        progress.say(f"not checked: {unknown}")


def _check_price(checked: Preflight, limit: int | None) -> None:
    if limit is not None and checked.cost.total > limit:
        raise BadInputError(
            f"it costs {show(checked.cost.total)}, more than --max-price {show(limit)}",
            hint="raise the limit, or wait for cheaper orders",
        )


def _confirm(checked: Preflight) -> None:
    if not sys.stdin.isatty():
        raise BadInputError(f"this would spend {show(checked.cost.total)}", hint="say --yes to agree")
    click.confirm(f"Spend {show(checked.cost.total)}?", abort=True, err=True)


def _task_json(found: Task) -> dict[str, Any]:
    return {**asdict(found), "status": found.status.name, "results": found.results.decode("utf-8", "replace")}


def _result_json(outcome: Result) -> dict[str, Any]:
    return {
        "task": outcome.task_id,
        "digest": outcome.digest,
        "cid": outcome.cid,
        "zip": str(outcome.zip_path),
        "folder": str(outcome.folder) if outcome.folder else None,
        "files": list(outcome.files),
        "error": outcome.error.value if outcome.error else None,
    }


def _result_lines(outcome: Result) -> list[str]:
    lines = [f"result in {outcome.folder or outcome.zip_path}, verified: digest {outcome.digest}"]
    return [*lines, *(f"  {name}" for name in outcome.files)]


def _deal_lines(found: Deal, tasks: list[str], states: list[str]) -> list[str]:
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
