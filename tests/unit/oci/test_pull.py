"""What an image's config says about running it."""

from __future__ import annotations

import pytest

from oci.errors import ImageInvalidError
from oci.pull import _told


@pytest.mark.parametrize("bad", ["A=\0--bind", "A=\ud800"])
@pytest.mark.parametrize("key", ["Env", "Entrypoint", "Cmd"])
def test_texts_that_no_program_can_be_given_are_refused(key: str, bad: str) -> None:
    """A NUL would end one argument of bubblewrap and begin another; half of a character would stop the worker."""
    with pytest.raises(ImageInvalidError):
        _told({"config": {key: [bad]}}, 0)
    for place in ({"WorkingDir": bad}, {"Volumes": {bad: {}}}):
        with pytest.raises(ImageInvalidError):
            _told({"config": place}, 0)
    assert _told({"config": {"Env": ["A=é", "B=x=y"]}}, 7).environment == {"A": "é", "B": "x=y"}
