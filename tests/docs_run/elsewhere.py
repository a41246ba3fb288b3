"""Commands of the documentation that other tests run: which command, and which file runs it.

A command that no pattern here matches is typed on a real network by tests/docs_run/test_pages.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.docs_run.pages import Command


@dataclass(frozen=True)
class Elsewhere:
    """Commands that match `pattern` (of all pages, or those whose path matches `page`) are run by each of `by`.

    `by` are files of tests, of the integration or of the set-up, each with a word that must stand in it.
    """

    pattern: str
    by: dict[str, str]
    page: str = ""

    def fits(self, command: Command) -> bool:
        return re.search(self.page, command.page) is not None and re.fullmatch(self.pattern, command.text) is not None


TABLE = (
    # the set-up of a machine
    Elsewhere(r"apt-get update && apt-get install -y git make python3 python3-venv", {"ops/setup.py": "venv"}),
)


def run_by(command: Command) -> Elsewhere | None:
    """The entry for a command, or None where the pages' own run types it."""
    return next((entry for entry in TABLE if entry.fits(command)), None)
