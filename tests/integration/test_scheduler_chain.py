"""A chain that goes away, that takes blocks back, and that calls the requester's contract."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from chain.client import Chain
from chain.transactions import Sender
from poco.hexes import keccak, to_bytes, to_hex
from poco.states import ChainTaskStatus
from tests.integration.scheduler_pool import Market, Pool, digest_of, result_zip, until, zip_of


class Wire:
    """A TCP relay to the node that can be cut and mended."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.target = (parts.hostname, parts.port)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.open: list[socket.socket] = []
        self.whole = True
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self.whole = False
        for one in self.open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self.open.clear()

    def mend(self) -> None:
        self.whole = True

    def _accept(self) -> None:
        while True:
            try:
                here, _ = self.listener.accept()
            except OSError:
                return
            if not self.whole:
                here.close()
                continue
            there = socket.create_connection(self.target)
            self.open += [here, there]
            for source, sink in ((here, there), (there, here)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


@pytest.fixture(scope="module")
def market(hub: Chain, tmp_path_factory: pytest.TempPathFactory) -> Market:
    return Market(hub, tmp_path_factory.mktemp("market"))


@pytest.fixture
def wire(hub: Chain) -> Iterator[Wire]:
    made = Wire(hub.rpc_url)
    yield made
    made.listener.close()
    made.cut()


def test_the_chain_goes_away_and_comes_back(market: Market, wire: Wire, tmp_path: Path) -> None:
    pool = Pool(market, tmp_path, {"rpc_url": wire.url})
    pool.start()
    worker = pool.worker("patient").join()
    (first,) = pool.deal()
    worker.expect("START", first)
    wire.cut()
    until(lambda: pool.status()["chain"]["trouble"])
    assert worker.verdict(first, "STARTED") == "OK"
    (second,) = pool.deal()
    worker.contribute(first, digest_of())
    assert worker.poll(wait=1, slots=0) == []
    assert pool.chain.task(second).status is ChainTaskStatus.UNSET
    wire.mend()
    worker.finish(first)
    worker.do(second)
    assert pool.status()["chain"]["trouble"] == ""
    assert pool.stop() == 0


def test_blocks_that_are_taken_back_are_forgotten(market: Market, tmp_path: Path) -> None:
    pool = Pool(market, tmp_path)
    pool.start()
    worker = pool.worker("reorganised").join()
    (task,) = pool.deal()
    worker.expect("START", task)
    worker.run(task)
    request = pool.chain.web3.provider.make_request
    snapshot = request("evm_snapshot", [])["result"]
    worker.contribute(task, digest_of(b"another answer"))
    until(lambda: pool.task(task)["currentStatus"] == "CONSENSUS_REACHED")
    assert request("evm_revert", [snapshot])["result"]
    request("evm_mine", [])
    request("evm_mine", [])
    until(lambda: pool.task(task)["currentStatus"] != "CONSENSUS_REACHED")
    assert pool.task(task)["consensus"] is None
    worker.contribute(task, digest_of())
    worker.finish(task)
    assert pool.chain.task(task).status is ChainTaskStatus.COMPLETED
    until(lambda: pool.task(task)["currentStatus"] == "COMPLETED")
    assert '"reorganisation"' in pool.log.read_text()
    assert pool.stop() == 0


def test_a_payment_that_was_taken_back_is_made_again(market: Market, tmp_path: Path) -> None:
    pool = Pool(market, tmp_path)
    pool.start()
    worker = pool.worker("paid").join()
    (task,) = pool.deal()
    worker.expect("START", task)
    worker.run(task)
    worker.contribute(task, digest_of())
    worker.expect("REVEAL", task, slots=0)
    worker.reveal(task, digest_of())
    worker.expect("UPLOAD", task, slots=0)
    request = pool.chain.web3.provider.make_request
    snapshot = request("evm_snapshot", [])["result"]
    assert worker.upload(task, result_zip()).status_code == 200
    until(lambda: pool.task(task)["currentStatus"] == "COMPLETED")
    request("evm_revert", [snapshot])
    request("evm_mine", [])
    assert pool.chain.task(task).status is ChainTaskStatus.REVEALING
    until(lambda: pool.chain.task(task).status is ChainTaskStatus.COMPLETED)
    until(lambda: pool.task(task)["currentStatus"] == "COMPLETED")
    assert pool.stop() == 0


def test_a_deal_with_a_callback(market: Market, tmp_path: Path) -> None:
    pool = Pool(market, tmp_path)
    pool.start()
    worker = pool.worker("caller").join()
    (task,) = pool.deal(callback=pool.market.wallet("called", ether=0).address)
    data = b"\x00\x2a"
    digest = to_hex(keccak(data))
    worker.expect("START", task)
    worker.run(task)
    worker.contribute(task, digest)
    worker.expect("REVEAL", task, slots=0)
    worker.reveal(task, digest)
    worker.expect("UPLOAD", task, slots=0)
    content = zip_of({"computed.json": b'{"callback-data": "%s"}' % to_hex(data).encode()})
    assert worker.upload(task, content).status_code == 200
    worker.expect("COMPLETE", task, slots=0)
    done = pool.chain.task(task)
    assert done.status is ChainTaskStatus.COMPLETED
    assert pool.stop() == 0


def test_what_others_send_for_the_scheduler_is_no_error(market: Market, tmp_path: Path) -> None:
    """Anyone may initialize and claim: the scheduler finds it done and goes on."""
    pool = Pool(market, tmp_path)
    pool.start()
    pool.stop()
    (task,) = pool.deal()
    sender = Sender(pool.chain, pool.requester)
    deal_id = to_bytes(pool.deals[task])
    sender.transact(pool.chain.hub.functions.initialize(deal_id, 0))
    pool.start()
    worker = pool.worker("late").join()
    worker.do(task)
    assert pool.status()["outbox"]["errors"] == []
    assert pool.stop() == 0
