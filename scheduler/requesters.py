"""Who may read a task's logs: the deal's requester, by an EIP-712 challenge as iExec's client answers it.

`GET /tasks/logs/challenge?address=` gives typed data; the client sends `Authorization: <hash>_<signature>_<address>`
with the data's EIP-712 hash. A challenge is derived from a secret of the pool, the wallet and the time: nothing is
stored for those who only ask, and every replica knows each other's.
"""

from __future__ import annotations

import hmac
import re
import secrets
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from chain.client import Chain
from chain.wallet import recover_digest, typed_hash
from poco.errors import BadInputError
from poco.hexes import address, to_bytes
from scheduler import store
from scheduler.store import Store
from scheduler.web import HttpError

#: A challenge may be answered for at least so long, and at most one step longer.
LIFE_SECONDS, STEP_SECONDS = 3600, 600
_AUTHORIZATION = re.compile(r"(0x[0-9a-fA-F]{64})_(0x[0-9a-fA-F]{130})_(0x[0-9a-fA-F]{40})")
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
        """Whose answer to a challenge that is; HttpError 401 for none, a wrong or an old one."""
        found = _AUTHORIZATION.fullmatch(authorization)
        if found is None:
            raise HttpError(HTTPStatus.UNAUTHORIZED, "NOT_SIGNED", "there is no answer to a challenge", _HINT)
        digest, signature, wallet = to_bytes(found[1], 32), found[2], address(found[3])
        step = now // STEP_SECONDS
        known = any(
            hmac.compare_digest(typed_hash(self._challenge(wallet, one)), digest)
            for one in range(step, step - LIFE_SECONDS // STEP_SECONDS - 1, -1)
        )
        if not known:
            raise HttpError(HTTPStatus.UNAUTHORIZED, "CHALLENGE", "this challenge was not given, or is too old", _HINT)
        try:
            signer = recover_digest(digest, signature)
        except BadInputError:
            signer = ""
        if signer != wallet:
            raise HttpError(HTTPStatus.UNAUTHORIZED, "SIGNATURE", f"{wallet} has not signed this challenge", _HINT)
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
            "domain": {"name": "iExec Core", "version": "1", "chainId": self.chain_id},
            "message": {"challenge": f"read logs of my tasks in pool {self._pool}: {nonce}"},
        }


def _secret(database: Store) -> bytes:
    """The pool's secret, made once."""
    with database.write() as db:
        known = store.get_meta(db, "logs_secret")
        if known is None:
            known = secrets.token_hex(32)
            store.set_meta(db, "logs_secret", known)
    return bytes.fromhex(known)
