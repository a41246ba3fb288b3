"""The requester's contract gets the result; whatever it does, everybody is paid."""

import pytest
from brownie import Receiver

from poco.hexes import keccak, to_hex
from tests.contracts.market import RLC, refused, revert_of, same

DATA = b"\x01\x02\x03" * 11
KEEP, REVERT, BURN_GAS, REENTER, LONG_ANSWER = range(5)


@pytest.fixture
def receiver(market):
    return Receiver.deploy({"from": market.admin})


def ready(market, receiver):
    """A task of which the result is revealed."""
    digest = to_hex(keccak(DATA))
    task, worker = market.task(callback=str(receiver)), market.workers[0]
    market.contribute(worker, task, digest)
    market.reveal(worker, task, digest)
    return task


def test_delivers(market, receiver):
    task = ready(market, receiver)
    market.finalize(task, b"link", DATA)
    assert same(receiver.received(task)) == "0x" + DATA.hex()
    view = market.hub.viewTask(task)
    assert (same(view["results"]), same(view["resultsCallback"])) == ("0x" + b"link".hex(), "0x" + DATA.hex())
    assert same(market.hub.resultFor(task)) == "0x" + DATA.hex()


@pytest.mark.parametrize("data", [b"", DATA[:-1], DATA + b"\x00"])
def test_data_must_be_the_digests(market, receiver, data):
    task = ready(market, receiver)
    error = revert_of(market.hub.finalize, task, b"", data, options={"from": market.scheduler})
    assert error[0] == "WrongCallbackData"


@pytest.mark.parametrize("mode", [REVERT, BURN_GAS, LONG_ANSWER])
def test_failure_is_ignored(market, receiver, mode):
    receiver.set(mode, receiver, b"", {"from": market.admin})
    task = ready(market, receiver)
    market.finalize(task, b"", DATA)
    assert market.hub.viewTask(task)["status"] == 3
    assert market.stake(market.workers[0]) - 1_000 * RLC == 10 * RLC * 99 // 100
    assert same(receiver.received(task)) == "0x"


def test_account_without_code(market):
    task = ready(market, market.workers[4])
    market.finalize(task, b"", DATA)
    assert market.hub.viewTask(task)["status"] == 3


@pytest.mark.parametrize("again", ["finalize", "claim", "reopen"])
def test_re_entrance_finds_a_finished_task(market, receiver, again):
    task = ready(market, receiver)
    arguments = (task, b"", DATA) if again == "finalize" else (task,)
    call = getattr(market.hub, again).encode_input(*arguments)
    receiver.set(REENTER, market.hub, call, {"from": market.admin})
    market.finalize(task, b"", DATA)
    assert same(receiver.received(task)) == "0x" + DATA.hex()
    assert not receiver.reentered()
    assert market.hub.totalSupply() == market.rlc.balanceOf(market.hub)


def test_gas_is_reserved(market, receiver):
    """A scheduler cannot starve the callback: with too little gas the whole finalization fails."""
    receiver.set(KEEP, receiver, b"", {"from": market.admin})
    task = ready(market, receiver)
    call = market.hub.finalize
    needed = call.estimate_gas(task, b"", DATA, {"from": market.scheduler})
    with refused():
        call(task, b"", DATA, {"from": market.scheduler, "gas_limit": needed - 60_000})
    call(task, b"", DATA, {"from": market.scheduler, "gas_limit": needed + 200_000})
    assert same(receiver.received(task)) == "0x" + DATA.hex()
