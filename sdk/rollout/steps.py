"""The steps of a rollout as data: what each sends, what it needs before it, and how the chain shows that it is done."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chain.client import Chain
from chain.creation import Creation
from poco.errors import BadInputError
from poco.hexes import address
from sdk.rollout import build
from sdk.rollout.network import CONTRACTS, Network

#: Constructor arguments: contracts that are deployed before.
ARGUMENTS: dict[str, tuple[str, ...]] = {
    "HubExtension": ("Rlc", "AppRegistry", "DatasetRegistry", "WorkerpoolRegistry"),
    "Hub": ("HubExtension", "EnergyLedger"),
}
#: The same contracts in iExec's records.
RECORDS = {
    "Rlc": "RLC",
    "AppRegistry": "AppRegistry",
    "DatasetRegistry": "DatasetRegistry",
    "WorkerpoolRegistry": "WorkerpoolRegistry",
    "Hub": "Diamond",
}
#: Gas of calls whose contracts are not there yet, with room.
_CALL_GAS = {"createCategory": 200_000, "createWorkerpool": 450_000, "transferOwnership": 60_000}

Addresses = Mapping[str, str]


@dataclass(frozen=True)
class Step:
    """One transaction of a rollout.

    Args:
        name: in the journal; stays the same from run to run.
        gas: what it takes at most, where the node cannot be asked yet.
        needs: contracts that must have an address before it can be sent.
        call: what is sent, once they have.
        found: whether the chain shows it done, however that came about.
        creates: the contract that it makes, or empty.
    """

    name: str
    gas: int
    needs: tuple[str, ...]
    call: Callable[[Addresses], Any]
    found: Callable[[Addresses], bool]
    creates: str = ""


def contracts_of(network: Network, folder: Path) -> list[build.Artifact]:
    """The compiled contracts that the network wants deployed, in order."""
    if network.attach is not None:
        return []
    return [build.read(folder, name) for name in CONTRACTS if network.contracts[name] == "deploy"]


def standing(network: Network) -> dict[str, str]:
    """Addresses that are given: contracts of the network file, or iExec's hub and what belongs to it."""
    if network.attach is None:
        return {name: where for name, where in network.contracts.items() if where != "deploy"}
    return {name: address(str(record(network.attach.records, file)["address"])) for name, file in RECORDS.items()}


def record(folder: Path, name: str) -> dict[str, Any]:
    """One record of a deployment of iExec's; BadInputError where there is none."""
    path = folder / f"{name}.json"
    try:
        data: dict[str, Any] = json.loads(path.read_text())
        address(str(data["address"]))
    except FileNotFoundError:
        raise BadInputError(f"there is no record {path}", hint="npm's @iexec/poco has them: `make setup`") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise BadInputError(f"{path} is not a deployment record", hint="`make setup` fetches it anew") from None
    return data


def steps_of(network: Network, chain: Chain, deployer: str, artifacts: list[build.Artifact]) -> list[Step]:
    """All steps of a network in the order in which they are sent."""
    steps = [_deploy(chain, artifact) for artifact in artifacts]
    steps += [_category(chain, network, number) for number in range(len(network.categories))]
    if network.pool is not None:
        steps.append(_pool(chain, network.pool.description, network.pool.owner or deployer))
    if network.owner is not None:
        steps.append(_hand_over(chain, deployer, network.owner))
    return steps


def pool_of(network: Network, chain: Chain, deployer: str, addresses: Addresses) -> str | None:
    """The address of the network's pool, which follows from what it is; None where none is wanted."""
    if network.pool is None:
        return None
    registry = chain.contract("workerpool_registry", addresses["WorkerpoolRegistry"]).functions
    owner, text = network.pool.owner or deployer, network.pool.description
    return address(chain.ask(registry.predictWorkerpool(owner, text).call))


def _deploy(chain: Chain, artifact: build.Artifact) -> Step:
    needs = ARGUMENTS.get(artifact.name, ())

    def call(addresses: Addresses) -> Creation:
        return Creation(chain.web3, artifact.name, artifact.creation(tuple(addresses[name] for name in needs)))

    return Step(f"deploy {artifact.name}", creation_gas(artifact), needs, call, lambda _: False, artifact.name)


def creation_gas(artifact: build.Artifact) -> int:
    """Upper estimate of what a creation takes (yellow paper, appendix G, and EIP-3860).

    32,000 for a creation and 21,000 for a transaction, 16 for a byte sent, 2 for each word of it, 200 for a byte kept;
    a constructor may keep a template besides, which is in what is sent: all of that is counted as kept.
    """
    sent = len(artifact.data["bytecode"]) // 2 + 32 * 4
    return 53_000 + 16 * sent + 2 * (sent // 32 + 1) + 200 * sent + 150_000


def _category(chain: Chain, network: Network, number: int) -> Step:
    wanted = network.categories[number]

    def call(addresses: Addresses) -> Any:
        hub = chain.contract("hub", addresses["Hub"]).functions
        return hub.createCategory(wanted.name, wanted.description, wanted.seconds)

    def found(addresses: Addresses) -> bool:
        hub = chain.contract("hub", addresses["Hub"]).functions
        if number >= int(chain.ask(hub.countCategory().call)):
            return False
        there = tuple(chain.ask(hub.viewCategory(number).call))
        if there != (wanted.name, wanted.description, wanted.seconds):
            raise BadInputError(
                f"category {number} is {there} on chain, not {wanted.name}", hint="correct categories in the file"
            )
        return True

    return Step(f"category {number}", _CALL_GAS["createCategory"], ("Hub",), call, found)


def _pool(chain: Chain, description: str, owner: str) -> Step:
    def call(addresses: Addresses) -> Any:
        registry = chain.contract("workerpool_registry", addresses["WorkerpoolRegistry"]).functions
        return registry.createWorkerpool(owner, description)

    def found(addresses: Addresses) -> bool:
        registry = chain.contract("workerpool_registry", addresses["WorkerpoolRegistry"]).functions
        where = chain.ask(registry.predictWorkerpool(owner, description).call)
        return bool(chain.ask(registry.isRegistered(where).call))

    return Step("pool", _CALL_GAS["createWorkerpool"], ("WorkerpoolRegistry",), call, found)


def _hand_over(chain: Chain, deployer: str, owner: str) -> Step:
    def call(addresses: Addresses) -> Any:
        return chain.contract("hub", addresses["Hub"]).functions.transferOwnership(owner)

    def found(addresses: Addresses) -> bool:
        there = str(chain.ask(chain.contract("hub", addresses["Hub"]).functions.owner().call))
        if there not in (owner, deployer):
            raise BadInputError(
                f"the hub belongs to {there}, not to {deployer}", hint="its owner alone can hand it over"
            )
        return there == owner

    return Step(f"owner {owner}", _CALL_GAS["transferOwnership"], ("Hub",), call, found)
