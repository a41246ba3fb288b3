"""Chain nodes that can be killed and come back with what they had on disk."""

from __future__ import annotations

import gzip
import json
import threading
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from ops.console import ROOT
from ops.ports import HOST
from ops.process import signal_group
from ops.services import CHAIN_ID, MNEMONIC
from ops.stack import Stack
from poco.errors import PewError

#: So many of the latest blocks' states are kept: a reorganisation goes no deeper.
KEPT_STATES = 64
BLOCK_SECONDS = 1
#: The daemons wait for so many blocks; one less is what the chain takes back or a node may lose.
CONFIRMATIONS = 4
#: Anvil's first block, Unix seconds
GENESIS = 1_700_000_000


def rpc(url: str, method: str, *params: Any, timeout: float = 10) -> Any:
    """One JSON-RPC call; PewError where it is refused, OSError where nobody answers."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310  (loopback)
    with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310
        said = json.load(answer)
    if "error" in said:
        raise PewError(f"{method}: {said['error'].get('message')}")
    return said["result"]


class Node(Protocol):
    """A chain on one port. `kill` is a SIGKILL; `start` brings it back with what was on its disk."""

    url: str
    port: int

    def start(self) -> None: ...

    def steady(self) -> None:
        """From blocks on demand to a block a second."""
        ...

    def kill(self, lost_blocks: int = 0) -> None:
        """End it at once; up to that many of its latest blocks were not on disk yet."""
        ...


class Anvil:
    """Foundry's node. It has no database: its disk is what `anvil_dumpState` gives, taken once a second.

    It is killed either with a copy of that instant (a node that had written everything) or with an older one (a node
    that lost its latest blocks); what was only in its memory pool is lost in both cases.
    """

    def __init__(self, stack: Stack, port: int, folder: Path) -> None:
        self.port, self.url = port, f"http://{HOST}:{port}"
        self._stack, self._folder = stack, folder
        self._disk = folder / "anvil-state.json"
        self._copies: list[tuple[int, bytes]] = []
        self._guard = threading.RLock()
        self._steady = False
        #: the block it came back with: nothing before it can be reorganised
        self.first = 0
        folder.mkdir(parents=True, exist_ok=True)

    def start(self) -> None:
        program = ROOT / "node_modules" / ".bin" / "anvil"
        argv: list[str | Path] = [program, "--silent", "--host", HOST, "--port", str(self.port)]
        argv += ["--chain-id", str(CHAIN_ID), "--hardfork", "berlin", "--mnemonic", MNEMONIC, "--accounts", "20"]
        argv += ["--balance", "1000000", "--gas-limit", "30000000", "--prune-history", str(KEPT_STATES)]
        argv += ["--timestamp", str(GENESIS)]  # else every start has a first block of its own
        if self._disk.exists():
            argv += ["--load-state", self._disk]
        if self._steady:
            argv += ["--no-mining"]  # until its clock is set
        self._stack.start("chain", argv, ready=lambda: self.block() >= 0, timeout=30)
        self.first = self.block()
        rpc(self.url, "evm_setTime", int(time.time()))
        if self._steady:
            rpc(self.url, "evm_setIntervalMining", BLOCK_SECONDS)

    def steady(self) -> None:
        self._steady = True
        rpc(self.url, "evm_setAutomine", False)
        rpc(self.url, "evm_setIntervalMining", BLOCK_SECONDS)

    def block(self) -> int:
        return int(rpc(self.url, "eth_blockNumber", timeout=3), 16)

    def copy(self) -> None:
        """Bring what it has to disk."""
        with self._guard:
            if self._steady:  # a dump taken while a block is made has what it did, and not the block
                rpc(self.url, "evm_setIntervalMining", 0)
                time.sleep(0.1)
            raw = rpc(self.url, "anvil_dumpState", timeout=20)
            if self._steady:
                rpc(self.url, "evm_setIntervalMining", BLOCK_SECONDS)
            self._copies = [*self._copies[-11:], (self.block(), gzip.decompress(bytes.fromhex(raw[2:])))]

    def kill(self, lost_blocks: int = 0) -> None:
        with self._guard:
            with suppress(OSError, PewError):  # it may be stopped: then what was written before counts
                self.copy()
            number, state = self._copies[-1]
            older = [one for one in self._copies if number - lost_blocks <= one[0] and one[0] >= self.first]
            number, state = older[0] if lost_blocks and older else (number, state)
            signal_group(self._stack.processes["chain"].pid, 9)
            self._disk.write_bytes(state)
            self._copies = [(number, state)]
            self._stack.stop_process("chain", kill=True)

    def reorganise(self, depth: int, *, lose: bool) -> int:
        """Replace that many of the latest blocks; their transactions are lost, or sent again. How deep it went."""
        head = self.block()
        depth = min(depth, head - self.first - 1, KEPT_STATES - 2)
        if depth < 1:
            return 0
        raws = []
        for number in range(head - depth + 1, head + 1):
            block = rpc(self.url, "eth_getBlockByNumber", hex(number), False)
            raws += [rpc(self.url, "eth_getRawTransactionByHash", one) for one in block["transactions"]]
        rpc(self.url, "anvil_reorg", depth, [])
        rpc(self.url, "evm_setTime", int(time.time()))
        for raw in raws if not lose else ():
            try:
                rpc(self.url, "eth_sendRawTransaction", raw)
            except PewError:  # it depends on one that is gone
                continue
        return depth


class Ganache:
    """Ganache with its database on disk; it writes every block before it answers."""

    def __init__(self, stack: Stack, port: int, folder: Path) -> None:
        self.port, self.url = port, f"http://{HOST}:{port}"
        self._stack, self._folder = stack, folder
        self._steady = False
        (folder / "ganache").mkdir(parents=True, exist_ok=True)

    def start(self) -> None:
        argv: list[str | Path] = [ROOT / "node_modules" / ".bin" / "ganache", "--logging.quiet", "--server.host", HOST]
        argv += ["--server.port", str(self.port), "--chain.chainId", str(CHAIN_ID), "--chain.networkId", str(CHAIN_ID)]
        argv += ["--chain.hardfork", "berlin", "--wallet.mnemonic", MNEMONIC, "--wallet.totalAccounts", "20"]
        argv += ["--wallet.defaultBalance", "1000000", "--database.dbPath", self._folder / "ganache"]
        argv += ["--miner.blockTime", str(BLOCK_SECONDS)] if self._steady else ["--miner.instamine", "eager"]
        self._stack.start(
            "chain", argv, ready=lambda: int(rpc(self.url, "eth_blockNumber", timeout=3), 16) >= 0, timeout=60
        )

    def steady(self) -> None:
        self._steady = True
        self._stack.stop_process("chain")
        self.start()

    def kill(self, lost_blocks: int = 0) -> None:
        signal_group(self._stack.processes["chain"].pid, 9)
        self._stack.stop_process("chain", kill=True)


NODES: dict[str, type[Anvil] | type[Ganache]] = {"anvil": Anvil, "ganache": Ganache}
