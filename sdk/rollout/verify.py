"""Whether the contracts on a chain are those of this build, hang together, and belong to whom they should."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from web3.exceptions import ContractLogicError, Web3Exception

from chain.client import Chain
from poco.hexes import address
from poco.original import DIAMOND_FACETS, FACETS, LIBRARY
from sdk.rollout import build
from sdk.rollout.build import Match
from sdk.rollout.explorer import Submission, submit
from sdk.rollout.network import CONTRACTS, Network
from sdk.rollout.steps import ARGUMENTS, Addresses, record

#: What a registry's entries are copies of.
_MASTERS = {"AppRegistry": "App", "DatasetRegistry": "Dataset", "WorkerpoolRegistry": "Workerpool"}
_MASTER_ABI = [{"type": "function", "name": "master", "inputs": [], "outputs": [{"type": "address"}]}]
_VIEWS = {
    "token": "Rlc",
    "appregistry": "AppRegistry",
    "datasetregistry": "DatasetRegistry",
    "workerpoolregistry": "WorkerpoolRegistry",
}
_FACETS = (*DIAMOND_FACETS, *FACETS)
#: iExec's contracts behind the hub and beside it.
ORIGINAL = ("Diamond", LIBRARY, "AppRegistry", "DatasetRegistry", "WorkerpoolRegistry", *_FACETS)
_LOUPE_ABI = [
    {"type": "function", "name": "facetAddresses", "inputs": [], "outputs": [{"type": "address[]"}]},
]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    what: str
    good: bool
    found: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def verify(network: Network, chain: Chain, addresses: Addresses, deployer: str, folder: Any) -> list[Check]:
    """Byte code, wiring, categories and owner of a deployment.

    Args:
        addresses: all contracts of the network.
        deployer: owns the hub where the network names no owner.
        folder: of the compiled contracts.
    """
    if network.attach is not None:
        return [*_original(network, chain), *_wiring(chain, addresses)]
    checks = []
    for name in CONTRACTS:
        artifact = build.read(folder, name)
        where = addresses[name]
        match = build.compare(_code(chain, where), artifact.runtime)
        # a token that was there before is not ours
        good = match.good or (name == "Rlc" and network.contracts[name] != "deploy" and match is Match.DIFFERENT)
        checks.append(Check(f"byte code of {name}", good, f"{match.value}, {where}"))
        if name in _MASTERS and match.good:
            master = chain.web3.eth.contract(address=where, abi=_MASTER_ABI)  # type: ignore[call-overload]
            there = chain.ask(master.functions.master().call)
            inner = build.compare(_code(chain, there), build.read(folder, _MASTERS[name]).runtime)
            checks.append(Check(f"byte code of {_MASTERS[name]}", inner.good, f"{inner.value}, {there}"))
    checks += _wiring(chain, addresses)
    return [*checks, *_settings(network, chain, addresses, deployer)]


def sources(
    network: Network, addresses: Addresses, folder: Any, key: str, say: Callable[[str], None]
) -> list[Submission]:
    """Submit the source of every contract that this network deployed to its explorer."""
    if network.explorer is None or network.attach is not None:
        return []
    made = []
    for name in CONTRACTS:
        if network.contracts[name] != "deploy":
            continue
        artifact = build.read(folder, name)
        arguments = artifact.arguments(tuple(addresses[each] for each in ARGUMENTS.get(name, ())))
        say(f"{name}: submitting its source")
        made.append(submit(network.explorer, network.chain_id, artifact, addresses[name], arguments=arguments, key=key))
    return made


def _wiring(chain: Chain, addresses: Addresses) -> list[Check]:
    """The hub's own words on what it stands on."""
    hub = chain.contract("hub", addresses["Hub"]).functions
    checks = []
    for view, name in _VIEWS.items():
        there = _view(chain, getattr(hub, view)())
        checks.append(Check(f"hub's {name}", there == addresses[name], there))
    return checks


def _settings(network: Network, chain: Chain, addresses: Addresses, deployer: str) -> list[Check]:
    hub = chain.contract("hub", addresses["Hub"]).functions
    owner = _view(chain, hub.owner())
    checks = [Check("hub's owner", owner == (network.owner or deployer), owner)]
    for number, wanted in enumerate(network.categories):
        there = _view(chain, hub.viewCategory(number))
        good = there == str([wanted.name, wanted.description, wanted.seconds])
        checks.append(Check(f"category {number}", good, there))
    return checks


def _original(network: Network, chain: Chain) -> list[Check]:
    """iExec's contracts against the creation code of their records; facets as the hub itself names them."""
    assert network.attach is not None  # noqa: S101  (the caller's choice)
    records = {name: record(network.attach.records, name) for name in ORIGINAL}
    checks = []
    for name, entry in records.items():
        where = address(entry["address"])
        match = build.compare_creation(_code(chain, where), bytes.fromhex(entry["bytecode"].removeprefix("0x")))
        checks.append(Check(f"byte code of {name}", match.good, f"{match.value}, {where}"))
    hub = chain.web3.eth.contract(address=address(records["Diamond"]["address"]), abi=_LOUPE_ABI)  # type: ignore[call-overload]
    facets = {str(each) for each in chain.ask(hub.functions.facetAddresses().call)}
    strange = facets - {address(records[name]["address"]) for name in _FACETS}
    found = f"{len(facets)} facets" + (f", not in the records: {', '.join(sorted(strange))}" if strange else "")
    return [*checks, Check("hub's facets", not strange, found)]


def _code(chain: Chain, where: str) -> bytes:
    return bytes(chain.ask(lambda: chain.web3.eth.get_code(where)))  # type: ignore[arg-type]


def _view(chain: Chain, function: Any) -> str:
    try:
        found = chain.ask(function.call)
    except (ContractLogicError, Web3Exception) as error:
        return f"no answer: {error}"
    return str(list(found)) if isinstance(found, list | tuple) else str(found)
