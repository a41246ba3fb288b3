"""Differences from the original: what ours does not have, and what its owner cannot do."""

import pytest

from benchmarks.gas_market import built
from ops.real_poco import published_abi
from poco.hexes import ZERO_ADDRESS
from tests.contracts.differential.cast import REGISTRIES
from tests.contracts.differential.contrast import BOTH, NEITHER, ORIGINAL_ONLY, OURS_ONLY, selector_of

DIAMOND_CUT = "0x1f931c1c"  # diamondCut((address,uint8,bytes4[])[],address,bytes)


def functions(name):
    return {each["name"]: selector_of(each) for each in published_abi(name) if each["type"] == "function"}


def test_everything_published_is_there_but_for_the_list(contrast):
    published = functions("IexecInterfaceToken")
    ours, original = (
        {name for name, each in published.items() if not contrast.knows(side, each)} for side in contrast.sides
    )
    legacy = functions("IexecAccessorsABILegacyFacet").keys()
    assert ours == {"configure", "changeRegistries", "updateDomainSeparator", "importScore"} | legacy
    assert original == {"renounceOwnership"}
    for name in ours:
        assert not contrast.answers(contrast.twin.ours.hub.address, published[name])


def test_no_upgrade(contrast):
    """The original is a diamond, whose owner can exchange any part of it; ours has no such door."""
    data = DIAMOND_CUT + f"{96:064x}{0:064x}{128:064x}{0:064x}{0:064x}"
    admin = contrast.cast.admin.address
    replies = [contrast.twin.ask({"to": side.hub.address, "data": data, "from": admin}) for side in contrast.sides]
    assert ["result" in reply for reply in replies] == [False, True]


def test_registries_are_fixed(contrast):
    assert (
        contrast.takes(contrast.at_hubs("changeRegistries", *[ZERO_ADDRESS] * 3), contrast.cast.admin) == ORIGINAL_ONLY
    )


def test_configuration_is_that_of_the_deployment(contrast):
    arguments = (ZERO_ADDRESS, "", "", 0, *[ZERO_ADDRESS] * 4)
    calls = contrast.at_hubs("configure", *arguments)
    assert contrast.takes(calls, contrast.cast.admin) == NEITHER
    assert contrast.refusal(calls[1], contrast.cast.admin) == "already-configured"


def test_scores_of_an_earlier_hub(contrast):
    """The original was configured without one as well: it has the function, which cannot work."""
    assert (
        contrast.takes(contrast.at_hubs("importScore", contrast.cast.workers[0].address), contrast.cast.admin)
        == NEITHER
    )
    assert contrast.knows(contrast.twin.original, functions("IexecInterfaceToken")["importScore"])


def test_separator_follows_the_chain(contrast):
    """After a fork of the chain ours is right at once; the original keeps the old one until somebody updates it."""
    twin = contrast.twin
    before = [contrast.ask(side, "eip712domain_separator")["result"] for side in contrast.sides]
    chain_id = twin.web3.eth.chain_id
    try:
        twin.rpc("anvil_setChainId", chain_id + 1)
        after = [contrast.ask(side, "eip712domain_separator")["result"] for side in contrast.sides]
        assert [old == new for old, new in zip(before, after, strict=True)] == [False, True]
        assert ["result" in contrast.ask(side, "updateDomainSeparator") for side in contrast.sides] == [False, True]
    finally:
        twin.rpc("anvil_setChainId", chain_id)


def test_no_boost(contrast):
    """Neither has PoCo Boost: iExec's own deployment that is compared with is without it, too."""
    boost = functions("IexecPocoBoostFacet").keys() - functions("IexecInterfaceToken").keys()
    assert boost
    table = functions("IexecPocoBoostFacet")
    assert not any(contrast.knows(side, table[each]) for side in contrast.sides for each in boost)


