"""A task from match to payment with one, two and three workers."""

import pytest

from tests.contracts.market import DIGEST, RLC, same

PRICE = 10 * RLC
STAKE = 3 * RLC


@pytest.mark.parametrize(("workers", "trust"), [(1, 1), (2, 4), (3, 8)])
def test_pays_everybody(market, workers, trust):
    crew = market.workers[:workers]
    before = market.money()
    task = market.task(trust=trust)
    market.complete(task, crew)
    after = market.money()

    def gained(account):
        return after[str(account)][0] - before[str(account)][0]

    pot = PRICE * 99 // 100
    share = pot // workers
    assert gained(market.requester) == -(PRICE + 1 * RLC)
    assert gained(market.app_owner) == 1 * RLC
    assert [gained(worker) for worker in crew] == [share] * workers
    assert gained(market.scheduler) == PRICE - share * workers
    assert all(locked == 0 for _, locked in after.values())
    assert [market.hub.viewScore(worker) for worker in crew] == [int(workers > 1)] * workers
    view = market.hub.viewTask(task)
    assert view["status"] == 3
    assert same(view["resultDigest"]) == DIGEST
    assert view["contributors"] == crew
