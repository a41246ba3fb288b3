"""Blocks that are taken back, and nodes that are merely behind: only what the chain contradicts is rolled back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from eth_account import Account
from sqlalchemy import select

from chain import abi
from chain.wallet import Wallet
from poco.states import TaskStatus
from scheduler import model as m
from scheduler import store, watcher
from scheduler import tables as t
from scheduler.engine import Engine
from scheduler.funds import Funds
from scheduler.presence import Roll
from scheduler.store import Store
from scheduler.watcher import Watcher
from tests.unit.chain.small_node import HUB, SmallNode, small_node


@pytest.fixture
def node() -> Iterator[SmallNode]:
    with small_node() as made:
        made.mine(20)
        yield made


class Rig:
    """A watcher of a small node, on a store of its own."""

    def __init__(self, folder: Path, *nodes: SmallNode) -> None:
        self.database = Store(folder / "scheduler.db")
        roll, funds = Roll(10, 20), Funds(None, "")  # type: ignore[arg-type]
        self.engine = Engine(self.database, roll, funds, Wallet(Account.create()))
        self.chain = nodes[0].chain(*nodes[1:], max_block_age_seconds=86_400)
        self.chain.stale = lambda *_: ""  # type: ignore[method-assign]  # its blocks are from long ago
        self.watcher = Watcher(self.engine, self.chain, HUB, 1)

    @property
    def read(self) -> tuple[int, int]:
        """(the block up to which the chain was read, the newest whose hash is kept)."""
        with self.database.read() as db:
            marked = db.scalar(select(t.blocks.c.number).order_by(t.blocks.c.number.desc()).limit(1))
            return int(store.get_meta(db, "block") or -1), int(marked or -1)


def test_a_node_that_is_behind_takes_nothing_back(node: SmallNode, tmp_path: Path) -> None:
    """Providers answer for several nodes under one address: one is a block behind the other."""
    rig = Rig(tmp_path, node)
    assert rig.watcher.look()
    assert rig.read == (20, 20)
    node.behind = 2
    rig.watcher.look()
    assert rig.read == (20, 20)
    node.behind = 0
    node.mine()
    assert rig.watcher.look()
    assert rig.read == (21, 21)


def test_a_chain_that_stays_shorter_is_believed_in_the_end(
    node: SmallNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig(tmp_path, node)
    node.behind = 5
    assert rig.watcher.look()
    node.behind = 0
    assert rig.watcher.look()
    node.behind = 4
    monkeypatch.setattr(watcher, "BEHIND_SECONDS", 0.0)
    rig.watcher.look()
    assert not rig.watcher.look() and "older than what was read" in rig.watcher.trouble
    assert rig.read == (20, 20)
    monkeypatch.setattr(watcher, "FORGET_SECONDS", 0.0)
    assert rig.watcher.look()
    assert rig.read == (16, 16)


def test_a_shorter_chain_that_contradicts_what_was_read_is_a_reorganisation(node: SmallNode, tmp_path: Path) -> None:
    rig = Rig(tmp_path, node)
    for behind in (3, 2, 1, 0):
        node.behind = behind
        assert rig.watcher.look()
    node.behind, node.forked = 2, 18
    assert rig.watcher.look()
    assert rig.read == (18, 18)


def test_one_endpoint_that_is_behind_the_one_that_failed_takes_nothing_back(node: SmallNode, tmp_path: Path) -> None:
    with small_node() as other:
        other.mine(17)
        rig = Rig(tmp_path, node, other)
        assert rig.watcher.look()
        node.away = True
        rig.watcher.look()
        assert rig.read == (20, 20)
        other.mine(4)
        assert rig.watcher.look()
        assert rig.read == (21, 21)


def test_a_log_that_a_provider_knows_long_after_its_block_is_not_missed(
    node: SmallNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Endpoints answer eth_getLogs with nothing, not with an error, while their index is behind."""
    for name in ("RECHECK_SECONDS", "REPORT_SECONDS", "RECHECK_BLOCKS", "LATE_EVERY"):
        monkeypatch.setattr(watcher, name, 0, raising=False)
    rig = Rig(tmp_path, node)
    task = m.TaskTerms("0x" + "11" * 32, "0x" + "33" * 20, False, 1, 50, 300, 2**40, 2**41).task(0)
    with rig.database.write() as db:
        store.add_tasks(db, [task], 1000)
    assert rig.watcher.look()
    node.mine(5)
    assert rig.watcher.look()
    event = next(topic for topic, entry in abi.topics().items() if entry["name"] == "TaskInitialize")
    node.logs[22] = {"topics": [event, task.id, "0x" + HUB[2:].rjust(64, "0")], "data": "0x"}
    for _ in range(2):
        node.mine()
        assert rig.watcher.look()
    with rig.database.read() as db:
        found = store.load_task(db, task.id)
        assert found is not None and found.status is TaskStatus.INITIALIZED
        assert len(db.execute(select(t.events)).all()) == 1
