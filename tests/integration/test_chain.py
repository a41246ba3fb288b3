"""Reads and transactions against the real contracts on a real Ganache."""

import time

import pytest

from chain import wallet
from chain.book import MemoryBook
from chain.client import Chain, ChainUnreachableError
from chain.deployment import Deployment
from chain.nonces import Attempt, Lease
from chain.transactions import PendingError, Prepared, RevertedError, Sender
from poco import ids
from poco.errors import BadInputError
from poco.hexes import ZERO_ADDRESS, ZERO_BYTES32, to_bytes
from poco.orders import NO_DATASET, AppOrder, RequestOrder, WorkerpoolOrder
from poco.states import ChainTaskStatus, ContributionStatus

RLC = 10**9


@pytest.fixture(scope="module")
def actors(hub, tmp_path_factory):
    """Funded wallets with 10 RLC in escrow each."""
    folder = tmp_path_factory.mktemp("wallets")
    eth = hub.web3.eth
    deployer = eth.accounts[0]
    senders = {}
    for name in ("requester", "app", "pool", "worker"):
        opened = wallet.create(folder / name, "x", iterations=1024)
        eth.send_transaction({"from": deployer, "to": opened.address, "value": 10**18})
        hub.rlc.functions.transfer(opened.address, 10 * RLC).transact({"from": deployer})
        sender = Sender(hub, opened)
        sender.transact(hub.rlc.functions.approveAndCall(hub.deployment.hub, 10 * RLC, b""))
        assert hub.account(opened.address).stake == 10 * RLC
        senders[name] = sender
    return senders


