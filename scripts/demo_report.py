"""The demo's figures: read from the chain, the meters and the files, written to `report.json` and as tables."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from chain.client import Chain
from poco.amounts import show

#: Holds the stakes of schedulers that failed (the hub's `kitty_address`).
KITTY = "0x99c2268479b93fDe36232351229815DF80837e23"


@dataclass(frozen=True)
class Money:
    """nRLC of one account at one moment."""

    wallet: int
    free: int
    locked: int

    @property
    def total(self) -> int:
        return self.wallet + self.free + self.locked


@dataclass(frozen=True)
class Ledger:
    """All accounts at one moment, with what the hub holds and all the RLC there is."""

    accounts: dict[str, Money]
    hub: int
    supply: int

    def faults(self) -> list[str]:
        """Why the books do not balance; nothing where they do."""
        found = []
        escrow = sum(money.free + money.locked for money in self.accounts.values())
        if escrow != self.hub:
            found.append(f"the hub holds {self.hub} nRLC, but its accounts sum up to {escrow}")
        everywhere = sum(money.wallet for money in self.accounts.values()) + self.hub
        if everywhere != self.supply:
            found.append(f"wallets and hub hold {everywhere} nRLC, but there are {self.supply}")
        return found


def read_ledger(chain: Chain, names: Mapping[str, str]) -> Ledger:
    """Read all accounts (name to address); deployer and kitty are added."""
    addresses = {**names, "deployer": chain.web3.eth.accounts[0], "kitty": KITTY}
    accounts = {}
    for name, where in addresses.items():
        escrow = chain.account(where)
        accounts[name] = Money(chain.rlc_balance(where), escrow.stake, escrow.locked)
    supply = int(chain.rlc.functions.totalSupply().call())
    return Ledger(accounts, chain.rlc_balance(chain.deployment.hub), supply)


def payments(before: Ledger, after: Ledger) -> dict[str, int]:
    """What each account gained (or paid: negative), nRLC; only those that moved."""
    changes = {name: after.accounts[name].total - money.total for name, money in before.accounts.items()}
    return {name: change for name, change in changes.items() if change}


@dataclass
class Report:
    """`build/demo/report.json`; `faults` say why `ok` is false."""

    ok: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    task: dict[str, Any] = field(default_factory=dict)
    payments_nrlc: dict[str, int] = field(default_factory=dict)
    energy_wh: dict[str, dict[str, float]] = field(default_factory=dict)
    result_path: str | None = None
    faults: list[str] = field(default_factory=list)

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")

    def show(self, architectures: Mapping[str, str]) -> None:
        """Who paid and earned what, harvested and consumed what."""
        money = _table("paid and earned", "RLC")
        for name, change in sorted(self.payments_nrlc.items(), key=lambda item: item[1]):
            money.add_row(name, ("+" if change > 0 else "") + show(change))
        money.add_row("sum", show(sum(self.payments_nrlc.values())))
        energy = _table("worker", "architecture", "reward", "score", "harvested", "consumed")
        paid = {entry["worker"]: entry for entry in self.task["contributors"]}
        for name, meter in self.energy_wh.items():
            entry = paid.get(name)
            energy.add_row(
                name,
                architectures[name],
                show(entry["reward_nrlc"]) if entry else "-",
                str(entry["score"]) if entry else "-",
                f"{meter['harvested']:.2f} Wh",
                f"{meter['consumed']:.2f} Wh",
            )
        console = Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else 120)
        for table in (money, energy):
            console.print()
            console.print(table)


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="left" if number == 0 or heading == "architecture" else "right")
    return table
