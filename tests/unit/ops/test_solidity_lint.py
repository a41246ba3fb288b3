"""Findings of Slither against their explanations."""

from __future__ import annotations

from ops import solidity_lint
from ops.solidity_lint import Explanation, Finding, compare, compiler_input, explanations, parse


def test_places_are_named_with_their_contract() -> None:
    contract = {"type": "contract", "name": "Hub"}
    function = {
        "type": "function",
        "name": "pay",
        "type_specific_fields": {"parent": contract, "signature": "pay(uint256[])"},
    }
    variable = {"type": "variable", "name": "sum", "type_specific_fields": {"parent": function}}
    report = {
        "results": {
            "detectors": [
                {"check": "a", "elements": [function], "description": " said \n"},
                {"check": "b", "elements": [variable], "description": ""},
                {"check": "c", "elements": [contract], "description": ""},
                {"check": "d", "elements": [], "description": ""},
            ]
        }
    }
    assert parse(report) == [
        Finding("a", "Hub.pay(uint256[])", "said"),
        Finding("b", "Hub.pay.sum", ""),
        Finding("c", "Hub", ""),
        Finding("d", "", ""),
    ]
    assert parse({"results": {}}) == []


def test_what_nothing_explains_and_what_explains_nothing() -> None:
    first, second = (
        Finding("timestamp", "Poco.claim(bytes32)", ""),
        Finding("arbitrary-send", "Poco.claim(bytes32)", ""),
    )
    used, idle = Explanation("timestamp", "Poco.*", "why"), Explanation("assembly", "Poco.*", "why")
    assert compare([first, second], [used, idle]) == ([second], [idle])


def test_every_explanation_has_its_reason() -> None:
    explained = explanations()
    assert explained
    assert all(len(each.reason) > 20 for each in explained)
    assert len({(each.check, each.where) for each in explained}) == len(explained)


def test_the_settings_are_those_of_brownie() -> None:
    request = compiler_input()
    assert "contracts/Hub.sol" in request["sources"]
    assert not any(path.startswith(solidity_lint.MOCKS) for path in request["sources"])
    assert request["settings"]["optimizer"]["enabled"] is True
