"""Row 21, out of service.

Parity: no new work while the newest block is too old, and it is said. Beat: several endpoints, with failover, back-off,
a check of lag, chain and answers, and agreement of two on what decides about money.
"""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest

from chain.client import Chain, ChainUnreachableError
from chain.logs import LogReader
from ops.stack import Stack
from poco.errors import BadInputError
from poco.states import ChainTaskStatus
from tests.acceptance.anvil_chain import CHAIN_ID, Anvil, start
from tests.integration.scheduler_pool import Market, Pool, until

SPENDER = "0x" + "11" * 20


@pytest.fixture(scope="module")
def anvil(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Anvil:
    made = start(stack, tmp_path_factory.mktemp("anvil"), "anvil-21")
    made.mine(10)
    return made


def test_the_next_endpoint_answers_for_one_that_fails(anvil: Anvil) -> None:
    with anvil.flaky(2) as (first, second):
        chain = anvil.chain(first.url, second.url)
        head = chain.block_number()
        assert second.asked["eth_blockNumber"] == 0
        for fault in ("drop", "drop_answer", "garbage", "bad_gateway", "too_many", "too_many_code"):
            first.mend()
            first.change(**{fault: 1.0})
            assert [chain.block_number(), chain.native_balance(anvil.deployment.rlc)] == [head, 0]
            assert chain.endpoints.status()[0]["trouble"]
        asked = first.asked.total()
        for _ in range(20):
            chain.block_number()
        assert first.asked.total() - asked <= 2, "one that failed is left alone"
        first.mend()
        until(lambda: chain.block_number() and not chain.endpoints.status()[0]["trouble"], 90, 1)


def test_a_wrong_answer_of_the_only_endpoint_is_no_answer(anvil: Anvil) -> None:
    owner = anvil.plain.web3.eth.accounts[0]
    with anvil.flaky(1) as (node,):
        chain = anvil.chain(node.url)
        assert chain.web3.eth.get_transaction_count(owner) > 0
        node.change(garbage=1.0, only=["eth_getTransactionCount", "eth_getTransactionReceipt", "eth_call"])
        for _ in range(3):
            with pytest.raises(ChainUnreachableError):
                chain.ask(lambda: chain.web3.eth.get_transaction_count(owner))
            with pytest.raises(ChainUnreachableError):
                chain.ask(lambda: chain.web3.eth.get_transaction_receipt("0x" + "ab" * 32))
            with pytest.raises(ChainUnreachableError):
                chain.rlc_balance(owner)


def test_one_that_lags_is_not_read_from(anvil: Anvil) -> None:
    wallet = anvil.wallet()
    anvil.mine(3)
    with anvil.flaky(2) as (behind, good):
        behind.faults.lag = 2
        chain = anvil.chain(behind.url, good.url, max_lag_blocks=5)
        sent = {"from": anvil.plain.web3.eth.accounts[0], "to": wallet.address, "value": 1}
        mined = anvil.plain.web3.eth.wait_for_transaction_receipt(anvil.plain.web3.eth.send_transaction(sent))
        assert chain.native_balance(wallet.address) == 10**20, "two blocks behind is near enough"
        chain.endpoints.require(mined["blockNumber"])
        assert chain.native_balance(wallet.address) == 10**20 + 1, "but not for one who knows of a later block"
        behind.faults.lag = 8
        asked = behind.asked["eth_getBalance"]
        time.sleep(2.1)
        assert chain.native_balance(wallet.address) == 10**20 + 1
        assert behind.asked["eth_getBalance"] == asked, "too far behind"
    with anvil.flaky(1) as (only,):
        only.faults.lag = 2
        chain = anvil.chain(only.url)
        chain.endpoints.require(anvil.plain.block_number())
        with pytest.raises(ChainUnreachableError, match="no endpoint has block"):
            chain.native_balance(wallet.address)


def test_another_chain_is_refused_at_first_and_later(anvil: Anvil) -> None:
    with anvil.flaky(2) as (good, other):
        other.faults.chain_id = CHAIN_ID + 1
        with pytest.raises(BadInputError, match=f"it is on chain {CHAIN_ID + 1}, not {CHAIN_ID}"):
            anvil.chain(good.url, other.url).check()
        other.mend()
        chain = anvil.chain(good.url, other.url)
        chain.check()
        good.faults.drop = 1.0
        assert chain.block_number()
        other.change(drop=1.0)
        with pytest.raises(ChainUnreachableError):
            chain.block_number()
        other.mend()
        other.faults.chain_id = 1
        asked = other.asked["eth_getBalance"]
        with pytest.raises((ChainUnreachableError, BadInputError)):
            chain.native_balance(SPENDER)
        assert other.asked["eth_getBalance"] == asked


def test_two_must_agree_on_what_decides_about_money(anvil: Anvil, stack: Stack, tmp_path: Path) -> None:
    liar = start(stack, tmp_path, "anvil-21-liar")
    liar.ask("anvil_setCode", anvil.deployment.rlc, "0x" + "60ff60005260206000f3")
    liar.mine(anvil.plain.block_number() - liar.plain.block_number())
    chain = anvil.chain(anvil.url, liar.url)
    owner = anvil.plain.web3.eth.accounts[0]
    assert chain.rlc_balance(owner) == anvil.plain.rlc_balance(owner)
    with chain.endpoints.agreement(), pytest.raises(ChainUnreachableError, match="disagree"):
        chain.rlc_balance(owner)
    with anvil.flaky(1) as (honest,):
        three = anvil.chain(liar.url, anvil.url, honest.url)
        with three.endpoints.agreement():
            assert three.rlc_balance(owner) == anvil.plain.rlc_balance(owner)
    alone = anvil.chain(anvil.url, liar.url, quorum=False)
    with alone.endpoints.agreement():
        assert alone.rlc_balance(owner) == anvil.plain.rlc_balance(owner)


def test_logs_are_read_in_ranges_that_a_node_puts_up_with(anvil: Anvil) -> None:
    with anvil.flaky(1) as (node,):
        chain = anvil.chain(node.url)
        last = chain.block_number()
        node.change(max_blocks=3)
        reader, ends, first = LogReader(chain, ["TaskInitialize"]), [], 0
        while first <= last:
            found = reader.read(first, last)
            assert found is not None
            ends.append(found[1])
            first = found[1] + 1
        assert ends[-1] == last and all(b - a <= 3 for a, b in pairwise(ends))


def test_a_pool_gives_no_new_work_while_blocks_are_old(hub: Chain, tmp_path: Path) -> None:
    pool = Pool(Market(hub, tmp_path), tmp_path, {"chain": {"max_block_age_seconds": 5}})
    over = threading.Event()

    def mine() -> None:
        while not over.wait(0.5):
            hub.web3.provider.make_request("evm_mine", [])

    miner = threading.Thread(target=mine, daemon=True)
    miner.start()
    pool.start()
    worker = pool.worker("early").join()
    (task,) = pool.deal()
    until(lambda: pool.chain.task(task).status is ChainTaskStatus.ACTIVE, 30)
    over.set()
    miner.join()
    until(lambda: "out of service" in pool.status()["chain"]["trouble"], 30)
    assert worker.poll(wait=1) == []
    hub.web3.provider.make_request("evm_mine", [])
    worker.expect("START", task)
    assert '"trouble": "out of service' in pool.log.read_text()
    assert pool.stop() == 0
