"""What all `pew` commands share: settings, wallets, output as text or JSON, amounts."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from poco import amounts
from poco.errors import BadInputError
from poco.hexes import address, bytes32

if TYPE_CHECKING:
    from chain.client import Chain
    from chain.wallet import Wallet
    from sdk.client import Client

F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class Settings:
    """The options before the command."""

    rpc: str = ""
    deployment: Path = field(default_factory=Path)
    scheduler: str | None = None
    wallet_path: Path = field(default_factory=Path)
    password_file: Path | None = None
    json: bool = False
    shown: bool = False

    def chain(self) -> Chain:
        """The hub, after a check that node and deployment belong together."""
        from chain import deployment
        from chain.client import Chain

        chain = Chain(self.rpc.split(","), deployment.load(self.deployment))
        chain.check()
        return chain

    def wallet(self) -> Wallet:
        """The keystore, opened."""
        from chain import wallet

        if not self.wallet_path.exists():
            raise BadInputError(f"there is no keystore {self.wallet_path}", hint="make one: pew wallet create")
        return wallet.load(self.wallet_path, self.password())

    def address(self) -> str:
        """The keystore's address, without opening it."""
        try:
            return address("0x" + str(json.loads(self.wallet_path.read_text())["address"]).removeprefix("0x"))
        except FileNotFoundError:
            raise BadInputError(
                f"there is no keystore {self.wallet_path}", hint="make one: pew wallet create"
            ) from None
        except (OSError, ValueError, KeyError, TypeError):
            raise BadInputError(
                f"{self.wallet_path} is not a keystore", hint="restore it from your backup, or name another: --wallet"
            ) from None

    def password(self, *, new: bool = False) -> str:
        """From the password file, else asked for on a terminal."""
        from chain import wallet

        if self.password_file is not None:
            return wallet.read_password(self.password_file)
        if not sys.stdin.isatty():
            raise BadInputError("the wallet has a password", hint="name the file that holds it: --password-file FILE")
        return str(click.prompt(f"Password of {self.wallet_path}", hide_input=True, confirmation_prompt=new, err=True))

    def client(self, *, wallet: bool = False) -> Client:
        """A client; with `wallet` one that can sign."""
        from sdk.client import Client

        return Client(self.chain(), self.wallet() if wallet else None, self.scheduler)

    def show(self, data: Any, lines: Iterable[str]) -> None:
        """Print the outcome: JSON with `--json`, else the lines."""
        self.shown = True
        if self.json:
            click.echo(json.dumps(data, indent=2))
            return
        for line in lines:
            click.echo(line)


def settings_of(ctx: click.Context) -> Settings:
    """The settings of this call of `pew`."""
    settings: Settings = ctx.ensure_object(Settings)
    return settings


def _set_json(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        settings_of(ctx).json = True


def json_option(command: F) -> F:
    """`--json`: before the command or after it."""
    return click.option(
        "--json", is_flag=True, is_eager=True, expose_value=False, callback=_set_json, help="Print JSON."
    )(command)


class _Parsed(click.ParamType[Any]):
    """A value that a function of ours parses; its words reach the user."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except BadInputError as error:
            self.fail(f"{error.message} ({error.hint})", param, ctx)


def _category(text: str) -> int:
    from sdk.orders import category

    return category(text)


ADDRESS = _Parsed("address", address)
ID = _Parsed("id", bytes32)
AMOUNT = _Parsed("amount", amounts.parse)
CATEGORY = _Parsed("category", _category)


def table(rows: list[list[str]]) -> list[str]:
    """Rows as aligned lines; the first is the heading. Nothing for nothing but a heading."""
    if len(rows) < 2:
        return []
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
