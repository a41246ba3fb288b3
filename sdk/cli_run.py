"""`pew run`: from an app and files to results."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from poco.amounts import show
from poco.errors import BadInputError
from poco.params import DealParams, Needs
from poco.tags import GPU, GREEN, union
from sdk.cli_common import ADDRESS, AMOUNT, CATEGORY, Settings, json_option
from sdk.cli_results import require_real, result_json, result_lines, watch_task
from sdk.progress import Progress

if TYPE_CHECKING:
    from sdk.client import Client, Wish
    from sdk.finder import Found, Unregistered
    from sdk.preflight import Orders, Preflight


@dataclass(frozen=True, slots=True)
class Job:
    """One call of `pew run`."""

    settings: Settings
    client: Client
    progress: Progress
    options: dict[str, Any]


@click.command()
@click.argument("app")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
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
@click.option("--registry", envvar="PEW_REGISTRY", default="127.0.0.1:5000", help="For a dapp that is deployed first.")
@click.option("--output", type=click.Path(path_type=Path), help="Folder for the results.  [default: results/...]")
@click.option("--open", "show_picture", is_flag=True, help="Open the first picture of the result on the desktop.")
@click.option("--retry-failed", is_flag=True, help="Of a run over files: pay for the failed ones again.")
@click.option("--dry-run", is_flag=True, help="Only check and show the cost, in RLC and gas.")
@click.option("--yes", is_flag=True, help="Do not ask before money moves.")
@click.option("--skip-preflight", is_flag=True, help="Match even where the checks see problems.")
@click.option("--detach", is_flag=True, help="Do not wait for the result.")
@json_option
@click.pass_obj
def run(settings: Settings, /, **options: Any) -> None:
    """Run APP, on FILES where some are named: best orders of the book, checks, match, watch, download, verify.

    APP is an address, or a name: in a checkout that of a dapp, which is deployed where it is not yet, elsewhere one
    that the order book offers. FILES are files or folders of them; each is sent to the pool's scheduler, where whoever
    knows its hash can read it, and has a task and a result folder of its own. After Ctrl-C the same command goes on;
    nothing is paid twice.

    \b
    Examples:
      pew run motion-detection video.avi
      pew run motion-detection footage/ --args "--sensitivity 60" --dry-run
      pew run 0xA..pp --dataset 0xD..ata --args "--threshold 30" --trust 4
      pew --json run 0xA..pp --input-file https://example.org/a.avi --yes
    """
    if options["files"] and (options["input_files"] or options["dataset"] or options["volume"] > 1):
        raise BadInputError(
            "each file is the input of one task: --input-file, --dataset and --volume do not go with files",
            hint="name either",
        )
    client, progress = settings.client(wallet=True, ask=False), Progress(quiet=settings.json)
    job = Job(settings, client, progress, options)
    found = _app(job)
    progress.say(f"app {found.app}, {found.how}")
    if options["files"]:
        from sdk.cli_files import run_files

        run_files(job, found)
        return
    orders = client.best_orders(wish(found, options), found.own)
    checked = client.preflight(orders)
    agree(job, orders, checked)
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
        watch_task(client, task_id, made.deal_id, progress)
        outcomes.append(client.download(task_id, folder if alone else folder / task_id))
    data["results"] = [result_json(outcome) for outcome in outcomes]
    settings.show(data, [line for outcome in outcomes for line in result_lines(outcome)])
    require_real(outcomes)
    if options["show_picture"]:
        open_picture([o.folder / name for o in outcomes if o.folder for name in o.files], progress)


def _app(job: Job) -> Found:
    """The app, deployed where it is not yet: that costs gas, which is agreed to first."""
    from sdk.cli_system import checkout
    from sdk.finder import Found, deploy, find

    client, progress, options = job.client, job.progress, job.options
    root, host = checkout(Path.cwd()), options["registry"]
    with progress.waiting(f"looking for {options['app']}"):
        found = find(client, options["app"], root, host, progress.say)
    if isinstance(found, Found):
        return found
    what = f"{found.name} is not on chain yet: it would be pushed to {host} and registered as this wallet's app"
    progress.say(f"{what}, {found.registration.words()}")
    if options["dry_run"]:
        _price_unregistered(job, found)
    if not options["yes"]:
        if not sys.stdin.isatty():
            raise BadInputError("registering an app costs gas", hint="say --yes to agree")
        click.confirm("Push and register it?", abort=True, err=True)
    return deploy(client, found, host, progress.say)


def _price_unregistered(job: Job, dapp: Unregistered) -> None:
    """The end of a dry run of what is not on chain: the checks of a match are for later, the price is not."""
    from poco.orders import AppOrder
    from sdk.finder import Found
    from sdk.inputs import collect

    tasks = len(collect(job.options["files"])) if job.options["files"] else job.options["volume"]
    asked = wish(Found(dapp.app, dapp.name, ""), job.options)
    offer = job.client.best_orders(asked, AppOrder(dapp.app, 0, volume=tasks)).pool
    total = offer.workerpoolprice * tasks
    job.progress.say(f"cost: pool {show(offer.workerpoolprice)} x {tasks} = {show(total)}, and the gas of each deal")
    data = {"registration": dapp.registration.as_json(), "tasks": tasks, "total_nrlc": total}
    job.settings.show(data, ["nothing was sent (--dry-run)"])
    raise click.exceptions.Exit(0)


def wish(found: Found, options: dict[str, Any], urls: tuple[str, ...] = ()) -> Wish:
    """What the options ask for."""
    from sdk.client import Wish

    needs = Needs(options["memory_mb"], options["disk_mb"], options["cpus"])
    return Wish(
        app=found.app,
        params=DealParams(options["arguments"], urls or options["input_files"], needs),
        dataset=options["dataset"],
        workerpool=options["pool"],
        category=options["category"],
        trust=options["trust"],
        volume=options["volume"],
        tag=union(bit for bit, asked in ((GREEN, options["green"]), (GPU, options["gpu"])) if asked),
    )


def agree(job: Job, orders: Orders, checked: Preflight, deals: int = 1) -> None:
    """Show what it costs in RLC and gas; end with --dry-run, else ask unless --yes was said.

    Raises:
        BadInputError: the checks found something, it costs more than --max-price, or nobody can be asked.
    """
    options, progress = job.options, job.progress
    cost, total = checked.cost, checked.cost.total * deals
    parts = [f"app {show(cost.app)}", f"pool {show(cost.pool)}"]
    parts += [f"data {show(cost.dataset)}"] if cost.dataset else []
    times = f" x {cost.volume * deals}" if cost.volume * deals > 1 else ""
    progress.say(f"cost: {' + '.join(parts)}{times} = {show(total)}; {show(checked.escrow)} in the escrow")
    for unknown in checked.unknown:
        progress.say(f"not checked: {unknown}")
    if not options["skip_preflight"]:
        checked.require()
    if checked.escrow < total:
        raise BadInputError(
            f"{show(total)} are needed for {deals} deals, {show(checked.escrow)} are in the escrow",
            hint=f"deposit at least {show(total - checked.escrow)}: pew account deposit",
        )
    limit = options["max_price"]
    if limit is not None and total > limit:
        raise BadInputError(
            f"it costs {show(total)}, more than --max-price {show(limit)}",
            hint="raise the limit, or wait for cheaper orders",
        )
    gas = job.client.quote_match(orders)
    progress.say(f"gas{f' of each of {deals} deals' if deals > 1 else ''}: {gas.words()}")
    if options["dry_run"]:
        data = {"cost": cost.as_json(), "deals": deals, "total_nrlc": total, "escrow_nrlc": checked.escrow}
        job.settings.show({**data, "gas": gas.as_json()}, ["nothing was sent (--dry-run)"])
        raise click.exceptions.Exit(0)
    if options["yes"]:
        return
    if not sys.stdin.isatty():
        raise BadInputError(f"this would spend {show(total)}", hint="say --yes to agree")
    click.confirm(f"Spend {show(total)}?", abort=True, err=True)


def open_picture(files: list[Path], progress: Progress) -> None:
    """Show the first picture with the desktop's own program; says so where there is none."""
    pictures = sorted(path for path in files if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not pictures:
        progress.say("there is no picture in the result")
    elif click.launch(str(pictures[0])):
        progress.say(f"nothing here opens pictures; it is {pictures[0]}")
