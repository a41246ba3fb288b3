"""`pew fleet ask` and `pew fleet commands` against real calls and sessions."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import pytest
import uvicorn
from eth_account import Account
from fastapi import FastAPI, Request

from chain import wallet as wallets
from ops.ports import free_port
from scheduler import api_fleet, operators, store, web
from scheduler.api_fleet import FleetServices
from scheduler.engine import Engine
from scheduler.fleet_commands import Signer
from scheduler.funds import Funds
from scheduler.presence import Roll
from scheduler.store import Store
from sdk.cli import main as pew

POOL = "0x5FC8d32690cc91D4c39d9d3abcBD16989F875707"
WORKERS = {Account.create().address: name for name in ("roof-1", "roof-2")}
Run = Callable[..., tuple[int, Any]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("cli")
    owner = wallets.create(folder / "owner.json", "x", iterations=1024)
    (folder / "password").write_text("x")
    (folder / "password").chmod(0o600)
    database = Store(folder / "db")
    with database.write() as db:
        for worker in WORKERS:
            store.ensure_worker(db, worker, 1)
    seal = Signer(owner, 1337, POOL).signed
    engine = Engine(database, Roll(30, 120), Funds(None, ""), owner, seal=seal)  # type: ignore[arg-type]
    sessions = operators.sessions(database, 1337, POOL, [], owner.address)
    app = FastAPI()
    web.install(app)

    async def nobody(request: Request) -> str:
        return web.bearer(request)

    app.include_router(api_fleet.router(FleetServices(engine, sessions), nobody))

    @app.get("/config")
    def config() -> dict[str, Any]:
        pool = {"protocol": 1, "chain_id": 1337, "hub": POOL, "workerpool": POOL, "scheduler": owner.address}
        return {**pool, "poll_seconds": 20}

    @app.get("/status")
    def status() -> dict[str, Any]:
        return {"workers": [{"wallet": wallet, "name": name} for wallet, name in WORKERS.items()]}

    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", lifespan="off"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.01)
    given = ["--scheduler", f"http://127.0.0.1:{port}", "--wallet", str(folder / "owner.json")]
    given += ["--password-file", str(folder / "password")]

    def call(*words: str) -> tuple[int, Any]:
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = pew([*given, "fleet", *words, "--json"])
        return code, json.loads(out.getvalue()) if code == 0 else err.getvalue()

    yield call
    server.should_exit = True
    database.close()


def test_ask_by_name_by_address_and_all(run: Run) -> None:
    first = next(iter(WORKERS))
    code, said = run("ask", "drain", "roof-1")
    assert code == 0
    (row,) = said["commands"]
    assert (row["worker"], row["kind"], row["state"]) == (first, "DRAIN", "QUEUED")
    _, said = run("ask", "pause", "--all", "--until", "+2h")
    assert {row["worker"] for row in said["commands"]} == set(WORKERS)
    assert all(7190 < row["arguments"]["until"] - time.time() <= 7200 for row in said["commands"])
    _, said = run("ask", "configure", first.lower(), "--set", "poll_seconds=60", "--set", "drain_seconds=")
    assert said["commands"][0]["arguments"] == {"settings": {"poll_seconds": 60, "drain_seconds": None}}
    _, said = run("commands", "roof-1")
    assert [row["kind"] for row in said["commands"]] == ["CONFIGURE", "PAUSE", "DRAIN"]
    _, said = run("commands", "--limit", "1")
    assert len(said["commands"]) == 1


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("ask", "drain"), "name workers"),
        (("ask", "drain", "roof-1", "--all"), "name workers"),
        (("ask", "drain", "roof-9"), "no worker is called"),
        (("ask", "pause", "roof-1"), "until"),
        (("ask", "configure", "roof-1", "--set", "rpc_urls=x"), "rpc_urls"),
        (("ask", "configure", "roof-1", "--set", "poll_seconds"), "NAME=VALUE"),
        (("ask", "pause", "roof-1", "--until", "soon"), "neither Unix seconds"),
        (("ask", "explode", "roof-1"), "explode"),
        (("commands", "roof-9"), "no worker is called"),
    ],
)
def test_what_is_wrong_is_said(run: Run, words: tuple[str, ...], why: str) -> None:
    code, said = run(*words)
    assert code == 2 and why in said
