"""The tests that the documents name are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
TESTS = ROOT / "tests" / "contracts"
PAGES = ("SPECIFICATION.md", "docs/reference/owner.md")


def named(page):
    """(file, function or None) of each test on a page; a function alone belongs to the file in the heading above it."""
    heading = None
    for line in (ROOT / page).read_text().splitlines():
        files = re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", line)
        if line.startswith("#"):
            heading = files[0][0] if files else None
        yield from ((file.removeprefix("tests/contracts/"), function or None) for file, function in files)
        yield from ((heading, function) for function in re.findall(r"`(test_\w+)`", line))


@pytest.mark.parametrize("page", PAGES)
def test_named_tests_exist(page):
    missing = []
    for file, function in named(page):
        path = TESTS / file
        if not path.exists() or (function and f"def {function}(" not in path.read_text()):
            missing.append((file, function))
    assert missing == []


def test_every_test_of_a_difference_is_in_the_specification():
    listed = {function for _, function in named("SPECIFICATION.md")}
    written = set()
    for path in (TESTS / "differential").glob("test_wh*.py"):
        written |= set(re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE))
    assert written - listed == {"test_constants_are_the_same"}
