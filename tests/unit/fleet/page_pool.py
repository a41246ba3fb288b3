"""A pool with a past, for the pages: workers in every state, deals, a vote, telemetry, commands; over a real store."""

from __future__ import annotations

import math
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from eth_account import Account
from fastapi import FastAPI
from sqlalchemy import URL, insert

from chain.wallet import Wallet
from poco.hexes import keccak, to_hex
from poco.ids import result_hash
from poco.states import Presence, ReplicateStatus
from poco.wire import Energy, Poll, PoolConfig, Sample, Site, WorkerInfo
from scheduler import api_fleet, api_page, operators, store, telemetry, web
from scheduler import model as m
from scheduler import tables as t
from scheduler.api_fleet import FleetServices
from scheduler.api_page import PageServices
from scheduler.config import Config
from scheduler.core import step
from scheduler.engine import Engine
from scheduler.funds import Funds
from scheduler.ledgers import Ledgers
from scheduler.presence import Roll
from scheduler.settings import Settings
from scheduler.store import Store

POOL, HUB, APP = ("0x" + digit * 40 for digit in "123")
RLC = 10**9
DAY_S, QUARTER = 86_400, 900
REASON = "battery 61 %, a night's reserve of 38 % is kept"


def wallet_of(number: int) -> str:
    return Account.from_key((number + 1).to_bytes(32, "big")).address


