"""Who is asked first, and how many: by what the contracts will make of their votes."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path

import pytest
from eth_account import Account

from chain.wallet import Wallet
from poco.consensus import weight
from poco.hexes import address
from poco.states import Presence
from poco.wire import Poll, WorkerInfo
from scheduler import model as m
from scheduler import store
from scheduler.engine import Engine
from scheduler.funds import Funds, Standing
from scheduler.presence import Roll
from scheduler.store import Store

NOW = 1000
INFO = WorkerInfo(name="one", platforms=["linux/amd64"], cpus=1, memory_mb=1024, disk_mb=1024)
OLD, NEW, OTHER = (address("0x" + digit * 40) for digit in "123")


class Scores(Funds):
    """Stake enough for everybody; the weights follow from the scores."""

    def __init__(self, scores: dict[str, int]) -> None:
        super().__init__(None, "")  # type: ignore[arg-type]
        self.weights = {wallet: weight(score) for wallet, score in scores.items()}

    def standing(self, wallet: str) -> Standing | None:
        return Standing(10**9, self.weights[wallet])

    def known_weight(self, wallet: str) -> int:
        return self.weights[wallet]


def leased(folder: Path, trust: int, scores: dict[str, int]) -> list[str]:
    """To whom one task is given; the workers come in the order of `scores`, ten seconds apart."""
    database, roll = Store(folder / "scheduler.db"), Roll(1e9, 2e9)
    engine = Engine(database, roll, Scores(scores), Wallet(Account.create()), clock=lambda: NOW)
    task = m.TaskTerms("0x" + "11" * 32, OTHER, False, trust, 5, 300, NOW + 2100, NOW + 3000).task(0)
    with database.write() as db:
        for n, wallet in enumerate(scores):
            store.ensure_worker(db, wallet, NOW)
            roll.register(wallet, INFO, NOW - 100 + 10 * n)
            poll = Poll(presence=Presence.WAITING, free_slots=1, acked=0)
            roll.heard(wallet, poll, NOW - 100 + 10 * n, NOW + 20)
        roll.flush(db, NOW)
        engine.add_tasks(db, [task])
    engine.apply(task.id, m.Initialized())

    async def polls_are_open() -> None:
        with ExitStack() as together:
            for wallet in scores:
                together.enter_context(engine.bell.waiting(wallet))
            engine.leasing.lease(everybody=True)

    asyncio.run(polls_are_open())
    with database.read() as db:
        found = store.load_task(db, task.id)
    assert found is not None
    return sorted(replicate.worker for replicate in found.replicates)


def test_where_several_must_agree_the_best_score_is_asked_first_and_no_more_than_needed(tmp_path: Path) -> None:
    assert leased(tmp_path, 5, {NEW: 0, OTHER: 0, OLD: 100}) == [OLD]


def test_as_many_new_workers_as_the_contracts_will_want(tmp_path: Path) -> None:
    assert len(leased(tmp_path, 5, {NEW: 0, OTHER: 0, OLD: 0})) == 3


@pytest.mark.parametrize("best", [0, 300])
def test_where_one_is_enough_who_waited_longest_is_asked_whatever_its_score(tmp_path: Path, best: int) -> None:
    assert leased(tmp_path, 1, {NEW: 0, OLD: best}) == [NEW]
