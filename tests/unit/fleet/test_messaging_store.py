"""Commands and telemetry in the scheduler's database: queued, delivered, answered once, expired, bounded."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from chain.wallet import Wallet, recover_typed
from poco.commands import (
    ARGUMENTS,
    EXPIRE_SECONDS,
    Command,
    CommandAnswer,
    CommandKind,
    CommandState,
    SignedCommand,
    checked,
    command_typed_data,
)
from poco.errors import BadInputError
from poco.wire import LoginRequest, Sample, login_typed_data, operator_login_typed_data
from scheduler import fleet_commands, operators, store, telemetry
from scheduler.sessions import LoginError, Sessions
from scheduler.store import Store

POOL = "0x5FC8d32690cc91D4c39d9d3abcBD16989F875707"
NOW = 1_000_000
A, B = "0x" + "A" * 40, "0x" + "B" * 40
BY = "0x" + "C" * 40


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with two workers, to begin from: to migrate takes its time."""
    path = tmp_path_factory.mktemp("store") / "db"
    made = Store(path)
    with made.write() as db:
        for worker in (A, B):
            store.ensure_worker(db, worker, NOW)
    made.close()
    return path


@pytest.fixture
def database(tmp_path: Path, empty: Path) -> Iterator[Store]:
    shutil.copy(empty, tmp_path / "db")
    made = Store(tmp_path / "db")
    yield made
    made.close()


def issue(database: Store, kind: str, arguments: dict[str, Any] | None = None, **more: Any) -> list[int]:
    workers = more.pop("workers", [A])
    with database.write() as db:
        return fleet_commands.issue(db, workers, kind, arguments or {}, by=BY, now=NOW, **more)


def states(database: Store, worker: str = A, now: int = NOW) -> list[CommandState]:
    with database.read() as db:
        return [each.state for each in fleet_commands.listed(db, worker, now=now)]


def test_a_command_is_queued_delivered_and_answered_once(database: Store) -> None:
    (first,) = issue(database, "DRAIN")
    (second,) = issue(database, "PAUSE", {"until": NOW + 60})
    with database.read() as db:
        told = [SignedCommand(**n.data, signature="0x" + "00" * 65) for n in store.unacked(db, A)]
    assert [c.kind for c in told] == ["DRAIN", "PAUSE"]
    assert told[0].previous == 0 and told[1].previous == told[0].seq
    assert states(database) == [CommandState.QUEUED, CommandState.QUEUED]
    with database.write() as db:
        store.acknowledge(db, {A: told[0].seq})
        assert fleet_commands.answered(db, A, told[0].seq, CommandAnswer(state=CommandState.DONE, answer="yes"), NOW)
        assert fleet_commands.answered(db, A, told[0].seq, CommandAnswer(state=CommandState.REFUSED), NOW + 1)
        assert not fleet_commands.answered(db, B, told[0].seq, CommandAnswer(state=CommandState.DONE), NOW)
        found = fleet_commands.listed(db, A, now=NOW)
    assert [(c.id, c.state, c.answer) for c in found] == [
        (second, CommandState.QUEUED, ""),
        (first, CommandState.DONE, "yes"),
    ]
    assert states(database, B) == []
    with database.write() as db:
        store.acknowledge(db, {A: told[1].seq})
    assert states(database)[0] is CommandState.DELIVERED


def test_what_has_expired_waits_no_longer(database: Store) -> None:
    issue(database, "DRAIN", expires=NOW + 10)
    assert states(database, now=NOW + 11) == [CommandState.EXPIRED]
    with database.write() as db:
        fleet_commands.forget(db, NOW + 11)
        assert store.unacked(db, A) == []
        assert fleet_commands.forget(db, NOW + 11 + fleet_commands.KEEP_SECONDS) == 1
    assert states(database) == []


def test_many_workers_get_one_each(database: Store) -> None:
    ids = issue(database, "DIAGNOSE", workers=[B, A, B])
    assert ids[0] == ids[2] != ids[1]
    assert len(states(database, A)) == len(states(database, B)) == 1


def test_what_may_not_be_asked(database: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_commands, "MOST_WAITING", 3)
    with pytest.raises(BadInputError, match="until"):
        issue(database, "PAUSE")
    with pytest.raises(BadInputError, match="Extra inputs"):
        issue(database, "CONFIGURE", {"settings": {"keystore": "mine.json"}})
    with pytest.raises(BadInputError, match="name at least one"):
        issue(database, "CONFIGURE", {"settings": {}})
    with pytest.raises(BadInputError, match="no worker"):
        issue(database, "DRAIN", workers=[A, BY])
    for expires in (NOW, NOW + 91 * 86_400):
        with pytest.raises(BadInputError, match="expires"):
            issue(database, "DRAIN", expires=expires)
    assert states(database) == []
    for _ in range(fleet_commands.MOST_WAITING):
        issue(database, "RESUME")
    with pytest.raises(BadInputError, match="commands wait"):
        issue(database, "RESUME")


