"""A chain like a testnet on this machine, nodes before it that fail on order, and `pew rollout` against them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import requests
import yaml

from chain import wallet as keystores
from chain.book import Prepared
from ops.console import ROOT
from ops.ports import free_port
from ops.services import start_anvil
from ops.stack import Stack
from poco.errors import PewError
from poco.hexes import to_bytes
from tests.flaky_rpc import FlakyRpc

#: The chain's id, and how often it makes a block: as on Arbitrum Sepolia.
CHAIN_ID, BLOCK_SECONDS = 421614, 0.25
CONFIRMATIONS = 3
#: To whom the hub is handed over.
OWNER = "0x00000000000000000000000000000000000a11ce"
CATEGORIES = [{"name": "XS", "description": "up to 5 minutes", "seconds": 300}]
#: Transactions that create a contract, and all of a rollout: these, a category, a pool, the hand-over.
CREATIONS, STEPS = 7, 10
ETHER = 10**18
_GWEI = 10**9


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    def require(self, code: int = 0) -> Ran:
        """PewError where it ended otherwise."""
        if self.code != code:
            raise PewError(f"ended with {self.code}, not {code}: {self.err[-600:]}")
        return self


class Rig:
    """One chain with a deployer who has 1 ether, and one node before it (`node`, faultless at first).

    Args:
        stack: the run it belongs to.
        name: of the chain's process and of its folder.
        fields: of the network file, in place of the usual ones.
    """

    def __init__(self, stack: Stack, name: str, **fields: Any) -> None:
        self.folder = stack.run_dir / name
        self.folder.mkdir(parents=True, exist_ok=True)
        for old in self.folder.iterdir():
            old.unlink()
        extra = [
            "--chain-id",
            str(CHAIN_ID),
            "--block-time",
            str(BLOCK_SECONDS),
            "--block-base-fee-per-gas",
            str(_GWEI),
        ]
        self.url = start_anvil(stack, free_port(), name=name, extra=extra)
        self.node = FlakyRpc(self.url)
        self.child: subprocess.Popen[str] | None = None
        #: of the pool, where one is asked
        self.scheduler = ""
        (self.folder / "password").write_text("rehearsal")
        (self.folder / "password").chmod(0o600)
        self.wallet = keystores.create(self.folder / "wallet.json", "rehearsal", iterations=1024)
        self.fund(ETHER)
        self.write(**fields)

    def close(self) -> None:
        self.node.close()

    def write(self, **fields: Any) -> None:
        """The network file."""
        usual: dict[str, Any] = {
            "network": "rehearsal",
            "chain_id": CHAIN_ID,
            "rpc_urls": [self.node.url],
            "block_seconds": BLOCK_SECONDS,
            "chain": {"confirmations": CONFIRMATIONS, "stuck_seconds": 8, "request_seconds": 5},
            "fees": {"cap_gwei": 20},
            "categories": CATEGORIES,
            "pool": {"description": "a pool of the rehearsal"},
            "owner": OWNER,
        }
        merged = {key: value for key, value in {**usual, **fields}.items() if value is not None}
        (self.folder / "network.yaml").write_text(yaml.safe_dump(merged, sort_keys=False))

    # the chain

    def ask(self, method: str, *params: Any) -> Any:
        """The chain's own answer, whatever its node says."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        answer = requests.post(self.url, json=body, timeout=20).json()
        if "error" in answer:
            raise PewError(f"{method}: {answer['error']}")
        return answer["result"]

    def fund(self, wei: int) -> None:
        self.ask("anvil_setBalance", self.wallet.address, hex(wei))

    def reorganise(self, depth: int) -> None:
        """Take so many blocks back, with all that was in them."""
        self.ask("anvil_reorg", depth, [])

    def sent(self) -> tuple[int, int]:
        """(creations of contracts, all transactions) of the deployer in the chain's blocks."""
        creations = total = 0
        for number in range(int(self.ask("eth_blockNumber"), 16) + 1):
            for tx in self.ask("eth_getBlockByNumber", hex(number), True)["transactions"]:
                if tx["from"].lower() == self.wallet.address.lower():
                    total += 1
                    creations += tx["to"] is None
        return creations, total

    # the command

    def argv(self, command: str, *more: str) -> list[str]:
        keys = ["--wallet", str(self.folder / "wallet.json"), "--password-file", str(self.folder / "password")]
        where = ["--network", str(self.folder / "network.yaml"), "--folder", str(self.folder)]
        keys += ["--scheduler", self.scheduler] if self.scheduler else []
        words = [sys.executable, "-m", "sdk.cli", "--json", *keys, "rollout", command, *where]
        return [*words, "--build", str(ROOT / "build" / "contracts"), *more]

    def run(self, command: str, *more: str, seconds: float = 240, limit: Callable[[], None] | None = None) -> Ran:
        """Run `pew rollout <command>` to its end; `limit` is called in the new process before."""
        env = {key: value for key, value in os.environ.items() if not key.startswith("PEW_")}
        self.child = subprocess.Popen(
            self.argv(command, *more),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
            cwd=ROOT,
            preexec_fn=limit,  # noqa: PLW1509  (only sets a limit)
        )
        try:
            out, err = self.child.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.child.kill()
            out, err = self.child.communicate()
            raise PewError(f"{command} did not end in {seconds:.0f} s: {err[-600:]}") from None
        return Ran(self.child.returncode, out, err)

    def at(self, nonces: set[int], act: Callable[[], None]) -> None:
        """Do something when the transaction of each of those nonces comes by first, before it is passed on."""
        left, lock = set(nonces), threading.Lock()

        def listen(method: str, params: Any) -> None:
            if method != "eth_sendRawTransaction":
                return
            nonce = Prepared("", to_bytes(params[0])).nonce
            with lock:
                if nonce not in left:
                    return
                left.discard(nonce)
            act()

        self.node.listener = listen

    def kill_at_each(self, *, passed_on: bool, only: Collection[int] = range(1000)) -> None:
        """kill -9 of the command at each step: after the chain has the transaction, or before it does.

        Args:
            only: nonces of the steps.
        """
        done: set[int] = set()
        lock = threading.Lock()

        def listen(method: str, params: Any) -> None:
            if method != "eth_sendRawTransaction" or self.child is None:
                return
            nonce = Prepared("", to_bytes(params[0])).nonce
            with lock:
                if nonce in done or nonce not in only:
                    return
                done.add(nonce)
                if passed_on:
                    self.ask(method, *params)
                os.kill(self.child.pid, signal.SIGKILL)
            raise ConnectionError  # the request goes no further

        self.node.listener = listen

    def finish(self, *more: str) -> None:
        """Without faults: apply goes on to its end, and the chain bears everything once."""
        self.node.listener = None
        self.node.mend()
        self.run("apply", *more).require()
        self.settled()

    def settled(self, creations: int = CREATIONS, steps: int = STEPS) -> None:
        """PewError unless the rollout is whole, verified, and nothing was sent twice."""
        self.run("status").require()
        self.run("verify", "--no-source").require()
        there = json.loads((self.folder / "rehearsal.json").read_text())
        if not {"hub", "RLC"} <= set(there["contracts"]):
            raise PewError(f"the deployment file lacks contracts: {there}")
        found = self.sent()
        if found != (creations, steps):
            raise PewError(f"{found[0]} creations and {found[1]} transactions on chain, not {creations} and {steps}")
