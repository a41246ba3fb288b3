"""The `pew` command: entry point, common options, errors in words."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from poco.errors import PewError
from sdk.cli_common import Settings, json_option, settings_of

_EXIT_CODES = "Exit codes: 0 done, 1 failed, 2 bad input, 130 Ctrl-C (docs/reference/sdk.md)."


class _Commands(click.Group):
    """Subcommands by name, imported when they are called (web3 takes a second to load)."""

    where = {  # noqa: RUF012  (a constant)
        "up": "sdk.cli_system",
        "demo": "sdk.cli_system",
        "doctor": "sdk.cli_doctor",
        "wallet": "sdk.cli_wallet",
        "account": "sdk.cli_accounts",
        "app": "sdk.cli_market",
        "dataset": "sdk.cli_market",
        "dapp": "sdk.cli_dapp",
        "pool": "sdk.cli_market",
        "order": "sdk.cli_orders",
        "run": "sdk.cli_run",
        "task": "sdk.cli_tasks",
        "deal": "sdk.cli_tasks",
        "fleet": "sdk.cli_fleet",
        "energy": "sdk.cli_energy",
        "rollout": "sdk.cli_rollout",
        "worker": "sdk.cli_system",
        "scheduler": "sdk.cli_system",
        "completion": "sdk.cli_system",
    }

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(self.where)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        from importlib import import_module

        if cmd_name not in self.where:
            return None
        command: click.Command = getattr(import_module(self.where[cmd_name]), cmd_name)
        return command


@click.command(cls=_Commands, epilog=_EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--rpc",
    envvar="PEW_RPC",
    default="http://127.0.0.1:8545",
    show_default=True,
    help="The chain's node; several with commas.",
)
@click.option(
    "--deployment",
    envvar="PEW_DEPLOYMENT",
    type=click.Path(path_type=Path),
    default=Path("deployments/pew-local.json"),
    show_default=True,
    help="Where the contracts are.",
)
@click.option("--scheduler", envvar="PEW_SCHEDULER", help="The pool's scheduler, http://host:port.")
@click.option(
    "--wallet",
    envvar="PEW_WALLET",
    type=click.Path(path_type=Path),
    default=lambda: Path("~/.config/pew/wallet.json").expanduser(),
    help="Keystore: a path, or a name or address of pew wallet list.  [default: ~/.config/pew/wallet.json]",
)
@click.option(
    "--password-file", envvar="PEW_PASSWORD_FILE", type=click.Path(path_type=Path), help="Holds the wallet's password."
)
@json_option
@click.version_option(package_name="positive-energy-worker", prog_name="pew")
@click.pass_context
def cli(
    ctx: click.Context,
    *,
    rpc: str,
    deployment: Path,
    scheduler: str | None,
    wallet: Path,
    password_file: Path | None,
) -> None:
    """Buy and sell computation that runs on sunlight.

    Options before the command can be set by environment variables: PEW_RPC, PEW_DEPLOYMENT, PEW_SCHEDULER, PEW_WALLET,
    PEW_PASSWORD_FILE.

    \b
    Examples:
      pew wallet new
      pew account deposit 10
      pew order list workerpool
      pew run 0xA..pp --dataset 0xD..ata --args "--threshold 30" --trust 4
    """
    settings = settings_of(ctx)
    settings.rpc, settings.deployment, settings.scheduler = rpc, deployment, scheduler
    settings.wallet_name, settings.password_file = wallet, password_file


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `pew`; returns the exit code. What a user causes ends with `error:` and `hint:`, never with a trace."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    settings = Settings()
    try:
        code = cli.main(args=words, prog_name="pew", standalone_mode=False, obj=settings)
    except PewError as error:
        return _fail(settings, error.exit_code, error.code, error.message, error.hint)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 2
    except click.ClickException as error:
        ctx = getattr(error, "ctx", None)
        hint = f"{ctx.command_path} --help" if ctx is not None else "pew --help"
        return _fail(settings, 2, "USAGE", error.format_message(), hint)
    except (click.Abort, KeyboardInterrupt):
        click.echo("\nstopped; what is on chain goes on", err=True)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if os.environ.get("PEW_DEBUG"):
            raise
        hint = "this is a bug; PEW_DEBUG=1 shows where"
        return _fail(settings, 1, "INTERNAL_ERROR", f"{type(error).__name__}: {error}", hint)
    return code if isinstance(code, int) else 0


def _fail(settings: Settings, exit_code: int, code: str, message: str, hint: str) -> int:
    if settings.json and not settings.shown:
        click.echo(json.dumps({"error": code, "message": message, "hint": hint}))
    click.echo(f"error: {message}", err=True)
    if hint:
        click.echo(f"hint:  {hint}", err=True)
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
