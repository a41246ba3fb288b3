"""What the simulator is compared with needs: chain, registry, engine."""

from __future__ import annotations

from tests.integration.conftest import docker_client, ganache, hub, registry, stack  # noqa: F401  (fixtures)
