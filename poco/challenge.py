"""The EIP-712 challenge by which iExec's services learn who asks: typed data with one text in it."""

from __future__ import annotations

from typing import Any


def typed_challenge(name: str, chain_id: int, text: str) -> dict[str, Any]:
    """The typed data; `name` is that of the service in the EIP-712 domain."""
    return {
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
            ],
            "Challenge": [{"name": "challenge", "type": "string"}],
        },
        "primaryType": "Challenge",
        "domain": {"name": name, "version": "1", "chainId": chain_id},
        "message": {"challenge": text},
    }


#: Names in the domain: of an order book, and of a scheduler that shows logs.
GATEWAY, CORE = "iExec Gateway", "iExec Core"
