"""`pew fleet login`: into the pool's page in a browser, with the wallet of a keystore."""

from __future__ import annotations

from urllib.parse import urlencode

import click

from poco.errors import PewError
from poco.wire import Challenge, PoolConfig, operator_login_typed_data
from sdk.cli_common import Settings, json_option
from sdk.service import service_of


@click.command("login")
@json_option
@click.pass_obj
def login(settings: Settings) -> None:
    """Print a link that logs an operator in to the pool's page.

    The keystore's wallet signs the scheduler's challenge; whoever opens the link within a minute, once, is logged in as
    that operator. Nothing is sent to the chain.
    """
    service = service_of(settings.scheduler)
    try:
        pool = PoolConfig.model_validate(service.get("/config"))
        wallet = settings.wallet()
        asked = Challenge.model_validate(service.send("POST", "/operators/challenge", {"wallet": wallet.address}))
    except ValueError:
        raise PewError(f"{service.url} is no scheduler", hint="check the address") from None
    typed = operator_login_typed_data(pool.chain_id, pool.workerpool, wallet.address, asked.nonce, asked.expires)
    values = {"wallet": wallet.address, "nonce": asked.nonce, "expires": asked.expires}
    link = f"{service.url}/page/operator/link?{urlencode({**values, 'signature': wallet.sign_typed(typed)})}"
    lines = [link, f"opens the page as {wallet.address}, once, within a minute"]
    settings.show({"link": link, "operator": wallet.address, "expires": asked.expires}, lines)
