"""A deal's `params`: what no program can be given is the deal's fault, not the worker's."""

from __future__ import annotations

import json

import pytest

from poco import params
from poco.errors import BadInputError


@pytest.mark.parametrize(
    "text",
    [
        "--name a\0b",
        json.dumps({"iexec_args": "a\0b"}),
        json.dumps({"iexec_args": "\ud800"}),
        json.dumps({"iexec_input_files": ["https://example.org/\udc80"]}),
        json.dumps({"iexec_input_files": ["https://example.org/\0"]}),
    ],
)
def test_what_no_program_can_be_given_is_refused(text: str) -> None:
    """A worker would fail on it with a cause of its own, for which no error result can be contributed."""
    with pytest.raises(BadInputError, match="half of a character"):
        params.parse(text)


def test_all_other_characters_are_taken() -> None:
    told = params.parse(json.dumps({"iexec_args": "--name '\U0001f600 é\x01'", "iexec_input_files": ["https://h/é"]}))
    assert told.argv() == ["--name", "\U0001f600 é\x01"]
    assert told.input_files == ("https://h/é",)
