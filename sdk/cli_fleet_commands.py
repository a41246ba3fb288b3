"""`pew fleet ask` and `pew fleet commands`: an operator's commands to workers, and what became of them."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Any

import click

from poco.commands import CommandKind, checked
from poco.errors import BadInputError
from sdk.cli_common import Settings, json_option, table
from sdk.service import Service, service_of

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_ENDED = {"DONE", "REFUSED", "EXPIRED"}


class Instant(click.ParamType[int]):
    """Unix seconds, or a span from now such as +90m."""

    name = "instant"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = re.fullmatch(r"\+(\d{1,6})([smhd])|(\d{9,12})", str(value))
        if found is None:
            self.fail(f"{value} is neither Unix seconds nor a span such as +90m", param, ctx)
        return int(found[3]) if found[3] else int(time.time()) + int(found[1]) * _UNITS[found[2]]


@click.command("ask")
@click.argument("kind", type=click.Choice([kind.value for kind in CommandKind], case_sensitive=False))
@click.argument("workers", nargs=-1, metavar="[WORKER]...")
@click.option("--all", "everybody", is_flag=True, help="All workers of the pool.")
@click.option("--until", type=Instant(), help="PAUSE: Unix seconds, or a span such as +90m.")
@click.option("--at", type=Instant(), help="WAKE_AT: Unix seconds, or a span such as +8h.")
@click.option("--set", "settings_", multiple=True, metavar="NAME=VALUE", help="CONFIGURE; an empty value: its own.")
@click.option("--expires", type=Instant(), help="Not obeyed later than that.  [default: in three days]")
@click.option("--wait", type=float, default=0.0, show_default=True, metavar="S", help="Seconds to wait for answers.")
@json_option
@click.pass_obj
def ask(settings: Settings, /, kind: str, workers: tuple[str, ...], *, everybody: bool, **given: Any) -> None:
    """Queue a command for workers, by name or address; one that sleeps finds it when it wakes.

    The keystore's wallet must be an operator's of the pool (the pool's owner, where it names none).

    \b
    Examples:
      pew fleet ask drain roof-1 roof-2
      pew fleet ask pause --all --until +2h
      pew fleet ask configure roof-1 --set poll_seconds=60 --wait 30
    """
    from sdk.fleet.session import log_in

    chosen = CommandKind(kind.upper())
    arguments = checked(chosen, _arguments(given))
    if everybody == bool(workers):
        raise BadInputError("name workers, or all of them", hint="pew fleet ask drain roof-1, or --all")
    service = service_of(settings.scheduler)
    names = _names(service)
    wallets = list(names) if everybody else [_wallet(names, worker) for worker in workers]
    if not wallets:
        raise BadInputError("the pool has no workers", hint="pew fleet status")
    headers = log_in(service, settings.wallet())
    body = {"workers": wallets, "kind": chosen.value, "arguments": arguments}
    body |= {"expires": given["expires"]} if given["expires"] else {}
    ids = service.send("POST", "/fleet/commands", body, headers=headers)["commands"]
    found = _states(service, headers, ids, time.monotonic() + given["wait"])
    settings.show({"commands": found}, _lines(found, names))


@click.command("commands")
@click.argument("worker", required=False)
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="The newest so many.")
@json_option
@click.pass_obj
def commands(settings: Settings, worker: str | None, limit: int) -> None:
    """Commands to one worker, or to all: the newest first, with state and answer."""
    from sdk.fleet.session import log_in

    service = service_of(settings.scheduler)
    names = _names(service)
    asked: dict[str, Any] = {"limit": limit} | ({"worker": _wallet(names, worker)} if worker else {})
    headers = log_in(service, settings.wallet())
    found = service.get("/fleet/commands", asked, headers)["commands"]
    settings.show({"commands": found}, _lines(found, names))


def _arguments(given: dict[str, Any]) -> dict[str, Any]:
    arguments: dict[str, Any] = {name: given[name] for name in ("until", "at") if given[name] is not None}
    pairs = [each.partition("=") for each in given["settings_"]]
    if any(not equals for _, equals, _ in pairs):
        raise BadInputError("--set wants NAME=VALUE", hint="--set poll_seconds=60")
    if pairs:
        arguments["settings"] = {name: value or None for name, _, value in pairs}
    return arguments


def _names(service: Service) -> dict[str, str]:
    """Names of the pool's workers by wallet."""
    rows = service.get("/status")["workers"]
    return {str(row["wallet"]): str(row["name"]) for row in rows}


def _wallet(names: dict[str, str], worker: str) -> str:
    found = [wallet for wallet, name in names.items() if worker in (wallet, name) or wallet.lower() == worker.lower()]
    if len(found) != 1:
        said = "no worker is" if not found else f"{len(found)} workers are"
        raise BadInputError(f"{said} called {worker}", hint="pew fleet status shows them; take the address")
    return found[0]


def _states(service: Service, headers: dict[str, str], ids: list[int], end: float) -> list[dict[str, Any]]:
    """Those commands as they stand, once all have ended or the time is over."""
    while True:
        rows = service.get("/fleet/commands", {"limit": 1000}, headers)["commands"]
        found = [row for row in rows if row["id"] in set(ids)]
        if all(row["state"] in _ENDED for row in found) or time.monotonic() >= end:
            return found
        time.sleep(min(1.0, max(0.0, end - time.monotonic())))


def _lines(found: list[dict[str, Any]], names: dict[str, str]) -> list[str]:
    rows = [["id", "worker", "command", "asked at", "state", "answer"]]
    for each in found:
        rows.append(
            [
                str(each["id"]),
                names.get(each["worker"]) or each["worker"],
                " ".join([each["kind"], *(f"{name}={value}" for name, value in each["arguments"].items())]),
                datetime.fromtimestamp(each["at"], UTC).strftime("%m-%d %H:%M:%S"),
                each["state"],
                str(each["answer"]).replace("\n", " ")[:80],
            ]
        )
    return table(rows) if found else ["no commands"]


COMMANDS = (ask, commands)
