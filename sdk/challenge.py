"""Shows a service who asks: its challenge is signed, and nothing but a challenge."""

from __future__ import annotations

from chain.wallet import Wallet, typed_hash
from poco.challenge import typed_challenge
from poco.errors import PewError
from poco.hexes import to_hex
from sdk.service import Service

MAX_CHARS = 1000


def authorization(service: Service, path: str, name: str, wallet: Wallet, chain_id: int) -> str:
    """Ask for a challenge and answer it; the value of an `Authorization` header, good for one request.

    Only the text is the service's: the typed data is made here, so that no order or transaction can be slipped in.

    Args:
        service: who wants to know.
        path: where it gives challenges.
        name: what it must call itself in the EIP-712 domain.
        wallet: who asks.
        chain_id: of the domain.
    """
    said = service.get(path, {"chainId": chain_id, "address": wallet.address})
    data = said.get("data", said) if isinstance(said, dict) else None
    message = data.get("message") if isinstance(data, dict) else None
    text = message.get("challenge") if isinstance(message, dict) else None
    if not isinstance(text, str) or len(text) > MAX_CHARS:
        raise PewError(f"{service.url}{path} gives no challenge", hint="check the address of the service")
    typed = typed_challenge(name, chain_id, text)
    return f"{to_hex(typed_hash(typed))}_{wallet.sign_typed(typed)}_{wallet.address}"
