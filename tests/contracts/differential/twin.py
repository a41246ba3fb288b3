"""Our contracts and the original side by side on one Anvil: each step goes to both in the same block."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from web3 import HTTPProvider, Web3
from web3.contract.contract import ContractFunction

from benchmarks.gas_market import deploy_ours
from ops.console import ROOT
from ops.ports import free_port
from ops.real_poco import Poco, deploy_real, published_abi
from ops.services import MNEMONIC
from poco.errors import PewError
from poco.hexes import to_bytes
from poco.orders import Domain

ACCOUNTS = 12
GENESIS = 1_700_000_000
CATEGORIES = (("XS", "", 300), ("S", "", 1_200), ("M", "", 3_600), ("none", "no time at all", 0))
GAS = 8_000_000
CONTRACTS = ("hub", "rlc", "app_registry", "dataset_registry", "workerpool_registry")
Pair = tuple[str, str]


class DifferenceError(AssertionError):
    """The two sides disagree; `what` names the call or view in which they do."""

    def __init__(self, what: str, detail: str) -> None:
        super().__init__(f"{what}: {detail}")
        self.what = what


@contextmanager
def anvil() -> Iterator[str]:
    """A fresh Anvil on a free port, whose accounts are unlocked and whose clock is only moved by us; its address."""
    program = ROOT / "node_modules" / ".bin" / "anvil"
    if not program.exists():
        raise PewError("Anvil is not installed", hint="npm has it for Linux on amd64 only: run this comparison there")
    port = free_port()
    command = [str(program), "--port", str(port), "--mnemonic", MNEMONIC, "--accounts", str(ACCOUNTS), "--silent"]
    command += ["--base-fee", "0", "--gas-price", "0", "--gas-limit", "60000000", "--hardfork", "shanghai"]
    # past states are never asked for, and would fill gigabytes of the disk
    command += ["--timestamp", str(GENESIS), "--prune-history"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        web3 = Web3(HTTPProvider(url))
        for _ in range(100):
            if process.poll() is not None:
                raise PewError(f"Anvil ended at once ({process.returncode})", hint=f"try {' '.join(command)}")
            if web3.is_connected():
                break
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(10)


@dataclass(frozen=True)
class Query:
    """A call of a view, as data for ours and for the original; of the hub unless `to` names others."""

    what: str
    data: list[str]
    to: Pair | None = None


def word(value: int | str) -> str:
    """An argument of one word, as hex."""
    return f"{value:064x}" if isinstance(value, int) else value.lower().removeprefix("0x").zfill(64)


def signature(entry: dict[str, Any]) -> str:
    """The signature whose hash begins with the function's selector."""

    def kind(part: dict[str, Any]) -> str:
        inner = ",".join(kind(each) for each in part.get("components", ()))
        return part["type"].replace("tuple", f"({inner})") if inner else str(part["type"])

    return f"{entry['name']}({','.join(kind(part) for part in entry['inputs'])})"


def revert_data(reply: dict[str, Any]) -> bytes:
    """What a failed eth_call reverted with; empty where it said nothing."""
    data = reply["error"].get("data")
    return to_bytes(data) if isinstance(data, str) else b""


class Side:
    """One of the two deployments. `names` tells what its addresses and hashes stand for."""

    def __init__(self, web3: Web3, poco: Poco) -> None:
        self.web3 = web3
        self.poco = poco
        self.hub = poco.hub
        self.domain = Domain(web3.eth.chain_id, poco.hub.address)
        self.names: dict[str, str] = {}
        for name in CONTRACTS:
            self.name(getattr(poco, name).address, name)

    def name(self, value: str, name: str) -> None:
        self.names[word(value)] = name

    def words(self, data: str) -> tuple[str, ...]:
        """ABI data word by word, with names in place of this side's addresses and hashes."""
        text = data.removeprefix("0x")
        return tuple(self.names.get(text[i : i + 64], text[i : i + 64]) for i in range(0, len(text), 64))

    def events(self, receipt: dict[str, Any]) -> list[tuple[str, ...]]:
        """All logs of a receipt, word by word."""
        return [
            (
                *self.words(word(log["address"])),
                *self.words("".join(t[2:] for t in log["topics"]) + log["data"][2:]),
            )
            for log in receipt["logs"]
        ]


