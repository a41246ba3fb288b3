"""Who may publish and withdraw orders: a wallet that answers an EIP-712 challenge, each good for one request."""

from __future__ import annotations

import secrets
from typing import Any

from chain.wallet import typed_hash
from poco.challenge import GATEWAY, typed_challenge
from poco.hexes import address, to_hex
from scheduler import challenges
from scheduler.rates import Rates
from scheduler.store import Store

LIFE_SECONDS = 120
#: Changes of the book that one wallet may make at once, and then each second.
BURST, PER_SECOND = 100, 1.0
_HINT = "sign a new challenge: GET /challenge?chainId=<id>&address=<wallet>"


class Gateway:
    """The order book's door.

    Args:
        chain_id: of the signatures' domain.
        workerpool: named in the text to sign, so that nobody can have a challenge of this pool signed as his own.
    """

    def __init__(self, database: Store, chain_id: int, workerpool: str) -> None:
        self._store = database
        self._chain_id = chain_id
        self._pool = workerpool
        self._rates = Rates(BURST, PER_SECOND)

    def challenge(self, wallet: str, now: int) -> dict[str, Any]:
        """Typed data for that wallet to sign within two minutes.

        Raises:
            BadInputError: not an address.
        """
        text = f"orders in the book of pool {self._pool}: {secrets.token_hex(16)}"
        data = typed_challenge(GATEWAY, self._chain_id, text)
        with self._store.write() as db:
            challenges.give(db, to_hex(typed_hash(data)), address(wallet), now, LIFE_SECONDS)
        return data

    def signer(self, authorization: str, now: int) -> str:
        """Whose answer the header is; it is used up.

        Raises:
            ChallengeError: not an answer, not to a challenge given to this wallet, too old, or used before.
            TooManyError: this wallet does so too often.
        """
        digest, wallet = challenges.answered(authorization, _HINT)
        with self._store.write() as db:
            given = challenges.take(db, to_hex(digest))
        if given is None or given.wallet != wallet or now > given.expires:
            raise challenges.ChallengeError(
                "this challenge was not given to this wallet, is used up or too old", hint=_HINT, code="CHALLENGE"
            )
        self._rates.take(wallet, now)
        return wallet
