"""`pew energy`: audit a worker's ledger, and look at it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from poco.errors import BadInputError, PewError
from sdk.cli_common import ADDRESS, Settings, json_option

if TYPE_CHECKING:
    from poco.energy import Claim, Ledger


class LedgerError(PewError):
    """The ledger is not what it says."""


@click.group()
def energy() -> None:
    """Where a worker's energy came from.

    WORKER is an address (its ledger is asked of --scheduler), a ledger's file or a folder of such files.

    \b
    Examples:
      pew --scheduler http://127.0.0.1:8400 energy verify 0x...
      pew energy verify ledger.jsonl --offline
      pew energy plot ledger.jsonl --span year
      pew energy page ledger.jsonl
    """


@energy.command("verify")
@click.argument("worker")
@click.option("--days", type=click.IntRange(1, 366), help="Window of the balance.  [default: the --pool's, else 30]")
@click.option("--pool", type=ADDRESS, help="Take the window that this pool has declared.")
@click.option("--offline", is_flag=True, help="Leave out what the chain holds.")
@json_option
@click.pass_obj
def verify(settings: Settings, worker: str, days: int | None, pool: str | None, *, offline: bool) -> None:
    """Audit the ledger of WORKER; exit 1 and the first bad entry where something is wrong.

    Checked: signatures, the chain of hashes, what was anchored on the chain, the balance of energies, the panel's
    nameplate, dark nights, and the BSRN's limits of what the sky can give. What passes is unaltered and physically
    plausible, which is not the same as true: docs/explanation/positive-energy.md.
    """
    from sdk.energy.report import audit

    ledger = _read(settings, worker)
    anchors, window = (None, None) if offline else _chain(settings, ledger, pool)
    report = audit(ledger, days or window or 30, anchors)
    settings.show(report.as_json(), report.lines())
    if not report.good:
        raise LedgerError(
            f"the ledger of {ledger.worker} is not good: {report.found[0].check}",
            hint="the first bad entry is named above; ask the worker's operator",
            code="BAD_LEDGER",
        )


def _read(settings: Settings, worker: str) -> Ledger:
    from sdk.energy import sources
    from sdk.service import Service

    return sources.read(worker, Service(settings.scheduler) if settings.scheduler else None)


def _chain(settings: Settings, ledger: Ledger, pool: str | None) -> tuple[dict[int, Claim], int | None]:
    """What is anchored, and the pool's window."""
    from chain.energy import EnergyLedger

    contract = EnergyLedger(settings.chain())
    if contract.address != ledger.contract:
        raise BadInputError(
            f"the ledger is signed for the contract {ledger.contract}, this network's is {contract.address}",
            hint="name the network it belongs to (--rpc, --deployment), or leave the chain out: --offline",
        )
    return contract.claims(ledger.worker), contract.window_of(pool) if pool else None


@energy.command("plot")
@click.argument("worker")
@click.option(
    "--span", type=click.Choice(["day", "month", "year"]), default="day", show_default=True, help="What it shows."
)
@click.option("--date", help="A date in it, YYYY-MM-DD.  [default: what ends with the last full day]")
@click.option("--output", type=click.Path(path_type=Path), help="SVG to write.  [default: energy-<span>.svg]")
@json_option
@click.pass_obj
def plot(settings: Settings, worker: str, span: str, date: str | None, output: Path | None) -> None:
    """Draw sun, load, battery, tasks and decisions of WORKER over a day, a month or a year."""
    from sdk.energy.plot import draw
    from sdk.energy.series import Series

    path = output or Path(f"energy-{span}.svg")
    _write(path, draw(Series(_read(settings, worker)), span, date))
    settings.show({"file": str(path), "span": span}, [f"{span} of {worker}: {path}"])


@energy.command("page")
@click.argument("worker")
@click.option(
    "--output", type=click.Path(path_type=Path), default=Path("energy.html"), show_default=True, help="File to write."
)
@json_option
@click.pass_obj
def page(settings: Settings, worker: str, output: Path) -> None:
    """A page with the last day, month and year of WORKER, its balance and its decisions; needs no other file."""
    from sdk.energy.page import build

    _write(output, build(_read(settings, worker)))
    settings.show({"file": str(output)}, [f"page of {worker}: {output}"])


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInputError(f"cannot write {path}: {error.strerror}", hint="name another file: --output") from None
