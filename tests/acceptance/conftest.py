"""The acceptance tests use what the integration tests use: real chains, engines and registries of the session."""

from tests.integration.conftest import (
    docker_client,
    ganache,
    hub,
    postgres,
    pytest_collection_modifyitems,
    registry,
    stack,
)
from tests.integration.runner_bench import bench, image, probe, publisher, runtime

__all__ = [
    "bench", "docker_client", "ganache", "hub", "image", "postgres", "probe", "publisher",
    "pytest_collection_modifyitems", "registry", "runtime", "stack",
]  # fmt: skip
