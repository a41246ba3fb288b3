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
    from sdk.quotes import Quote

F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class Settings:
    """The options before the command."""

    rpc: str = ""
    deployment: Path = field(default_factory=Path)
    scheduler: str | None = None
    registry: str = ""
    wallet_name: Path = field(default_factory=Path)
    password_file: Path | None = None
    json: bool = False
    shown: bool = False
    dry_run: bool = False
    yes: bool = False

    @property
    def wallet_path(self) -> Path:
        """The keystore that --wallet means: a path, else a name or address among those that are there."""
        from chain import keystores

        return keystores.resolve(self.wallet_name)

    def new_wallet_path(self) -> Path:
        """Where a new keystore goes: a path as it is, a mere name into the folder of ours."""
        from chain import keystores

        name = self.wallet_name
        if len(name.parts) == 1 and not name.suffix:
            name = keystores.folders()["pew"] / f"{name}.json"
        if name.exists():
            raise BadInputError(f"{name} exists already", hint="choose another name, or move the old one away")
        return name

    def chain(self) -> Chain:
        """The hub, after a check that node and deployment belong together."""
        from chain import deployment
        from chain.client import Chain

        chain = Chain(self.rpc.split(","), deployment.load(self.deployment))
        chain.check()
        return chain

    def wallet(self) -> Wallet:
        """The keystore, opened."""
        from chain import keystores, wallet

        path = self._keystore()
        keystores.require_private(path, "keystore")
        return wallet.load(path, self.password())

    def address(self) -> str:
        """The keystore's address, without opening it."""
        from chain import keystores

        return keystores.address_of(self._keystore())

    def _keystore(self) -> Path:
        path = self.wallet_path
        if not path.exists():
            raise BadInputError(
                f"there is no keystore {path}", hint="make one: pew wallet new; pew wallet list shows those there are"
            )
        return path

    def password(self, *, new: bool = False, file: Path | None = None) -> str:
        """From a password file (by default that of the wallet), else asked for on a terminal."""
        from chain import keystores, wallet

        file = file or self.password_file
        if file is not None:
            keystores.require_private(file, "password file")
            return wallet.read_password(file)
        if not sys.stdin.isatty():
            raise BadInputError("the wallet has a password", hint="name the file that holds it: --password-file FILE")
        return str(click.prompt(f"Password of {self.wallet_path}", hide_input=True, confirmation_prompt=new, err=True))

    def client(self, *, wallet: bool = False, ask: bool = True) -> Client:
        """A client; with `wallet` one that can sign, and unless not to `ask` tells of each transaction beforehand."""
        from sdk.client import Client

        opened = self.wallet() if wallet else None
        return Client(self.chain(), opened, self.scheduler, approve=self._approve if ask else None)

    def _approve(self, quote: Quote) -> None:
        """Before a transaction: end with --dry-run; on a terminal ask, unless --yes was said."""
        if self.dry_run:
            lines = [f"{quote.function}: {quote.words()}", "nothing was sent (--dry-run)"]
            self.show({"dry_run": True, **quote.as_json()}, lines)
            raise click.exceptions.Exit(0)
        if not self.yes and sys.stdin.isatty():
            click.confirm(f"{quote.function}: {quote.words()}. Send it?", abort=True, err=True)

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


def _set_flag(name: str) -> Callable[[click.Context, click.Parameter, bool], None]:
    def keep(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
        if value:
            setattr(settings_of(ctx), name, True)

    return keep


def sends(command: F) -> F:
    """`--dry-run` and `--yes`, for whatever sends a transaction."""
    for name, text in (
        ("yes", "Do not ask before it is sent."),
        ("dry_run", "Send nothing; say what it would cost."),
    ):
        flag = f"--{name.replace('_', '-')}"
        command = click.option(flag, is_flag=True, expose_value=False, callback=_set_flag(name), help=text)(command)
    return command


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
