"""The loader of the original contracts: what it takes out of the package."""

from __future__ import annotations

import pytest

from ops import real_poco
from ops.real_poco import linked, published_abi, selectors
from poco.errors import PewError
from poco.original import FACETS, LIBRARY


def test_selectors_with_tuples_receive_and_fallback() -> None:
    parts = [{"type": "uint256"}, {"type": "tuple", "components": [{"type": "address"}, {"type": "bytes"}]}]
    abi = [
        {"type": "function", "name": "transfer", "inputs": [{"type": "address"}, {"type": "uint256"}]},
        {"type": "function", "name": "f", "inputs": [{"type": "tuple[2]", "components": parts}]},
        {"type": "event", "name": "Transfer", "inputs": []},
        {"type": "fallback"},
        {"type": "receive"},
    ]
    nested = bytes(real_poco.Web3.keccak(text="f((uint256,(address,bytes))[2])")[:4])
    assert selectors(abi) == [bytes.fromhex("a9059cbb"), nested, b"\x00" * 4, b"\xff" * 4]


def test_every_facet_can_be_linked() -> None:
    address = "0x" + "ab" * 20
    for name in FACETS:
        code = linked(real_poco._artifact(name), {LIBRARY: address})
        bytes.fromhex(code.removeprefix("0x"))  # no placeholder is left


def test_the_facets_answer_the_published_interface() -> None:
    answered = {each for name in FACETS for each in selectors(published_abi(name))}
    hub = published_abi("IexecInterfaceToken")
    of_the_diamond = {"owner", "transferOwnership", "renounceOwnership"}
    missing = [
        each["name"]
        for each in hub
        if each["type"] == "function" and selectors([each])[0] not in answered and each["name"] not in of_the_diamond
    ]
    assert missing == []


def test_what_is_not_in_the_package_is_named() -> None:
    with pytest.raises(PewError, match="Nonsense"):
        published_abi("Nonsense")
