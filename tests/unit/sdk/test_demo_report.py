"""The demo's books: what was paid is what was earned, and a coin that is missing is seen."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from scripts.demo_report import Ledger, Money, payments

amounts = st.integers(0, 10**18)
accounts = st.dictionaries(st.sampled_from("abcdef"), st.builds(Money, amounts, amounts, amounts), min_size=2)


def balanced(people):
    hub = sum(money.free + money.locked for money in people.values())
    return Ledger(people, hub, hub + sum(money.wallet for money in people.values()))


@given(accounts)
def test_books_that_balance(people):
    assert balanced(people).faults() == []
    assert payments(balanced(people), balanced(people)) == {}


@given(accounts, st.integers(1, 10**9))
def test_a_missing_coin_is_a_fault(people, coins):
    ledger = balanced(people)
    name = next(iter(people))
    for wrong in ("wallet", "free", "locked"):
        more = {**people, name: replace(people[name], **{wrong: getattr(people[name], wrong) + coins})}
        assert replace(ledger, accounts=more).faults()
    assert replace(ledger, hub=ledger.hub + coins).faults()
    assert replace(ledger, supply=ledger.supply + coins).faults()


@given(accounts, st.integers(1, 10**9))
def test_what_one_pays_another_earns(people, coins):
    payer, earner = list(people)[:2]
    after = dict(people)
    after[payer] = replace(people[payer], free=people[payer].free - coins)
    after[earner] = replace(people[earner], wallet=people[earner].wallet + coins)
    assert payments(balanced(people), balanced(after)) == {payer: -coins, earner: coins}
    moved = dict(people)
    moved[payer] = replace(people[payer], free=people[payer].free + coins, locked=people[payer].locked - coins)
    assert payments(balanced(people), balanced(moved)) == {}
