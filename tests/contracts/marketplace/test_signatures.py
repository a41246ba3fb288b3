"""Whose signature counts, and in which form."""

from dataclasses import replace

import pytest
from brownie import Babbler, ContractWallet, web3
from eth_account import Account
from eth_account.messages import encode_typed_data

from tests.contracts.market import RLC, ZERO, key_of, revert_of, sign_hash

ORDER_N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
HASH = "0x" + "5a" * 32


def refusal(market, orders):
    return revert_of(market.hub.matchOrders, *(order.as_tuple() for order in orders))


@pytest.mark.parametrize("index", range(4))
def test_wrong_signer(market, index):
    orders = market.orders(dataset=True)
    owners = (market.app_owner, market.dataset_owner, market.scheduler, market.requester)
    orders[index] = market.sign(orders[index], market.workers[0])
    kind, signer, digest = refusal(market, orders)[1:]
    assert (kind, signer) == (index, str(owners[index]).lower())
    assert "0x" + digest.hex() == orders[index].hash(market.domain)


@pytest.mark.parametrize("index", range(4))
def test_changed_order(market, index):
    """A signed order cannot be changed, not even in what nobody checks."""
    orders = market.orders(dataset=True)
    orders[index] = replace(orders[index], salt="0x" + "ee" * 32)
    assert refusal(market, orders)[:2] == ("InvalidOrderSignature", index)


@pytest.mark.parametrize("domain", [{"chain_id": 1}, {"hub": "0x" + "12" * 20}, {"version": "6"}, {"name": "x"}])
def test_order_of_another_market(market, domain):
    orders = market.orders()
    elsewhere = replace(market.domain, **domain)
    assert elsewhere.separator() != market.domain.separator()
    orders[3] = orders[3].signed(sign_hash(market.requester, orders[3].hash(elsewhere)))
    assert refusal(market, orders)[:2] == ("InvalidOrderSignature", 3)


def test_hash_is_that_of_the_typed_data(market):
    """The order's hash as wallets compute it is what the hub knows it by."""
    order = market.request_order()
    message = encode_typed_data(full_message=order.typed_data(market.domain))
    signed = Account.sign_message(message, key_of(market.requester))
    orders = market.orders()
    orders[3] = order.signed("0x" + signed.signature.hex().removeprefix("0x"))
    market.match(orders)


def test_verify(market):
    signature = sign_hash(market.requester, HASH)
    assert market.hub.verifySignature(market.requester, HASH, signature)
    assert not market.hub.verifySignature(market.scheduler, HASH, signature)
    assert not market.hub.verifySignature(market.requester, "0x" + "5b" * 32, signature)


def test_short_form(market):
    raw = bytes.fromhex(sign_hash(market.requester, HASH)[2:])
    r, s, v = raw[:32], int.from_bytes(raw[32:64], "big"), raw[64]
    short = r + (s | (v - 27) << 255).to_bytes(32, "big")
    assert market.hub.verifySignature(market.requester, HASH, short)
    wrong = r + (s | (28 - v) << 255).to_bytes(32, "big")
    assert not market.hub.verifySignature(market.requester, HASH, wrong)


def test_high_s_is_refused(market):
    raw = bytes.fromhex(sign_hash(market.requester, HASH)[2:])
    s = ORDER_N - int.from_bytes(raw[32:64], "big")
    mirrored = raw[:32] + s.to_bytes(32, "big") + bytes([55 - raw[64]])
    assert not market.hub.verifySignature(market.requester, HASH, mirrored)


@pytest.mark.parametrize("v", [0, 1, 26, 29, 255])
def test_odd_v_is_refused(market, v):
    raw = bytes.fromhex(sign_hash(market.requester, HASH)[2:])
    assert not market.hub.verifySignature(market.requester, HASH, raw[:64] + bytes([v]))


@pytest.mark.parametrize("length", [0, 1, 63, 66, 130])
def test_wrong_length(market, length):
    error = revert_of(market.hub.verifySignature, market.requester, HASH, b"\x01" * length)
    assert error == ("InvalidSignatureLength", length)


def test_nobody_signs_nothing(market):
    assert not market.hub.verifySignature(ZERO, HASH, b"\x00" * 65)


def test_contract_signs(market):
    """ERC-1271: the requester is a contract."""
    wallet = ContractWallet.deploy({"from": market.admin})
    market.fund(wallet, 100 * RLC)
    orders = market.orders()
    order = market.request_order(signer=market.requester, requester=wallet.address, beneficiary=wallet.address)
    orders[3] = order.signed("0x")
    assert refusal(market, orders)[:2] == ("InvalidOrderSignature", 3)
    wallet.approveHash(order.hash(market.domain), {"from": market.admin})
    deal = market.match(orders)
    assert market.hub.viewDeal(deal.id)["requester"] == wallet
    assert market.locked(wallet) == 11 * RLC


def test_contract_without_the_interface_signs_nothing(market):
    assert not market.hub.verifySignature(market.rlc, HASH, b"")


def test_long_answers_are_not_copied(market):
    """A contract that answers 100,000 bytes burns its own gas, not the asker's on a copy."""
    babbler = Babbler.deploy({"from": market.admin})
    assert not market.hub.verifySignature(babbler, HASH, b"")
    data = market.hub.verifySignature.encode_input(babbler, HASH, b"")
    gas = web3.eth.estimate_gas({"to": market.hub.address, "data": data})
    # its memory takes 28,903 gas; a copy would take as much again
    assert gas < 21_000 + 45_000
