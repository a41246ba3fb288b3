"""An Anvil of one test module with a token on it, wallets with coin, and nodes that misbehave before it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chain import wallet as wallets
from chain.client import Chain
from chain.deployment import Deployment
from chain.settings import ChainSettings
from chain.wallet import Wallet
from ops.console import ROOT
from ops.ports import free_port
from ops.services import start_anvil
from ops.stack import Stack
from poco.hexes import ZERO_ADDRESS
from tests.flaky_rpc import FlakyRpc

CHAIN_ID = 31337


@dataclass
class Anvil:
    """The node at `url`; `plain` reads it directly."""

    url: str
    deployment: Deployment
    folder: Path

    def __post_init__(self) -> None:
        self.plain = self.chain(self.url)
        self.number = 0

    def chain(self, *urls: str, **settings: Any) -> Chain:
        return Chain(urls, self.deployment, ChainSettings(**settings))

    def ask(self, method: str, *params: Any) -> Any:
        answer = self.plain.web3.provider.make_request(method, list(params))
        assert "error" not in answer, answer
        return answer["result"]

    def mine(self, blocks: int = 1) -> None:
        self.ask("anvil_mine", hex(blocks))

    def wallet(self) -> Wallet:
        self.number += 1
        made = wallets.create(self.folder / f"{self.number}.json", "x", iterations=1024)
        self.ask("anvil_setBalance", made.address, hex(10**20))
        return made

    def sent(self, wallet: Wallet) -> int:
        """How many transactions of a wallet are in blocks."""
        return int(self.plain.web3.eth.get_transaction_count(wallet.address))

    def approve(self, chain: Chain, amount: int) -> Any:
        """A call to send."""
        return chain.rlc.functions.approve("0x" + "11" * 20, amount)

    @contextmanager
    def flaky(self, count: int = 2) -> Iterator[list[FlakyRpc]]:
        with ExitStack() as open_ones:
            yield [open_ones.enter_context(FlakyRpc(self.url, seed=n)) for n in range(count)]


def start(stack: Stack, folder: Path, name: str) -> Anvil:
    """A fresh Anvil with a token, which stands for the hub too."""
    url = start_anvil(stack, free_port(), name=name)
    nowhere = Deployment("anvil", CHAIN_ID, 0, *[ZERO_ADDRESS] * 5)
    web3 = Chain(url, nowhere).web3
    built = json.loads((ROOT / "build" / "contracts" / "Rlc.json").read_text())
    contract = web3.eth.contract(abi=built["abi"], bytecode=built["bytecode"])
    sent = contract.constructor().transact({"from": web3.eth.accounts[0]})
    token = str(web3.eth.wait_for_transaction_receipt(sent)["contractAddress"])
    return Anvil(url, Deployment("anvil", CHAIN_ID, 0, *[token] * 5), folder)
