"""Tokens of cards: an operator's, for one device, once, not for ever, whoever asks again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from fastapi import FastAPI
from fastapi.testclient import TestClient

from chain.wallet import Wallet
from poco.enrolment import LONGEST_SECONDS, Enrolled, Enrolment, Token, enrolment_typed_data, parse_token
from poco.enrolment import token_typed_data as typed
from poco.errors import BadInputError
from poco.wire import LoginRequest, operator_login_typed_data
from scheduler import operators, web
from scheduler.enrolments import Enrolments, router
from scheduler.store import Store
from scheduler.web import HttpError

CHAIN, POOL, NOW = 1337, "0x4e39aB2E570d38DCe002B1473f7646f776F1027b", 1_000_000
OPERATOR, DEVICE, OTHER = (Wallet(Account.from_key(n.to_bytes(32, "big"))) for n in (1, 2, 3))


def token(signer: Wallet = OPERATOR, *, expires: int = NOW + 600, nonce: str = "0x" + "ab" * 32) -> Token:
    signature = signer.sign_typed(typed(CHAIN, POOL, "roof-1", nonce, expires))
    return Token(name="roof-1", nonce=nonce, expires=expires, operator=OPERATOR.address, signature=signature)


def joining(one: Token, wallet: Wallet = DEVICE, signer: Wallet | None = None) -> Enrolment:
    signature = (signer or wallet).sign_typed(enrolment_typed_data(CHAIN, POOL, wallet.address, one.nonce))
    return Enrolment(token=one, wallet=wallet.address, signature=signature)


@pytest.fixture
def enrolments(tmp_path: Path) -> Enrolments:
    return Enrolments(tmp_path / "e", CHAIN, POOL, lambda who: who == OPERATOR.address)


def test_a_token_is_used_once_and_by_one_wallet(enrolments: Enrolments, tmp_path: Path) -> None:
    first = enrolments.take(joining(token()), NOW)
    assert (first.name, first.wallet, first.at) == ("roof-1", DEVICE.address, NOW)
    again = Enrolments(tmp_path / "e", CHAIN, POOL, lambda who: who == OPERATOR.address)
    assert again.take(joining(token()), NOW + 9_999) == first, "an answer that was lost is given again, after its time"
    with pytest.raises(HttpError) as caught:
        again.take(joining(token(), OTHER), NOW)
    assert caught.value.code == "TOKEN_USED"
    assert again.listed() == [first]
    kept = next((tmp_path / "e").iterdir()).read_text()
    assert token().nonce not in kept and token().signature not in kept, "only its hash is kept"


def test_a_race_has_one_winner(enrolments: Enrolments) -> None:
    outcomes: list[str] = []
    start = threading.Barrier(8)

    def run(wallet: Wallet) -> None:
        body = joining(token(), wallet)
        start.wait()
        try:
            outcomes.append(enrolments.take(body, NOW).wallet)
        except HttpError as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=run, args=(DEVICE if n % 2 else OTHER,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = enrolments.listed()
    assert sorted(outcomes) == sorted([winner.wallet] * 4 + ["TOKEN_USED"] * 4)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (lambda: joining(token(OTHER)), "WRONG_TOKEN"),
        (lambda: joining(token().model_copy(update={"operator": OTHER.address})), "WRONG_TOKEN"),
        (lambda: joining(token().model_copy(update={"name": "roof-2"})), "WRONG_TOKEN"),
        (lambda: joining(token().model_copy(update={"expires": NOW + 601})), "WRONG_TOKEN"),
        (lambda: joining(token(), DEVICE, OTHER), "SIGNATURE"),
        (lambda: joining(token(expires=NOW - 1)), "TOKEN_EXPIRED"),
        (lambda: joining(token(expires=NOW + LONGEST_SECONDS + 1)), "TOKEN_EXPIRED"),
    ],
)
def test_what_is_refused(enrolments: Enrolments, body: Callable[[], Enrolment], code: str) -> None:
    with pytest.raises(HttpError) as caught:
        enrolments.take(body(), NOW)
    assert caught.value.code == code and enrolments.listed() == []


def test_a_token_of_another_pool_or_chain_is_refused(tmp_path: Path) -> None:
    for chain, pool in ((CHAIN + 1, POOL), (CHAIN, OTHER.address)):
        elsewhere = Enrolments(tmp_path / "e", chain, pool, lambda _: True)
        with pytest.raises(HttpError, match="no operator"):
            elsewhere.take(joining(token()), NOW)


def test_a_token_is_one_line() -> None:
    assert "\n" not in token().text() and parse_token(token().text() + "\n") == token()


@pytest.mark.parametrize("text", ["", "pew1.", "pew1.e30=", "x" * 5000, "pew1." + "A" * 5000, "pew1.äöü", "pew1.e30"])
def test_what_is_no_token(text: str) -> None:
    with pytest.raises(BadInputError, match="no token"):
        parse_token(text)


def test_messages_refuse_what_they_do_not_know() -> None:
    body: dict[str, Any] = joining(token()).model_dump()
    assert Enrolment.model_validate(body)
    with pytest.raises(ValueError, match="extra"):
        Enrolment.model_validate({**body, "more": 1})
    with pytest.raises(ValueError, match="wallet"):
        Enrolled.model_validate({"name": "x", "wallet": "0x12", "operator": POOL, "token": "0x" + "00" * 32, "at": 1})


def test_who_has_joined_is_told_to_operators_alone(enrolments: Enrolments, tmp_path: Path) -> None:
    logins = operators.sessions(Store(tmp_path / "db"), CHAIN, POOL, [], OPERATOR.address)
    app = FastAPI()
    web.install(app)
    app.include_router(router(enrolments, logins, lambda: NOW))
    client = TestClient(app)
    joined = client.post("/enrol", json=joining(token()).model_dump())
    assert joined.status_code == 200
    for path in ("/fleet/enrolments", "/fleet/enrolments?_operator=anybody"):
        assert client.get(path).status_code == 401
        assert client.get(path, headers={"Authorization": "Bearer nobody"}).status_code == 401
    asked = logins.challenge(OPERATOR.address, NOW)
    challenge = operator_login_typed_data(CHAIN, POOL, OPERATOR.address, asked.nonce, asked.expires)
    body = {"wallet": OPERATOR.address, **asked.model_dump(), "signature": OPERATOR.sign_typed(challenge)}
    session = logins.login(LoginRequest.model_validate(body), NOW)
    told = client.get("/fleet/enrolments", headers={"Authorization": f"Bearer {session.token}"})
    assert told.json() == [joined.json()]
