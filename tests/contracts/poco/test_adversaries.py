"""Contracts that call the hub again while it calls them, and inputs that are to cost others gas."""

import pytest
from brownie import (
    EnergyLedger,
    GreedyHolder,
    HookedToken,
    Hub,
    HubExtension,
    Receiver,
    ReentrantSigner,
    ReentrantWallet,
    Workerpool,
)

from poco.hexes import keccak, to_bytes, to_hex
from poco.ids import authorization_hash
from tests.contracts.market import RLC, ZERO, revert_of

DATA = b"\x01\x02\x03" * 11
DIGEST = to_hex(keccak(DATA))
BURN_GAS, LONG_ANSWER = 2, 4
#: more than any step within a callback takes
PLENTY = 3_000_000


@pytest.fixture
def wallet(market):
    """A contract with money at the hub and time enough to use it."""
    contract = ReentrantWallet.deploy({"from": market.admin})
    market.fund(contract, 100 * RLC)
    market.hub.setCallbackGas(PLENTY, {"from": market.admin})
    return contract


def personal(digest):
    return keccak(b"\x19Ethereum Signed Message:\n32", to_bytes(digest))


def bag_of(market, wallet, **request):
    """A task of a pool that the contract owns and is called back for.

    What is locked for the deal's second task would pay the first one twice: no worker's stake would run short.
    """
    Workerpool.at(market.pool).changePolicy(0, 1, {"from": market.scheduler})
    token = int(market.pool, 16)
    market.workerpool_registry.transferFrom(market.scheduler, wallet, token, {"from": market.scheduler})
    orders = market.orders(volume=2, callback=wallet.address, **request)
    wallet.approveHash(orders[2].hash(market.domain), {"from": market.admin})
    deal = market.match([*orders[:2], orders[2].signed("0x"), orders[3]])
    market.hub.initialize(deal.id, 0, {"from": market.admin})
    return deal.tasks[0]


def authorize(market, wallet, worker, task):
    wallet.approveHash(personal(authorization_hash(str(worker), task)), {"from": market.admin})


def test_scheduler_cannot_finalize_within_its_callback(market, wallet):
    task, worker = bag_of(market, wallet), market.workers[0]
    authorize(market, wallet, worker, task)
    market.hub.contribute(*market.contribution(worker, task, DIGEST)[:5], "0x", {"from": worker})
    market.reveal(worker, task, DIGEST)
    again = market.hub.finalize.encode_input(task, b"", DATA)
    wallet.set(market.hub, again, {"from": market.admin})
    before = market.locked(market.requester)
    wallet.execute(market.hub, again, {"from": market.admin, "gas_limit": 15_000_000})
    assert wallet.called()
    assert not wallet.reentered()
    assert before - market.locked(market.requester) == 11 * RLC
    assert market.stake(worker) == 1_000 * RLC + 10 * RLC * 99 // 100


def test_worker_cannot_be_paid_twice_within_its_callback(market, wallet):
    task = bag_of(market, wallet)
    authorize(market, wallet, wallet, task)
    again = market.hub.contributeAndFinalize.encode_input(task, DIGEST, b"", DATA, ZERO, b"", b"")
    wallet.set(market.hub, again, {"from": market.admin})
    before = market.stake(wallet)
    wallet.execute(market.hub, again, {"from": market.admin, "gas_limit": 15_000_000})
    assert wallet.called()
    assert not wallet.reentered()
    # it is worker and scheduler: the price, and the stake that it had put on the task
    assert market.stake(wallet) - before == (10 + 3) * RLC
    assert market.locked(market.requester) == 11 * RLC


def test_signer_cannot_act_while_it_is_asked(market):
    """ERC-1271 is asked by a static call: money that the signer moves meanwhile does not move."""
    signer = ReentrantSigner.deploy({"from": market.admin})
    market.fund(signer, 100 * RLC)
    thief = market.workers[0]
    signer.set(market.hub, market.hub.transfer.encode_input(thief, 50 * RLC), {"from": market.admin})
    orders = market.orders()
    orders[3] = market.request_order(requester=signer.address, signer=market.requester).signed("0x")
    market.match(orders)
    assert market.stake(thief) == 1_000 * RLC
    assert (market.stake(signer), market.locked(signer)) == (89 * RLC, 11 * RLC)


def test_token_that_calls_its_receiver(market):
    """A withdrawal is booked before the token moves: who withdraws again meanwhile finds nothing left."""
    admin = market.admin
    token = HookedToken.deploy(1_000 * RLC, {"from": admin})
    registries = (market.app_registry, market.dataset_registry, market.workerpool_registry)
    extension = HubExtension.deploy(token, *registries, {"from": admin})
    hub = Hub.deploy(extension, EnergyLedger.deploy({"from": admin}), {"from": admin})
    bank = type(market.hub).from_abi("bank", hub.address, market.hub.abi)
    greedy = GreedyHolder.deploy({"from": admin})
    for holder in (greedy, market.workers[0]):
        bank.depositFor(10 * RLC, holder, {"from": admin})
    greedy.withdraw(bank, 10 * RLC, {"from": admin})
    assert not greedy.gotMore()
    assert token.balanceOf(greedy) == 10 * RLC
    assert bank.totalSupply() == token.balanceOf(bank) == 10 * RLC


def test_long_params_cost_only_the_match(market):
    """A deal's params are not read by the steps of its tasks."""
    gas = []
    for params in ("", "", "x" * 20_000):  # the first one also pays for accounts that have had nothing
        task, worker = market.task(params=params), market.workers[0]
        steps = [market.contribute(worker, task), market.reveal(worker, task), market.finalize(task)]
        gas.append([step.gas_used for step in steps])
    assert all(abs(long - short) < 500 for short, long in zip(*gas[1:], strict=True))
    orders = market.orders(params="x" * 24_576)
    assert revert_of(market.hub.matchOrders, *(order.as_tuple() for order in orders))[0] == "DataTooLong"


def test_long_results_are_the_schedulers_to_pay(market):
    """The longest result is taken; a longer one is refused, and the task can still be finalized."""
    task, worker = market.task(), market.workers[0]
    market.contribute(worker, task)
    market.reveal(worker, task)
    options = {"from": market.scheduler}
    assert revert_of(market.hub.finalize, task, b"x" * 24_576, b"", options=options) == ("DataTooLong", 24_576)
    market.finalize(task, b"x" * 24_575)
    assert len(market.hub.viewTask(task)["results"]) == 24_575


def test_long_answer_of_a_callback_is_not_copied(market):
    """A receiver that reverts with 180,000 bytes costs the scheduler no more than one that burns all its gas."""
    used = {}
    for mode in (BURN_GAS, LONG_ANSWER):
        receiver = Receiver.deploy({"from": market.admin})
        receiver.set(mode, receiver, b"", {"from": market.admin})
        task, worker = market.task(callback=receiver.address), market.workers[0]
        market.contribute(worker, task, DIGEST)
        market.reveal(worker, task, DIGEST)
        used[mode] = market.finalize(task, b"", DATA).gas_used
    assert used[LONG_ANSWER] < used[BURN_GAS]
