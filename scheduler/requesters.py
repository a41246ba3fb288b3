"""Who may read a task's logs: the deal's requester, by an EIP-712 challenge as iExec's client answers it.

`GET /tasks/logs/challenge?address=` gives typed data; the client sends `Authorization: <hash>_<signature>_<address>`
with the data's EIP-712 hash. A challenge is derived from a secret of the pool, the wallet and the time: nothing is
stored for those who only ask, and every replica knows each other's.
"""

from __future__ import annotations

import hmac
import secrets
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from chain.client import Chain
from chain.wallet import typed_hash
from poco.challenge import CORE, typed_challenge
from poco.hexes import address
from scheduler import store
from scheduler.challenges import ChallengeError, answered
from scheduler.store import Store
from scheduler.web import HttpError

#: A challenge may be answered for at least so long, and at most one step longer.
LIFE_SECONDS, STEP_SECONDS = 3600, 600
_HINT = "sign a challenge: GET /tasks/logs/challenge?address=<wallet>"


class Requesters:
    """The requesters of one pool's deals."""

    def __init__(self, database: Store, chain: Chain, workerpool: str) -> None:
        self._chain = chain
        self.chain_id = chain.deployment.chain_id
        self._pool = workerpool
        self._secret = _secret(database)
        self._requester = lru_cache(maxsize=4096)(lambda deal_id: self._chain.deal(deal_id).requester)

    def challenge(self, wallet: str, now: int) -> dict[str, Any]:
        """Typed data for that wallet to sign; it names the pool, so that none can pass on another's."""
        return self._challenge(address(wallet), now // STEP_SECONDS)

    def signer(self, authorization: str, now: int) -> str:
        """Whose answer to a challenge that is; ChallengeError for none, a wrong or an old one."""
        digest, wallet = answered(authorization, _HINT)
        step = now // STEP_SECONDS
        known = any(
            hmac.compare_digest(typed_hash(self._challenge(wallet, one)), digest)
            for one in range(step, step - LIFE_SECONDS // STEP_SECONDS - 1, -1)
        )
        if not known:
            raise ChallengeError("this challenge was not given, or is too old", hint=_HINT, code="CHALLENGE")
        return wallet

    def require(self, wallet: str, deal_id: str) -> None:
        """HttpError 403 for anybody but the deal's requester."""
        requester = self._requester(deal_id)
        if wallet != requester:
            raise HttpError(
                HTTPStatus.FORBIDDEN,
                "NOT_REQUESTER",
                f"{wallet} is not the requester of this task",
                f"only {requester} may read its logs",
            )

    def _challenge(self, wallet: str, step: int) -> dict[str, Any]:
        nonce = hmac.digest(self._secret, f"{wallet}/{step}".encode(), "sha256").hex()
        text = f"read logs of my tasks in pool {self._pool}: {nonce}"
        return typed_challenge(CORE, self.chain_id, text)


def _secret(database: Store) -> bytes:
    """The pool's secret, made once."""
    with database.write() as db:
        known = store.get_meta(db, "logs_secret")
        if known is None:
            known = secrets.token_hex(32)
            store.set_meta(db, "logs_secret", known)
    return bytes.fromhex(known)
