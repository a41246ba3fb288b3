"""The owner's page names tests that exist; the specification lists every test of a difference from the original."""

from __future__ import annotations

import re

import pytest

from ops.console import ROOT

TESTS = ROOT / "tests" / "contracts"
OWNER = (ROOT / "docs" / "reference" / "owner.md").read_text()


@pytest.mark.parametrize(("file", "function"), sorted(set(re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", OWNER))))
def test_owner_page_names_tests_that_exist(file: str, function: str) -> None:
    text = (TESTS / file.removeprefix("tests/contracts/")).read_text()
    assert f"def {function}(" in text if function else "def test_" in text


def test_every_test_of_a_difference_is_in_the_specification() -> None:
    """Each of them under the heading of its file, so that the tables of differences are complete."""
    sections = re.split(r"^#+ ", (ROOT / "SPECIFICATION.md").read_text(), flags=re.MULTILINE)
    files = sorted((TESTS / "differential").glob("test_wh*.py"))
    assert len(files) == 3
    for path in files:
        section = next(each for each in sections if path.name in each.partition("\n")[0])
        written = set(re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE))
        assert written - set(re.findall(r"`(test_\w+)`", section)) <= {"test_constants_are_the_same"}
