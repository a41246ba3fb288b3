"""Every command of the documentation that no other test runs, typed as it is written: `make test-docs`."""

from __future__ import annotations

import pytest

from tests.docs_run import scenes
from tests.docs_run.reading import Reading

pytestmark = [pytest.mark.chain, pytest.mark.docker, pytest.mark.emulation]


def test_every_page_is_true(tmp_path):
    with Reading(tmp_path) as reading:
        for page in (*scenes.SHORT, *scenes.LONG):
            reading.page(page)
    assert reading.endings["up"] == 130
    assert reading.left_running() == []
