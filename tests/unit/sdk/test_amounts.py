"""Amounts of RLC in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poco.amounts import SUPPLY_NRLC, parse, show
from poco.errors import BadInputError


@pytest.mark.parametrize(
    ("text", "nrlc"),
    [
        ("1", 10**9),
        ("1.5", 1_500_000_000),
        ("0.000000001 RLC", 1),
        ("7nRLC", 7),
        ("7.0 nrlc", 7),
        ("  2 rlc ", 2 * 10**9),
        ("87000000", SUPPLY_NRLC),
    ],
)
def test_what_people_write(text, nrlc):
    assert parse(text) == nrlc


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "1e3", "1.0000000001", "0.5nRLC", "87000000.1", "1 ETH", "١", "1,5", "9" * 30]
)
def test_what_is_no_amount(text):
    with pytest.raises(BadInputError) as error:
        parse(text)
    assert error.value.exit_code == 2


@given(st.integers(0, SUPPLY_NRLC))
def test_what_is_shown_is_read_back(nrlc):
    assert parse(show(nrlc)) == nrlc


def test_differences_keep_their_sign():
    assert show(-1_500_000_000) == "-1.5 RLC"
    assert show(0) == "0 RLC"
