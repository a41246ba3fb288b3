"""Logins: nonces that work once and for a minute, sessions that survive a restart and are stored hashed."""

from __future__ import annotations

from pathlib import Path

import pytest
from eth_account import Account
from sqlalchemy import select

from chain.wallet import Wallet
from poco.wire import LoginRequest, login_typed_data
from scheduler import tables as t
from scheduler.challenges import MAX_OF_ONE
from scheduler.sessions import CHALLENGE_SECONDS, REMEMBERED_SECONDS, SESSION_SECONDS, LoginError, Sessions
from scheduler.store import Store

POOL = "0x5FC8d32690cc91D4c39d9d3abcBD16989F875707"
NOW = 1_000_000


@pytest.fixture(scope="module")
def wallet() -> Wallet:
    return Wallet(Account.create())


@pytest.fixture
def sessions(tmp_path: Path) -> Sessions:
    return Sessions(Store(tmp_path / "db"), 1337, POOL, [])


def answer(sessions: Sessions, wallet: Wallet, now: int = NOW) -> LoginRequest:
    asked = sessions.challenge(wallet.address, now)
    typed = login_typed_data(1337, POOL, wallet.address, asked.nonce, asked.expires)
    signature = wallet.sign_typed(typed)
    return LoginRequest(wallet=wallet.address, nonce=asked.nonce, expires=asked.expires, signature=signature)


def test_a_session_lasts_a_day_and_over_a_restart(tmp_path: Path, sessions: Sessions, wallet: Wallet) -> None:
    session = sessions.login(answer(sessions, wallet), NOW)
    assert session.expires == NOW + SESSION_SECONDS
    again = Sessions(Store(tmp_path / "db"), 1337, POOL, [])
    for one in (sessions, again):
        assert one.wallet_of(session.token, NOW + SESSION_SECONDS) == wallet.address
        with pytest.raises(LoginError):
            one.wallet_of(session.token, NOW + SESSION_SECONDS + 1)
    with Store(tmp_path / "db").read() as db:
        (row,) = db.execute(select(t.sessions))
    assert session.token not in str(row)


def test_a_nonce_is_used_up_by_any_answer(sessions: Sessions, wallet: Wallet) -> None:
    right = answer(sessions, wallet)
    other = Wallet(Account.create())
    with pytest.raises(LoginError, match="not given to you"):
        sessions.login(right.model_copy(update={"wallet": other.address}), NOW)
    with pytest.raises(LoginError, match="used up"):
        sessions.login(right, NOW)


def test_a_challenge_expires(sessions: Sessions, wallet: Wallet) -> None:
    late = answer(sessions, wallet)
    with pytest.raises(LoginError, match="expired"):
        sessions.login(late, NOW + CHALLENGE_SECONDS + 1)
    in_time = answer(sessions, wallet)
    assert sessions.login(in_time, NOW + CHALLENGE_SECONDS).token


def test_open_challenges_are_bounded_the_oldest_is_forgotten(sessions: Sessions, wallet: Wallet) -> None:
    first, second = answer(sessions, wallet, NOW), answer(sessions, wallet, NOW + 1)
    for _ in range(MAX_OF_ONE - 1):
        sessions.challenge(wallet.address, NOW + 2)
    with pytest.raises(LoginError):
        sessions.login(first, NOW + 3)
    assert sessions.login(second, NOW + 3).token


def test_only_the_allowed(tmp_path: Path, wallet: Wallet) -> None:
    database = Store(tmp_path / "db")
    open_to_all = Sessions(database, 1337, POOL, [])
    token = open_to_all.login(answer(open_to_all, wallet), NOW).token
    closed = Sessions(database, 1337, POOL, [POOL])
    with pytest.raises(LoginError, match="not among the workers"):
        closed.challenge(wallet.address, NOW)
    with pytest.raises(LoginError):
        closed.wallet_of(token, NOW)
    with pytest.raises(LoginError):
        open_to_all.wallet_of("x" * 43, NOW)


def test_a_revoked_session_ends_at_once_though_it_was_remembered(sessions: Sessions, wallet: Wallet) -> None:
    first, second = (sessions.login(answer(sessions, wallet), NOW).token for _ in range(2))
    for token in (first, second):
        assert sessions.remembered(token, NOW) is None
        assert sessions.wallet_of(token, NOW) == sessions.remembered(token, NOW) == wallet.address
    sessions.revoke(first)
    assert sessions.remembered(first, NOW) is None
    with pytest.raises(LoginError):
        sessions.wallet_of(first, NOW)
    assert sessions.wallet_of(second, NOW) == wallet.address


def test_who_is_no_longer_allowed_is_out_and_has_to_log_in_again(sessions: Sessions, wallet: Wallet) -> None:
    token = sessions.login(answer(sessions, wallet), NOW).token
    assert sessions.wallet_of(token, NOW) == wallet.address
    sessions.allow(["0x" + "11" * 20])
    assert sessions.remembered(token, NOW) is None
    sessions.allow([])
    with pytest.raises(LoginError):
        sessions.wallet_of(token, NOW)


def test_what_is_remembered_is_asked_again_after_a_while_and_is_bounded(
    sessions: Sessions, wallet: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduler.sessions.MAX_REMEMBERED", 1)
    first, second = (sessions.login(answer(sessions, wallet), NOW).token for _ in range(2))
    sessions.wallet_of(first, NOW)
    assert sessions.remembered(first, NOW + REMEMBERED_SECONDS) == wallet.address
    assert sessions.remembered(first, NOW + REMEMBERED_SECONDS + 1) is None
    sessions.wallet_of(second, NOW)
    assert sessions.remembered(first, NOW) is None, "one is remembered at most"
    assert sessions.remembered(second, NOW) == wallet.address
