"""A scheduler process for a file of acceptance tests; its workers follow the test's script."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from chain.client import Chain
from tests.integration.scheduler_pool import Market, Pool, until


@pytest.fixture(scope="module")
def running(hub: Chain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    made = Pool(Market(hub, tmp_path_factory.mktemp("market")), tmp_path_factory.mktemp("pool"))
    made.start()
    yield made
    assert made.stop() == 0


@pytest.fixture
def pool(running: Pool) -> Iterator[Pool]:
    """The workers of a test take no more work after it."""
    yield running
    running.dismiss()


def row(pool: Pool, name: str) -> dict[str, Any]:
    """A worker in `/status`."""
    wallet = next(w.wallet.address for w in reversed(pool.workers) if w.name == name)
    return dict(next(w for w in pool.status()["workers"] if w["wallet"] == wallet))


def initialized(pool: Pool, task_id: str) -> None:
    """Wait until a task may be leased."""
    until(lambda: pool.task(task_id).get("currentStatus", "RECEIVED") != "RECEIVED")
