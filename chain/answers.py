"""What a node answered, held against what it may answer: pure. A wrong answer is a failing node, never a zero."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from typing import Any

from eth_utils.crypto import keccak


class Kind(StrEnum):
    """What is wrong with an endpoint that did not answer the question."""

    AWAY = "no answer"
    BROKEN = "no sensible answer"
    BUSY = "rate limit"
    BEHIND = "behind"
    #: it has that block and no longer its state: started from a snapshot, or pruned
    FORGOTTEN = "past state"
    OTHER_CHAIN = "other chain"


class FaultError(Exception):
    """An endpoint failed; `wait` is how many seconds it asks to be left alone."""

    def __init__(self, kind: Kind, said: str, wait: float | None = None) -> None:
        super().__init__(f"{kind.value}: {said}")
        self.kind = kind
        self.wait = wait


#: JSON-RPC error codes that mean "too many requests"; the text decides where -32005 is about the size of an answer.
_BUSY_CODES = frozenset({-32005, -32029, -32097, 429})
_BUSY = re.compile(
    r"rate.?limit|too many requests|request (count|rate)|per second|throughput|compute units|capacity", re.I
)
_BEHIND = re.compile(
    r"header not found|unknown block|block not found|missing trie node|no state available|block .*out of range"
    r"|BlockOutOfRange|not yet available|is not synced",
    re.I,
)
_WIDE = re.compile(
    r"more than|too many|too large|too big|exceed|range|limit|timed? ?out|response size|narrow|10000|10,000", re.I
)
_INTERNAL = -32603

_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,64}\Z")
_DATA = re.compile(r"0x(?:[0-9a-fA-F]{2})*\Z")
_HASH = re.compile(r"0x[0-9a-fA-F]{64}\Z")
_QUANTITIES = frozenset(
    {
        "eth_blockNumber",
        "eth_chainId",
        "eth_gasPrice",
        "eth_maxPriorityFeePerGas",
        "eth_getBalance",
        "eth_getTransactionCount",
        "eth_estimateGas",
    }
)
#: Where null says "not known here".
NULLABLE = frozenset({"eth_getTransactionReceipt", "eth_getTransactionByHash", "eth_getBlockByNumber"})


def parse(body: bytes, method: str, params: Any, number: int) -> dict[str, Any]:
    """An answer with `result` in the form that the method has, or with `error` where what was asked is to blame.

    Raises:
        FaultError: not an answer to that request, or an error that is the endpoint's own.
    """
    try:
        answer = json.loads(body)
    except ValueError:
        raise FaultError(Kind.BROKEN, f"{body[:40]!r} is not JSON") from None
    if not isinstance(answer, dict):
        raise FaultError(Kind.BROKEN, "not a JSON-RPC answer")
    error = answer.get("error")
    if error is not None:
        if not isinstance(error, dict) or not isinstance(error.get("message", ""), str):
            raise FaultError(Kind.BROKEN, "an error without a message")
        _judge_error(error, method)
    elif "result" not in answer or answer.get("id") != number:
        raise FaultError(Kind.BROKEN, "an answer to something else")
    elif not _fits(answer["result"], method, params):
        raise FaultError(Kind.BROKEN, f"not what {method} returns")
    return answer


def _judge_error(error: dict[str, Any], method: str) -> None:
    """FaultError where the error says something of the endpoint, and nothing of what was asked."""
    code, message = error.get("code"), str(error.get("message", ""))
    if too_wide(error, method):
        return
    if _BUSY.search(message) or code in _BUSY_CODES:
        raise FaultError(Kind.BUSY, message[:100])
    if _BEHIND.search(message):
        raise FaultError(Kind.BEHIND, message[:100])
    if code == _INTERNAL and "data" not in error and "revert" not in message.lower():
        raise FaultError(Kind.BROKEN, message[:100])


def too_wide(error: dict[str, Any], method: str) -> bool:
    """Whether a node says that a log query covers too much."""
    message = str(error.get("message", ""))
    return method == "eth_getLogs" and not _BUSY.search(message) and bool(_WIDE.search(message))


def _fits(result: Any, method: str, params: Any) -> bool:
    if result is None and method in NULLABLE:
        return True
    if method in _QUANTITIES:
        return isinstance(result, str) and _QUANTITY.match(result) is not None
    match method:
        case "eth_call" | "eth_getCode":
            return isinstance(result, str) and _DATA.match(result) is not None
        case "eth_getLogs":
            return isinstance(result, list) and all(_is_log(log) for log in result)
        case "eth_getBlockByNumber":
            return _has(result, hash=_HASH, number=_QUANTITY, timestamp=_QUANTITY)
        case "eth_getTransactionReceipt":
            return _has(result, transactionHash=_HASH, blockHash=_HASH, blockNumber=_QUANTITY, status=_QUANTITY) and (
                result["transactionHash"].lower() == _text(params[0]) and isinstance(result.get("logs"), list)
            )
        case "eth_getTransactionByHash":
            return _has(result, hash=_HASH) and result["hash"].lower() == _text(params[0])
        case "eth_sendRawTransaction":
            return isinstance(result, str) and result.lower() == "0x" + keccak(hexstr=_text(params[0])).hex()
    return True


def _is_log(log: Any) -> bool:
    return (
        _has(log, blockHash=_HASH, transactionHash=_HASH, blockNumber=_QUANTITY, logIndex=_QUANTITY, data=_DATA)
        and isinstance(log.get("topics"), list)
        and all(isinstance(topic, str) and _HASH.match(topic) for topic in log["topics"])
    )


def _has(value: Any, **shapes: re.Pattern[str]) -> bool:
    return isinstance(value, dict) and all(
        isinstance(value.get(name), str) and shape.match(value[name]) for name, shape in shapes.items()
    )


def _text(value: Any) -> str:
    """A parameter as a node gets it."""
    text = value.hex() if isinstance(value, bytes) else str(value)
    return (text if text.startswith("0x") else "0x" + text).lower()
