"""Entries are created once, where they were predicted, and hold what they were given."""

import pytest
from brownie import App, Dataset, Workerpool

from tests.contracts.market import ZERO, revert_of, same

APP = ("motion", "DOCKER", b"registry.example/motion:1", b"\x07" * 32, b"\x01\x02")
DATASET = ("footage", b"/ipfs/QmData", b"\x08" * 32)


@pytest.fixture
def owner(market):
    return market.workers[0]


def test_app(market, owner):
    predicted = market.app_registry.predictApp(owner, *APP)
    assert not market.app_registry.isRegistered(predicted)
    tx = market.app_registry.createApp(owner, *APP, {"from": market.admin})
    assert tx.return_value == predicted
    assert tx.events["Transfer"] == {"from": ZERO, "to": owner, "tokenId": int(predicted, 16)}
    app = App.at(predicted)
    assert (app.m_appName(), app.m_appType()) == APP[:2]
    assert [same(app.m_appMultiaddr()), same(app.m_appChecksum()), same(app.m_appMREnclave())] == [
        "0x" + value.hex() for value in APP[2:]
    ]
    assert (app.owner(), app.registry()) == (owner, market.app_registry)
    assert market.app_registry.isRegistered(predicted)
    assert tuple(market.hub.viewApp(predicted))[:3] == (owner, *APP[:2])


def test_dataset(market, owner):
    predicted = market.dataset_registry.predictDataset(owner, *DATASET)
    assert market.dataset_registry.createDataset(owner, *DATASET, {"from": owner}).return_value == predicted
    dataset = Dataset.at(predicted)
    assert dataset.m_datasetName() == "footage"
    assert same(dataset.m_datasetMultiaddr()) == "0x" + DATASET[1].hex()
    assert same(dataset.m_datasetChecksum()) == "0x" + DATASET[2].hex()
    assert (dataset.owner(), dataset.registry()) == (owner, market.dataset_registry)
    assert tuple(market.hub.viewDataset(predicted))[:2] == (owner, "footage")


def test_workerpool(market, owner):
    predicted = market.workerpool_registry.predictWorkerpool(owner, "roof")
    assert market.workerpool_registry.createWorkerpool(owner, "roof", {"from": owner}).return_value == predicted
    pool = Workerpool.at(predicted)
    assert pool.m_workerpoolDescription() == "roof"
    assert (pool.m_workerStakeRatioPolicy(), pool.m_schedulerRewardRatioPolicy()) == (30, 1)
    assert (pool.owner(), pool.registry()) == (owner, market.workerpool_registry)
    assert tuple(market.hub.viewWorkerpool(predicted)) == (owner, "roof", 30, 1)


@pytest.fixture(params=["app", "dataset", "workerpool"])
def create(market, request):
    """The method that creates an entry, its arguments but for the owner, and the same with data beyond the limit."""
    long = b"\x01" * 24_600
    return {
        "app": (market.app_registry.createApp, APP, (*APP[:2], long, *APP[3:])),
        "dataset": (market.dataset_registry.createDataset, DATASET, (DATASET[0], long, DATASET[2])),
        "workerpool": (market.workerpool_registry.createWorkerpool, ("roof",), (long.decode(),)),
    }[request.param]


def test_same_entry_only_once(create, owner):
    method, data, _ = create
    entry = method(owner, *data, {"from": owner}).return_value
    assert revert_of(method, owner, *data) == ("AlreadyRegistered", entry.lower())


def test_other_owner_other_address(market, owner):
    predict = market.app_registry.predictApp
    assert len({predict(account, *APP) for account in market.workers}) == len(market.workers)


def test_no_entry_for_nobody(create):
    method, data, _ = create
    assert revert_of(method, ZERO, *data) == ("InvalidOwner", ZERO)


def test_entry_has_a_limit(create, owner):
    method, _, long = create
    assert revert_of(method, owner, *long)[0] == "EntryDataTooLong"


def test_what_was_not_created_is_not_registered(market):
    assert not market.app_registry.isRegistered(market.pool)
    assert market.app_registry.ownerOfEntry(market.pool) == ZERO
    assert revert_of(market.app_registry.ownerOf, 1) == ("NonexistentToken", 1)


def test_master_is_nobodys(market):
    assert not market.app_registry.isRegistered(market.app_registry.master())
