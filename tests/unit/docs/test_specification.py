"""SPECIFICATION.md names tests that exist, a test in each row that promises one, and every folder of tests."""

from __future__ import annotations

import ast
import re

import pytest

from ops.console import ROOT

TEXT = (ROOT / "SPECIFICATION.md").read_text()
TESTS = ROOT / "tests" / "contracts"
#: `test_x.py`, `folder/test_x.py`, either with `::test_y` behind it, or the function's name alone
NAME = re.compile(r"`((?:[\w/]+/)?test_\w+(?:\.py(?:::\w+)?)?)`")
FILES = {
    str(path.relative_to(TESTS)): {
        node.name
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }
    for path in TESTS.rglob("test_*.py")
}


@pytest.mark.parametrize("name", sorted(set(NAME.findall(TEXT))))
def test_named_tests_exist(name: str) -> None:
    path, _, function = name.partition("::")
    if not path.endswith(".py"):
        assert any(path in functions for functions in FILES.values()), f"there is no {path}"
        return
    fitting = [each for each in FILES if each == path or each.endswith(f"/{path}")]
    assert len(fitting) == 1, f"{path} fits {fitting or 'no file'}"
    assert FILES[fitting[0]], f"no test in {path}"
    assert not function or function in FILES[fitting[0]], f"no {function} in {path}"


def test_every_row_names_its_test() -> None:
    """In each table whose last column is `test`."""
    rows: list[list[str]] = []
    inside = False
    for line in TEXT.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        inside = bool(cells) and (inside or cells[-1] == "test")
        if inside and cells[-1] != "test" and set(cells[-1]) != {"-"}:
            rows.append(cells)
    assert len(rows) >= 40
    assert not [row for row in rows if not NAME.search(row[-1])]


@pytest.mark.parametrize("folder", sorted({path.rpartition("/")[0] for path in FILES}))
def test_every_folder_of_tests_is_named(folder: str) -> None:
    assert re.search(rf"\b{folder}/", TEXT), f"SPECIFICATION.md says nothing of tests/contracts/{folder}"
