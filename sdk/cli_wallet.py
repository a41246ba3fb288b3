"""`pew wallet`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from poco.errors import BadInputError
from sdk.cli_common import ADDRESS, Settings, json_option, table

_new_password_file = click.option(
    "--new-password-file", type=click.Path(path_type=Path), help="Holds the new password.  [default: asked for]"
)


@click.group()
def wallet() -> None:
    """Encrypted keystores (Web3 Secret Storage v3): ours, Brownie's and those of iExec's client.

    --wallet is a path, or the name or address of a keystore that `pew wallet list` shows. A password is asked for on a
    terminal or read from --password-file, never from the command line. Secrets that everybody may read are refused.

    \b
    Examples:
      pew wallet new
      pew wallet list
      pew --wallet alice wallet import ~/.brownie/accounts/alice.json
      pew wallet export ~/.ethereum/keystore
    """


@wallet.command()
@json_option
@click.pass_obj
def new(settings: Settings) -> None:
    """Make a new wallet at --wallet; never overwrites one."""
    from chain import wallet as keystores

    path = settings.new_wallet_path()
    made = keystores.create(path, _new_password(settings))
    _made(settings, made.address, path)


@wallet.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
@click.pass_obj
def import_wallet(settings: Settings, file: Path) -> None:
    """Make a wallet at --wallet from FILE: a private key (0x and 64 digits) or a keystore, whose password it keeps.

    Keystores of Brownie (~/.brownie/accounts), of iExec's client and of geth (~/.ethereum/keystore) are taken as they
    are. A key is read from a file that nobody else may read, never from the command line: delete the file afterwards.
    """
    from chain import keystores
    from chain import wallet as wallets

    try:
        text = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise BadInputError(f"cannot read {file}: {why}", hint="name a file with a private key or a keystore") from None
    path = settings.new_wallet_path()
    if text.startswith("{"):
        made = keystores.take(file, path, settings.password())
    else:
        keystores.require_private(file, "private key")
        made = wallets.create(path, _new_password(settings), key=text)
    _made(settings, made.address, path)


@wallet.command("list")
@json_option
@click.pass_obj
def list_wallets(settings: Settings) -> None:
    """The keystores of pew, Brownie and iExec's client on this machine; none is opened."""
    from chain import keystores

    found = keystores.found()
    rows = [["name", "address", "of", "path"]]
    for one in found:
        note = "" if one.private else "  (everybody may read it: chmod 600)"
        rows.append([one.name, one.address, one.store, f"{one.path}{note}"])
    settings.show([one.as_json() for one in found], table(rows) or ["no keystores; pew wallet new makes one"])


@wallet.command("show")
@json_option
@click.pass_obj
def show_wallet(settings: Settings) -> None:
    """The wallet's address (no password is needed)."""
    where = settings.address()
    settings.show({"address": where, "path": str(settings.wallet_path)}, [where])


@wallet.command("export")
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--key", "plain", is_flag=True, help="The private key itself, not encrypted.")
@click.option("--yes", is_flag=True, help="Do not ask before a key is written in the clear.")
@json_option
@click.pass_obj
def export_wallet(settings: Settings, target: Path, plain: bool, yes: bool) -> None:
    """Copy the wallet to TARGET, same password; in a folder it is named as iExec's client and geth do.

    \b
    Examples:
      pew wallet export ~/.brownie/accounts/alice.json     (then: accounts.load("alice"))
      pew wallet export ~/.ethereum/keystore               (then: iexec wallet show --wallet-address 0x..)
      pew wallet export key.txt --key --yes
    """
    from chain import keystores

    opened = settings.wallet()
    if target.is_dir() and not plain:
        target /= keystores.usual_name(opened.address, time.time())
    if plain:
        if not yes:
            if not sys.stdin.isatty():
                raise BadInputError("this would write the private key in the clear", hint="say --yes to agree")
            click.confirm(f"Write the private key of {opened.address} in the clear?", abort=True, err=True)
        keystores.write_new(target, opened.private_key() + "\n")
    else:
        keystores.write_new(target, settings.wallet_path.read_text())
    data = {"address": opened.address, "path": str(target), "encrypted": not plain}
    settings.show(data, [f"{opened.address}  in {target}" + ("  NOT encrypted: delete it after use" if plain else "")])


@wallet.command("password")
@_new_password_file
@json_option
@click.pass_obj
def change_password(settings: Settings, new_password_file: Path | None) -> None:
    """Encrypt the wallet under another password."""
    from chain import keystores

    opened = settings.wallet()
    if new_password_file is None and not sys.stdin.isatty():
        raise BadInputError("the wallet needs a new password", hint="name the file that holds it: --new-password-file")
    password = (
        settings.password(file=new_password_file)
        if new_password_file is not None
        else click.prompt("New password", hide_input=True, confirmation_prompt=True, err=True)
    )
    if not password:
        raise BadInputError("the new password is empty", hint="write one into the password file")
    keystores.change_password(settings.wallet_path, opened, password)
    data = {"address": opened.address, "path": str(settings.wallet_path)}
    settings.show(data, [f"{opened.address}  has a new password; copies keep the old one"])


@wallet.command()
@click.argument("worker", type=ADDRESS)
@click.option("--pool", type=ADDRESS, required=True, help="The pool that the worker works for.")
@click.option(
    "--output", type=click.Path(path_type=Path), default=Path("operator.json"), show_default=True, help="File to write."
)
@json_option
@click.pass_obj
def declare(settings: Settings, worker: str, pool: str, output: Path) -> None:
    """Sign with this wallet that WORKER is its owner's: no owner gets two votes on a task.

    \b
    Example:
      pew --wallet operator.json wallet declare 0x... --pool 0x...
    """
    from chain import deployment
    from poco.wire import Declaration, operator_typed_data

    signer = settings.wallet()
    chain_id = deployment.load(settings.deployment).chain_id
    signature = signer.sign_typed(operator_typed_data(chain_id, pool, worker, signer.address))
    made = Declaration(operator=signer.address, signature=signature)
    output.write_text(made.model_dump_json() + "\n")
    lines = [f"{worker} is declared as {signer.address}'s in {output}", f"in worker.yaml: operator_file: {output}"]
    settings.show({**made.model_dump(), "worker": worker, "pool": pool, "path": str(output)}, lines)


def _new_password(settings: Settings) -> str:
    password = settings.password(new=True)
    if not password:
        raise BadInputError("the password is empty", hint="write one into the password file")
    return password


def _made(settings: Settings, where: str, path: Path) -> None:
    lines = [f"{where}  in {path}", "keep a copy of the file and of its password"]
    settings.show({"address": where, "path": str(path)}, lines)
