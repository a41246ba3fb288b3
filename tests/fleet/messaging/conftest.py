"""What the tests of messaging share: real brokers, and both ends of a pool's messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ops.stack import Stack
from tests.fleet.messaging.brokers import KINDS, PoolEnd, TheBroker, WorkerEnd
from tests.integration.conftest import docker_client, ganache, hub, registry, stack  # noqa: F401  (fixtures)


@pytest.fixture(params=KINDS)
def broker(request: pytest.FixtureRequest, stack: Stack, tmp_path: Path) -> Iterator[TheBroker]:  # noqa: F811
    made = TheBroker(stack, request.param, tmp_path)
    yield made
    made.stop()


@pytest.fixture
def pool(tmp_path: Path, broker: TheBroker) -> Iterator[PoolEnd]:
    made = PoolEnd(tmp_path, broker)
    made.lead()
    yield made
    made.close()


@pytest.fixture
def workers(tmp_path: Path, pool: PoolEnd, broker: TheBroker) -> Iterator[Callable[[], WorkerEnd]]:
    made: list[WorkerEnd] = []

    def make() -> WorkerEnd:
        made.append(WorkerEnd(tmp_path, pool, broker))
        return made[-1]

    yield make
    for each in made:
        each.stop()
        each.journal.close()
