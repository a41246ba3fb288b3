"""Where a transaction's gas goes: its trace, summed by kind of work."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from benchmarks.gas_market import Market

STEPS = (
    "deposit",
    "matchOrders with dataset",
    "matchOrders",
    "initialize",
    "contribute, trust 1",
    "contribute, second of two",
    "reveal",
    "finalize, 1 worker",
    "finalize, 2 workers and dataset",
    "contributeAndFinalize",
)
KINDS = {
    "SSTORE": "sstore",
    "SLOAD": "sload",
    "CREATE": "create",
    "CREATE2": "create",
    "KECCAK256": "keccak",
    "SHA3": "keccak",
    "EXTCODECOPY": "code read",
    "EXTCODESIZE": "code read",
    "RETURN": "code deposit",
    "CALL": "call",
    "STATICCALL": "call",
    "DELEGATECALL": "call",
    **{f"LOG{topics}": "log" for topics in range(5)},
}
COLUMNS = ("base", "sstore", "sload", "create", "code read", "call", "keccak", "log", "other", "refund")


def split(market: Market, tx: str) -> Counter[str]:
    """Gas of a transaction by kind. A call and a creation count without what runs inside, which is counted itself.

    `base` is the transaction and its calldata; `create` holds 200 gas for each byte of code kept; `refund` is negative.
    """
    provider: Any = market.web3.provider
    options = {"disableMemory": True, "disableStack": True, "disableStorage": True, "enableMemory": False}
    trace = provider.make_request("debug_traceTransaction", [tx, options])["result"]
    receipt = market.web3.eth.get_transaction_receipt(tx)  # type: ignore[arg-type]
    transaction = market.web3.eth.get_transaction(tx)  # type: ignore[arg-type]
    logs = trace["structLogs"]
    spent: Counter[str] = Counter()
    spent["base"] = int(transaction["gas"]) - int(logs[0]["gas"])
    open_calls: dict[int, tuple[str, int]] = {}
    inner: defaultdict[int, int] = defaultdict(int)
    for entry, after in zip(logs, [*logs[1:], None], strict=True):
        depth, gas = int(entry["depth"]), int(entry["gas"])
        if depth in open_calls:
            kind, before = open_calls.pop(depth)
            spent[kind] += before - gas - inner.pop(depth + 1, 0)
            inner[depth] += before - gas
        kind = KINDS.get(entry["op"], "other")
        if after is not None and int(after["depth"]) > depth:
            open_calls[depth] = ("create" if kind == "create" else "call", gas)
            continue
        cost = gas - int(after["gas"]) if after is not None and int(after["depth"]) == depth else int(entry["gasCost"])
        spent["other" if kind == "code deposit" else kind] += cost
        inner[depth] += cost
    used = int(receipt["gasUsed"])
    spent["refund"] = used - sum(spent.values())
    return spent


def report(side: str, market: Market) -> str:
    """A table of the steps that were measured last."""
    width = max(map(len, STEPS))
    lines = [f"{f'gas by kind, {side}':<{width}} " + " ".join(f"{name:>9}" for name in COLUMNS)]
    for step in STEPS:
        spent = split(market, market.transactions[step][0])
        lines.append(f"{step:<{width}} " + " ".join(f"{spent[name]:>9,}" for name in COLUMNS))
    return "\n".join(lines)
