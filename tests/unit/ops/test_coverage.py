"""How coverage is counted from Brownie's report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.coverage import WAYS, Count, Coverage, coverage, deployable, judge, missing


def highlights(statements: str, branches: str) -> dict[str, dict[str, dict[str, list[list[object]]]]]:
    """A report's highlights of the contract `A`: one area for each letter, the first of a colour."""
    names = {name[0]: name for name in WAYS}

    def areas(letters: str) -> list[list[object]]:
        return [[i, i + 1, names[letter], ""] for i, letter in enumerate(letters)]

    return {"statements": {"A": {"0": areas(statements)}}, "branches": {"A": {"0": areas(branches)}}}


def test_each_way_of_a_branch_counts() -> None:
    counted = coverage(highlights("ggr", "gyor"), "A")
    assert counted == Coverage(Count(2, 3), Count(4, 8))


@given(st.text("gr"), st.text("gyor"))
def test_counts_are_those_of_the_colours(statements: str, branches: str) -> None:
    counted = coverage(highlights(statements, branches), "A")
    assert counted.statements == Count(statements.count("g"), len(statements))
    ways = 2 * branches.count("g") + branches.count("y") + branches.count("o")
    assert counted.branches == Count(ways, 2 * len(branches))


def test_sums_are_of_counts_not_of_shares() -> None:
    total = Coverage(Count(1, 1), Count(0, 2)) + Coverage(Count(0, 3), Count(2, 2))
    assert (total.statements.percent, total.branches.percent) == (25, 50)


def test_nothing_to_reach_is_reached() -> None:
    assert Count().percent == 100


@pytest.mark.parametrize(("statements", "branches", "enough"), [(95, 95, True), (94, 100, False), (100, 94, False)])
def test_both_shares_must_suffice(statements: int, branches: int, enough: bool) -> None:
    assert Coverage(Count(statements, 100), Count(branches, 100)).reaches(95) is enough


def test_missing_names_the_line(tmp_path: Path) -> None:
    source = tmp_path / "A.sol"
    source.write_text("a\nb\nc")
    areas = [[0, 1, "green", ""], [2, 3, "red", ""], [4, 5, "red", ""]]
    found = {"statements": {"A": {"7": areas}}, "branches": {"A": {"7": [[4, 5, "orange", ""]]}}}
    assert list(missing(found, "A", {"7": source})) == [
        f"{source}:2: statement: b",
        f"{source}:3: statement: c",
        f"{source}:3: branch taken 1 of 2 ways: c",
    ]


def artifact(folder: Path, name: str, path: str, bytecode: str = "60", statements: bool = True) -> None:
    counted = {"0": {"A.f": {"0": [0, 1]}} if statements else {}}
    content = {"contractName": name, "sourcePath": path, "bytecode": bytecode, "allSourcePaths": {}}
    (folder / f"{name}.json").write_text(json.dumps({**content, "coverageMap": {"statements": counted}}))


def test_mocks_interfaces_and_internal_libraries_are_aside(tmp_path: Path) -> None:
    artifact(tmp_path, "A", "contracts/hub/A.sol")
    artifact(tmp_path, "Mock", "contracts/mocks/Mocks.sol")
    artifact(tmp_path, "IA", "contracts/interfaces/IA.sol", "")
    artifact(tmp_path, "Library", "contracts/libraries/Library.sol", statements=False)
    assert list(deployable(tmp_path, ["contracts/mocks/*"])) == ["A"]


def judged(folder: Path, statements: str) -> int:
    report = folder / "coverage.json"
    report.write_text(json.dumps({"highlights": highlights(statements, "g")}))
    build = folder / "build"
    return judge(report, build, [], 95, list_missing=False)


def test_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "build").mkdir()
    artifact(tmp_path / "build", "A", "contracts/A.sol")
    assert judged(tmp_path, "g" * 19 + "r") == 0
    assert "19 of    20   95.0 %" in capsys.readouterr().out
    assert judged(tmp_path, "g" * 18 + "rr") == 1
    artifact(tmp_path / "build", "B", "contracts/B.sol")
    assert judged(tmp_path, "g") == 1
    assert "B: no test ran it" in capsys.readouterr().out
