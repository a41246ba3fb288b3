"""A wallet's transactions are mined in the order of their nonces: what stands before a reveal must not hold it up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from chain.book import Ended
from chain.creation import Creation
from chain.fees import FeePolicy
from chain.nonces import TAKEN_SECONDS
from chain.transactions import Sender, TakenError
from chain.wallet import Wallet
from tests.unit.chain.small_node import HUB, SmallNode, small_node
from worker.journal import Journal
from worker.transactions import JournalBook

GWEI = 10**9
POLICY = FeePolicy(1.3, 22 * GWEI, 200 * GWEI)


@pytest.fixture
def node() -> Iterator[SmallNode]:
    with small_node() as made:
        yield made


class Rig:
    """A worker's sender on its journal, with a clock of its own."""

    def __init__(self, node: SmallNode, journal: Journal, **settings: Any) -> None:
        self.chain, self.now = node.chain(**settings), 1000.0
        self.wallet = Wallet(Account.create())
        self.sender = Sender(self.chain, self.wallet, POLICY, book=JournalBook(journal), clock=lambda: self.now)

    def begin(self, step: str, *, urgent: bool = False) -> None:
        call = Creation(self.chain.web3, "step", step.encode(), HUB)
        self.sender.begin(call, step=step, preview=False, urgent=urgent, gas=100_000)

    def look(self, step: str, *, urgent: bool = False) -> bool:
        """Whether it is mined; the pauses between two counts are left out."""
        self.sender._counted.clear()
        lease = self.sender.lease_of(step)
        return lease is None or self.sender.look(lease, urgent=urgent) is not None


@pytest.fixture
def rig(node: SmallNode, tmp_path: Path) -> Rig:
    return Rig(node, Journal(tmp_path / "journal.db"))


def revealed_soon(node: SmallNode, rig: Rig) -> bool:
    for _ in range(5):
        if rig.look("0xa/reveal", urgent=True):
            return True
        node.mine()
        rig.now += 5
    return False


def test_a_reveal_is_not_held_up_by_a_contribution_at_the_ordinary_cap(node: SmallNode, rig: Rig) -> None:
    node.base_fee = 15 * GWEI
    rig.begin("0xb/contribute")
    node.base_fee = 60 * GWEI
    rig.begin("0xa/reveal", urgent=True)
    for _ in range(10):
        rig.look("0xb/contribute")  # the other slot: above its cap it only waits
        if rig.look("0xa/reveal", urgent=True):
            break
        node.mine()
        rig.now += 20
    else:
        pytest.fail("the stake is lost: the reveal waited behind a contribution that was not worth its gas")


def test_what_nobody_follows_any_more_is_sent_again_for_what_stands_behind_it(node: SmallNode, rig: Rig) -> None:
    rig.begin("0xb/contribute")
    rig.begin("0xa/reveal", urgent=True)
    node.forget_pool()
    assert revealed_soon(node, rig), "the reveal waits for a nonce that the node has lost"
    assert len(node.mined) == 2


def test_what_fills_a_gap_is_sent_again_where_the_node_lost_it(node: SmallNode, rig: Rig) -> None:
    rig.begin("0xb/contribute")
    rig.begin("0xa/reveal", urgent=True)
    node.forget_pool()
    (other,) = (lease for lease in rig.sender.book.open() if lease.step == "0xb/contribute")
    rig.sender.book.end(other, Ended("GONE"))
    rig.now += 61
    assert not rig.look("0xa/reveal", urgent=True)
    node.forget_pool()
    assert revealed_soon(node, rig), "the reveal waits for the gap that nobody fills again"


def test_a_node_without_the_receipt_does_not_make_what_is_mined_anothers(node: SmallNode, rig: Rig) -> None:
    rig.begin("0xa/contribute")
    node.mine()
    node.no_receipts = True
    for _ in range(4):
        assert not rig.look("0xa/contribute")
        rig.now += TAKEN_SECONDS
    assert not rig.sender.shared
    node.no_receipts = False
    assert rig.look("0xa/contribute")


def test_a_nonce_that_went_to_another_is_still_noticed(node: SmallNode, rig: Rig) -> None:
    rig.begin("0xa/contribute")
    node.forget_pool()
    stranger = Sender(rig.chain, rig.wallet, POLICY)
    stranger.begin(Creation(rig.chain.web3, "step", b"theirs", HUB), step="x", preview=False, gas=100_000)
    node.mine()
    with pytest.raises(TakenError):
        for _ in range(4):
            rig.look("0xa/contribute")
            rig.now += TAKEN_SECONDS
