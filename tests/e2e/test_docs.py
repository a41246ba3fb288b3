"""The quickstart and the requester's way as they are written; `make test-docs` types all pages."""

import pytest

from tests.docs_run import scenes
from tests.docs_run.reading import Reading

pytestmark = [pytest.mark.chain, pytest.mark.docker, pytest.mark.emulation, pytest.mark.long]


def test_the_first_pages_are_true(tmp_path):
    with Reading(tmp_path) as reading:
        typed = [reading.page(page).typed for page in scenes.SHORT]
    assert min(typed) >= 5
    assert reading.endings == {"up": 130}
    assert reading.left_running() == []