class PagePool:
    """The application and what it reads; `now` stands still. `where`: its database, by default a file in `folder`."""

    def __init__(self, folder: Path, now: int = 1_782_050_000, where: URL | None = None) -> None:
        self.now = now
        self.owner = Wallet(Account.from_key((99).to_bytes(32, "big")))
        self.database = Store(where or folder / "scheduler.db")
        self.roll = Roll(30, 120)
        self.engine = Engine(
            self.database, self.roll, Funds(None, POOL), self.owner, clock=lambda: self.now  # type: ignore[arg-type]
        )  # fmt: skip
        self.engine.funds.is_green = lambda _wallet: True  # type: ignore[method-assign]
        self.replica = SimpleNamespace(block=4711, caught_up=True, trouble="", sending_trouble="")
        self.money: dict[str, Any] = {"stake_nrlc": 412 * RLC + 5, "locked_nrlc": 9 * RLC, "missing_nrlc": 0}
        self.ledgers = Ledgers(folder / "ledgers")
        pool = PoolConfig(
            protocol=1, chain_id=1337, hub=HUB, workerpool=POOL, scheduler=self.owner.address, poll_seconds=20
        )
        config = Config(
            rpc_url="http://127.0.0.1:1", deployment=folder, workerpool=POOL, keystore=folder, password_file=folder,
            data_dir=folder,
        )  # fmt: skip
        self.operators = operators.sessions(self.database, 1337, POOL, [], self.owner.address)
        self.services = PageServices(
            engine=self.engine,
            replica=self.replica,  # type: ignore[arg-type]
            views=SimpleNamespace(money=lambda: self.money),  # type: ignore[arg-type]
            ledgers=self.ledgers,
            operators=self.operators,
            settings=Settings(config, pool),
        )
        self.app = FastAPI()
        web.install(self.app)

        async def nobody(_request: Any) -> str:
            return ""

        self.app.include_router(api_fleet.router(FleetServices(self.engine, self.operators), nobody))
        self.app.mount("/page", api_page.build(self.services))

    def worker(
        self, number: int, name: str = "", presence: Presence = Presence.WAITING, *, silent: int = 0, **more: Any
    ) -> str:
        """A worker that was heard of `silent` seconds ago. `more`: of its energy, `resume_at`, or its `site`."""
        wallet, at = wallet_of(number), self.now - silent
        site = Site(latitude=more["site"][0], longitude=more["site"][1]) if "site" in more else None
        info = WorkerInfo(
            name=name or f"roof-{number:02d}",
            platforms=["linux/arm64"],
            cpus=4,
            memory_mb=1024,
            disk_mb=4096,
            site=site,
        )
        with self.database.write() as db:
            store.ensure_worker(db, wallet, at)
        self.roll.register(wallet, info, at)
        energy = {name: value for name, value in more.items() if name in Energy.model_fields}
        poll = Poll(
            presence=presence, resume_at=more.get("resume_at"), free_slots=1, acked=0, energy=Energy(**energy),
            wait_seconds=0,
        )  # fmt: skip
        self.roll.heard(wallet, poll, at, at)
        return wallet

    def deal(self, number: int, size: int, *, price: int = 2 * RLC, trust: int = 1, params: str = "") -> m.TaskTerms:
        """A deal with its tasks, each new."""
        deal_id = f"0x{number:064x}"
        terms = m.TaskTerms(deal_id, APP, False, trust, price * 3 // 10, 300, self.now + 2100, self.now + 3000)
        part = {"pointer": APP, "owner": HUB, "price": RLC // 10}
        body = {
            "dealid": deal_id, "app": part, "dataset": part, "workerpool": {**part, "pointer": POOL, "price": price},
            "trust": trust, "category": 0, "tag": "0x" + "0" * 64, "requester": HUB, "beneficiary": HUB, "callback": "",
            "params": params, "startTime": self.now - 4000 + number, "botFirst": 0, "botSize": size,
            "workerStake": price * 3 // 10, "schedulerRewardRatio": 5, "transactionHash": f"0x{number + 7:064x}",
        }  # fmt: skip
        hashes = {f"{kind}order_hash": "0x" + "0" * 64 for kind in ("app", "dataset", "workerpool", "request")}
        row = {
            "id": deal_id,
            "block": number,
            "requester": HUB,
            "beneficiary": HUB,
            "app": APP,
            "dataset": APP,
        }
        with self.database.write() as db:
            db.execute(insert(t.deals).values(**row, **hashes, workerpool=POOL, body=body))
            store.add_tasks(db, [terms.task(n) for n in range(size)], self.now - 3000)
        return terms

    def happen(self, task_id: str, *events: m.Event, at: int | None = None) -> None:
        """The core's own steps."""
        for event in events:
            with self.database.write() as db:
                before = store.load_task(db, task_id)
                assert before is not None
                after = step(before, event, at or self.now - 60)[0]
                store.save_task(db, before, after, at or self.now - 60)

    def say(self, task_id: str, block: int, name: str, **args: Any) -> None:
        """An event on chain, as the watcher keeps it."""
        with self.database.write() as db:
            tx_hash = to_hex(keccak(task_id.encode(), bytes([block])))
            row = {"chain_id": 1337, "tx_hash": tx_hash, "log_index": 0, "block": block, "block_hash": "0x00"}
            db.execute(insert(t.events).values(**row, name=name, args=args, task_id=task_id))

    def vote(self, task_id: str, winners: list[str], losers: list[str], *, paid: bool = True) -> None:
        """A task from its first lease to its end, or to its consensus."""
        good, bad = (result_hash(task_id, "0x" + digit * 64) for digit in "ab")
        self.happen(task_id, m.Initialized(), at=self.now - 900)
        self.say(task_id, 100, "TaskInitialize", workerpool=POOL)
        for number, worker in enumerate([*losers, *winners]):
            result = bad if worker in losers else good
            self.happen(task_id, m.Leased(worker, 2), m.Reported(worker, ReplicateStatus.STARTED), at=self.now - 800)
            self.happen(task_id, m.Contributed(worker, result, 2), at=self.now - 700 + number)
            self.say(task_id, 110 + number, "TaskContribute", worker=worker, hash=result, weight=2)
        self.happen(task_id, m.ConsensusReached(good, self.now + 600), at=self.now - 600)
        self.say(task_id, 120, "TaskConsensus", consensus=good, reveal_deadline=self.now + 600)
        if not paid:
            return
        for number, worker in enumerate(winners):
            self.happen(task_id, m.Revealed(worker, "0x" + "a" * 64), at=self.now - 500 + number)
            self.say(task_id, 130 + number, "TaskReveal", worker=worker, digest="0x" + "a" * 64)
        self.happen(task_id, m.Finalized("/ipfs/bafk"), at=self.now - 400)
        self.say(task_id, 150, "TaskFinalize", results="")

    def sunny(self, wallet: str, day: int, *, until: int = 96, reason: str = REASON) -> None:
        """A day of telemetry."""
        charge, samples = 0.62, []
        for n in range(until):
            sun = max(0.0, math.sin((n - 18) / 66 * math.pi)) ** 1.4 * (0.55 if 44 < n < 52 else 1.0)
            load = 2.4 if n > 24 else 1.3
            charge = min(1.0, max(0.1, charge + (sun * 18 - load) / 4 / 90))
            action = "sleep" if n < 20 or n > 88 else "decline" if charge < 0.5 else "run"
            samples.append(
                Sample(
                    at=day * DAY_S + n * QUARTER, harvested_wh=sun * 18 / 4, consumed_wh=load / 4, soc=charge,
                    temperature_c=18 + 14 * sun, action=action, reason=reason if action == "run" else "", tasks=n % 3,
                )
            )  # fmt: skip
        with self.database.write() as db:
            telemetry.record_all(db, wallet, samples)


def lively(folder: Path, count: int = 24, where: URL | None = None) -> PagePool:
    """A pool with something of everything, now."""
    made = PagePool(folder, int(time.time()), where)
    sites = [(55.68, 12.57), (52.52, 13.4), (48.86, 2.35), (45.76, 4.84), (41.39, 2.17), (59.91, 10.75), (53.35, -6.26)]
    states = [Presence.WAITING, Presence.WORKING, Presence.BUSY, Presence.ASLEEP, Presence.DRAINING]
    for n in range(count):
        place = sites[n % len(sites)]
        made.worker(
            n, presence=states[n % 5], silent=500 if n == 7 else 60 if n == 11 else 0,
            resume_at=made.now + 20_000 if n % 5 == 3 else None, soc=0.08 + (n * 37 % 92) / 100,
            harvest_w=n * 13 % 19 + 0.4, load_w=2.1 + n % 3, harvested_wh=1000.0 * n, consumed_wh=700.0 * n,
            stored_wh=60.0 + n, decision=REASON, site=(place[0] + n % 4 * 0.3, place[1] + n % 3 * 0.5),
        )  # fmt: skip
    for number in range(1, 8):
        terms = made.deal(number, 5 + number * 11, trust=2 if number % 2 else 1, params='{"iexec_args": "30 s"}')
        for n in range(4):
            made.vote(terms.task(n).id, [wallet_of(n), wallet_of(n + 1)], [wallet_of(n + 2)], paid=n != 3)
        made.happen(terms.task(4).id, m.Initialized(), m.Leased(wallet_of(number), 2))
    today = made.now // DAY_S
    made.sunny(wallet_of(1), today - 1)
    made.sunny(wallet_of(1), today, until=max(made.now % DAY_S // QUARTER, 1))
    return made
