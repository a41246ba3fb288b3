"""Keystores that Brownie's own account code writes and reads, and ours."""

import pytest
from brownie import accounts

from chain import keystores, wallet
from poco.errors import BadInputError


def test_an_account_of_brownie_opens(tmp_path):
    made = accounts.add("0x" + "42" * 32)
    path = tmp_path / "alice.json"
    made.save(str(path), password="of Brownie")
    assert keystores.address_of(path) == made.address
    assert wallet.load(path, "of Brownie").address == made.address
    with pytest.raises(BadInputError, match="wrong password"):
        wallet.load(path, "of ours")


def test_brownie_opens_a_keystore_of_ours(tmp_path):
    path = tmp_path / "bob.json"
    made = wallet.create(path, "of ours", iterations=1024)
    assert accounts.load(str(path), password="of ours").address == made.address
