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

__all__ = ["docker_client", "ganache", "hub", "postgres", "pytest_collection_modifyitems", "registry", "stack"]
