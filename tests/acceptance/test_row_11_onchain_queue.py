"""Row 11, the queue of initialize, finalize, reopen and claim.

Parity: each is sent, finalize before initialize. Beat: in the scheduler's own process; a bag's tasks share transactions
and are initialized only as they are needed; what never ran is claimed at once when its time is over.
"""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from pathlib import Path

import pytest

from chain.client import Chain
from chain.transactions import Sender
from poco.hexes import to_bytes
from poco.states import ChainTaskStatus
from scheduler.outbox import AHEAD, TOGETHER
from tests.integration.scheduler_pool import Market, Pool, until

VOLUME = 90


@pytest.mark.long
def test_a_bag_is_begun_as_it_is_needed_and_given_back_together(hub: Chain, tmp_path: Path) -> None:
    market = Market(hub, tmp_path)
    pool = Pool(market, tmp_path)
    pool.start()
    before = pool.chain.account(pool.requester.address)
    tasks = pool.deal(volume=VOLUME, category=market.category(3))

    def states() -> Counter[ChainTaskStatus]:
        return Counter(pool.chain.task(task).status for task in tasks)

    until(lambda: states()[ChainTaskStatus.ACTIVE] >= TOGETHER, 20)
    time.sleep(1)
    assert states()[ChainTaskStatus.ACTIVE] <= AHEAD, "nobody takes them: no more are begun"
    until(lambda: states()[ChainTaskStatus.FAILED] == VOLUME, 90)
    until(lambda: pool.task(tasks[-1])["currentStatus"] == "FAILED", 20)
    assert pool.chain.account(pool.requester.address) == before, "all was refunded"
    assert pool.stop() == 0
    with sqlite3.connect(tmp_path / "data" / "scheduler.db") as db:
        sent = Counter(
            step.split("-")[0] for (step,) in db.execute("SELECT step FROM transactions WHERE state = 'MINED'")
        )
        left = db.execute("SELECT count(*) FROM outbox WHERE status IN ('QUEUED', 'SENT')").fetchone()[0]
    assert left == 0
    # a transaction of 50 begins, two at most claim those; one initializes and claims the rest
    assert 2 <= sent["initialize"] <= 4 and 1 <= sent["claim"] <= 3


def test_one_that_is_refused_does_not_hold_up_those_it_shares_a_transaction_with(hub: Chain, tmp_path: Path) -> None:
    """A stranger initializes one of the bag between the look and the sending: the others go one by one."""
    pool = Pool(Market(hub, tmp_path), tmp_path)
    tasks = pool.deal(volume=6)
    Sender(pool.chain, pool.requester).transact(pool.chain.hub.functions.initialize(to_bytes(pool.deals[tasks[2]]), 2))
    pool.start()
    until(lambda: all(pool.chain.task(task).status is ChainTaskStatus.ACTIVE for task in tasks), 30)
    assert pool.status()["outbox"]["errors"] == []
    assert pool.stop() == 0
