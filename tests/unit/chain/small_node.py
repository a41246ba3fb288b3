"""A JSON-RPC node in this process: a memory pool, blocks made when told, a base fee that can rise. No contracts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from eth_account import Account

from chain.book import Prepared
from chain.client import Chain
from chain.deployment import Deployment
from chain.settings import ChainSettings
from poco.hexes import keccak, to_bytes, to_hex
from tests.unit.chain.rpc_server import rpc_server

CHAIN_ID = 11_155_111
GENESIS = 1_700_000_000
HUB = "0x" + "22" * 20


@dataclass
class SmallNode:
    """Its chain. A transaction is mined when its nonce is next and its fee is not below the base fee."""

    url: str = ""
    base_fee: int = 10**9
    blocks: list[list[str]] = field(default_factory=lambda: [[]])
    pool: dict[tuple[str, int], Prepared] = field(default_factory=dict)
    used: dict[str, list[int]] = field(default_factory=dict)
    mined: dict[str, int] = field(default_factory=dict)
    #: receipts are answered with null, as by a node that has not indexed them
    no_receipts: bool = False
    #: how many of the newest blocks it does not show
    behind: int = 0
    #: from this block on it is on another branch
    forked: int = 10**9
    #: a block for each transaction that comes in
    automine: bool = False
    #: answers of contracts by the function's selector
    views: dict[str, str] = field(default_factory=dict)
    #: logs by their block
    logs: dict[int, dict[str, Any]] = field(default_factory=dict)
    #: it answers nothing
    away: bool = False

    @property
    def head(self) -> int:
        return len(self.blocks) - 1 - self.behind

    def mine(self, blocks: int = 1) -> None:
        """Make blocks of whatever may go in."""
        for _ in range(blocks):
            self.blocks.append([])
            for (sender, nonce), sent in sorted(self.pool.items()):
                if nonce == len(self.used.get(sender, [])) and sent.fee.limit >= self.base_fee:
                    self.used.setdefault(sender, []).append(len(self.blocks) - 1)
                    self.mined[sent.tx_hash] = len(self.blocks) - 1
                    del self.pool[sender, nonce]

    def forget_pool(self) -> None:
        """As after a restart."""
        self.pool.clear()

    def block_hash(self, number: int) -> str:
        branch = b"other" if number >= self.forked else b"block"
        return to_hex(keccak(branch, number.to_bytes(8, "big")))

    def chain(self, *others: SmallNode, **settings: Any) -> Chain:
        """The product's own client of it (and of other nodes of the same chain)."""
        where = Deployment("small", CHAIN_ID, 0, HUB, HUB, HUB, HUB, HUB)
        rules = ChainSettings(**{"confirmations": 1, "stuck_seconds": 60, **settings})
        return Chain([self.url, *(one.url for one in others)], where, rules)

    # --- the methods

    def answer(self, method: str, params: list[Any]) -> Any:
        match method:
            case "eth_chainId":
                return hex(CHAIN_ID)
            case "eth_blockNumber":
                return hex(self.head)
            case "eth_maxPriorityFeePerGas":
                return hex(10**8)
            case "eth_getBalance":
                return hex(10**18)
            case "eth_call" if params[0]["data"][:10] in self.views:
                return self.views[params[0]["data"][:10]]
            case "eth_getCode" | "eth_call":
                return "0x" + "00" * 32
            case "eth_getLogs":
                first, last = (int(params[0][name], 16) for name in ("fromBlock", "toBlock"))
                return [self._log(number) for number in sorted(self.logs) if first <= number <= last]
            case "eth_getBlockByNumber":
                number = self.head if params[0] == "latest" else int(params[0], 16)
                return self._block(number) if number <= self.head else None
            case "eth_getTransactionCount":
                return hex(self._count(params[0].lower(), params[1]))
            case "eth_sendRawTransaction":
                return self._take(params[0])
            case "eth_getTransactionReceipt":
                return self._receipt(params[0])
            case "eth_getTransactionByHash":
                return self._transaction(params[0])
        raise ValueError(f"the method {method} does not exist")

    def _block(self, number: int) -> dict[str, Any]:
        time = hex(GENESIS + number)
        return {"number": hex(number), "hash": self.block_hash(number), "timestamp": time, "gasLimit": hex(30_000_000),
                "baseFeePerGas": hex(self.base_fee), "transactions": []}  # fmt: skip

    def _log(self, number: int) -> dict[str, Any]:
        where = {"blockHash": self.block_hash(number), "blockNumber": hex(number), "logIndex": "0x0"}
        return {"transactionHash": to_hex(keccak(b"log", bytes([number]))), **where, **self.logs[number]}

    def _count(self, sender: str, block: str) -> int:
        used = self.used.get(sender, [])
        if block == "pending":
            count = len(used)
            while (sender, count) in self.pool:
                count += 1
            return count
        upto = self.head if block == "latest" else int(block, 16)
        return sum(number <= upto for number in used)

    def _take(self, raw: str) -> str:
        sender, sent = Account.recover_transaction(raw).lower(), Prepared(to_hex(keccak(to_bytes(raw))), to_bytes(raw))
        if sent.nonce < len(self.used.get(sender, [])):
            raise ValueError("nonce too low")
        before = self.pool.get((sender, sent.nonce))
        if before is not None and before.tx_hash == sent.tx_hash:
            raise ValueError("already known")
        if before is not None and sent.fee.limit * 10 < before.fee.limit * 11:
            raise ValueError("replacement transaction underpriced")
        self.pool[sender, sent.nonce] = sent
        if self.automine:
            self.mine()
        return sent.tx_hash

    def _receipt(self, tx_hash: str) -> dict[str, Any] | None:
        block = self.mined.get(tx_hash)
        if self.no_receipts or block is None or block > self.head:
            return None
        return {"transactionHash": tx_hash, "blockHash": self.block_hash(block), "blockNumber": hex(block),
                "status": "0x1", "gasUsed": hex(21_000), "effectiveGasPrice": hex(self.base_fee), "logs": [],
                "transactionIndex": "0x0", "cumulativeGasUsed": hex(21_000), "from": HUB, "to": HUB,
                "contractAddress": None, "logsBloom": "0x" + "00" * 256, "type": "0x2"}  # fmt: skip

    def _transaction(self, tx_hash: str) -> dict[str, Any] | None:
        block = self.mined.get(tx_hash)
        if block is None and all(one.tx_hash != tx_hash for one in self.pool.values()):
            return None
        where = None if block is None else hex(block)
        return {"hash": tx_hash, "blockNumber": where, "blockHash": None if block is None else self.block_hash(block)}


@contextmanager
def small_node() -> Iterator[SmallNode]:
    """A node that answers on loopback."""
    node, guard = SmallNode(), threading.Lock()

    def answer(method: str, params: list[Any]) -> Any:
        if node.away:
            raise ConnectionError
        with guard:
            return node.answer(method, params)

    with rpc_server(answer) as node.url:
        yield node
