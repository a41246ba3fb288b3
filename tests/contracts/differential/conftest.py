"""One Anvil with both deployments for all tests of this folder."""

from collections.abc import Iterator

import pytest

from tests.contracts.differential.campaign import Campaign
from tests.contracts.differential.contrast import Contrast
from tests.contracts.differential.twin import Twin, anvil


@pytest.fixture(scope="session")
def campaign() -> Iterator[Campaign]:
    with anvil() as url:
        yield Campaign(Twin(url))


@pytest.fixture
def contrast(campaign) -> Contrast:
    return Contrast(campaign)
