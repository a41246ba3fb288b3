"""A marketplace on a fresh chain, and the parties in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from brownie import _config, accounts, chain, project

from tests.contracts import cures
from tests.contracts.market import Market

cures.apply()


@pytest.fixture(scope="session")
def market() -> Market:
    """Contracts as `brownie run deploy` makes them, and everybody funded; deployed once for all tests."""
    # brownie reads the file of each module that is imported here by name, and this one is compiled
    if _config.CONFIG.argv["coverage"]:
        cures.lighten_traces()
    market = Market.deploy(accounts)
    # what a registry has deployed is not known to Brownie
    for kind in ("app", "dataset", "workerpool"):
        registry = getattr(market, f"{kind}_registry")
        getattr(project.get_loaded_projects()[0], kind.capitalize()).at(registry.master())
    return market


@pytest.fixture(autouse=True)
def isolation(market: Market) -> Iterator[None]:
    """Each test begins on the chain as it was deployed."""
    chain.snapshot()
    yield
    chain.revert()
