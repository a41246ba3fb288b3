"""Which tests run where: `brownie test` runs those of the contracts, plain pytest all others."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

TESTS = Path(__file__).resolve().parent
OF_BROWNIE = {"contracts"}
OF_PYTEST = {"unit", "integration", "acceptance", "e2e", "docs_run", "fleet"}

# The same examples in every run, so that a change is judged by what it changes; HYPOTHESIS_PROFILE=default explores.
# How long one example takes says nothing on a machine that does other things too.
settings.register_profile("repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])

# A shell's background job starts with Ctrl-C ignored, and so would the programs that the tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """Choose the examples; Brownie's plugin has a profile of its own."""
    if not config.pluginmanager.hasplugin("pytest-brownie"):
        settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the folders of the other runner."""
    try:
        top = collection_path.resolve().relative_to(TESTS).parts[0]
    except (ValueError, IndexError):
        return None
    others = OF_PYTEST if config.pluginmanager.hasplugin("pytest-brownie") else OF_BROWNIE
    return True if top in others else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with long tests first, so that no process is left alone with one at the end."""
    long = {item.path for item in items if item.get_closest_marker("long")}
    items.sort(key=lambda item: item.path not in long)
