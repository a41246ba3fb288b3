"""A scheduler that is killed at each step of a transaction sends it once in effect."""

from __future__ import annotations

import signal
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from chain.client import Chain
from poco.states import ChainTaskStatus
from tests.chaos.states import OUTBOX_STEPS
from tests.integration.scheduler_pool import Market, Pool, until


@pytest.fixture
def pool(hub: Chain, tmp_path: Path) -> Iterator[Pool]:
    (tmp_path / "clock").write_bytes(struct.pack("d", 0.0))
    command = ("-m", "tests.chaos.daemon", str(tmp_path), "scheduler")
    made = Pool(Market(hub, tmp_path), tmp_path / "pool", command=command)
    made.start()
    yield made
    assert made.stop() == 0


def test_killed_between_lease_signature_broadcast_and_receipt(pool: Pool, tmp_path: Path) -> None:
    web3, owner = pool.chain.web3, pool.owner.address
    for step in OUTBOX_STEPS:
        before = web3.eth.get_transaction_count(owner)
        (tmp_path / "armed").write_text(f"outbox:initialize:{step} self\n")
        (task,) = pool.deal()
        assert pool.process is not None
        assert pool.process.wait(30) == -signal.SIGKILL, step
        pool.start()
        until(lambda task=task: pool.chain.task(task).status is ChainTaskStatus.ACTIVE)  # type: ignore[misc]
        until(lambda: pool.status()["outbox"]["waiting"] == 0)
        assert web3.eth.get_transaction_count(owner) == before + 1, step
    assert pool.status()["outbox"]["errors"] == []
