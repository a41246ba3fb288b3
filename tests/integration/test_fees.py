"""Fees on a chain with a base fee and on one without, never above the cap."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from chain import wallet
from chain.book import MemoryBook
from chain.client import Chain
from chain.fees import FeePolicy, FeesTooHighError, fee
from chain.transactions import Sender
from ops.console import ROOT
from ops.ports import free_port
from ops.services import start_ganache

GWEI = 10**9


class Noted(MemoryBook):
    """Remembers what was signed."""

    def __init__(self):
        super().__init__()
        self.noted = []

    def keep(self, step, prepared, now):
        self.noted.append(prepared)
        super().keep(step, prepared, now)


@pytest.fixture(scope="module")
def london(stack, hub, tmp_path_factory):
    """A chain with a base fee of 1 gwei at first, a token on it, and a wallet with ether."""
    url = start_ganache(stack, free_port(), name="london", hardfork="london")
    web3 = Chain(url, hub.deployment).web3
    built = json.loads((ROOT / "build" / "contracts" / "Rlc.json").read_text())
    sent = (
        web3.eth.contract(abi=built["abi"], bytecode=built["bytecode"])
        .constructor()
        .transact({"from": web3.eth.accounts[0]})
    )
    token = web3.eth.wait_for_transaction_receipt(sent)["contractAddress"]
    chain = Chain(url, replace(hub.deployment, rlc=token, hub=token))
    owner = wallet.create(tmp_path_factory.mktemp("wallet") / "key", "x", iterations=1024)
    web3.eth.send_transaction({"from": web3.eth.accounts[0], "to": owner.address, "value": 10**18})
    return chain, owner


def test_with_a_base_fee_only_what_the_block_asks_is_paid(london):
    chain, owner = london
    receipt = Sender(chain, owner).transact(chain.rlc.functions.approve(owner.address, 5))
    sent = chain.web3.eth.get_transaction(receipt.tx_hash)
    assert sent["type"] == 2
    base = chain.web3.eth.get_block(receipt.block)["baseFeePerGas"]
    assert sent["maxFeePerGas"] > base
    assert receipt.cost_wei == receipt.gas_used * (base + sent["maxPriorityFeePerGas"])


def test_the_nonce_is_read_from_either_kind_of_transaction(london, hub, tmp_path):
    for chain, owner in (london, (hub, wallet.create(tmp_path / "key", "x", iterations=1024))):
        book = Noted()
        sender = Sender(chain, owner, book=book)
        before = chain.web3.eth.get_transaction_count(owner.address)
        if chain is hub:
            accounts = chain.web3.eth.accounts
            chain.web3.eth.send_transaction({"from": accounts[0], "to": owner.address, "value": 10**18})
        for _ in range(2):
            sender.transact(chain.rlc.functions.approve(owner.address, 5))
        assert [prepared.nonce for prepared in book.noted] == [before, before + 1]
        assert all(prepared.fee.limit and prepared.gas > 21_000 for prepared in book.noted)


def test_the_cap_holds_for_base_fee_and_tip_together(london):
    chain, _ = london
    base = chain.web3.eth.get_block("latest")["baseFeePerGas"]
    found = fee(chain, FeePolicy(cap_wei=base + 7))
    assert found.limit == base + 7
    assert found.tip <= found.limit


def test_above_the_cap_nothing_is_sent(london):
    chain, owner = london
    before = chain.web3.eth.get_transaction_count(owner.address)
    with pytest.raises(FeesTooHighError, match="the cap is 1e-09") as caught:
        Sender(chain, owner, FeePolicy(cap_wei=1)).transact(chain.rlc.functions.approve(owner.address, 6))
    assert "cap_gwei" in caught.value.hint
    assert chain.web3.eth.get_transaction_count(owner.address) == before


def test_without_a_base_fee_the_price_has_room_up_to_the_cap(hub):
    price = hub.web3.eth.gas_price
    assert fee(hub, FeePolicy(1.5, 10 * price)).fields() == {"gasPrice": price * 3 // 2}
    assert fee(hub, FeePolicy(1.5, price + 1)).fields() == {"gasPrice": price + 1}
    with pytest.raises(FeesTooHighError):
        fee(hub, FeePolicy(1.5, price - 1))