@pytest.fixture(scope="module")
def deal(hub, actors):
    """A matched deal: trust 1, pool price 1 RLC, app price 0.5."""
    apps = hub.contract("app_registry", hub.deployment.app_registry).functions
    pools = hub.contract("workerpool_registry", hub.deployment.workerpool_registry).functions
    checksum = bytes(range(32))
    make = (actors["app"].wallet.address, "an app", "DOCKER", b"127.0.0.1:5000/a:1", checksum, b"")
    app = apps.predictApp(*make).call()
    actors["app"].transact(apps.createApp(*make))
    described = (actors["pool"].wallet.address, "a pool")
    pool = pools.predictWorkerpool(*described).call()
    actors["pool"].transact(pools.createWorkerpool(*described))
    domain = hub.deployment.domain
    app_order = actors["app"].wallet.sign_order(AppOrder(app=app, appprice=RLC // 2), domain)
    pool_order = actors["pool"].wallet.sign_order(WorkerpoolOrder(workerpool=pool, workerpoolprice=RLC), domain)
    me = actors["requester"].wallet
    request = RequestOrder(
        app=app, requester=me.address, appmaxprice=RLC, workerpoolmaxprice=RLC, params='{"iexec_args":"é"}'
    )
    request = me.sign_order(request, domain)
    orders = [o.as_tuple() for o in (app_order, NO_DATASET, pool_order, request)]
    receipt = actors["requester"].transact(hub.hub.functions.matchOrders(*orders))
    deal_id = receipt.event("SchedulerNotice").args["dealid"]
    assert deal_id == ids.deal_id(request.hash(domain), 0)
    assert hub.consumed(request.hash(domain)) == 1
    return hub.deal(deal_id), orders


def test_views_of_a_deal(hub, actors, deal):
    found, _ = deal
    assert found.app.owner == actors["app"].wallet.address
    assert (found.app.price, found.workerpool.price, found.trust, found.bot_size) == (RLC // 2, RLC, 1, 1)
    assert found.params == '{"iexec_args":"é"}'
    assert not found.has_dataset and not found.has_callback
    assert found.worker_stake == 3 * RLC // 10
    app = hub.app(found.app.pointer)
    assert (app.name, app.kind, app.multiaddr) == ("an app", "DOCKER", "127.0.0.1:5000/a:1")
    assert app.checksum == "0x" + bytes(range(32)).hex()
    pool = hub.workerpool(found.workerpool.pointer)
    assert (pool.owner, pool.worker_stake_ratio, pool.scheduler_reward_ratio) == (
        actors["pool"].wallet.address,
        30,
        1,
    )
    assert hub.category(0).seconds == 300
    assert hub.account(actors["requester"].wallet.address).locked == 3 * RLC // 2


def test_a_task_from_match_to_payment(hub, actors, deal, monkeypatch):
    found, _ = deal
    task_id = ids.task_id(found.id, 0)
    assert hub.task(task_id).status is ChainTaskStatus.UNSET
    actors["pool"].transact(hub.hub.functions.initialize(to_bytes(found.id), 0))
    worker = actors["worker"].wallet
    digest = "0x" + "ab" * 32
    authorization = actors["pool"].wallet.sign_message(ids.authorization_hash(worker.address, task_id))
    kept: list[Prepared] = []
    book = actors["worker"].book
    monkeypatch.setattr(
        book, "keep", lambda step, sent, now: (kept.append(sent), MemoryBook.keep(book, step, sent, now))
    )
    receipt = actors["worker"].transact(
        hub.hub.functions.contribute(
            to_bytes(task_id),
            to_bytes(ids.result_hash(task_id, digest)),
            to_bytes(ids.result_seal(worker.address, task_id, digest)),
            ZERO_ADDRESS,
            b"",
            to_bytes(authorization),
        ),
    )
    assert receipt.cost_wei > 0
    monkeypatch.undo()
    assert receipt.event("TaskConsensus").args["consensus"] == ids.result_hash(task_id, digest)
    assert hub.contribution(task_id, worker.address).status is ContributionStatus.CONTRIBUTED
    (sent,) = kept
    assert sent.tx_hash == receipt.tx_hash
    actors["worker"].broadcast(sent)  # sending again is no error and does nothing twice
    actors["worker"].transact(hub.hub.functions.reveal(to_bytes(task_id), to_bytes(digest)))
    before = hub.account(worker.address).stake
    actors["pool"].transact(hub.hub.functions.finalize(to_bytes(task_id), b"link", b""))
    task = hub.task(task_id)
    assert (task.status, task.digest, task.results) == (ChainTaskStatus.COMPLETED, digest, b"link")
    assert task.contributors == (worker.address,)
    assert hub.account(worker.address).stake == before + 3 * RLC // 10 + 99 * RLC // 100
    names = [e.name for e in hub.logs(hub.deployment.block, hub.block_number(), ["TaskInitialize", "TaskFinalize"])]
    assert names[-2:] == ["TaskInitialize", "TaskFinalize"]
    with pytest.raises(RevertedError) as error:
        actors["pool"].transact(hub.hub.functions.finalize(to_bytes(task_id), b"link", b""))
    with pytest.raises(RevertedError) as mined:
        actors["pool"].transact(hub.hub.functions.finalize(to_bytes(task_id), b"link", b""), preview=False)
    assert mined.value.name == error.value.name and mined.value.tx_hash


def test_a_revert_says_which_error_with_its_arguments(hub, actors, deal):
    _, orders = deal
    with pytest.raises(RevertedError) as error:
        actors["requester"].transact(hub.hub.functions.matchOrders(*orders))
    assert error.value.name and error.value.name in error.value.message
    with pytest.raises(RevertedError) as late:
        actors["requester"].transact(hub.hub.functions.matchOrders(*orders), preview=False)
    assert late.value.name == error.value.name


def test_what_is_not_there_is_said(hub):
    for ask in (hub.app, hub.dataset, hub.workerpool):
        with pytest.raises(BadInputError, match="not a registered"):
            ask("0x" + "12" * 20)
    with pytest.raises(BadInputError, match="no deal"):
        hub.deal("0x" + "12" * 32)
    with pytest.raises(BadInputError, match="no category"):
        hub.category(99)
    assert hub.task(ZERO_BYTES32).status is ChainTaskStatus.UNSET


def test_wrong_chain_no_hub_no_node(hub):
    d = hub.deployment
    fields = {name: getattr(d, name) for name in Deployment.__slots__}
    with pytest.raises(BadInputError, match="is on chain"):
        Chain(hub.rpc_url, Deployment(**{**fields, "chain_id": 5})).check()
    with pytest.raises(BadInputError, match="there is no hub"):
        Chain(hub.rpc_url, Deployment(**{**fields, "hub": "0x" + "12" * 20})).check()
    with pytest.raises(ChainUnreachableError, match="no chain answers"):
        Chain("http://127.0.0.1:9", d).check()


def test_a_transaction_that_is_not_mined_is_pending_not_failed(hub, actors):
    sender = actors["worker"]
    later = hub.web3.eth.get_transaction_count(sender.wallet.address) + 5
    fields = {"to": hub.deployment.rlc, "data": b"", "value": 0, "gas": 50_000, "gasPrice": 10**11}
    tx_hash, raw = sender.wallet.sign_transaction({**fields, "nonce": later, "chainId": hub.deployment.chain_id})
    with pytest.raises(PendingError):
        sender.wait(Lease("a step", later, (Attempt(tx_hash, raw, int(time.time())),)), timeout=0.1)
    assert sender.known(tx_hash)
    assert not sender.known("0x" + "12" * 32)
