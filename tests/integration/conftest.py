"""What integration tests share: a real Ganache, a real image registry, a real Docker Engine; on free ports."""

from __future__ import annotations

from collections.abc import Iterator

import docker
import pytest
from docker.errors import DockerException

from chain import deployment
from chain.client import Chain
from ops.engine import find_engine, find_registry
from ops.ports import free_port
from ops.postgres import Postgres, start_postgres
from ops.services import deploy_contracts, start_ganache, start_registry
from ops.stack import Stack
from tests.integration.runner_bench import bench, image, probe, publisher, runtime  # noqa: F401  (fixtures)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark by what a test asks for, so that `-m "not docker"` never misses one."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if "ganache" in fixtures or "hub" in fixtures:
            item.add_marker("chain")
        if "docker_client" in fixtures or ("registry" in fixtures and find_registry() is None):
            item.add_marker("docker")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The supervisor of the session's processes; they end with the session."""
    with Stack(tmp_path_factory.mktemp("stack"), handle_signals=False) as running:
        yield running


@pytest.fixture(scope="session")
def postgres(stack: Stack) -> Postgres:
    """An empty PostgreSQL of the session: each test makes databases of its own."""
    return start_postgres(stack, port=free_port())


@pytest.fixture(scope="session")
def ganache(stack: Stack) -> str:
    """The URL of a fresh Ganache (chain id 1337, 20 accounts of `ops.services.MNEMONIC`), shared by the session."""
    return start_ganache(stack, free_port())


@pytest.fixture(scope="session")
def hub(stack: Stack, ganache: str) -> Chain:
    """The contracts on that Ganache, as `brownie run deploy` puts them there."""
    where = deploy_contracts(stack, int(ganache.rsplit(":", 1)[1]))
    chain = Chain(ganache, deployment.load(where))
    chain.check()
    return chain


@pytest.fixture(scope="session")
def registry(stack: Stack) -> str:
    """The address `127.0.0.1:<port>` of an empty image registry, shared by the session."""
    return start_registry(stack, free_port(), stack.run_dir / "registry").removeprefix("http://")


@pytest.fixture(scope="session")
def docker_client() -> Iterator[docker.DockerClient]:
    """A client of the Docker Engine; a missing engine is a failure that names the way out, never a skip."""
    found = find_engine()
    if found is None:
        pytest.fail("no Docker Engine answers: run `make engine`, or leave these tests out with -m 'not docker'")
    client = docker.DockerClient(base_url=found[1], timeout=120)
    try:
        client.ping()
    except DockerException as error:
        pytest.fail(f"the Docker Engine does not answer: {error}")
    yield client
    client.close()
