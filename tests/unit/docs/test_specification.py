"""SPECIFICATION.md names tests that exist, and every contract."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from ops.console import ROOT

TEXT = (ROOT / "SPECIFICATION.md").read_text()
TESTS = ROOT / "tests" / "contracts"


def names() -> Iterator[str]:
    """Test files and functions in the text: `test_x.py`, `folder/test_x.py`, `folder/test_x.py::test_y`."""
    yield from re.findall(r"`((?:[\w/]+/)?test_\w+\.py(?:::\w+)?)`", TEXT)


def functions(path: str) -> set[str]:
    return {node.name for node in ast.parse((TESTS / path).read_text()).body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("name", sorted(set(names())))
def test_named_tests_exist(name: str) -> None:
    path, _, function = name.partition("::")
    found = sorted(str(each.relative_to(TESTS)) for each in TESTS.rglob(path.rpartition("/")[2]))
    fitting = [each for each in found if each == path or "/" not in path]
    assert len(fitting) == 1, f"{path} fits {fitting or 'no file'}"
    tests = {each for each in functions(fitting[0]) if each.startswith("test_")}
    assert tests
    assert not function or function in tests


def rows_with_a_test() -> list[list[str]]:
    """Cells of each row of a table whose last column is `test`."""
    rows: list[list[str]] = []
    inside = False
    for line in TEXT.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        inside = bool(cells) and (inside or cells[-1] == "test")
        if inside and cells[-1] != "test" and set(cells[-1]) != {"-"}:
            rows.append(cells)
    return rows


def test_every_step_names_its_test() -> None:
    rows = rows_with_a_test()
    assert len(rows) >= 7
    assert all(re.search(r"`(?:[\w/]+/)?test_\w+\.py", row[-1]) for row in rows), rows


@pytest.mark.parametrize("folder", sorted(each.name for each in TESTS.iterdir() if list(each.glob("test_*.py"))))
def test_every_folder_of_tests_is_named(folder: str) -> None:
    assert re.search(rf"\b{folder}/", TEXT), f"SPECIFICATION.md says nothing of tests/contracts/{folder}"
