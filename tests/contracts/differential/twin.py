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
from chain.wallet import Wallet
from ops.console import ROOT
from ops.ports import free_port
from ops.real_poco import Poco, deploy_real, published_abi
from ops.services import MNEMONIC
from poco.errors import PewError
from poco.orders import Domain

CATEGORIES = (("XS", "", 300), ("S", "", 1_200))
GAS = 8_000_000


@contextmanager
def anvil() -> Iterator[str]:
    """A fresh Anvil on a free port, whose accounts are unlocked; its address."""
    program = ROOT / "node_modules" / ".bin" / "anvil"
    if not program.exists():
        raise PewError("Anvil is not installed", hint="npm has it for Linux on amd64 only: run this comparison there")
    port = free_port()
    command = [str(program), "--port", str(port), "--mnemonic", MNEMONIC, "--accounts", "12", "--silent"]
    command += ["--base-fee", "0", "--gas-price", "0", "--gas-limit", "60000000", "--hardfork", "shanghai"]
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
    """A call of a view, as data for ours and for the original."""

    label: str
    data: list[str]


def word(value: int | str) -> str:
    """An argument of one word, as hex."""
    return f"{value:064x}" if isinstance(value, int) else value.lower().removeprefix("0x").zfill(64)


def signature(entry: dict[str, Any]) -> str:
    """The signature whose hash begins with the function's selector."""

    def kind(part: dict[str, Any]) -> str:
        inner = ",".join(kind(each) for each in part.get("components", ()))
        return part["type"].replace("tuple", f"({inner})") if inner else str(part["type"])

    return f"{entry['name']}({','.join(kind(part) for part in entry['inputs'])})"


class Side:
    """One of the two deployments. `names` tells what its addresses and hashes stand for."""

    def __init__(self, web3: Web3, poco: Poco) -> None:
        self.web3 = web3
        self.poco = poco
        self.hub = poco.hub
        self.domain = Domain(web3.eth.chain_id, poco.hub.address)
        self.names: dict[str, str] = {}
        for name in ("hub", "rlc", "app_registry", "dataset_registry", "workerpool_registry"):
            self.name(getattr(poco, name).address, name)

    def name(self, value: str, name: str) -> None:
        self.names[value.lower().removeprefix("0x").zfill(64)] = name

    def words(self, data: str) -> tuple[str, ...]:
        """ABI data word by word, with names in place of this side's addresses and hashes."""
        text = data.removeprefix("0x")
        return tuple(self.names.get(text[i : i + 64], text[i : i + 64]) for i in range(0, len(text), 64))

    def events(self, receipt: dict[str, Any]) -> list[tuple[str, ...]]:
        """All logs of a receipt, word by word."""
        return [
            (
                *self.words(log["address"][2:].zfill(64)),
                *self.words("".join(t[2:] for t in log["topics"]) + log["data"][2:]),
            )
            for log in receipt["logs"]
        ]


class Twin:
    """Both sides, in lockstep."""

    def __init__(self, url: str, wallets: Sequence[Wallet]) -> None:
        self.web3 = Web3(HTTPProvider(url))
        self.wallets = list(wallets)
        deployer = wallets[0].address
        self.ours = Side(self.web3, deploy_ours(self.web3, deployer, CATEGORIES))
        self.original = Side(self.web3, deploy_real(self.web3, deployer, CATEGORIES))
        self.sides = (self.ours, self.original)
        self.steps = 0
        self.taken = 0
        selectors = published_abi("IexecInterfaceToken")
        self.selectors = {
            e["name"]: self.web3.keccak(text=signature(e))[:4].hex() for e in selectors if e["type"] == "function"
        }
        self.rpc("anvil_setAutomine", False)

    def rpc(self, method: str, *args: Any) -> Any:
        answer = self.web3.provider.make_request(method, list(args))  # type: ignore[arg-type]
        if "error" in answer:
            raise RuntimeError(f"{method}: {json.dumps(answer['error'])}")
        return answer["result"]

    def now(self) -> int:
        """Time of the latest block."""
        return int(self.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def wait(self, seconds: int) -> None:
        self.rpc("evm_increaseTime", seconds)
        self.rpc("evm_mine")

    def step(self, label: str, calls: Sequence[ContractFunction], sender: Wallet) -> bool:
        """Send one call to each side; both succeed with the same events or both fail. Whether they succeeded."""
        hashes = []
        for call in calls:
            request = {
                "from": sender.address,
                "to": call.address,
                "data": call._encode_transaction_data(),
                "gas": hex(GAS),
            }
            hashes.append(self.rpc("eth_sendTransaction", request))
        self.rpc("evm_mine")
        receipts = [self.rpc("eth_getTransactionReceipt", each) for each in hashes]
        ours, original = (int(receipt["status"], 16) == 1 for receipt in receipts)
        self.steps += 1
        self.taken += ours
        if ours != original:
            raise AssertionError(f"{label}: {'ours' if ours else 'the original'} took it, the other did not")
        logs = [side.events(receipt) for side, receipt in zip(self.sides, receipts, strict=True)]
        assert logs[0] == logs[1], f"{label}: events differ"
        return ours

    def same(self, queries: Sequence[Query]) -> list[tuple[str, ...]]:
        """Views of the hub that must answer the same on both sides; the answers, word by word."""
        requests = [
            ("eth_call", [{"to": side.hub.address, "data": data}, "latest"])
            for query in queries
            for side, data in zip(self.sides, query.data, strict=True)
        ]
        replies: Any = self.web3.provider.make_batch_request(requests)  # type: ignore[attr-defined,arg-type]
        answers = []
        for i, query in enumerate(queries):
            pair = [
                side.words(reply["result"]) if "result" in reply else ("reverts",)
                for side, reply in zip(self.sides, replies[2 * i : 2 * i + 2], strict=True)
            ]
            assert pair[0] == pair[1], f"{query.label} differs: {pair[0]} and {pair[1]}"
            answers.append(pair[0])
        return answers

    def query(self, name: str, *arguments: Any) -> Query:
        """A view: each argument is a number, a hash or address, or a pair of them, ours first."""
        both = [[each if isinstance(each, tuple) else (each, each) for each in arguments] for _ in self.sides]
        data = ["0x" + self.selectors[name] + "".join(word(each[i]) for each in both[i]) for i in range(2)]
        return Query(f"{name}{arguments}", data)
