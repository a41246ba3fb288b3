"""Row 12, the transaction manager.

Parity: gas caps and retries. Beat: one durable lease of a nonce for each step, stuck transactions replaced with all
their hashes kept, receipts found after a restart, gaps filled, strangers noticed, EIP-1559.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chain.book import MemoryBook
from chain.client import ChainUnreachableError
from chain.fees import FeePolicy
from chain.nonces import TAKEN_SECONDS
from chain.transactions import Prepared, RevertedError, Sender, TakenError
from ops.stack import Stack
from tests.acceptance.anvil_chain import Anvil, start
from worker.journal import Journal
from worker.transactions import JournalBook, Steps

GWEI = 10**9


@pytest.fixture(scope="module")
def anvil(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Anvil:
    return start(stack, tmp_path_factory.mktemp("anvil"), "anvil-12")


@pytest.fixture
def held(anvil: Anvil) -> Iterator[Anvil]:
    """The same, mining only when told."""
    anvil.ask("evm_setAutomine", False)
    yield anvil
    anvil.ask("evm_setAutomine", True)
    anvil.mine()


def test_a_stuck_transaction_is_replaced_and_whichever_is_mined_counts(held: Anvil) -> None:
    chain, wallet = held.chain(held.url, stuck_seconds=5), held.wallet()
    for mined_is_old in (False, True):
        now = [1000.0]
        sender = Sender(chain, wallet, clock=lambda now=now: now[0])
        lease = sender.begin(held.approve(chain, 1), step="pay")
        now[0] += 6
        assert sender.look(lease) is None
        lease = sender.lease_of("pay")
        old, new = (Prepared(a.tx_hash, a.raw) for a in lease.attempts)
        assert old.nonce == new.nonce == lease.nonce
        assert new.fee.limit * 8 >= old.fee.limit * 9 and new.fee.tip * 8 >= old.fee.tip * 9
        if mined_is_old:
            held.ask("anvil_dropTransaction", new.tx_hash)
            held.ask("eth_sendRawTransaction", "0x" + old.raw.hex())
        held.mine()
        receipt = sender.wait(lease, 20)
        assert receipt.tx_hash == (old if mined_is_old else new).tx_hash
        assert sender.lease_of("pay") is None
    assert held.sent(wallet) == 2


def test_the_cap_holds_for_replacements_and_an_emergency_may_pass_it(held: Anvil) -> None:
    chain, wallet = held.chain(held.url, stuck_seconds=5), held.wallet()
    now = [1000.0]
    base = int(held.ask("eth_getBlockByNumber", "latest", False)["baseFeePerGas"], 16)
    sender = Sender(chain, wallet, FeePolicy(1.3, 2 * base, 100 * GWEI), clock=lambda: now[0])
    lease = sender.begin(held.approve(chain, 1), step="reveal")
    now[0] += 6
    assert sender.look(lease) is None
    assert len(sender.lease_of("reveal").attempts) == 1
    sender._counted.clear()
    sender.look(lease, urgent=True)
    last = sender.lease_of("reveal").last
    assert Prepared(last.tx_hash, last.raw).fee.limit > 2 * base
    held.mine()
    assert sender.wait(sender.lease_of("reveal"), 20).tx_hash == last.tx_hash


def test_after_a_restart_the_receipt_is_found_and_nothing_is_sent_twice(held: Anvil, tmp_path: Path) -> None:
    chain, wallet = held.chain(held.url), held.wallet()
    journal = Journal(tmp_path / "journal.db")
    Sender(chain, wallet, book=JournalBook(journal)).begin(held.approve(chain, 1), step="0xtask/reveal")
    journal.close()
    held.mine()
    journal = Journal(tmp_path / "journal.db")
    steps = Steps(Sender(chain, wallet, book=JournalBook(journal)), journal)
    mined = steps.recover("0xtask", "reveal")
    assert mined is not None and mined == steps.recover("0xtask", "reveal")
    assert [sent.state for sent in journal.sent("0xtask", "reveal")] == ["MINED"]
    assert held.sent(wallet) == 1


def test_what_the_node_lost_is_sent_again(anvil: Anvil) -> None:
    with anvil.flaky(1) as (node,):
        chain, wallet = anvil.chain(node.url), anvil.wallet()
        node.faults.swallow = True
        sender = Sender(chain, wallet)
        lease = sender.begin(anvil.approve(chain, 1), step="pay")
        assert anvil.sent(wallet) == 0
        node.mend()
        assert sender.wait(lease, 20).tx_hash == lease.last.tx_hash


def test_a_node_without_past_states_is_sent_what_it_lost(anvil: Anvil) -> None:
    """A node that was started from a snapshot answers for its newest block alone: a reveal must not wait for more."""
    with anvil.flaky(1) as (node,):
        chain, wallet = anvil.chain(node.url, confirmations=3), anvil.wallet()
        anvil.mine(3)
        node.faults.swallow = True
        sender = Sender(chain, wallet)
        lease = sender.begin(anvil.approve(chain, 1), step="pay")
        node.change(swallow=False, amnesia=True)
        assert sender.look(lease) is None
        assert anvil.sent(wallet) == 1
        anvil.mine(3)
        assert sender.wait(lease, 20).tx_hash == lease.last.tx_hash
        assert not chain.endpoints.status()[0]["trouble"]


def test_what_is_urgent_is_sent_again_to_a_node_that_answers_little(anvil: Anvil) -> None:
    with anvil.flaky(1) as (node,):
        chain, wallet, now = anvil.chain(node.url), anvil.wallet(), [1000.0]
        node.faults.swallow = True
        sender = Sender(chain, wallet, clock=lambda: now[0])
        lease = sender.begin(anvil.approve(chain, 1), step="reveal")
        node.change(swallow=False, drop=1.0, only=["eth_getTransactionReceipt", "eth_getTransactionCount"])
        with pytest.raises(ChainUnreachableError):
            sender.look(lease, urgent=True)
        assert anvil.sent(wallet) == 0
        now[0] += 3
        with pytest.raises(ChainUnreachableError):
            sender.look(lease, urgent=True)
        assert anvil.sent(wallet) == 1


def test_a_block_taken_back_before_it_is_deep_enough_is_no_receipt(anvil: Anvil) -> None:
    chain, wallet = anvil.chain(anvil.url, confirmations=3), anvil.wallet()
    sender = Sender(chain, wallet)
    lease = sender.begin(anvil.approve(chain, 1), step="pay")
    assert sender.look(lease) is None
    assert anvil.sent(wallet) == 1
    anvil.ask("anvil_reorg", 1, [])
    assert anvil.sent(wallet) == 0
    anvil.ask("anvil_dropTransaction", lease.last.tx_hash)
    anvil.mine()
    sender._counted.clear()
    assert sender.look(lease) is None
    anvil.mine(3)
    assert sender.wait(lease, 20).tx_hash == lease.last.tx_hash
    assert anvil.sent(wallet) == 1


def test_what_was_mined_and_taken_back_later_is_sent_again(anvil: Anvil, tmp_path: Path) -> None:
    chain, wallet = anvil.chain(anvil.url), anvil.wallet()
    journal = Journal(tmp_path / "journal.db")
    steps = Steps(Sender(chain, wallet, book=JournalBook(journal)), journal)
    receipt = steps.send("0xtask", "contribute", anvil.approve(chain, 7))
    anvil.ask("anvil_reorg", 1, [])
    anvil.ask("anvil_dropTransaction", receipt.tx_hash)
    anvil.mine()
    assert anvil.sent(wallet) == 0
    assert steps.recover("0xtask", "contribute") == receipt.tx_hash
    assert anvil.sent(wallet) == 1


def test_two_processes_with_one_wallet_are_noticed(held: Anvil) -> None:
    chain, wallet = held.chain(held.url), held.wallet()
    now = [1000.0]
    sender = Sender(chain, wallet, clock=lambda: now[0])
    lease = sender.begin(held.approve(chain, 1), step="ours")
    held.ask("anvil_dropTransaction", lease.last.tx_hash)
    stranger = Sender(chain, wallet)
    stranger.begin(held.approve(chain, 2), step="theirs")
    sender.begin(held.approve(chain, 3), step="another")
    held.mine()
    with pytest.raises(TakenError):
        for _ in range(5):
            sender._counted.clear()
            sender.look(lease)
            now[0] += TAKEN_SECONDS
    assert "did not send" in sender.shared
    assert sender.wait(sender.lease_of("another"), 20)
    assert held.sent(wallet) == 2


def test_a_failure_on_chain_is_said_and_its_nonce_is_used_up(anvil: Anvil) -> None:
    chain, wallet = anvil.chain(anvil.url), anvil.wallet()
    sender = Sender(chain, wallet)
    too_much = chain.rlc.functions.transfer("0x" + "11" * 20, 10**18)
    with pytest.raises(RevertedError):
        sender.transact(too_much)
    assert anvil.sent(wallet) == 0
    lease = sender.begin(too_much, step="pay", preview=False, gas=200_000)
    with pytest.raises(RevertedError) as caught:
        sender.wait(lease, 20)
    assert caught.value.function == "transfer" and caught.value.tx_hash == lease.last.tx_hash
    assert sender.transact(anvil.approve(chain, 1)).block


def test_through_a_node_that_drops_repeats_and_forgets_each_is_done_once(anvil: Anvil) -> None:
    with anvil.flaky(2) as nodes:
        chain, wallet = anvil.chain(*(node.url for node in nodes)), anvil.wallet()
        for node in nodes:
            node.change(drop=0.05, drop_answer=0.05, duplicate=0.2, garbage=0.05)
        book = MemoryBook()
        sender = Sender(chain, wallet, book=book)
        done = []
        for number in range(8):
            for _ in range(20):
                try:
                    done.append(sender.transact(anvil.approve(chain, number), step=f"step {number}").tx_hash)
                    break
                except ChainUnreachableError:
                    continue
        assert len(set(done)) == 8 == anvil.sent(wallet)
