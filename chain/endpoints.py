"""Several nodes of one chain behind one web3 provider: failover, back-off, lag, agreement, and sending to all of them.

A request goes to the first endpoint of the configuration that may answer it. State is read only from an endpoint that
has the block that `require` names, and is not more than `max_lag_blocks` behind the best. A null ("not found") counts
only when every endpoint says so. What cannot be answered is an EndpointsError, never an empty answer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, cast

from web3.providers.base import JSONBaseProvider
from web3.types import RPCEndpoint, RPCResponse

from chain import answers, health
from chain.answers import FaultError, Kind
from chain.node import Node, shown
from chain.settings import ChainSettings
from poco.errors import BadInputError

#: How old the knowledge of an endpoint's newest block may be, where several are compared, seconds.
HEAD_SECONDS = 2.0
#: How long a request waits for an endpoint that has the block it needs, or that wants a pause.
PATIENCE_SECONDS = 3.0
#: What only reads is asked again after such pauses, where all endpoints failed at once.
_AGAIN_SECONDS = (0.1, 0.3)
#: A block that nobody has had for so long was taken back, or the chain began anew.
FORGET_SECONDS = 30.0

#: Methods whose answer depends on how far the node has read, and where the block stands among their parameters.
_STATE: dict[str, int | None] = {
    "eth_call": 1,
    "eth_getBalance": 1,
    "eth_getCode": 1,
    "eth_getTransactionCount": 1,
    "eth_estimateGas": 1,
    "eth_gasPrice": None,
    "eth_maxPriorityFeePerGas": None,
    "eth_blockNumber": None,
    "eth_getLogs": None,
}
#: What says nothing of the protocol's state: the newest block that is known matters, not the one that is needed.
_ANY_BLOCK = frozenset({"eth_gasPrice", "eth_maxPriorityFeePerGas", "eth_blockNumber"})
_READS = frozenset({*_STATE, *answers.NULLABLE, "eth_chainId", "net_version", "web3_clientVersion"})


class EndpointsError(ConnectionError):
    """No endpoint answered; nothing is known of what was asked."""


class ForgottenError(EndpointsError):
    """Endpoints answer, and none has the state of that past block."""


@dataclass(frozen=True, slots=True)
class Head:
    """The newest block: its number, and its time in Unix seconds."""

    number: int
    time: int


class Endpoints(JSONBaseProvider):
    """The provider.

    Args:
        urls: the endpoints, the preferred one first.
        chain_id: theirs; one on another chain is refused.
        settings: lag, agreement, timeout.
        log: told of what begins and ends: (event, fields).
    """

    def __init__(self, urls: Sequence[str], chain_id: int, settings: ChainSettings, log: Callable[..., None]) -> None:
        super().__init__()
        self.settings = settings
        self._log = log
        self._nodes = [Node(url, chain_id, settings.request_seconds, self._log) for url in urls]
        self._lock = threading.Lock()
        self._looking = threading.Lock()
        self._floor = -1
        self._unmet_since: float | None = None
        self._agreeing = threading.local()
        self._senders: ThreadPoolExecutor | None = None

    # --- what the rest of the program says and asks

    def require(self, block: int) -> None:
        """From now on state is read only where that block is known."""
        with self._lock:
            if block > self._floor:
                self._floor, self._unmet_since = block, None

    def forget(self, block: int) -> None:
        """The chain took blocks back to that one."""
        with self._lock:
            self._floor = min(self._floor, block)
        for node in self._nodes:
            node.forget(block)

    @contextmanager
    def agreement(self) -> Iterator[None]:
        """What this thread reads by `eth_call` in here must be said alike by two endpoints, where two can be read."""
        before = getattr(self._agreeing, "wanted", False)
        self._agreeing.wanted = self.settings.quorum
        try:
            yield
        finally:
            self._agreeing.wanted = before

    def head(self) -> Head:
        """The newest block of the endpoint that is furthest, asked for now.

        Raises:
            EndpointsError: none answers.
        """
        self._usable()
        self._look_around(0.0)
        alive = [node.health for node in self._nodes if not node.health.trouble and node.health.head >= 0]
        if not alive:
            raise EndpointsError(self._why())
        best = max(alive, key=lambda one: one.head)
        return Head(best.head, best.block_time)

    def status(self) -> list[dict[str, Any]]:
        """For people: each endpoint without the secrets in its address, its newest block and what is wrong with it."""
        return [{"url": shown(n.url), "block": n.health.head, "trouble": n.health.trouble} for n in self._nodes]

    def check(self) -> None:
        """Look at every endpoint once; BadInputError where one that answers is on another chain."""
        for node in self._nodes:
            with suppress(FaultError):
                node.look()
            self._refuse(node)

    # --- the provider

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """One JSON-RPC request.

        Raises:
            EndpointsError: no endpoint answered, none has the block that is needed, or they disagree.
            BadInputError: the only endpoint is on another chain.
        """
        if method == "eth_sendRawTransaction":
            return self._send_to_all(method, params)
        if method not in _READS:
            return self._first(self._nodes[:1], method, params)
        began = time.monotonic()
        for number, pause in enumerate(_AGAIN_SECONDS):
            try:
                return self._read(method, params)
            except ForgottenError:
                raise
            except EndpointsError:
                # a node may lose one request and answer all others
                if number > 0 and time.monotonic() - began > PATIENCE_SECONDS:
                    raise
                time.sleep(pause)
        return self._read(method, params)

    def _read(self, method: str, params: Any) -> RPCResponse:
        if method == "eth_call" and getattr(self._agreeing, "wanted", False):
            return self._agreed(method, params)
        if method in _STATE:
            return self._first(self._with_block(self._needed(method, params)), method, params)
        return self._first(self._usable(), method, params)

    def is_connected(self, show_traceback: bool = False) -> bool:
        try:
            self.make_request(RPCEndpoint("eth_chainId"), [])
        except EndpointsError:
            if show_traceback:
                raise
            return False
        return True

    # --- which endpoint

    def _usable(self) -> list[Node]:
        """Endpoints that may be asked; waits a little where all of them want a pause."""
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            now = time.monotonic()
            known = [node.health for node in self._nodes]
            found = health.usable(known, now)
            if found:
                return [self._nodes[n] for n in found]
            pause = health.pause(known, now)
            if pause is None or now + pause > end:
                self._refuse(self._nodes[0])
                raise EndpointsError(self._why())
            time.sleep(max(pause, 0.05))

    def _refuse(self, node: Node) -> None:
        if node.health.kind is Kind.OTHER_CHAIN:
            raise BadInputError(
                f"the node at {shown(node.url)}: {node.health.trouble}",
                hint="use the node or the deployment file of the other network",
                code="OTHER_CHAIN",
            )

    def _needed(self, method: str, params: Any) -> int:
        """The block without which an endpoint cannot answer; -1 where any will do."""
        if method in _ANY_BLOCK:
            return -1
        place = _STATE[method]
        block = params[place] if place is not None and len(params) > place else None
        if method == "eth_getLogs":
            block = params[0].get("toBlock")
        if isinstance(block, str) and block.startswith("0x"):
            return int(block, 16)
        return self._floor

    def _with_block(self, needed: int) -> list[Node]:
        """Endpoints that have that block and are not behind; EndpointsError where there is none after a while."""
        end = time.monotonic() + PATIENCE_SECONDS
        max_age = HEAD_SECONDS
        while True:
            if len(self._nodes) > 1 or needed > self._nodes[0].health.head:
                self._look_around(max_age)
            ready = self._usable()
            known = [node.health for node in ready]
            lag = self.settings.max_lag_blocks
            found = [node for node in ready if health.has(node.health, known, needed, lag)]
            self._keep_floor(bool(found), needed, known)
            if found or all(one.trouble for one in known):
                return found or ready
            if time.monotonic() > end:
                raise EndpointsError(f"no endpoint has block {needed} yet ({self._why()})")
            max_age = 0.2
            time.sleep(0.1)

    def _keep_floor(self, met: bool, needed: int, known: Sequence[health.Health]) -> None:
        """Give up a required block that nobody has had for long."""
        with self._lock:
            if met or needed != self._floor:
                self._unmet_since = None
            elif self._unmet_since is None:
                self._unmet_since = time.monotonic()
            elif time.monotonic() - self._unmet_since > FORGET_SECONDS:
                self._floor, self._unmet_since = health.best_head(known), None
                self._log("block_forgotten", level="warning", block=needed, best=self._floor)

    def _look_around(self, max_age: float) -> None:
        """Learn the newest block of every usable endpoint where that is older than `max_age` seconds."""
        with self._looking:
            now = time.monotonic()
            for n in health.usable([node.health for node in self._nodes], now):
                if now - self._nodes[n].health.head_at > max_age:
                    with suppress(FaultError):
                        self._nodes[n].look()

    def _why(self) -> str:
        return "; ".join(f"{shown(n.url)}: {n.health.trouble or f'at block {n.health.head}'}" for n in self._nodes)

    # --- asking

    def _first(self, order: Sequence[Node], method: str, params: Any) -> RPCResponse:
        """The answer of the first that has one; null only where nobody has another."""
        null: dict[str, Any] | None = None
        forgotten = ""
        for node in order:
            try:
                answer = node.ask(method, params)
            except FaultError as fault:
                forgotten = forgotten or (str(fault) if fault.kind is Kind.FORGOTTEN else "")
                continue
            if answer.get("result") is None and "error" not in answer and method in answers.NULLABLE:
                null = answer
                continue
            return cast(RPCResponse, answer)
        if null is not None:
            return cast(RPCResponse, null)
        if forgotten:
            raise ForgottenError(forgotten)
        if len(order) == 1:
            self._refuse(order[0])
        raise EndpointsError(self._why())

    def _agreed(self, method: str, params: Any) -> RPCResponse:
        """The answer that two endpoints give at one block; that of one alone where only one can be read."""
        self._look_around(0.2)
        order = self._with_block(self._needed(method, params))
        if len(order) < 2:
            return self._first(order, method, params)
        block = min(node.health.head for node in order)
        said: dict[str, dict[str, Any]] = {}
        for node in order:
            try:
                answer = node.ask(method, [params[0], hex(block), *params[2:]])
            except FaultError:
                continue
            text = str(answer.get("result") or answer.get("error"))
            if text in said:
                return cast(RPCResponse, answer)
            said[text] = answer
        if len(said) == 1:
            return cast(RPCResponse, next(iter(said.values())))
        if not said:
            raise EndpointsError(self._why())
        self._log("endpoints_disagree", level="error", method=method, block=block)
        raise EndpointsError(f"the endpoints disagree at block {block}")

    def _send_to_all(self, method: str, params: Any) -> RPCResponse:
        """The first acceptance; a refusal only where nobody accepts."""
        order = self._usable()
        if len(order) == 1:
            return self._first(order, method, params)
        with self._lock:
            if self._senders is None:
                self._senders = ThreadPoolExecutor(len(self._nodes), thread_name_prefix="broadcast")
        refusal: dict[str, Any] | None = None
        for done in as_completed([self._senders.submit(node.ask, method, params) for node in order]):
            with suppress(FaultError):
                answer = done.result()
                if "error" not in answer:
                    return cast(RPCResponse, answer)
                refusal = answer
        if refusal is not None:
            return cast(RPCResponse, refusal)
        raise EndpointsError(self._why())