def test_ownership_is_renounced_by_its_name(contrast):
    admin = contrast.cast.admin
    assert contrast.takes(contrast.at_hubs("transferOwnership", ZERO_ADDRESS), admin) == ORIGINAL_ONLY
    assert contrast.takes(contrast.at_hubs("renounceOwnership"), admin) == OURS_ONLY, selector_of
    contrast.twin.same([contrast.twin.query("owner")])
    assert contrast.takes(contrast.at_hubs("setTeeBroker", admin.address), admin) == NEITHER


def test_gas_of_callbacks_has_a_limit(contrast):
    admin = contrast.cast.admin
    assert contrast.takes(contrast.at_hubs("setCallbackGas", 5_000_000), admin) == BOTH
    assert contrast.takes(contrast.at_hubs("setCallbackGas", 5_000_001), admin) == ORIGINAL_ONLY


@pytest.mark.parametrize(("kind", "registry"), [(kind, names[0]) for kind, names in REGISTRIES.items()])
def test_registries_are_nobodys(contrast, kind, registry):
    """The original's have an owner, who sets the tokens' URI, and may go on from an earlier registry."""
    ours, original = (getattr(side.poco, registry) for side in contrast.sides)
    assert original.functions.owner().call() == contrast.cast.admin.address
    names = {"owner", "transferOwnership", "renounceOwnership", "setBaseURI", "baseURI", "setName", "initialize"}
    names |= {"initialized", "previous", "proxyCode", "proxyCodeHash"}
    name = {"app": "AppRegistry", "dataset": "DatasetRegistry", "workerpool": "WorkerpoolRegistry"}[kind]
    theirs, own = functions(name), {each.get("name") for each in built(name)["abi"]}
    assert theirs.keys() - own == names
    for each in names:
        assert not contrast.answers(ours.address, theirs[each])
    calls = [each.functions.setBaseURI("x") for each in (ours, original)]
    assert contrast.takes(calls, contrast.cast.admin) == ORIGINAL_ONLY


def test_entries_begin_as_they_are(contrast):
    """An entry of the original is initialized once and has `setName`; ours is complete with its code."""
    for kind, name in (("app", "App"), ("dataset", "Dataset"), ("workerpool", "Workerpool")):
        theirs, own = functions(name), {each.get("name") for each in built(name)["abi"]}
        assert theirs.keys() - own == {"initialize", "setName"}
        for each in theirs.keys() - own:
            assert not contrast.answers(contrast.cast.entries[kind][0][0], theirs[each])


def test_approval_of_an_entry_to_its_owner(contrast):
    """Of no effect, and accepted as newer ERC-721 tokens do; the original refuses it."""
    owner, ids = contrast.cast.app_owner, contrast.cast.entries["app"][0]
    registries = [side.poco.app_registry for side in contrast.sides]
    calls = [each.functions.approve(owner.address, int(i, 16)) for each, i in zip(registries, ids, strict=True)]
    assert contrast.takes(calls, owner) == OURS_ONLY, selector_of
    calls = [each.functions.setApprovalForAll(owner.address, True) for each in registries]
    assert contrast.takes(calls, owner) == OURS_ONLY, selector_of


def test_constants_are_the_same(contrast):
    """Views without arguments, and those of what does not exist."""
    twin = contrast.twin
    for side in contrast.sides:
        side.name(side.domain.separator().hex(), "separator")
    views = [
        each["name"]
        for each in published_abi("IexecInterfaceToken")
        if each["type"] == "function" and each["stateMutability"] == "view" and not each["inputs"]
    ]
    assert len(views) > 15
    twin.same([twin.query(name) for name in views])
    nothing = 0x99
    names = ("viewDeal", "viewTask", "viewConsumed", "viewPresigned", "viewAccount", "viewScore", "resultFor")
    twin.same([twin.query(name, nothing) for name in (*names, "viewCategory", "viewApp", "viewWorkerpool")])
    twin.same([twin.query("viewContribution", nothing, contrast.cast.workers[0].address)])
