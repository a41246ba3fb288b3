"""One JSON-RPC endpoint: asks it, and keeps what its answers and failures say of it."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from web3._utils.encoding import Web3JsonEncoder

from chain import answers
from chain.answers import FaultError, Kind
from chain.health import Health

#: A newest block from further in the future is not one.
FUTURE_SECONDS = 3600
#: Seconds for what only tells how the endpoint is doing.
QUICK_SECONDS = 5.0
_OF_A_BLOCK = frozenset({"eth_call", "eth_getBalance", "eth_getCode", "eth_getTransactionCount"})


class Node:
    """The endpoint at `url`. Methods may be called from any thread.

    Args:
        chain_id: the chain that it has to be on.
        timeout: seconds for a request.
        log: told when it fails and when it answers again: (event, fields).
    """

    def __init__(self, url: str, chain_id: int, timeout: float, log: Callable[..., None]) -> None:
        self.url = url
        self.chain_id = chain_id
        self.health = Health(url)
        self._timeout = timeout
        self._log = log
        self._lock = threading.Lock()
        self._number = 0
        self._session = requests.Session()
        self._session.headers["Content-Type"] = "application/json"
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=32))
        if urlsplit(url).hostname in ("127.0.0.1", "::1", "localhost"):
            self._session.trust_env = False  # a proxy for the world is not one for this machine

    def ask(self, method: str, params: Any, *, quick: bool = False) -> dict[str, Any]:
        """A JSON-RPC answer that fits the question: with `result`, or an `error` that concerns what was asked.

        Raises:
            FaultError: the endpoint failed; it is left alone for a while.
        """
        try:
            if not self.health.checked:
                self._check()
            answer = self._post(method, params, quick=quick)
            self._learn(method, params, answer.get("result"))
        except FaultError as fault:
            if fault.kind is Kind.BEHIND and _asked_block(method, params) < self.health.head:
                raise FaultError(Kind.FORGOTTEN, str(fault)) from None  # it answers for newer blocks
            with self._lock:
                before, self.health = self.health, self.health.failed(fault, time.monotonic())
            if before.kind is not fault.kind:
                self._log("endpoint", level="warning", url=shown(self.url), trouble=str(fault))
            raise
        return answer

    def look(self) -> None:
        """Learn its newest block. Raises as `ask`."""
        self.ask("eth_getBlockByNumber", ["latest", False], quick=True)

    def forget(self, block: int) -> None:
        """The chain took blocks back to that one."""
        with self._lock:
            self.health = self.health.at(min(self.health.head, block), self.health.head_at)

    def _check(self) -> None:
        """See that it is on the right chain: at first, and after every failure."""
        answer = self._post("eth_chainId", [], quick=True)
        if "error" in answer:
            raise FaultError(Kind.BROKEN, "it does not say its chain")
        found = int(answer["result"], 16)
        if found != self.chain_id:
            raise FaultError(Kind.OTHER_CHAIN, f"it is on chain {found}, not {self.chain_id}")
        with self._lock:
            self.health = replace(self.health, checked=True)

    def _learn(self, method: str, params: Any, result: Any) -> None:
        block, newest = _block_of(method, params, result)
        block_time = int(result["timestamp"], 16) if newest and isinstance(result, dict) else 0
        if block_time > time.time() + FUTURE_SECONDS:
            raise FaultError(Kind.BROKEN, "its newest block is in the future")
        with self._lock:
            before = self.health
            self.health = before.answered()
            if block is not None and newest:
                self.health = self.health.at(block, time.monotonic(), block_time)
            elif block is not None and block > before.head:
                self.health = self.health.at(block, before.head_at)
        if before.trouble:
            self._log("endpoint", url=shown(self.url), trouble="none, it answers again")

    def _post(self, method: str, params: Any, *, quick: bool) -> dict[str, Any]:
        with self._lock:
            self._number += 1
            number = self._number
        asked = {"jsonrpc": "2.0", "id": number, "method": method, "params": params or []}
        body = json.dumps(asked, cls=Web3JsonEncoder).encode()
        timeout = min(self._timeout, QUICK_SECONDS) if quick else self._timeout
        try:
            reply = self._session.post(self.url, data=body, timeout=timeout)
        except requests.RequestException as error:
            raise FaultError(Kind.AWAY, type(error).__name__) from None
        if reply.status_code in (429, 503):
            raise FaultError(Kind.BUSY, f"HTTP {reply.status_code}", _seconds(reply.headers.get("Retry-After")))
        if reply.status_code != 200 and not reply.content.startswith(b"{"):
            raise FaultError(Kind.BROKEN, f"HTTP {reply.status_code}")
        return answers.parse(reply.content, method, params, number)


def shown(url: str) -> str:
    """An address without user, password and path, which hold providers' keys."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")


def _block_of(method: str, params: Any, result: Any) -> tuple[int | None, bool]:
    """(a block that this answer shows to be known there, whether it is the newest)."""
    if method == "eth_blockNumber":
        return int(result, 16) if isinstance(result, str) else None, True
    if method == "eth_getBlockByNumber" and isinstance(result, dict):
        return int(result["number"], 16), params[0] == "latest"
    if method == "eth_getTransactionReceipt" and isinstance(result, dict):
        return int(result["blockNumber"], 16), False
    return None, False


def _asked_block(method: str, params: Any) -> float:
    """The block of whose state something is asked; infinity where that is not said by number."""
    block = params[1] if method in _OF_A_BLOCK and len(params) > 1 else None
    return int(block, 16) if isinstance(block, str) and block.startswith("0x") else math.inf


def _seconds(header: str | None) -> float | None:
    try:
        return float(header) if header else None
    except ValueError:
        return None
