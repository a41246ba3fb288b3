"""The powers of the owner are those of docs/reference/owner.md, and no others."""

import json
import re
from pathlib import Path

from brownie import App, Dataset, Receiver, Workerpool, web3
from eth_abi.abi import encode

from poco.hexes import keccak, to_hex
from tests.contracts.hub.test_interface import kind_of, signature
from tests.contracts.market import RLC, refused, same

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "reference" / "owner.md").read_text()
DOCUMENTED = set(re.findall(r"^\| `(\w+)` \|", PAGE.partition("## The worst")[0], re.MULTILINE))
REFUSED = to_hex(keccak(b"NotTheOwner(address)"))[:10]
TEE = "0x" + "00" * 31 + "01"
DATA = b"\x01\x02\x03" * 11


def contracts(market):
    names = ("hub", "rlc", "app_registry", "dataset_registry", "workerpool_registry", "energy_ledger")
    entries = {"app": App.at(market.app), "dataset": Dataset.at(market.dataset), "pool": Workerpool.at(market.pool)}
    return {name: getattr(market, name) for name in names} | entries


def something(part, account):
    """A value that the ABI decoder takes for a parameter."""
    kind = part["type"]
    if kind.endswith("]"):
        return []
    if kind.startswith("tuple"):
        return tuple(something(each, account) for each in part["components"])
    zeros = {"address": account, "string": "", "bytes": b"", "bool": False}
    return zeros.get(kind, bytes(32) if kind.startswith("bytes") else 1)


def outcome(contract, entry, caller):
    """What an eth_call of a function ends with: nothing for success, else its revert data."""
    values = [something(part, str(caller)) for part in entry["inputs"]]
    selector = web3.keccak(text=signature(entry))[:4]
    data = to_hex(bytes(selector) + encode([kind_of(part) for part in entry["inputs"]], values))
    request = {"to": contract.address, "from": str(caller), "data": data}
    answer = web3.provider.make_request("eth_call", [request, "latest"])
    if "error" not in answer:
        return ""
    data = answer["error"].get("data")
    return data if isinstance(data, str) else data["result"]


def owners_functions(market, caller):
    """(contract, function) of all that is refused to the caller because it is not the hub's owner."""
    return {
        (name, entry["name"])
        for name, contract in contracts(market).items()
        for entry in contract.abi
        if entry["type"] == "function" and entry["stateMutability"] not in ("view", "pure")
        if outcome(contract, entry, caller)[:10] == REFUSED
    }


def test_every_function_of_every_contract(market):
    """What a stranger is refused for not being the owner is what is documented, and is the hub's."""
    assert owners_functions(market, market.workers[3]) == {("hub", name) for name in DOCUMENTED}
    assert owners_functions(market, market.admin) == set()


def test_nobody_is_left_after_renouncing(market):
    market.hub.renounceOwnership({"from": market.admin})
    for caller in (market.admin, market.workers[3]):
        assert owners_functions(market, caller) == {("hub", name) for name in DOCUMENTED}


def nodes(tree):
    if isinstance(tree, dict):
        yield tree
        tree = list(tree.values())
    if isinstance(tree, list):
        for each in tree:
            yield from nodes(each)


def test_every_place_that_looks_at_the_owner():
    """No function asks for the owner in another way than by its modifier."""
    guarded, looking = set(), set()
    for path in (ROOT / "build" / "contracts").glob("*.json"):
        built = json.loads(path.read_text())
        if not built["sourcePath"].startswith("contracts/") or "mocks" in built["sourcePath"]:
            continue
        for function in nodes(built["ast"]):
            if function.get("nodeType") not in ("FunctionDefinition", "ModifierDefinition"):
                continue
            name = function["name"] or function["kind"]
            if any(each["modifierName"]["name"] == "onlyOwner" for each in function.get("modifiers", ())):
                guarded.add(name)
            if any(each.get("name") == "_owner" and each["nodeType"] == "Identifier" for each in nodes(function)):
                looking.add((built["contractName"], name))
    assert guarded == DOCUMENTED
    assert looking == {
        ("Administration", "onlyOwner"),
        ("Administration", "owner"),
        ("Administration", "_setOwner"),
        ("Hub", "constructor"),
    }


def test_hostile_broker(market):
    """An enclave task that nobody may contribute to any more costs nobody anything but the scheduler its stake."""
    orders = market.orders(tag=TEE)
    orders[0], orders[2] = market.app_order(tag=TEE), market.pool_order(tag=TEE)
    before = market.money()
    deal = market.match(orders)
    task, (worker, enclave) = deal.tasks[0], market.workers[:2]
    market.hub.initialize(deal.id, 0, {"from": market.admin})
    market.hub.setTeeBroker(market.admin, {"from": market.admin})
    args = (
        *market.contribution(worker, task)[:3],
        str(enclave),
        "0x",
        market.authorization(worker, task, str(enclave)),
    )
    with refused():
        market.hub.contribute(*args, {"from": worker})
    market.after_final_deadline(task)
    market.hub.claim(task, {"from": worker})
    after = market.money()
    kitty, scheduler = market.hub.kitty_address(), str(market.scheduler)
    assert after.pop(kitty)[1] - before.pop(kitty)[1] == 3 * RLC
    assert before.pop(scheduler)[0] - after.pop(scheduler)[0] == 3 * RLC
    assert after == before


def test_no_gas_for_callbacks(market):
    receiver = Receiver.deploy({"from": market.admin})
    digest = to_hex(keccak(DATA))
    task, worker = market.task(callback=receiver.address), market.workers[0]
    market.hub.setCallbackGas(0, {"from": market.admin})
    market.contribute(worker, task, digest)
    market.reveal(worker, task, digest)
    market.finalize(task, b"", DATA)
    assert same(receiver.received(task)) == "0x"
    assert same(market.hub.resultFor(task)) == to_hex(DATA)
    assert market.stake(worker) == 1_000 * RLC + 10 * RLC * 99 // 100