class Twin:
    """Both sides, in lockstep; every block is a second after the one before unless time is passed."""

    def __init__(self, url: str) -> None:
        self.web3 = Web3(HTTPProvider(url, request_kwargs={"timeout": 60}))
        self.accounts = [str(each) for each in self.web3.eth.accounts]
        self.rpc("anvil_setBlockTimestampInterval", 1)
        self.ours = Side(self.web3, deploy_ours(self.web3, self.accounts[0], CATEGORIES))
        self.original = Side(self.web3, deploy_real(self.web3, self.accounts[0], CATEGORIES))
        self.sides = (self.ours, self.original)
        self.steps = 0
        self.taken = 0
        #: what was done since the last rewind, a line each
        self.trace: list[str] = []
        published = published_abi("IexecInterfaceToken") + published_abi("AppRegistry")
        self.selectors = {
            e["name"]: self.web3.keccak(text=signature(e))[:4].hex() for e in published if e["type"] == "function"
        }
        self._kept: tuple[str, list[dict[str, str]]] | None = None

    def rpc(self, method: str, *args: Any) -> Any:
        answer = self.web3.provider.make_request(method, list(args))  # type: ignore[arg-type]
        if "error" in answer:
            raise RuntimeError(f"{method}: {json.dumps(answer['error'])}")
        return answer["result"]

    def ask(self, request: dict[str, str]) -> dict[str, Any]:
        """The whole answer to an eth_call, also when it reverts."""
        reply: dict[str, Any] = self.web3.provider.make_request("eth_call", [request, "latest"])  # type: ignore[arg-type,assignment]
        return reply

    def keep(self) -> None:
        """Remember this state: `rewind` comes back to it. From here on blocks are made by steps alone."""
        self.rpc("anvil_setAutomine", False)
        self._kept = (self.rpc("evm_snapshot"), [dict(side.names) for side in self.sides])

    def rewind(self) -> None:
        """Back to the state that was kept, its clock included."""
        assert self._kept, "nothing was kept"
        snapshot, names = self._kept
        assert self.rpc("evm_revert", snapshot)
        for side, each in zip(self.sides, names, strict=True):
            side.names = dict(each)
        self.trace = []
        self.keep()

    def now(self) -> int:
        """Time of the latest block."""
        return int(self.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def wait(self, seconds: int) -> None:
        self.rpc("evm_setNextBlockTimestamp", self.now() + seconds)
        self.rpc("evm_mine")
        self.trace.append(f"        {seconds} s pass")

    def send(self, call: ContractFunction, sender: str, gas: int = GAS) -> str:
        """Send a call without waiting for its block; its hash."""
        data = call._encode_transaction_data()
        return str(self.rpc("eth_sendTransaction", {"from": sender, "to": call.address, "data": data, "gas": hex(gas)}))

    def prepare(self, calls: Sequence[ContractFunction]) -> None:
        """Take calls of the test's own contracts, which are no step of the protocol."""
        hashes = [self.send(call, self.accounts[0]) for call in calls]
        self.rpc("evm_mine")
        for call, each in zip(calls, hashes, strict=True):
            if int(self.rpc("eth_getTransactionReceipt", each)["status"], 16) != 1:
                raise RuntimeError(f"{call.fn_name} reverted")

    def outcomes(self, calls: Sequence[ContractFunction], sender: str, gas: int = GAS) -> list[dict[str, Any]]:
        """Receipts of one call to each side, in one block."""
        hashes = [self.send(call, sender, gas) for call in calls]
        self.rpc("evm_mine")
        return [self.rpc("eth_getTransactionReceipt", each) for each in hashes]

    def step(self, label: str, calls: Sequence[ContractFunction], sender: str) -> bool:
        """Send one call to each side; both succeed with the same events or both fail. Whether they succeeded."""
        receipts = self.outcomes(calls, sender)
        ours, original = (int(receipt["status"], 16) == 1 for receipt in receipts)
        self.steps += 1
        self.taken += ours
        self.trace.append(f"{'taken' if ours else 'refused':>7} {label} by {self.ours.names.get(word(sender), sender)}")
        if ours != original:
            raise DifferenceError(label, f"{'ours' if ours else 'the original'} took it, the other did not")
        logs = [side.events(receipt) for side, receipt in zip(self.sides, receipts, strict=True)]
        if logs[0] != logs[1]:
            raise DifferenceError(label, f"events differ: {logs[0]} and {logs[1]}")
        return ours

    def same(self, queries: Sequence[Query]) -> list[tuple[str, ...]]:
        """Views that must answer the same on both sides; the answers, word by word."""
        requests = [
            ("eth_call", [{"to": to, "data": data}, "latest"])
            for query in queries
            for to, data in zip(query.to or (side.hub.address for side in self.sides), query.data, strict=True)
        ]
        if not requests:
            return []
        replies: Any = self.web3.provider.make_batch_request(requests)  # type: ignore[attr-defined]
        answers = []
        for i, query in enumerate(queries):
            pair = [
                side.words(reply["result"]) if "result" in reply else ("reverts",)
                for side, reply in zip(self.sides, replies[2 * i : 2 * i + 2], strict=True)
            ]
            if pair[0] != pair[1]:
                raise DifferenceError(query.what, f"{pair[0]} and {pair[1]}")
            answers.append(pair[0])
        return answers

    def query(self, name: str, *arguments: Any, to: Pair | None = None) -> Query:
        """A view: each argument is a number, a hash or address, or a pair of them, ours first."""
        both = [[each if isinstance(each, tuple) else (each, each) for each in arguments] for _ in self.sides]
        data = ["0x" + self.selectors[name] + "".join(word(each[i]) for each in both[i]) for i in range(2)]
        return Query(name, data, to)
