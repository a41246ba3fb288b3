"""`pew account`."""

from __future__ import annotations

from typing import Any

import click

from poco.amounts import show
from sdk.cli_common import ADDRESS, AMOUNT, Settings, json_option, sends


@click.group()
def account() -> None:
    """RLC in the wallet and in the hub's escrow, from which deals are paid.

    \b
    Examples:
      pew account show
      pew account deposit 10 --dry-run        (RLC)
      pew account withdraw 500000nRLC --yes
    """


@account.command("show")
@click.argument("address", type=ADDRESS, required=False)
@json_option
@click.pass_obj
def show_account(settings: Settings, address: str | None) -> None:
    """What ADDRESS (by default the wallet) holds."""
    where = address or settings.address()
    data = _balances(settings, where)
    lines = [
        where,
        f"  wallet  {show(data['wallet_nrlc'])}",
        f"  escrow  {show(data['escrow_nrlc'])} free, {show(data['locked_nrlc'])} locked in deals",
        f"  gas     {data['native_wei'] / 10**18:.6f} of the chain's own coin",
        f"  score   {data['score']} (as a worker)",
    ]
    settings.show(data, lines)


@account.command()
@click.argument("amount", type=AMOUNT)
@sends
@json_option
@click.pass_obj
def deposit(settings: Settings, amount: int) -> None:
    """Move AMOUNT from the wallet into the escrow."""
    client = settings.client(wallet=True)
    receipt = client.deposit(amount)
    data = {"tx": receipt.tx_hash, **_balances(settings, client.wallet.address)}
    settings.show(data, [f"deposited {show(amount)}; {show(data['escrow_nrlc'])} free in the escrow"])


@account.command()
@click.argument("amount", type=AMOUNT)
@sends
@json_option
@click.pass_obj
def withdraw(settings: Settings, amount: int) -> None:
    """Move AMOUNT of free escrow into the wallet."""
    client = settings.client(wallet=True)
    receipt = client.withdraw(amount)
    data = {"tx": receipt.tx_hash, **_balances(settings, client.wallet.address)}
    settings.show(data, [f"withdrew {show(amount)}; {show(data['escrow_nrlc'])} free in the escrow"])


def _balances(settings: Settings, where: str) -> dict[str, Any]:
    chain = settings.chain()
    escrow = chain.account(where)
    return {
        "address": where,
        "wallet_nrlc": chain.rlc_balance(where),
        "escrow_nrlc": escrow.stake,
        "locked_nrlc": escrow.locked,
        "native_wei": chain.native_balance(where),
        "score": chain.score(where),
    }
