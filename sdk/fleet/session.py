"""An operator's session at a pool's scheduler."""

from __future__ import annotations

from chain.wallet import Wallet
from poco.errors import PewError
from poco.wire import Challenge, PoolConfig, Session, operator_login_typed_data
from sdk.service import Service


def log_in(service: Service, operator: Wallet) -> dict[str, str]:
    """The header that calls of this operator carry.

    Raises:
        PewError: the scheduler does not answer, or the wallet is no operator's.
    """
    try:
        pool = PoolConfig.model_validate(service.get("/config"))
        asked = Challenge.model_validate(service.send("POST", "/operators/challenge", {"wallet": operator.address}))
        typed = operator_login_typed_data(pool.chain_id, pool.workerpool, operator.address, asked.nonce, asked.expires)
        answer = {"wallet": operator.address, **asked.model_dump(), "signature": operator.sign_typed(typed)}
        session = Session.model_validate(service.send("POST", "/operators/login", answer))
    except ValueError:
        raise PewError(f"{service.url} is no scheduler", hint="check the address") from None
    return {"Authorization": f"Bearer {session.token}"}
