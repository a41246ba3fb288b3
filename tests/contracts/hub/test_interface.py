"""The published surface: signatures, selectors, topics, committed ABIs, code size."""

import json
from pathlib import Path

import pytest
from brownie import HookedToken, Hub, HubExtension, chain, web3

from scripts import export_abi
from tests.contracts.market import KITTY, refused

HERE = Path(__file__).resolve().parent

# what is left out on purpose, see SPECIFICATION.md
LEFT_OUT = {
    "function changeRegistries(address,address,address)",
    "function configure(address,string,string,uint8,address,address,address,address)",
    "function importScore(address)",
    "function updateDomainSeparator()",
}

SELECTORS = {
    "initialize": "5b36c66b",
    "contribute": "34623484",
    "reveal": "fc334e8c",
    "finalize": "8fc375e5",
    "contributeAndFinalize": "5facd761",
    "reopen": "f6c68e10",
    "claim": "bd66528a",
}

TOPICS = {
    "SchedulerNotice": "692ad61076dceddd0f1a861f737553dd61fc8501cf4190d29c4e90af6607f765",
    "TaskInitialize": "252992fb0468d68d6a5784ec03214f0d0a362083f2d7ebd157af43b017a22e06",
    "TaskContribute": "3fdb8d7797562d49a81078dbf7fa1771958ea452f8b13d1148383bd9506aecfb",
    "TaskConsensus": "f6d49bf3e05d33a4bc497d3c793fb5756388bb96b947cf51bb60aaecb0e022e3",
    "TaskReveal": "4b1763d473ac8fa80b4432ba90047e1b92444d8fabc55e6a002d9b1a316d7959",
    "TaskReopen": "3afe0f24796ce653c6ab1f3e7aba5ce564eece5e82aee724aff28253e829f07b",
    "TaskFinalize": "78ce8a8bc0fcb704e8ba3b3dbb36aa88002df8038128b4af2f27ef65db665044",
    "TaskClaimed": "cbc308b5f91040d2659a5201858344b0b583cd2f9e18e8470c2fa052c5b21ff8",
}


def published():
    """Signatures of the published contracts by ABI file."""
    files, current = {}, None
    for line in (HERE / "published.txt").read_text().splitlines():
        if line.startswith("["):
            current = files.setdefault(line.strip("[]"), set())
        elif not line.startswith("#"):
            current.add(line)
    return files


def kind_of(part):
    if part["type"].startswith("tuple"):
        return f"({','.join(map(kind_of, part['components']))}){part['type'][5:]}"
    return part["type"]


def signature(entry):
    return f"{entry['name']}({','.join(map(kind_of, entry['inputs']))})"


def line_of(entry):
    inputs = ",".join(kind_of(part) + (" indexed" if part.get("indexed") else "") for part in entry["inputs"])
    text = f"{entry['type']} {entry['name']}({inputs})"
    if entry["type"] == "function":
        text += " view" if entry["stateMutability"] in ("view", "pure") else ""
        text += f" returns ({','.join(map(kind_of, entry['outputs']))})" if entry["outputs"] else ""
    return text


def committed(name):
    return json.loads((export_abi.FOLDER / f"{name}.json").read_text())


def test_committed_abis_are_current():
    assert {path.name: path.read_text() for path in export_abi.FOLDER.glob("*.json")} == export_abi.exports()


@pytest.mark.parametrize("name", sorted(published()))
def test_holds_what_is_published(name):
    ours = {line_of(entry) for entry in committed(name) if entry["type"] in ("function", "event")}
    missing = {line for line in published()[name] - ours if "ABILegacy" not in line}
    assert missing == (LEFT_OUT if name == "hub" else set())


def test_hub_invents_nothing():
    ours = {line_of(entry) for entry in committed("hub") if entry["type"] in ("function", "event")}
    assert ours <= published()["hub"]


def test_selectors_and_topics():
    entries = {entry["name"]: signature(entry) for entry in committed("hub") if entry["type"] != "error"}
    assert {name: web3.keccak(text=entries[name])[:4].hex() for name in SELECTORS} == SELECTORS
    assert {name: web3.keccak(text=entries[name]).hex() for name in TOPICS} == TOPICS


def test_every_function_is_answered(market):
    """Each selector of the interface is dispatched by one of the two contracts, and by one only."""
    selectors = {
        web3.keccak(text=signature(entry))[:4].hex() for entry in committed("hub") if entry["type"] == "function"
    }
    core, extension = ({s.removeprefix("0x") for s in c.signatures.values()} for c in (Hub, HubExtension))
    assert core | extension == selectors
    assert not core & extension


def test_unknown_function_is_refused(market):
    call = {"to": market.hub.address, "data": "0xdeadbeef"}
    assert "error" in web3.provider.make_request("eth_call", [call, "latest"])


def test_ether_is_refused(market):
    call = {"to": market.hub.address, "value": "0x1", "from": market.admin.address}
    assert "error" in web3.provider.make_request("eth_call", [call, "latest"])


def test_fits_a_public_chain(market):
    for container in (Hub, HubExtension):
        assert len(container.bytecode) // 2 < 24_576 + 3_000
    for contract in (market.hub, market.rlc, market.app_registry, market.dataset_registry, market.workerpool_registry):
        assert 0 < len(web3.eth.get_code(contract.address)) <= 24_576


def test_supply_of_the_token(market):
    """An account has 64 bits and more for all RLC there is; a token of which there is more is refused."""
    registries = (market.app_registry, market.dataset_registry, market.workerpool_registry)
    options = {"from": market.admin}
    HubExtension.deploy(HookedToken.deploy(2**64 - 1, options), *registries, options)
    with refused():
        HubExtension.deploy(HookedToken.deploy(2**64, options), *registries, options)


def test_constants(market):
    hub = market.hub
    ratios = (hub.contribution_deadline_ratio(), hub.reveal_deadline_ratio(), hub.final_deadline_ratio())
    assert ratios == (7, 2, 10)
    assert hub.workerpool_stake_ratio() == 30
    assert (hub.kitty_ratio(), hub.kitty_min()) == (10, 10**9)
    assert hub.kitty_address() == KITTY
    assert hub.groupmember_purpose() == 4
    assert hub.callbackgas() == 100_000
    assert hub.teebroker() == "0x" + "00" * 20


def test_domain(market):
    assert tuple(market.hub.domain()) == ("iExecODB", "5.0.0", chain.id, market.hub.address)
    assert bytes(market.hub.eip712domain_separator()) == market.domain.separator()


def test_parties(market):
    hub = market.hub
    assert hub.token() == market.rlc
    assert hub.appregistry() == market.app_registry
    assert hub.datasetregistry() == market.dataset_registry
    assert hub.workerpoolregistry() == market.workerpool_registry


def test_categories_of_the_deployment(market):
    names = [market.hub.viewCategory(i)["name"] for i in range(market.hub.countCategory())]
    seconds = [market.hub.viewCategory(i)["workClockTimeRef"] for i in range(5)]
    assert names == ["XS", "S", "M", "L", "XL"]
    assert seconds == [300, 1200, 3600, 10800, 36000]
