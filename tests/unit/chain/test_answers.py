"""What a node answers is held against what it may answer; what is its own fault is never taken for an answer."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.answers import FaultError, Kind, parse, too_wide

HASH = "0x" + "ab" * 32
BLOCK = {"hash": HASH, "number": "0x5", "timestamp": "0x10"}
LOG = {
    "blockHash": HASH, "transactionHash": HASH, "blockNumber": "0x5", "logIndex": "0x0", "data": "0x", "topics": [HASH],
}  # fmt: skip
RECEIPT = {"transactionHash": HASH, "blockHash": HASH, "blockNumber": "0x5", "status": "0x1", "logs": []}


def answer(method: str, result: object, params: object = (), number: int = 7) -> dict[str, object]:
    return parse(json.dumps({"jsonrpc": "2.0", "id": 7, "result": result}).encode(), method, params, number)


def refusal(method: str, code: int, message: str) -> dict[str, object]:
    body = {"jsonrpc": "2.0", "id": 7, "error": {"code": code, "message": message}}
    return parse(json.dumps(body).encode(), method, [], 7)


@pytest.mark.parametrize(
    ("method", "result", "params"),
    [
        ("eth_blockNumber", "0x0", []),
        ("eth_call", "0x", []),
        ("eth_call", "0xabcd", []),
        ("eth_getLogs", [LOG], []),
        ("eth_getLogs", [], []),
        ("eth_getBlockByNumber", BLOCK, ["latest"]),
        ("eth_getBlockByNumber", None, ["0x9"]),
        ("eth_getTransactionReceipt", RECEIPT, [HASH]),
        ("eth_getTransactionReceipt", None, [HASH]),
        ("evm_mine", "whatever", []),
    ],
)
def test_good_answers_pass(method, result, params):
    assert answer(method, result, params)["result"] == result


@pytest.mark.parametrize(
    ("method", "result", "params"),
    [
        ("eth_getTransactionCount", None, []),
        ("eth_getTransactionCount", "", []),
        ("eth_getTransactionCount", "0x", []),
        ("eth_getTransactionCount", 0, []),
        ("eth_blockNumber", {}, []),
        ("eth_call", None, []),
        ("eth_call", "0xabc", []),
        ("eth_getLogs", None, []),
        ("eth_getLogs", [{**LOG, "blockHash": None}], []),
        ("eth_getBlockByNumber", {}, ["latest"]),
        ("eth_getTransactionReceipt", {}, [HASH]),
        ("eth_getTransactionReceipt", {**RECEIPT, "status": None}, [HASH]),
        ("eth_getTransactionReceipt", RECEIPT, ["0x" + "cd" * 32]),
        ("eth_getTransactionByHash", {"hash": "0x12"}, [HASH]),
        ("eth_sendRawTransaction", HASH, ["0x1234"]),
    ],
)
def test_a_wrong_form_is_the_nodes_fault(method, result, params):
    with pytest.raises(FaultError) as caught:
        answer(method, result, params)
    assert caught.value.kind is Kind.BROKEN


@given(st.binary(max_size=60))
def test_no_bytes_are_taken_for_an_answer(body):
    with pytest.raises(FaultError):
        parse(body, "eth_getTransactionCount", [], 7)


def test_an_answer_to_something_else_is_none():
    with pytest.raises(FaultError, match="something else"):
        answer("eth_blockNumber", "0x1", number=8)


@pytest.mark.parametrize(
    ("method", "code", "message", "kind"),
    [
        ("eth_call", -32005, "limit exceeded", Kind.BUSY),
        ("eth_getLogs", -32005, "daily request count exceeded, request rate limited", Kind.BUSY),
        ("eth_call", 429, "Your app has exceeded its compute units per second capacity", Kind.BUSY),
        ("eth_call", -32000, "header not found", Kind.BEHIND),
        ("eth_call", -32000, "missing trie node 5f1 (path )", Kind.BEHIND),
        ("eth_call", -32603, "Internal error", Kind.BROKEN),
    ],
)
def test_errors_of_the_endpoint(method, code, message, kind):
    with pytest.raises(FaultError) as caught:
        refusal(method, code, message)
    assert caught.value.kind is kind


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (-32005, "query returned more than 10000 results"),
        (-32602, "eth_getLogs is limited to a 10,000 range"),
        (-32000, "block range is too wide"),
        (-32000, "query timeout exceeded"),
        (-32602, "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range"),
    ],
)
def test_a_log_query_that_covers_too_much(code, message):
    assert too_wide(refusal("eth_getLogs", code, message)["error"], "eth_getLogs")


def test_a_refusal_of_what_was_asked_is_an_answer():
    assert refusal("eth_call", 3, "execution reverted")["error"]["code"] == 3
    assert refusal("eth_call", -32603, "VM Exception while processing transaction: revert")["error"]
    assert refusal("eth_maxPriorityFeePerGas", -32700, "The method is not available")["error"]
    assert refusal("eth_sendRawTransaction", -32000, "nonce too low")["error"]
    assert not too_wide({"code": 3, "message": "execution reverted"}, "eth_call")
