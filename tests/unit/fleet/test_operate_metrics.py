"""`GET /metrics` for a large fleet: its format, counters that count what was committed, series that do not multiply."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert

from chain.client import Chain
from chain.deployment import Deployment
from chain.outcomes import Receipt
from chain.wallet import Wallet
from poco.errors import Cause
from poco.states import Presence, ReplicateStatus, TaskStatus
from poco.wire import Energy, Poll, Sample, WorkerInfo
from scheduler import model as m
from scheduler import tables as t
from scheduler.engine import Engine
from scheduler.funds import Funds
from scheduler.lease import SoleLease
from scheduler.load import Load
from scheduler.metrics import Metrics
from scheduler.orderbook import OrderBook
from scheduler.presence import Roll
from scheduler.replica import Replica
from scheduler.standing import Standing
from scheduler.store import Store
from scheduler.tally import TASK_BOUNDS, Tally
from scheduler.views import Views
from tests.unit.fleet.exposition import parsed

NOW = 1_700_000_000
POOL = "0x" + "22" * 20
TERMS = m.TaskTerms("0x" + "11" * 32, "0x" + "33" * 20, False, 1, 50, 300, NOW + 2100, NOW + 3000)
INFO = WorkerInfo(name="w", platforms=["linux/arm64"], cpus=4, memory_mb=900, disk_mb=8000)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    database = Store(tmp_path / "scheduler.db")
    yield Engine(database, Roll(30, 120), Funds(None, ""), Wallet(Account.create()), clock=lambda: NOW)  # type: ignore[arg-type]
    database.close()


def metrics_of(engine: Engine) -> Metrics:
    """Without a chain: nobody listens at its address."""
    address = "0x" + "44" * 20
    deployment = Deployment("pew-local", 1337, 0, *[address] * 5)
    chain = Chain("http://127.0.0.1:1", deployment)
    replica = Replica(engine, chain, SoleLease(), lambda _engine: None, 10)  # type: ignore[arg-type,return-value]
    book = OrderBook(engine.store, chain)
    standing = Standing(engine, book, POOL, templates=tuple, leading=lambda: True)
    return Metrics(engine, replica, Views(engine, chain, replica, book, standing), Load(100))


def join(engine: Engine, count: int) -> None:
    """Workers of every presence, each with a meter of its own and words that nobody foresaw."""
    presences = [p for p in Presence if p not in {Presence.UNKNOWN, Presence.LOST}]
    rows = []
    for number in range(count):
        wallet = f"0x{number:040x}"
        engine.roll.register(wallet, INFO, NOW)
        energy = Energy(soc=number % 101 / 100, harvested_wh=number, consumed_wh=1, decision=f"reason {number}")
        presence = presences[number % len(presences)]
        resume = NOW + 60 if presence is Presence.ASLEEP else None
        poll = Poll(presence=presence, resume_at=resume, free_slots=1, acked=0, energy=energy)
        engine.roll.heard(wallet, poll, NOW, NOW)
        word = "run" if number % 2 else "x" + chr(97 + number % 26) + chr(97 + number // 26 % 26)
        sample = Sample(at=NOW // 900 * 900, harvested_wh=2, consumed_wh=1, action=word, tasks=1, temperature_c=20)
        rows.append({"worker": wallet, **sample.model_dump(), "received_at": NOW - 5})
    with engine.store.write() as db:
        db.execute(insert(t.telemetry), rows)


def test_5000_workers_add_no_series(engine: Engine) -> None:
    join(engine, 5)
    few = parsed(metrics_of(engine).text())
    with engine.store.write() as db:
        db.execute(t.telemetry.delete())
    join(engine, 5000)
    many = parsed(metrics_of(engine).text())
    assert many.keys() == few.keys()
    assert sum(value for name, value in many.items() if name.startswith("pew_workers{")) == 5000
    assert many["pew_telemetry_workers"] == many["pew_telemetry_consumed_wh"] == 5000
    assert many['pew_telemetry_decisions{action="other"}'] == many['pew_telemetry_decisions{action="run"}'] == 2500
    assert many['pew_workers_charged{below="1.01"}'] == 5000
    assert not any("0x" in name or "reason" in name for name in many)


def test_moves_times_causes_and_pay_are_counted_once_each() -> None:
    tally = Tally()
    task = TERMS.task(0)
    run = m.Replicate("0x" + "01" * 20, ReplicateStatus.CREATED, 2, NOW, NOW)
    begun = replace(task, status=TaskStatus.RUNNING, replicates=(run,))
    failed = replace(run, status=ReplicateStatus.FAILED, cause=Cause.APP_COMPUTE_FAILED)
    agreed = replace(begun, status=TaskStatus.CONSENSUS_REACHED, replicates=(failed,))
    done = replace(agreed, status=TaskStatus.COMPLETED)
    for before, after, now in (
        (task, begun, NOW),
        (begun, agreed, NOW + 20),
        (agreed, done, NOW + 70),
        (done, done, NOW),
    ):
        tally.changed(before, after, now)
    tally.mined("finalize", Receipt("0x", 1, 21_000, 42))
    tally.refused("claim")
    found = parsed(tally.text())
    assert [found[f'pew_task_moves_total{{to="{s}"}}'] for s in ("RUNNING", "CONSENSUS_REACHED", "COMPLETED")] == [
        1
    ] * 3
    assert found['pew_replicate_moves_total{to="FAILED"}'] == 1
    assert found['pew_replicate_causes_total{cause="APP_COMPUTE_FAILED"}'] == 1
    assert found['pew_task_seconds_sum{until="consensus"}'] == 20
    assert found['pew_task_seconds_bucket{until="completed",le="60"}'] == 0
    assert found['pew_task_seconds_bucket{until="completed",le="120"}'] == 1
    assert found['pew_transactions_total{kind="finalize",ended="mined"}'] == 1
    assert found['pew_transactions_total{kind="claim",ended="refused"}'] == 1
    assert (found['pew_gas_used_total{kind="finalize"}'], found['pew_gas_paid_wei_total{kind="finalize"}']) == (
        21_000,
        42,
    )


def test_rewards_wait_until_the_price_of_the_deal_is_known(engine: Engine) -> None:
    task = TERMS.task(0)
    engine.tally.changed(task, replace(task, status=TaskStatus.COMPLETED), NOW)
    metrics = metrics_of(engine)
    assert parsed(metrics.text())['pew_rewards_nrlc_total{to="workers"}'] == 0
    body = {kind: {"price": price} for kind, price in (("workerpool", 1000), ("app", 7), ("dataset", 0))}
    names = ("beneficiary", "app", "dataset", "workerpool", "requester")
    hashes = [f"{kind}order_hash" for kind in ("app", "dataset", "workerpool", "request")]
    row = {"id": task.deal_id, "block": 1, **dict.fromkeys(names, POOL), **dict.fromkeys(hashes, "0x")}
    with engine.store.write() as db:
        db.execute(insert(t.deals).values(**row, body={**body, "schedulerRewardRatio": 1}))
    for _ in range(2):
        with engine.store.read() as db:
            engine.tally.price(db)
    found = parsed(engine.tally.text())
    paid = {whom: found[f'pew_rewards_nrlc_total{{to="{whom}"}}'] for whom in ("workers", "pool", "app", "dataset")}
    assert paid == {"workers": 990, "pool": 10, "app": 7, "dataset": 0}


@given(st.lists(st.integers(-100, 200_000), max_size=30))
def test_classes_of_times_hold_every_task_and_their_sum(seconds: list[int]) -> None:
    tally = Tally()
    task = TERMS.task(0)
    for took in seconds:
        tally.changed(task, replace(task, status=TaskStatus.CONSENSUS_REACHED), NOW + took)
    found = parsed(tally.text())
    for bound in TASK_BOUNDS:
        within = sum(max(took, 0) <= bound for took in seconds)
        assert found[f'pew_task_seconds_bucket{{until="consensus",le="{bound}"}}'] == within
    assert found['pew_task_seconds_count{until="consensus"}'] == len(seconds)
    assert found['pew_task_seconds_sum{until="consensus"}'] == sum(max(took, 0) for took in seconds)


def test_a_database_that_is_gone_is_told_with_all_that_needs_none(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = metrics_of(engine)
    with engine.store.write() as db:
        db.exec_driver_sql("DROP TABLE outbox")
    found = parsed(metrics.text())
    assert found["pew_store_trouble"] == 1
    assert found['pew_workers{presence="LOST"}'] == 0
    assert not any(name.startswith("pew_tasks") for name in found)


def test_who_went_as_announced_is_not_missing(engine: Engine) -> None:
    for number, presence in enumerate((Presence.WAITING, Presence.DRAINING)):
        wallet = f"0x{number:040x}"
        engine.roll.register(wallet, INFO, NOW - 200)
        engine.roll.heard(wallet, Poll(presence=presence, free_slots=0, acked=0), NOW - 200, NOW - 200)
    found = parsed(metrics_of(engine).text())
    assert (found['pew_workers{presence="LOST"}'], found["pew_workers_missing"]) == (2, 1)
