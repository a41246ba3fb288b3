"""`pew doctor`."""

from __future__ import annotations

import click

from poco.errors import PewError
from sdk.cli_common import Settings, json_option


@click.command()
@json_option
@click.pass_obj
def doctor(settings: Settings) -> None:
    """Look for what an order would miss: chain, hub, wallet, money, order book. Exit 1 where something is.

    \b
    Examples:
      pew doctor
      pew --scheduler http://127.0.0.1:8400 doctor --json
    """
    from sdk.doctor import examine

    found = examine(settings.rpc, settings.deployment, lambda: settings.wallet_path, settings.scheduler)
    settings.show([one.as_json() for one in found], [one.line() for one in found])
    missing = [one for one in found if not one.ok and one.needed]
    if missing:
        raise PewError(
            f"{', '.join(one.name for one in missing)}: not ready for an order",
            hint="each line above says what to do",
            code="NOT_READY",
        )
