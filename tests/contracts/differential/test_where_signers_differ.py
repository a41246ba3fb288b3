"""Differences from the original: who counts as a signer, what is refused, and in which words."""

import pytest
from eth_abi.abi import decode

from poco.hexes import ZERO_ADDRESS, ZERO_BYTES32, to_bytes
from poco.orders import DatasetOrder
from tests.contracts.differential.cast import LONGER_WORD, SHORT
from tests.contracts.differential.contrast import BOTH, NEITHER, ORIGINAL_ONLY, OURS_ONLY, contributions, first_task
from tests.contracts.differential.tasks import DIGESTS
from tests.contracts.differential.twin import revert_data

HASH = "0x" + "5a" * 32


def test_key_of_an_account_with_code(contrast):
    """As by EIP-7702: at ours the account's key signs, whatever its code says; the original asks only the code."""
    twin, requester = contrast.twin, contrast.cast.requester
    both = contrast.orders()
    twin.rpc("anvil_setCode", requester.address, twin.rpc("eth_getCode", contrast.cast.firm.address, "latest"))
    signature = requester.sign((HASH, HASH))[0]
    answers = [
        side.hub.functions.verifySignature(requester.address, to_bytes(HASH), signature).call()
        for side in contrast.sides
    ]
    assert answers == [True, False]
    assert contrast.takes(contrast.matches(both), contrast.cast.admin) == OURS_ONLY


def test_nobody_signs_nothing(contrast):
    """A broken signature recovers to the zero address, which the original takes for the signer that it asks for."""
    broken = b"\0" * 65
    answers = [
        side.hub.functions.verifySignature(ZERO_ADDRESS, to_bytes(HASH), broken).call() for side in contrast.sides
    ]
    assert answers == [False, True]
    both = contrast.orders(request={"requester": ZERO_ADDRESS})
    calls = [
        side.hub.functions.manageRequestOrder((orders[3].as_tuple(), 1, broken))
        for side, orders in zip(contrast.sides, both, strict=True)
    ]
    assert contrast.takes(calls, contrast.cast.admin) == ORIGINAL_ONLY
    # no money can be locked for the zero address: neither makes a deal of it
    assert contrast.takes(contrast.matches(both), contrast.cast.admin) == NEITHER


@pytest.mark.parametrize("answer", [SHORT, LONGER_WORD])
def test_contract_that_does_not_speak_the_standard(contrast, answer):
    """Less than a word, or the magic value with something behind it, is no signature; the original cannot read it."""
    firm = contrast.cast.firm
    firm.answer(answer)
    replies = [contrast.ask(side, "verifySignature", firm.address, to_bytes(HASH), b"") for side in contrast.sides]
    assert int(replies[0]["result"], 16) == 0
    assert "error" in replies[1]
    both = contrast.orders(request={"requester": firm.address})
    assert contrast.takes(contrast.matches(both), contrast.cast.admin) == NEITHER


def test_managing_orders_of_what_is_not_registered(contrast):
    """A workerpool in an app's place: nothing could be done with the order, so ours refuses to keep it."""
    both = contrast.orders(app={"app": contrast.cast.entries["workerpool"][0]}, signers=[None] * 4)
    for operation in (0, 1):
        calls = [
            side.hub.functions.manageAppOrder((orders[0].as_tuple(), operation, b""))
            for side, orders in zip(contrast.sides, both, strict=True)
        ]
        assert contrast.refusal(calls[0], contrast.cast.schedulers[0])[0] == "ResourceNotRegistered"
        assert contrast.takes(calls, contrast.cast.schedulers[0]) == ORIGINAL_ONLY


def test_compatibility_of_what_is_not_registered(contrast):
    both = contrast.orders()
    assert contrast.takes(contrast.matches(both), contrast.cast.admin) == BOTH
    verdicts = []
    for i, side in enumerate(contrast.sides):
        logs = side.hub.events.OrdersMatched().get_logs(from_block=contrast.twin.web3.eth.block_number)
        order = DatasetOrder(dataset=contrast.cast.entries["app"][0][i], salt=ZERO_BYTES32)
        digest = order.hash(side.domain)
        order = order.signed("0x" + contrast.cast.app_owner.sign((digest, digest))[0].hex().removeprefix("0x"))
        verdicts.append(
            "result"
            in contrast.ask(side, "assertDatasetDealCompatibility", order.as_tuple(), logs[0]["args"]["dealid"])
        )
    assert verdicts == [False, True]


def test_green_tasks(contrast):
    """The highest bit of a tag: ours takes only workers that are net positive in the energy ledger."""
    green = "0x80" + "00" * 31
    ids = first_task(contrast, contrast.orders(request={"tag": green}))
    worker = contrast.cast.workers[0]
    calls = contributions(contrast, ids, worker.address, DIGESTS[0])
    assert contrast.refusal(calls[0], worker)[0] == "NotNetPositive"
    assert contrast.takes(calls, worker) == ORIGINAL_ONLY


@pytest.mark.parametrize(
    ("values", "ours", "original"),
    [
        ({"pool": {"category": 1}}, ("CategoryMismatch", 0, 1), "iExecV5-matchOrders-0x00"),
        ({"pool": {"trust": 1}, "request": {"trust": 3}}, ("TrustTooHigh", 3, 1), "iExecV5-matchOrders-0x02"),
        ({"app": {"appprice": 10**20}}, ("PriceTooHigh", 0, 10**20, 10**19), "iExecV5-matchOrders-0x03"),
        (
            {"app": {"tag": "0x" + "00" * 31 + "02"}, "pool": {"tag": ZERO_BYTES32}},
            ("TagNotOffered", bytes(31) + b"\2"),
            "iExecV5-matchOrders-0x06",
        ),
    ],
)
def test_errors_are_typed(contrast, values, ours, original):
    calls = contrast.matches(contrast.orders(**values))
    assert contrast.refusal(calls[0], contrast.cast.admin) == ours
    assert contrast.refusal(calls[1], contrast.cast.admin) == original


def test_bare_refusals_have_reasons(contrast):
    """Of a task that does not exist the original says nothing at all."""
    replies = [contrast.ask(side, "claim", to_bytes(HASH)) for side in contrast.sides]
    assert [len(revert_data(reply)) for reply in replies] == [68, 0]


def test_reasons_of_incompatibility(contrast):
    """The same error, in other words."""
    order = DatasetOrder(dataset=ZERO_ADDRESS, volume=0)
    raw = [
        revert_data(contrast.ask(s, "assertDatasetDealCompatibility", order.as_tuple(), bytes(32)))
        for s in contrast.sides
    ]
    assert raw[0][:4] == raw[1][:4]
    texts = [decode(["string"], each[4:])[0] for each in raw]
    assert texts == ["the dataset order is closed or consumed", "Dataset order is revoked or fully consumed"]
