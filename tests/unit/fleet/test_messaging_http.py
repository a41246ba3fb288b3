"""The calls by which operators command workers, and workers answer: over HTTP, with real sessions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from chain.wallet import Wallet
from poco.wire import Sample, operator_login_typed_data
from scheduler import api_fleet, operators, store, telemetry, web
from scheduler.api_fleet import FleetServices
from scheduler.engine import Engine
from scheduler.fleet_commands import Signer
from scheduler.funds import Funds
from scheduler.presence import Roll
from scheduler.store import Store
from tests.unit.fleet.test_messaging_store import POOL

WORKER = Account.create().address


class Pool:
    """The calls over a real store; a worker's session is a header that names it."""

    def __init__(self, folder: Path) -> None:
        self.owner = Wallet(Account.create())
        self.database = Store(folder / "db")
        with self.database.write() as db:
            store.ensure_worker(db, WORKER, 1)
        seal = Signer(self.owner, 1337, POOL).signed
        self.engine = Engine(self.database, Roll(30, 120), Funds(None, ""), self.owner, seal=seal)  # type: ignore[arg-type]
        services = FleetServices(self.engine, operators.sessions(self.database, 1337, POOL, [], self.owner.address))

        async def worker_of(request: Request) -> str:
            return web.bearer(request)

        app = FastAPI()
        web.install(app)
        app.include_router(api_fleet.router(services, worker_of))
        self.client = TestClient(app)

    def login(self) -> dict[str, str]:
        wallet = self.owner.address
        asked = self.client.post("/operators/challenge", json={"wallet": wallet}).json()
        typed = operator_login_typed_data(1337, POOL, wallet, asked["nonce"], asked["expires"])
        given = self.client.post(
            "/operators/login", json={"wallet": wallet, **asked, "signature": self.owner.sign_typed(typed)}
        )
        return {"Authorization": f"Bearer {given.json()['token']}"}


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    made = Pool(tmp_path_factory.mktemp("pool"))
    yield made
    made.database.close()


def test_an_operator_commands_and_reads_the_answer(pool: Pool) -> None:
    who, client = pool.login(), pool.client
    asked: dict[str, Any] = {"workers": [WORKER], "kind": "DIAGNOSE"}
    assert client.post("/fleet/commands", json=asked).status_code == 401
    assert client.post("/fleet/commands", json=asked, headers={"Authorization": f"Bearer {WORKER}"}).status_code == 401
    (number,) = client.post("/fleet/commands", json=asked, headers=who).json()["commands"]
    assert pool.engine.bell.collect(WORKER) is not None  # its poll is woken
    (told,) = pool.engine.fetch(WORKER, 0)
    assert told.type == "COMMAND" and told.data["signature"]
    answer = {"state": "DONE", "answer": '[{"what": "clock"}]'}
    me = {"Authorization": f"Bearer {WORKER}"}
    assert client.post(f"/workers/me/commands/{told.seq}", json=answer, headers=me).status_code == 204
    assert client.post("/workers/me/commands/1", json=answer, headers=me).json()["error"] == "NO_SUCH_COMMAND"
    (found,) = client.get("/fleet/commands", params={"worker": WORKER, "limit": 1}, headers=who).json()["commands"]
    assert (found["id"], found["state"], found["answer"], found["by"]) == (
        number, "DONE", answer["answer"], pool.owner.address,
    )  # fmt: skip
    assert client.delete("/operators/login", headers=who).status_code == 204
    assert client.get("/fleet/commands", headers=who).status_code == 401


def test_wrong_commands_are_refused_in_words(pool: Pool) -> None:
    who = pool.login()
    for asked, said in (
        ({"workers": [WORKER], "kind": "PAUSE"}, "until"),
        ({"workers": [POOL], "kind": "DRAIN"}, "no worker"),
        ({"workers": [], "kind": "DRAIN"}, "workers"),
        ({"workers": [WORKER], "kind": "FORMAT_DISK"}, "kind"),
        (
            {"workers": [WORKER], "kind": "CONFIGURE", "arguments": {"settings": {"scheduler_url": "x"}}},
            "scheduler_url",
        ),
    ):
        answer = pool.client.post("/fleet/commands", json=asked, headers=who)
        assert answer.status_code == 400 and said in answer.json()["message"]
    state = {"state": "QUEUED"}
    me = {"Authorization": f"Bearer {WORKER}"}
    assert pool.client.post("/workers/me/commands/1", json=state, headers=me).status_code == 400


def test_telemetry_by_day(pool: Pool) -> None:
    with pool.database.write() as db:
        telemetry.record(db, WORKER, Sample(at=86_400, soc=0.5))
    asked = {"worker": WORKER, "day": "1"}
    assert pool.client.get("/fleet/telemetry", params=asked).status_code == 401
    (found,) = pool.client.get("/fleet/telemetry", params=asked, headers=pool.login()).json()
    assert found["at"] == 86_400 and found["soc"] == 0.5
