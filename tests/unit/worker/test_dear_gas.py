"""Gas that is dear for an hour: nothing new is taken, and what was computed waits for it as long as it is of use."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_account import Account
from eth_utils.abi import collapse_if_tuple, function_abi_to_4byte_selector

from chain import abi
from chain.fees import FeesTooHighError
from chain.wallet import Wallet
from poco.errors import Cause
from poco.hexes import ZERO_ADDRESS
from poco.states import ChainTaskStatus, ContributionStatus
from tests.unit.chain.small_node import SmallNode, small_node
from tests.unit.worker.test_config import GOOD, write
from worker import shortcut
from worker.chain import PoolChain, RefusalError
from worker.config import load
from worker.core import Happened, Replicate, about
from worker.finishing import persist
from worker.journal import Journal
from worker.log import Log
from worker.table import Stage, What

TASK, DEAL, NOTHING = "0x" + "11" * 32, "0x" + "22" * 32, b"\0" * 32
POOL = "0x" + "33" * 20
CHEAP, DEAR = 10**9, 60 * 10**9


def view(name: str, value: Any) -> tuple[str, str]:
    """(selector, answer) of one of the hub's views."""
    entry = next(one for one in abi.load("hub") if one.get("name") == name and one["type"] == "function")
    kinds = [collapse_if_tuple(output) for output in entry["outputs"]]
    return "0x" + function_abi_to_4byte_selector(entry).hex(), "0x" + encode(kinds, [value]).hex()  # type: ignore[arg-type]


@pytest.fixture
def node() -> Iterator[SmallNode]:
    with small_node() as made:
        made.automine = True
        part, later = (POOL, POOL, 100), int(time.time()) + 3600
        deal = (part, (ZERO_ADDRESS, ZERO_ADDRESS, 0), part, 1, 0, NOTHING, POOL, POOL, ZERO_ADDRESS, "{}", 0, 0, 1, 30)
        task = (ChainTaskStatus.ACTIVE, NOTHING, 0, 300, later, 0, later, NOTHING, 0, 0, [], NOTHING, b"", 0, b"")
        made.views |= dict([
            view("viewContribution", (ContributionStatus.UNSET, NOTHING, NOTHING, ZERO_ADDRESS, 0)),
            view("viewTask", task), view("viewDeal", (*deal, 1, ZERO_ADDRESS)), view("viewAccount", (1000, 0)),
        ])  # fmt: skip
        yield made


@pytest.fixture
def pool(node: SmallNode, tmp_path: Path) -> PoolChain:
    config = load(write(tmp_path, GOOD + "platform: linux/amd64\n"))
    return PoolChain(config, node.chain(), Wallet(Account.create()), Journal(tmp_path / "journal.db"))


def replicate() -> Replicate:
    return Replicate(
        task_id=TASK, run=1, stage=Stage.CONTRIBUTING, deal_id=DEAL, index=0, authorization="0x" + "44" * 65,
        enclave_challenge=ZERO_ADDRESS, digest="0x" + "55" * 32,
    )  # fmt: skip


def no() -> bool:
    return False


def test_a_result_that_is_there_waits_for_cheaper_gas(node: SmallNode, pool: PoolChain) -> None:
    node.base_fee = DEAR
    with pytest.raises(FeesTooHighError):
        pool.contribute(replicate(), no)
    with pytest.raises(FeesTooHighError):
        shortcut.finalize(pool, replicate(), shortcut.Delivery("/ipfs/b"), no)
    assert not node.pool and not node.mined

    class Cheaper(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            node.base_fee = CHEAP
            return False

    def once() -> Happened:
        return about(replicate(), What.CONTRIBUTED, tx_hash=pool.contribute(replicate(), no))

    happened = persist(Log(io.StringIO()), replicate(), Cheaper(), time.time() + 600, once)
    assert happened is not None and happened.what is What.CONTRIBUTED
    assert len(node.mined) == 1


def test_nothing_is_begun_that_could_not_be_sent_now(node: SmallNode, pool: PoolChain) -> None:
    node.base_fee = DEAR
    with pytest.raises(RefusalError, match="gwei") as refused:
        pool._require_means(pool.chain.deal(DEAL))
    assert refused.value.cause is Cause.STAKE_TOO_LOW
