"""What the tests of the pages share: one pool on Anvil, one browser."""

from __future__ import annotations

from collections.abc import Iterator

import docker
import pytest

from chain import deployment
from chain.client import Chain
from ops.browser import Browser, start_chromium
from ops.ports import free_port
from ops.services import deploy_contracts, start_anvil
from ops.stack import Stack
from tests.fleet.page.world import World, world
from tests.integration.conftest import docker_client, registry, stack  # noqa: F401  (fixtures)


@pytest.fixture(scope="session")
def anvil_hub(stack: Stack) -> Chain:  # noqa: F811
    """The contracts on an Anvil of their own: a test takes it away for a while."""
    port = free_port()
    url = start_anvil(stack, port, name="page-anvil")
    chain = Chain(url, deployment.load(deploy_contracts(stack, port)))
    chain.check()
    return chain


@pytest.fixture(scope="module")
def pool(
    anvil_hub: Chain,
    registry: str,  # noqa: F811
    docker_client: docker.DockerClient,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    with world(anvil_hub, registry, docker_client, tmp_path_factory.mktemp("world")) as made:
        yield made


@pytest.fixture(scope="session")
def browser(stack: Stack) -> Browser:  # noqa: F811
    return start_chromium(stack)
