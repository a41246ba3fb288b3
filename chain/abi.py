"""The contracts' interfaces as Brownie compiled them, and what their custom errors mean to a person."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from eth_abi.abi import decode
from eth_abi.codec import ABICodec
from eth_abi.decoding import StringDecoder
from eth_abi.registry import BaseEquals
from eth_utils.abi import event_abi_to_log_topic, function_abi_to_4byte_selector
from web3._utils.abi import build_strict_registry

from poco.hexes import address, to_hex

CONTRACTS = (
    "hub",
    "rlc",
    "app_registry",
    "dataset_registry",
    "workerpool_registry",
    "energy_ledger",
    "app",
    "dataset",
    "workerpool",
)
#: Every event of the protocol that moves a task along.
TASK_EVENTS = (
    "SchedulerNotice",
    "TaskInitialize",
    "TaskContribute",
    "TaskConsensus",
    "TaskReveal",
    "TaskReopen",
    "TaskFinalize",
    "TaskClaimed",
)


class _Text(StringDecoder):
    """Strangers write it, in any bytes: those that are no UTF-8 become U+FFFD, as in every other client."""

    def __init__(self) -> None:
        super().__init__(handle_string_errors="replace")  # type: ignore[no-untyped-call]


@cache
def codec() -> ABICodec:
    """web3's own, which reads every text that can stand on chain."""
    registry = build_strict_registry()
    registry.unregister_decoder("string")
    registry.register_decoder(BaseEquals("string"), _Text, label="string")  # type: ignore[no-untyped-call]
    return ABICodec(registry)


@cache
def load(contract: str) -> list[dict[str, Any]]:
    """The ABI of one of `CONTRACTS`."""
    entries: list[dict[str, Any]] = json.loads((files("poco") / "abi" / f"{contract}.json").read_text())
    return entries


@cache
def topics() -> dict[str, dict[str, Any]]:
    """Topic hash to event entry, for the hub and the energy ledger."""
    events = [e for name in ("hub", "energy_ledger") for e in load(name) if e["type"] == "event"]
    return {to_hex(event_abi_to_log_topic(e)): e for e in events}  # type: ignore[arg-type]


@cache
def _errors() -> dict[bytes, dict[str, Any]]:
    entries = [e for name in CONTRACTS for e in load(name) if e["type"] == "error"]
    return {function_abi_to_4byte_selector({**e, "type": "function"}): e for e in entries}  # type: ignore[arg-type]


@cache
def _functions() -> dict[bytes, str]:
    entries = [e for name in CONTRACTS for e in load(name) if e["type"] == "function"]
    return {function_abi_to_4byte_selector(e): e["name"] for e in entries}  # type: ignore[arg-type]


def function_of(data: bytes) -> str:
    """The name of the function that a transaction calls; "the transaction" where it is none of ours."""
    return _functions().get(data[:4], "the transaction")


def plain(kind: str, value: Any) -> Any:
    """An ABI value in the project's forms: checksum address, `0x` id, bytes, int, text."""
    if kind == "address":
        return address(value)
    if kind == "bytes32":
        return to_hex(value)
    return value


def revert(data: bytes) -> tuple[str, dict[str, Any]]:
    """Name and arguments of a revert: a custom error, `Error(string)` as ("Error", {"reason"}), or ("", {})."""
    if data[:4] == bytes.fromhex("08c379a0"):
        return "Error", {"reason": decode(["string"], data[4:])[0]}
    entry = _errors().get(data[:4])
    if entry is None:
        return "", {}
    kinds = [i["type"] for i in entry["inputs"]]
    values = decode(kinds, data[4:])
    names = [i["name"] or str(n) for n, i in enumerate(entry["inputs"])]
    return entry["name"], {n: plain(k, v) for n, k, v in zip(names, kinds, values, strict=True)}
