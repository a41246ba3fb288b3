"""`pew run APP FILES`: a deal for each file, all followed at once, results in a folder for each."""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from poco.errors import PewError
from sdk import bag as bags
from sdk import inputs
from sdk.bag import Bag, Entry
from sdk.cli_run import Job, agree, open_picture, wish
from sdk.explain import explain
from sdk.watch import Ending, Watcher

if TYPE_CHECKING:
    from sdk.client import Client, Matched
    from sdk.finder import Found
    from sdk.inputs import Input
    from sdk.progress import Progress

POLL_SECONDS = 0.5
#: What makes a run the same run when it is called again.
_TERMS = ("arguments", "pool", "category", "trust", "memory_mb", "disk_mb", "cpus", "gpu", "green")


def run_files(job: Job, found: Found) -> None:
    """All of it; a PewError where files failed, after the others' results are there."""
    client, options = job.client, job.options
    given = inputs.collect(options["files"])
    inputs.require_size(client.service, given)
    where = client.chain.deployment
    terms = {"chain": where.chain_id, "hub": where.hub, "wallet": client.wallet.address, "app": found.app}
    bag = Bag(
        options["output"] or Path("results") / (found.name or found.app),
        {**terms, **{name: options[name] for name in _TERMS}},
    )
    bag.load(given, again=options["retry_failed"])
    mine = {one.name: one for one in given}
    if options["dry_run"]:
        _begin(job, found, bag, mine)
    else:
        with bag.alone():
            deals = _begin(job, found, bag, mine)
            if not options["detach"]:
                _follow(client, bag, deals, job.progress)
    _report(job, bag, list(mine))


def _begin(job: Job, found: Found, bag: Bag, mine: dict[str, Input]) -> dict[str, Matched]:
    """Make the deals that are not made yet, each after its file was sent; all that are open, by name."""
    client, options, progress = job.client, job.options, job.progress
    deals: dict[str, Matched] = {}
    for name in mine:
        entry = bag.entries[name]
        if entry.state or (deal := bags.made(client, entry)) is None:
            continue
        deals[name] = deal
        if not entry.deal and not options["dry_run"]:
            bag.put(entry, deal=deal.deal_id, task=deal.task_ids[0])
    waiting = [name for name in mine if name not in deals and not bag.entries[name].state]
    if deals or len(waiting) < len(mine):
        progress.say(f"goes on: {len(mine) - len(waiting)} of {len(mine)} files were begun before")
    price = 0
    for number, name in enumerate(waiting):
        asked = wish(found, options, (mine[name].url(client.service),))
        entry = bag.entries[name]
        orders = bags.order(client, entry, asked, found.own)
        checked = client.preflight(orders)
        if number == 0:
            agree(job, orders, checked, len(waiting))
            price = checked.cost.total
        elif checked.cost.total > price:
            raise PewError(
                f"the price rose before {name} was ordered", hint="call it again to see and agree to the new one"
            )
        elif not options["skip_preflight"]:
            checked.require()
        inputs.publish(client.service, client.wallet, client.chain.deployment.chain_id, mine[name])
        _, deal = bags.match(client, bag, entry, orders)
        deals[name] = deal
        progress.say(f"{name}: {mine[name].size / 1e6:.1f} MB sent, deal {deal.deal_id[:18]}..")
    return deals


def _follow(client: Client, bag: Bag, deals: dict[str, Matched], progress: Progress) -> None:
    """Watch all tasks at once; fetch each result when it is there."""
    watchers = {
        name: Watcher(client.chain, client.chain.deal(deal.deal_id), deal.task_ids[0], deal.block, client.service)
        for name, deal in deals.items()
    }
    several = len(watchers) > 1
    with progress.waiting(f"{len(watchers)} tasks" if several else "the task"):
        while watchers:
            now = time.time()
            for name, watcher in list(watchers.items()):
                task = watcher.task()
                ending = watcher.ending(task, now)
                for news in watcher.news(now):
                    progress.tell(news, {}, f"{name}: " if several else "")
                if ending is not None:
                    del watchers[name]
                    _end(client, bag, bag.entries[name], ending)
            if watchers:
                time.sleep(POLL_SECONDS)


def _end(client: Client, bag: Bag, entry: Entry, ending: Ending) -> None:
    if ending is Ending.COMPLETED:
        folder = bag.where(entry)
        if (folder / "result.zip").exists():  # a download whose end was not written down
            _discard(folder)
        result = client.download(entry.task, folder)
        if result.error is None:
            bag.put(entry, state="DONE", files=result.files)
        else:
            bag.put(entry, state="FAILED", why=f"{explain(result.error)[0]} ({result.error.value})")
    elif ending is Ending.FAILED:
        bag.put(entry, state="FAILED", why="claimed after its deadline: the money is back")
    else:
        why = f"not finished by its final deadline; the money comes back: pew task claim {entry.task}"
        bag.put(entry, state="FAILED", why=why)


def _discard(folder: Path) -> None:
    (folder / "result.zip").unlink()
    shutil.rmtree(folder / "iexec_out", ignore_errors=True)


def _report(job: Job, bag: Bag, names: list[str]) -> None:
    entries = [bag.entries[name] for name in names]
    lines, pictures = [], []
    for entry in entries:
        folder = bag.where(entry) / "iexec_out"
        if entry.state == "DONE":
            lines.append(f"{entry.name}  {folder}, verified")
            lines += [f"  {name}" for name in entry.files]
            pictures += [folder / name for name in entry.files]
        else:
            lines.append(f"{entry.name}  " + (f"FAILED: {entry.why}" if entry.state else f"task {entry.task}"))
    known = ("name", "cid", "deal", "task", "state", "why", "files")
    shown = [{**{k: v for k, v in asdict(e).items() if k in known}, "folder": str(bag.where(e))} for e in entries]
    job.settings.show({"output": str(bag.folder), "files": shown}, lines)
    failed = [entry for entry in entries if entry.state == "FAILED"]
    if job.options["show_picture"] and pictures:
        open_picture(pictures, job.progress)
    if failed:
        raise PewError(
            f"{len(failed)} of {len(entries)} files failed: {'; '.join(f'{e.name}: {e.why}' for e in failed)}"[:2000],
            hint="the same command with --retry-failed pays for them again",
            code="FILES_FAILED",
        )