def test_a_signature_binds_worker_place_words_and_end(database: Store) -> None:
    wallet = Wallet(Account.create())
    signer = fleet_commands.Signer(wallet, 1337, POOL)
    issue(database, "CONFIGURE", {"settings": {"drain_seconds": 5, "poll_seconds": None}})
    with database.read() as db:
        (told,) = signer.signed(A, store.unacked(db, A))
    command = SignedCommand.model_validate(told.data)
    assert command.expires == NOW + EXPIRE_SECONDS and command.seq == told.seq

    def signer_of(worker: str, said: Command) -> str:
        return recover_typed(command_typed_data(1337, POOL, worker, said), command.signature)

    assert signer_of(A, command) == wallet.address
    assert signer_of(B, command) != wallet.address
    changes: list[dict[str, Any]] = [
        {"seq": 1},
        {"previous": 1},
        {"kind": CommandKind.DRAIN},
        {"arguments": {}},
        {"expires": 1},
    ]
    for change in changes:
        assert signer_of(A, command.model_copy(update=change)) != wallet.address


@given(kind=st.sampled_from(CommandKind), arguments=st.dictionaries(st.text(max_size=8), st.integers(), max_size=3))
def test_arguments_are_what_the_kind_takes_or_refused_in_words(kind: CommandKind, arguments: dict[str, int]) -> None:
    try:
        found = checked(kind, arguments)
    except BadInputError as error:
        assert error.hint.startswith(kind)
    else:
        assert found == arguments and set(found) <= set(ARGUMENTS[kind].model_fields)


def test_telemetry_by_day_replaced_and_bounded(database: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "MOST_OF_ONE", 210)

    def sample(quarter: int, soc: float = 0.5) -> Sample:
        return Sample(at=quarter * 900, soc=soc, action="run", reason="sun", harvested_wh=1.5)

    with database.write() as db:
        telemetry.record_all(db, A, [sample(n) for n in range(200)])
        telemetry.record(db, A, sample(5, 0.75))
        telemetry.record(db, B, sample(5))
        assert [s.at // 900 for s in telemetry.day(db, A, 1)] == list(range(96, 192))
        assert telemetry.day(db, A, 0)[5] == sample(5, 0.75)
        assert telemetry.day(db, B, 0) == [sample(5)]
        assert telemetry.latest(db, A) == sample(199)
        telemetry.record_all(db, A, [sample(n) for n in range(200, telemetry.MOST_OF_ONE + 10)])
        assert len(telemetry.between(db, A, 0, 2**40)) == telemetry.MOST_OF_ONE
        assert telemetry.day(db, B, 0) == [sample(5)]
        assert telemetry.forget(db, 2**40) == telemetry.MOST_OF_ONE + 1
        assert telemetry.latest(db, A) is None


def test_an_operator_logs_in_and_a_worker_is_none(database: Store) -> None:
    owner, worker = Wallet(Account.create()), Wallet(Account.create())
    operating = operators.sessions(database, 1337, POOL, [], owner.address)
    working = Sessions(database, 1337, POOL, [])

    def signed(sessions: Sessions, wallet: Wallet, typed: Any) -> LoginRequest:
        asked = sessions.challenge(wallet.address, NOW)
        data = typed(1337, POOL, wallet.address, asked.nonce, asked.expires)
        said = {"wallet": wallet.address, "nonce": asked.nonce, "expires": asked.expires}
        return LoginRequest(**said, signature=wallet.sign_typed(data))

    token = operating.login(signed(operating, owner, operator_login_typed_data), NOW).token
    assert operating.wallet_of(token, NOW) == owner.address
    with pytest.raises(LoginError, match="signature"):
        operating.login(signed(operating, owner, login_typed_data), NOW)
    with pytest.raises(LoginError, match="not among the operators"):
        operating.challenge(worker.address, NOW)
    with pytest.raises(LoginError):
        working.wallet_of(token, NOW)
    as_worker = working.login(signed(working, owner, login_typed_data), NOW).token
    with pytest.raises(LoginError):
        operating.wallet_of(as_worker, NOW)
    operating.allow([worker.address])
    with pytest.raises(LoginError):
        operating.wallet_of(token, NOW)
