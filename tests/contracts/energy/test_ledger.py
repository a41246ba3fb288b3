"""The energy ledger's contract: append-only days, sums over windows, what counts as net positive."""

import pytest
from brownie import chain
from hypothesis import HealthCheck
from hypothesis import strategies as st

from tests.contracts.market import refused, revert_of

DAY = 86_400
ROOT = "0x" + "ab" * 32


def claim(day, harvested=100, consumed=50, *, records=96, unknown=0, charged=0, stored=0, root=ROOT):
    return (day, records, unknown, root, harvested, consumed, charged, stored)


def today():
    return chain.time() // DAY


@pytest.fixture
def worker(market):
    return market.workers[0]


@pytest.fixture
def ledger(market):
    return market.energy_ledger


def anchor(ledger, worker, *claims):
    return ledger.anchor(list(claims), {"from": worker})


def test_a_day_is_an_event_with_all_its_figures(ledger, worker):
    day = today() - 1
    tx = anchor(ledger, worker, claim(day, 7_000, 6_000, records=90, unknown=5_400, charged=12, stored=-34))
    event = tx.events["Anchored"]
    assert (event["worker"], event["day"], str(event["root"]).lower()) == (worker, day, ROOT)
    figures = ("records", "unknown", "harvested", "consumed", "charged", "stored")
    assert [event[name] for name in figures] == [90, 5_400, 7_000, 6_000, 12, -34]
    assert tuple(ledger.headOf(worker)) == (day, day, tx.timestamp)


def test_a_day_costs_little(ledger, worker):
    day = today() - 10
    assert anchor(ledger, worker, claim(day)).gas_used < 85_000
    assert anchor(ledger, worker, claim(day + 1)).gas_used < 66_000
    assert anchor(ledger, worker, *(claim(day + n) for n in range(2, 9))).gas_used < 7 * 32_000 + 40_000


@pytest.mark.parametrize("offset", [0, -1, -40])
def test_what_is_anchored_stays(ledger, worker, offset):
    day = today() - 1
    anchor(ledger, worker, claim(day))
    again = [claim(day + offset)]
    assert revert_of(ledger.anchor, again, options={"from": worker}) == ("DayNotAfter", day + offset, day)
    with refused():
        ledger.anchor(again, {"from": worker})


def test_days_of_one_call_rise(ledger, worker):
    day = today() - 3
    assert revert_of(ledger.anchor, [claim(day), claim(day)], options={"from": worker}) == ("DayNotAfter", day, day)


def test_a_day_must_be_over(ledger, worker):
    assert revert_of(ledger.anchor, [claim(today())], options={"from": worker}) == ("DayNotOver", today())
    assert revert_of(ledger.anchor, [], options={"from": worker}) == ("NothingToAnchor",)
    chain.sleep(DAY - chain.time() % DAY + 1)
    chain.mine()
    anchor(ledger, worker, claim(today() - 1))


def test_others_have_ledgers_of_their_own(ledger, market):
    one, other = market.workers[:2]
    day = today() - 1
    anchor(ledger, one, claim(day))
    assert tuple(ledger.headOf(other)) == (0, 0, 0)
    assert not ledger.isNetPositive(other, 1)
    anchor(ledger, other, claim(day, 1, 2))
    assert ledger.isNetPositive(one, 1)


def test_net_positive_over_the_whole_window_only(ledger, worker):
    day = today() - 3
    anchor(ledger, worker, claim(day, 10, 90), claim(day + 1, 100, 50), claim(day + 2, 60, 40))
    assert tuple(ledger.sumsOf(worker, 1)) == (True, 60, 40)
    assert tuple(ledger.sumsOf(worker, 2)) == (True, 160, 90)
    assert tuple(ledger.sumsOf(worker, 3)) == (True, 170, 180)
    assert tuple(ledger.sumsOf(worker, 4)) == (False, 170, 180)
    assert [ledger.isNetPositive(worker, n) for n in range(5)] == [False, True, True, False, False]


def test_a_missing_day_breaks_the_run(ledger, worker):
    day = today() - 4
    anchor(ledger, worker, claim(day), claim(day + 1))
    assert ledger.isNetPositive(worker, 2)
    tx = anchor(ledger, worker, claim(day + 3))
    assert tuple(ledger.headOf(worker)) == (day + 3, day + 3, tx.timestamp)
    assert ledger.isNetPositive(worker, 1)
    assert not ledger.isNetPositive(worker, 2)
    assert tuple(ledger.sumsOf(worker, 2)) == (False, 100, 50)


def test_a_claim_goes_stale(ledger, worker):
    anchor(ledger, worker, claim(today() - 1))
    assert ledger.isNetPositive(worker, 1)
    chain.sleep(3 * DAY - 60)
    chain.mine()
    assert ledger.isNetPositive(worker, 1)
    chain.sleep(120)
    chain.mine()
    assert not ledger.isNetPositive(worker, 1)


@pytest.mark.parametrize(("harvested", "consumed", "positive"), [(0, 0, False), (5, 5, True), (4, 5, False)])
def test_the_sun_must_have_given_what_was_drawn(ledger, worker, harvested, consumed, positive):
    anchor(ledger, worker, claim(today() - 1, harvested, consumed))
    assert ledger.isNetPositive(worker, 1) is positive


def test_a_pool_declares_its_window(ledger, market, worker):
    assert ledger.windowOf(market.pool) == 30
    anchor(ledger, worker, claim(today() - 2), claim(today() - 1))
    assert not ledger.isGreen(worker, market.pool)
    tx = ledger.declareWindow(market.pool, 2, {"from": market.scheduler})
    assert tx.events["WindowDeclared"] == {"workerpool": market.pool, "numberOfDays": 2}
    assert ledger.windowOf(market.pool) == 2
    assert ledger.isGreen(worker, market.pool)


def test_only_the_pools_owner_declares_a_sensible_window(ledger, market, worker):
    call = ledger.declareWindow
    assert revert_of(call, market.pool, 7, options={"from": worker}) == (
        "NotThePoolsOwner",
        str(worker).lower(),
        str(market.scheduler).lower(),
    )
    for wrong in (0, 367):
        assert revert_of(call, market.pool, wrong, options={"from": market.scheduler}) == ("NotAWindow", wrong)


def test_sums_agree_with_a_model(ledger, market, state_machine):
    """Any series of claims against a list of days in Python."""

    class Claims:
        skip = st.integers(1, 3)
        harvested = st.integers(0, 2**40)
        consumed = st.integers(0, 2**40)

        def __init__(self):
            self.worker = market.workers[0]

        def setup(self):
            self.day, self.run = today() - 200, []

        def rule_anchor(self, skip, harvested, consumed):
            self.day += skip
            self.run = [*(self.run if skip == 1 else []), (harvested, consumed)]
            anchor(ledger, self.worker, claim(self.day, harvested, consumed))

        def invariant_sums(self):
            for window in range(1, len(self.run) + 1):
                harvested, consumed = (sum(column) for column in zip(*self.run[-window:], strict=True))
                assert tuple(ledger.sumsOf(self.worker, window)) == (True, harvested, consumed)
                assert ledger.isNetPositive(self.worker, window) == (harvested >= consumed and harvested > 0)
            assert not ledger.isNetPositive(self.worker, len(self.run) + 1)

    state_machine(
        Claims,
        settings={"max_examples": 3, "stateful_step_count": 8, "suppress_health_check": HealthCheck.all()},
    )
