"""`pew fleet init|add|plan|apply|upgrade|drain|remove`: devices from one inventory file, through Ansible."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from poco.errors import BadInputError
from sdk.cli_common import ADDRESS, Settings, json_option, table

if TYPE_CHECKING:
    from sdk.fleet.operation import Operation, Report

F = TypeVar("F", bound=Callable[..., Any])
_PATH = click.Path(path_type=Path)
_FIRST = """\
# A fleet of workers: docs/how-to/run-a-fleet.md
pool: "{pool}"
scheduler: {scheduler}
deployment: {deployment}
rpc_urls: [{rpc}]
stake: 10 RLC                  # kept in each worker's escrow
gas: 0.05                      # of the chain's own coin, in each worker's wallet
upgrade:
  share: 25%                   # of the devices at a time
  seconds: 180                 # within which the scheduler must have heard each
# pull:                        # devices that sleep catch up by themselves
#   url: https://fleet.example/pull.git
# vault: secrets.yaml          # settings that are secret, by ansible-vault
defaults:                      # of every device; each may say otherwise
  user: pi
  board: pi-4b
  panel_wp: 60
  battery_wh: 256
  runtime: docker
hosts: {{}}
"""


def _inventory_file(command: F) -> F:
    return click.option(
        "--file", "-f", "path", type=_PATH, envvar="PEW_FLEET", default=Path("fleet.yaml"), show_default=True,
        help="The fleet's inventory.",
    )(command)  # fmt: skip


def _works_on_devices(command: F) -> F:
    """What all commands share that go to devices."""
    for option in (
        click.argument("names", nargs=-1, metavar="[DEVICE]..."),
        click.option(
            "--vault-password-file", "vault_password", type=_PATH, envvar="PEW_VAULT_PASSWORD_FILE",
            help="Opens the vault.  [default: asked for]",
        ),
        click.option("--source", type=_PATH, help="A checkout of the project.  [default: the one here]"),
    ):  # fmt: skip
        command = option(command)
    return _inventory_file(json_option(command))


@click.command("init")
@_inventory_file
@click.option("--pool", type=ADDRESS, required=True, help="The pool that the devices work for.")
@json_option
@click.pass_obj
def init(settings: Settings, /, path: Path, pool: str) -> None:
    """Write a fleet's inventory file, with --scheduler, --rpc and --deployment of pew.

    \b
    Example:
      pew --scheduler https://pool.example fleet init --pool 0x...
    """
    from sdk.fleet import inventory

    if not settings.scheduler:
        raise BadInputError("the fleet needs its scheduler", hint="pew --scheduler https://... fleet init")
    deployment = settings.deployment.resolve()
    text = _FIRST.format(pool=pool, scheduler=settings.scheduler, deployment=deployment, rpc=settings.rpc)
    inventory.parse(text, path)
    _write_new(path, text)
    settings.show({"path": str(path)}, [f"{path}: add devices with pew fleet add"])


@click.command("add")
@click.argument("name")
@click.argument("address", required=False)
@_inventory_file
@click.option("--user", help="Who logs in there.")
@click.option("--port", type=int, help="Of ssh.")
@click.option("--key", type=_PATH, help="Private key of ssh.")
@click.option("--card", "card", type=_PATH, help="Write cloud-init's files here: it joins by itself at its first boot.")
@click.option("--hours", type=int, default=24, show_default=True, help="For which a card is good.")
@click.option("--site", metavar="LAT,LON", help="Where its panel stands, in degrees.")
@click.option("--panel", "panel_wp", type=float, help="Watt peak.")
@click.option("--battery", "battery_wh", type=float, help="Watt-hours.")
@json_option
@click.pass_obj
def add(
    settings: Settings,
    /,
    *,
    name: str,
    address: str | None,
    path: Path,
    site: str | None,
    card: Path | None,
    hours: int,
    **given: Any,
) -> None:
    """Add a device to the inventory: NAME and the ADDRESS that ssh reaches it by, or a card that it starts from.

    A card holds a token that --wallet has signed: for one device, once, for some hours.

    \b
    Examples:
      pew fleet add roof-1 192.168.1.21
      pew fleet add roof-2 192.168.1.22 --site 48.14,11.58 --panel 100
      pew --wallet operator.json fleet add roof-3 --card /media/bootfs
    """
    from sdk.fleet import inventory

    host = {key: str(value) if isinstance(value, Path) else value for key, value in given.items() if value is not None}
    if address:
        host = {"address": address, **host}
    if site is not None:
        latitude, _, longitude = site.partition(",")
        try:
            host["site"] = {"latitude": float(latitude), "longitude": float(longitude)}
        except ValueError:
            raise BadInputError(f"'{site[:40]}' is no place", hint="--site 48.14,11.58") from None
    inventory.load(path)
    if (address is None) == (card is None):
        raise BadInputError(f"how is {name} reached?", hint="name its address, or --card FOLDER")
    text = inventory.added(path.read_text(), path, name, host)
    lines = [f"{name} is in {path}: pew fleet apply {name}"]
    if card is not None:
        lines = [*(f"{one}" for one in _write_card(settings, path, name, card, hours)), *lines]
    _replace(path, text)
    settings.show({"name": name, **host}, lines)


@click.command("plan")
@_works_on_devices
@click.pass_obj
def plan(settings: Settings, /, **given: Any) -> None:
    """Show what apply would change on DEVICEs (all by default); changes nothing.

    \b
    Example:
      pew fleet plan roof-1
    """
    report = _operation(settings, **given).plan(_names(given))
    _show(settings, report, "would change")


@click.command("apply")
@_works_on_devices
@click.option("--yes", is_flag=True, help="Do not ask before money is sent.")
@click.pass_obj
def apply(settings: Settings, /, yes: bool, **given: Any) -> None:
    """Make DEVICEs (all by default) what the inventory says: from a fresh card to an earning worker.

    Each makes its own wallet; --wallet sends it gas and stake, and declares it as its own. A device that sleeps is no
    failure: it catches up when it wakes.

    \b
    Examples:
      pew fleet apply
      pew --wallet operator.json --password-file operator.password fleet apply roof-1 --yes
    """
    settings.yes = settings.yes or yes
    operation = _operation(settings, **given)
    _show(settings, operation.apply(_names(given), settings.wallet), "changed")


@click.command("upgrade")
@_works_on_devices
@click.option("--yes", is_flag=True, help="Do not ask before money is sent.")
@click.pass_obj
def upgrade(settings: Settings, /, yes: bool, **given: Any) -> None:
    """Bring the checkout's release to DEVICEs (all by default), a share of them at a time.

    A device that the scheduler does not hear with the new release goes back to the one before, and the roll stops.

    \b
    Example:
      pew fleet upgrade
    """
    settings.yes = settings.yes or yes
    operation = _operation(settings, **given)
    _show(settings, operation.upgrade(_names(given), settings.wallet), "changed")


@click.command("drain")
@_works_on_devices
@click.option("--undo", is_flag=True, help="Let them work again.")
@click.pass_obj
def drain(settings: Settings, /, undo: bool, **given: Any) -> None:
    """Let the workers of DEVICEs finish what they can, and take no more until --undo.

    \b
    Examples:
      pew fleet drain roof-1
      pew fleet drain roof-1 --undo
    """
    report = _operation(settings, **given).drain(_named(given, "drain"), undo=undo)
    _show(settings, report, "works again" if undo else "drained")


@click.command("remove")
@_works_on_devices
@click.option("--forget", is_flag=True, help="Take it out of the inventory without going there: it is lost.")
@click.pass_obj
def remove(settings: Settings, /, forget: bool, **given: Any) -> None:
    """Drain DEVICEs, take the worker from them and them from the inventory.

    Their wallets stay in /var/lib/pew/wallet on them: with what they hold.

    \b
    Examples:
      pew fleet remove roof-1
      pew fleet remove roof-1 --forget
    """
    from sdk.fleet import inventory

    names, path = _named(given, "remove"), given["path"]
    operation = _operation(settings, **given)
    if not forget:
        report = operation.remove(names)
        if not report.ok or any(row.state not in ("changed", "unchanged") for row in report.rows.values()):
            _show(settings, report, "removed")
            raise BadInputError("nothing was taken out of the inventory", hint="wait for them, or --forget lost ones")
    text = path.read_text()
    for name in names:
        text = inventory.removed(text, path, name)
        gone = operation.state.kept.devices.pop(name, None)
        kept = f", its wallet {gone.wallet} is on it" if gone else ""
        click.echo(f"{name} is out of {path}{kept}", err=settings.json)
    _replace(path, text)
    operation.state.save()
    settings.show({"removed": names}, [])


def _write_card(settings: Settings, path: Path, name: str, folder: Path, hours: int) -> list[Path]:
    import time

    from chain import deployment
    from sdk.fleet import card, inventory
    from sdk.fleet.state import State

    fleet, state = inventory.load(path), State(path)
    if fleet.pull is None:
        raise BadInputError("a card needs a place to fetch from", hint="set `pull: {url: ...}` in the fleet's file")
    chain_id = deployment.load(fleet.path(fleet.deployment)).chain_id
    token = card.make_token(
        fleet, state, settings.wallet(), name=name, chain_id=chain_id, now=int(time.time()), hours=hours
    )
    return card.write(fleet, state, token, _root(None), folder)


def _root(source: Path | None) -> Path:
    """The checkout that playbooks and releases are taken from."""
    from sdk.cli_system import checkout

    root = source or checkout(Path.cwd()) or checkout(Path(__file__).resolve().parent)
    if root is None:
        raise BadInputError("this needs a checkout of the project", hint="call it in one, or name it: --source")
    return root


COMMANDS = (init, add, plan, apply, upgrade, drain, remove)


def _operation(
    settings: Settings, path: Path, vault_password: Path | None, source: Path | None, names: tuple[str, ...]
) -> Operation:
    from sdk.fleet import inventory, playbook
    from sdk.fleet.operation import Operation
    from sdk.fleet.state import State

    fleet = inventory.load(path)
    fleet.chosen(names)
    root, state = _root(source), State(path)
    vault = None
    if fleet.vault is not None:
        if vault_password is None and not sys.stdin.isatty():
            raise BadInputError(
                f"the vault {fleet.vault} has a password", hint="name the file that holds it: --vault-password-file"
            )
        if vault_password is not None and not vault_password.is_file():
            raise BadInputError(f"there is no {vault_password}", hint="check --vault-password-file")
        vault = playbook.Vault(fleet.path(fleet.vault), vault_password and vault_password.resolve())

    def confirm(lines: list[str]) -> None:
        if not settings.yes and sys.stdin.isatty():
            click.echo("\n".join(lines), err=True)
            click.confirm(f"Send this from {settings.address()}?", abort=True, err=True)

    ansible = playbook.Ansible(playbook.programs(root), root, state, vault, quiet=settings.json)
    return Operation(fleet, state, ansible, root, confirm=confirm, tell=lambda line: click.echo(line, err=True))


def _names(given: dict[str, Any]) -> list[str]:
    from sdk.fleet import inventory

    found = inventory.load(given["path"]).chosen(given["names"])
    if not found:
        raise BadInputError(f"there is no device in {given['path']}", hint="pew fleet add NAME ADDRESS")
    return found


def _named(given: dict[str, Any], what: str) -> list[str]:
    if not given["names"]:
        raise BadInputError(f"which devices to {what}?", hint=f"pew fleet {what} DEVICE...")
    return _names(given)


def _show(settings: Settings, report: Report, done: str) -> None:
    """A line for each device; PewError at the end where some failed."""
    from sdk.fleet.operation import require_done

    rows = [["device", "state", ""]]
    for name, row in report.rows.items():
        changes = len(report.changes.get(name, []))
        said = f"{changes} {'change' if changes == 1 else 'changes'}" if row.state == "changed" else row.why
        rows.append([name, done if row.state == "changed" else row.state, said])
    more = [f"release {report.release}"] if report.release else []
    more += ["published for devices that catch up by themselves"] if report.published else []
    settings.show(report.as_json(), [*table(rows), *more])
    require_done(report)


def _write_new(path: Path, text: str) -> None:
    try:
        with path.open("x") as file:
            file.write(text)
    except FileExistsError:
        raise BadInputError(f"{path} exists already", hint="edit it, or name another: --file") from None
    except OSError as error:
        raise BadInputError(f"cannot write {path}: {error.strerror}", hint="choose another place: --file") from None


def _replace(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)
