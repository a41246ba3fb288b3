"""What of two orders does not fit together is what the hub would refuse."""

from dataclasses import replace

import pytest
from eth_account import Account

from chain.wallet import Wallet
from poco.errors import BadInputError
from poco.hexes import ZERO_ADDRESS
from poco.orders import AppOrder, DatasetOrder, Domain, RequestOrder, WorkerpoolOrder
from sdk.orders import category, mismatches, new_salt, signed_by

APP, DATA, POOL, ME, OTHER = (f"0x{digit * 40}" for digit in "12345")
TEE = "0x" + "00" * 31 + "01"
DOMAIN = Domain(1337, OTHER)


def orders(**request):
    wanted = {
        "workerpool": POOL,
        "appmaxprice": 5,
        "datasetmaxprice": 3,
        "workerpoolmaxprice": 7,
        "trust": 4,
        **request,
    }
    return (
        AppOrder(APP, appprice=5),
        DatasetOrder(DATA, datasetprice=3),
        WorkerpoolOrder(POOL, workerpoolprice=7, trust=4),
        RequestOrder(app=APP, dataset=DATA, requester=ME, **wanted),
    )


def test_orders_that_fit():
    assert mismatches(*orders()) == []
    assert mismatches(*orders(workerpool=ZERO_ADDRESS)) == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"trust": 5}, "trust"),
        ({"category": 1}, "category"),
        ({"appmaxprice": 4}, "app costs"),
        ({"datasetmaxprice": 2}, "dataset costs"),
        ({"workerpoolmaxprice": 6}, "pool costs"),
        ({"workerpool": OTHER}, "another pool"),
        ({"tag": TEE}, "tags"),
    ],
)
def test_a_request_that_does_not_fit(change, word):
    found = mismatches(*orders(**change))
    assert [word in problem.what for problem in found] == [True]
    assert found[0].hint


@pytest.mark.parametrize("field", ["datasetrestrict", "workerpoolrestrict", "requesterrestrict"])
def test_restrictions(field):
    app, data, pool, request = orders()
    own = {"datasetrestrict": DATA, "workerpoolrestrict": POOL, "requesterrestrict": ME}[field]
    assert mismatches(replace(app, **{field: own}), data, pool, request) == []
    (problem,) = mismatches(replace(app, **{field: OTHER}), data, pool, request)
    assert OTHER in problem.what


def test_a_dataset_that_was_not_asked_for():
    app, data, pool, request = orders()
    assert mismatches(app, None, pool, request)
    assert mismatches(app, data, pool, replace(request, dataset=ZERO_ADDRESS))


def test_signatures():
    wallet = Wallet(Account.create())
    order = wallet.sign_order(AppOrder(APP, salt=new_salt()), DOMAIN)
    assert signed_by(order, wallet.address, DOMAIN)
    assert not signed_by(order, ME, DOMAIN)
    assert not signed_by(replace(order, appprice=1), wallet.address, DOMAIN)
    assert not signed_by(order, wallet.address, Domain(1, OTHER))
    assert not signed_by(replace(order, sign="0x"), wallet.address, DOMAIN)


def test_categories():
    assert [category(text) for text in ("XS", "s", "M", "l", "XL", "7")] == [0, 1, 2, 3, 4, 7]
    for text in ("", "XXL", "-1", "1.5", "9" * 12):
        with pytest.raises(BadInputError):
            category(text)
