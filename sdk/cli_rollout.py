"""`pew rollout`: the contracts to a testnet, step by step, and what became of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from poco.errors import BadInputError
from sdk.cli_common import F, Settings, json_option, table

if TYPE_CHECKING:
    from sdk.rollout.engine import Rollout
    from sdk.rollout.network import Network


@click.group()
def rollout() -> None:
    """Bring the contracts to a network that others use, or attach to iExec's own.

    The network is a file of networks/ (by its name) or any other file (by its path). `apply` can be stopped at any
    moment, by whatever, and goes on where it was; nothing is deployed twice.

    \b
    Examples:
      pew rollout plan --network arbitrum-sepolia
      pew --wallet deployer.json --password-file pw rollout apply --network arbitrum-sepolia
      pew rollout status --network arbitrum-sepolia
      pew rollout verify --network arbitrum-sepolia --no-source
    """


def _common(command: F) -> F:
    for option in (
        click.option(
            "--build",
            "built",
            type=click.Path(path_type=Path),
            default=Path("build/contracts"),
            show_default=True,
            help="The compiled contracts.",
        ),
        click.option(
            "--folder",
            type=click.Path(path_type=Path),
            default=Path("deployments"),
            show_default=True,
            help="Where the deployment file and the journal lie.",
        ),
        click.option("--network", required=True, help="A network of networks/, or a file."),
    ):
        command = option(command)
    return json_option(command)


@rollout.command()
@_common
@click.pass_context
def plan(ctx: click.Context, *, network: str, folder: Path, built: Path) -> None:
    """What is done, what is left, what it costs, and what speaks against it; sends nothing.

    Ends with 1 where something speaks against `apply`.
    """
    settings: Settings = ctx.obj
    found = _open(ctx, network, folder, built)
    seen = found.look()
    quote = found.quote(seen)
    lines = [*_table(seen), *quote.words(), *(f"problem   {each}" for each in quote.problems)]
    settings.show({"steps": [each.as_json() for each in seen], "cost": quote.as_json()}, lines)
    ctx.exit(1 if quote.problems else 0)


@rollout.command()
@_common
@click.option("--dry-run", is_flag=True, help="As plan: check and show the cost, send nothing.")
@click.option("--smoke", is_flag=True, help="End with the paid task of the network's section `smoke`.")
@click.pass_context
def apply(ctx: click.Context, *, network: str, folder: Path, built: Path, dry_run: bool, smoke: bool) -> None:
    """Send what is left, wait until each step is deep enough, write deployments/<network>.json.

    Asks for the wallet's password, or reads it from --password-file, which others may not read.
    """
    settings: Settings = ctx.obj
    if dry_run:
        ctx.invoke(plan, network=network, folder=folder, built=built)
        return
    from sdk.rollout.smoke import run as run_smoke

    wallet = settings.wallet()
    found = _open(ctx, network, folder, built, write=True)
    if smoke and found.network.smoke is None:
        raise BadInputError(f"{network} has no section smoke", hint="docs/how-to/go-to-a-testnet.md has an example")
    found.apply(wallet)
    data = found.write()
    lines = [f"{name:<20}{where}" for name, where in data["contracts"].items()]
    lines.append(f"written: {found.file}")
    if smoke:
        task = run_smoke(found, wallet, settings.scheduler)
        data = {**data, "smoke": task}
        lines.append(f"smoke test: task {task['task']} {task['status']}, paid {task['paid_nrlc']} nRLC")
    settings.show(data, lines)


@rollout.command()
@_common
@click.pass_context
def status(ctx: click.Context, *, network: str, folder: Path, built: Path) -> None:
    """Every step as the chain shows it now; ends with 1 while some are not done."""
    settings: Settings = ctx.obj
    seen = _open(ctx, network, folder, built).look()
    settings.show([each.as_json() for each in seen], _table(seen))
    ctx.exit(0 if all(each.state.value in ("done", "found there") for each in seen) else 1)


@rollout.command()
@_common
@click.option("--source/--no-source", default=True, help="Submit the source where the network has an explorer.")
@click.pass_context
def verify(ctx: click.Context, *, network: str, folder: Path, built: Path, source: bool) -> None:
    """Compare byte code, wiring, categories and owner with the build; submit the source to the explorer.

    Ends with 1 where something differs or the explorer does not agree.
    """
    from sdk.rollout import explorer
    from sdk.rollout import verify as verification

    settings: Settings = ctx.obj
    found = _open(ctx, network, folder, built)
    addresses = found.addresses()
    if "Hub" not in addresses:
        raise BadInputError(f"nothing of {network} is deployed yet", hint="pew rollout apply")
    checks = verification.verify(found.network, found.chain, addresses, found.deployer, built)
    submitted = []
    if source and found.network.explorer is not None:
        key = explorer.read_key(found.network.explorer)
        submitted = verification.sources(found.network, addresses, built, key, _say)
    rows = [["", "checked", "found"]]
    rows += [["ok" if each.good else "WRONG", each.what, each.found] for each in checks]
    rows += [["ok" if each.good else "WRONG", f"source of {each.contract}", each.said] for each in submitted]
    data = {"checks": [each.as_json() for each in checks], "sources": [each.as_json() for each in submitted]}
    settings.show(data, table(rows))
    ctx.exit(0 if all(each.good for each in checks) and all(each.good for each in submitted) else 1)


def _open(ctx: click.Context, name: str, folder: Path, built: Path, *, write: bool = False) -> Rollout:
    from sdk.rollout import engine

    settings: Settings = ctx.obj
    network = _network(ctx, name)
    return engine.Rollout(
        network, engine.open_chain(network), settings.address(), folder, built=built, write=write, say=_say
    )


def _network(ctx: click.Context, name: str) -> Network:
    """The file, with the nodes of --rpc or PEW_RPC in place of its own where they are given."""
    from sdk.rollout import network

    settings: Settings = ctx.obj
    given = ctx.find_root().get_parameter_source("rpc") not in (None, ParameterSource.DEFAULT)
    return network.load(name, rpc_urls=tuple(settings.rpc.split(",")) if given else ())


def _table(seen: list[Any]) -> list[str]:
    rows = [["step", "state", "nonce", "block", "transaction"]]
    for each in seen:
        data = each.as_json()
        cells = ["" if data[key] is None else str(data[key]) for key in ("nonce", "block", "tx")]
        rows.append([data["step"], data["state"], *cells])
    return table(rows)


def _say(text: str) -> None:
    click.echo(text, err=True)
