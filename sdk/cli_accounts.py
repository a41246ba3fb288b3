"""`pew wallet` and `pew account`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from poco.amounts import show
from poco.errors import BadInputError
from sdk.cli_common import ADDRESS, AMOUNT, Settings, json_option


@click.group()
def wallet() -> None:
    """Encrypted keystores (Web3 Secret Storage v3).

    \b
    Examples:
      pew --wallet w.json --password-file pw wallet create
      pew --wallet w.json wallet show
    """


@wallet.command()
@json_option
@click.pass_obj
def create(settings: Settings) -> None:
    """Make a new wallet at --wallet; never overwrites one."""
    from chain import wallet as keystores

    made = keystores.create(settings.wallet_path, _new_password(settings))
    _made(settings, made.address)


@wallet.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
@click.pass_obj
def import_wallet(settings: Settings, file: Path) -> None:
    """Make a wallet at --wallet from FILE: a private key (0x and 64 digits) or a keystore with the same password.

    A key is read from a file so that it never stands on a command line: delete the file afterwards.
    """
    from chain import wallet as keystores

    try:
        text = file.read_text().strip()
    except (OSError, UnicodeDecodeError):
        raise BadInputError(f"cannot read {file}", hint="name a file with a private key or a keystore") from None
    password = _new_password(settings)
    if text.startswith("{"):
        made = keystores.load(file, password)
        settings.wallet_path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with settings.wallet_path.open("x") as target:
                settings.wallet_path.chmod(0o600)
                target.write(text)
        except FileExistsError:
            raise BadInputError(f"{settings.wallet_path} exists already", hint="choose another name") from None
    else:
        made = keystores.create(settings.wallet_path, password, key=text)
    _made(settings, made.address)


@wallet.command("show")
@json_option
@click.pass_obj
def show_wallet(settings: Settings) -> None:
    """The wallet's address (no password is needed)."""
    where = settings.address()
    settings.show({"address": where, "path": str(settings.wallet_path)}, [where])


@wallet.command()
@click.argument("worker", type=ADDRESS)
@click.option("--pool", type=ADDRESS, required=True, help="The pool that the worker works for.")
@click.option("--output", type=click.Path(path_type=Path), default=Path("operator.json"), show_default=True)
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


@click.group()
def account() -> None:
    """RLC in the wallet and in the hub's escrow, from which deals are paid.

    \b
    Examples:
      pew account show
      pew account deposit 10          (RLC)
      pew account withdraw 500000nRLC
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
@json_option
@click.pass_obj
def withdraw(settings: Settings, amount: int) -> None:
    """Move AMOUNT of free escrow into the wallet."""
    client = settings.client(wallet=True)
    receipt = client.withdraw(amount)
    data = {"tx": receipt.tx_hash, **_balances(settings, client.wallet.address)}
    settings.show(data, [f"withdrew {show(amount)}; {show(data['escrow_nrlc'])} free in the escrow"])


def _new_password(settings: Settings) -> str:
    password = settings.password(new=True)
    if not password:
        raise BadInputError("the password is empty", hint="write one into the password file")
    return password


def _made(settings: Settings, where: str) -> None:
    data = {"address": where, "path": str(settings.wallet_path)}
    lines = [f"{where}  in {settings.wallet_path}", "keep a copy of the file and of its password"]
    settings.show(data, lines)


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
