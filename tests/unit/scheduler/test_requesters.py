"""Challenges for logs: of this pool, this wallet and this hour, known to every replica."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chain import wallet as wallets
from chain.wallet import Wallet, typed_hash
from poco.hexes import to_hex
from scheduler.challenges import ChallengeError
from scheduler.requesters import LIFE_SECONDS, STEP_SECONDS, Requesters
from scheduler.store import Store
from scheduler.web import HttpError

POOL, DEAL = "0x" + "22" * 20, "0x" + "33" * 32
NOW = 1_800_000_000


@pytest.fixture(scope="module")
def me(tmp_path_factory: pytest.TempPathFactory) -> Wallet:
    return wallets.create(tmp_path_factory.mktemp("w") / "me.json", "x", iterations=1024)


@pytest.fixture
def database(tmp_path: Path) -> Store:
    return Store(tmp_path / "db")


def requesters(database: Store, me: Wallet, pool: str = POOL, chain_id: int = 134) -> Requesters:
    asked: list[str] = []

    def deal(deal_id: str) -> Any:
        asked.append(deal_id)
        assert len(asked) == 1, "a deal does not change: it is read once"
        return SimpleNamespace(requester=me.address)

    chain: Any = SimpleNamespace(deployment=SimpleNamespace(chain_id=chain_id), deal=deal)
    return Requesters(database, chain, pool)


def answer(challenge: dict[str, Any], me: Wallet) -> str:
    return f"{to_hex(typed_hash(challenge))}_{me.sign_typed(challenge)}_{me.address}"


def test_an_answer_lives_an_hour_at_every_replica(database: Store, me: Wallet) -> None:
    one, two = requesters(database, me), requesters(database, me)
    challenge = one.challenge(me.address.lower(), NOW)
    assert challenge["domain"] == {"name": "iExec Core", "version": "1", "chainId": 134}
    assert POOL in challenge["message"]["challenge"]
    said = answer(challenge, me)
    for later in (0, 1, LIFE_SECONDS):
        assert two.signer(said, NOW + later) == me.address
    for wrong in (-2 * STEP_SECONDS, LIFE_SECONDS + STEP_SECONDS + 1):
        with pytest.raises(ChallengeError) as caught:
            two.signer(said, NOW + wrong)
        assert caught.value.code == "CHALLENGE"


def test_an_answer_counts_for_one_pool_and_wallet(database: Store, me: Wallet, tmp_path: Path) -> None:
    here = requesters(database, me)
    elsewhere = Store(tmp_path / "other")
    for other in (
        requesters(database, me, "0x" + "44" * 20),
        requesters(elsewhere, me),
        requesters(database, me, POOL, 1),
    ):
        with pytest.raises(ChallengeError):
            here.signer(answer(other.challenge(me.address, NOW), me), NOW)
    stranger = wallets.create(tmp_path / "s.json", "x", iterations=1024)
    theirs = answer(here.challenge(me.address, NOW), stranger)
    with pytest.raises(ChallengeError):
        here.signer(theirs, NOW)
    for nonsense in ("", "x", "_".join(["0x"] * 3), theirs + "0", theirs.replace("_", "-"), "0x" * 500):
        with pytest.raises(ChallengeError) as caught:
            here.signer(nonsense, NOW)
        assert caught.value.code in ("NOT_SIGNED", "SIGNATURE")


def test_only_the_deals_requester(database: Store, me: Wallet) -> None:
    here = requesters(database, me)
    here.require(me.address, DEAL)
    with pytest.raises(HttpError) as caught:
        here.require("0x" + "55" * 20, DEAL)
    assert caught.value.status == 403 and me.address in caught.value.hint
