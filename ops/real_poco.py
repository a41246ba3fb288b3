"""iExec's own contracts, deployed from npm's @iexec/poco: what ours are compared with.

The package holds the compiled facets of the diamond (EIP-2535); the facets of the diamond pattern itself and the RLC
token, which it takes from other packages, are only in the records of its deployment on Arbitrum.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from eth_abi.abi import encode
from web3 import Web3

from ops.console import ROOT
from poco.errors import PewError
from poco.hexes import ZERO_ADDRESS
from poco.original import DIAMOND_FACETS, FACETS, LIBRARY

PACKAGE = ROOT / "node_modules" / "@iexec" / "poco"
NETWORK = "arbitrum"
REGISTRIES = {"app": "AppRegistry", "dataset": "DatasetRegistry", "workerpool": "WorkerpoolRegistry"}
GAS_LIMIT = 12_000_000


@dataclass(frozen=True)
class Poco:
    """One deployment of the protocol as web3 contracts, all with the ABI that iExec publishes."""

    hub: Any
    rlc: Any
    app_registry: Any
    dataset_registry: Any
    workerpool_registry: Any


def published_abi(name: str) -> list[dict[str, Any]]:
    """ABI of a contract as iExec publishes it, e.g. `IexecInterfaceToken` (the hub), `AppRegistry`, `App`."""
    abi: list[dict[str, Any]] = _artifact(name)["abi"]
    return abi


def deploy_real(web3: Web3, deployer: str, categories: Sequence[tuple[str, str, int]] = ()) -> Poco:
    """Deploy the whole original: token, library, facets, diamond, registries, configuration.

    Args:
        web3: a chain where `deployer` is unlocked.
        deployer: owns the diamond and the token's whole supply.
        categories: name, description and longest run in seconds of each category to create.

    Raises:
        PewError: the package is not installed, or a transaction failed.
    """
    rlc = deploy_rlc(web3, deployer)
    links = {LIBRARY: deploy_code(web3, deployer, _recorded(LIBRARY)["bytecode"])}
    facets = {name: deploy_code(web3, deployer, creation_code(name, links)) for name in (*DIAMOND_FACETS, *FACETS)}
    cuts: list[tuple[str, int, list[bytes]]] = []
    taken: set[bytes] = set()
    for name, address in facets.items():
        abi = _recorded(name)["abi"] if name in DIAMOND_FACETS else _artifact(name)["abi"]
        own = [each for each in selectors(abi) if each not in taken]
        taken.update(own)
        cuts.append((address, 0, own))
    init = deploy_code(web3, deployer, _recorded("DiamondInit")["bytecode"])
    diamond = deploy_code(
        web3,
        deployer,
        _artifact("Diamond")["bytecode"],
        encode(
            ["(address,uint8,bytes4[])[]", "(address,address,bytes)"],
            [cuts, (deployer, init, Web3.keccak(text="init()")[:4])],
        ),
    )
    registries = {kind: _registry(web3, deployer, name) for kind, name in REGISTRIES.items()}
    hub = web3.eth.contract(address=Web3.to_checksum_address(diamond), abi=published_abi("IexecInterfaceToken"))
    addresses = [registry.address for registry in registries.values()]
    send(hub.functions.configure(rlc.address, "Staked RLC", "SRLC", 9, *addresses, ZERO_ADDRESS), deployer)
    for category in categories:
        send(hub.functions.createCategory(*category), deployer)
    return Poco(hub, rlc, registries["app"], registries["dataset"], registries["workerpool"])


def creation_code(name: str, libraries: dict[str, str]) -> str:
    """What `deploy_real` creates a contract with, before its arguments; `libraries`: address by name."""
    alone = name in (*DIAMOND_FACETS, LIBRARY, "RLC", "DiamondInit")
    code: str = _recorded(name)["bytecode"] if alone else linked(_artifact(name), libraries)
    return code


def deploy_rlc(web3: Web3, deployer: str) -> Any:
    """The RLC token with its whole supply at `deployer`, and free to be moved."""
    from chain import abi

    rlc = web3.eth.contract(
        address=Web3.to_checksum_address(deploy_code(web3, deployer, _recorded("RLC")["bytecode"])),
        abi=abi.load("rlc"),
    )
    unlock = {"from": deployer, "to": rlc.address, "data": Web3.to_hex(Web3.keccak(text="unlock()")[:4])}
    web3.eth.wait_for_transaction_receipt(web3.eth.send_transaction({**unlock, "gas": GAS_LIMIT}))  # type: ignore[typeddict-item]
    return rlc


def deploy_code(web3: Web3, deployer: str, bytecode: str, arguments: bytes = b"") -> str:
    """Create a contract; return its address."""
    data = "0x" + bytecode.removeprefix("0x") + arguments.hex()
    tx = web3.eth.send_transaction({"from": deployer, "data": data, "gas": GAS_LIMIT})  # type: ignore[typeddict-item]
    receipt = web3.eth.wait_for_transaction_receipt(tx)
    address = receipt["contractAddress"]
    if receipt["status"] != 1 or address is None:
        raise PewError("a contract could not be deployed", hint="the chain must allow 12,000,000 gas")
    return str(address)


def send(function: Any, sender: str) -> Any:
    """Send a call of a web3 contract from an unlocked account; its receipt. PewError when it reverts."""
    receipt = function.w3.eth.wait_for_transaction_receipt(function.transact({"from": sender, "gas": GAS_LIMIT}))
    if receipt["status"] != 1:
        raise PewError(f"{function.fn_name} reverted", hint="ask the same by eth_call for the reason")
    return receipt


def selectors(abi: list[dict[str, Any]]) -> list[bytes]:
    """Selectors of a facet; `receive` and `fallback` have reserved ones in iExec's diamond."""
    found = [bytes(Web3.keccak(text=_signature(each))[:4]) for each in abi if each["type"] == "function"]
    kinds = {each["type"] for each in abi}
    reserved = {"receive": b"\x00" * 4, "fallback": b"\xff" * 4}
    return found + [selector for kind, selector in reserved.items() if kind in kinds]


def linked(artifact: dict[str, Any], libraries: dict[str, str]) -> str:
    """An artifact's creation code with the addresses of its libraries."""
    code: str = artifact["bytecode"]
    for file in artifact["linkReferences"].values():
        for name, places in file.items():
            for place in places:
                start = 2 + 2 * place["start"]
                end = start + 2 * place["length"]
                code = code[:start] + libraries[name].removeprefix("0x").lower() + code[end:]
    return code


def _registry(web3: Web3, deployer: str, name: str) -> Any:
    address = deploy_code(web3, deployer, _artifact(name)["bytecode"])
    registry = web3.eth.contract(address=Web3.to_checksum_address(address), abi=published_abi(name))
    send(registry.functions.initialize(ZERO_ADDRESS), deployer)
    return registry


def _signature(entry: dict[str, Any]) -> str:
    return f"{entry['name']}({','.join(_kind(each) for each in entry['inputs'])})"


def _kind(parameter: dict[str, Any]) -> str:
    kind: str = parameter["type"]
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(_kind(each) for each in parameter['components'])}){kind.removeprefix('tuple')}"


@cache
def _artifact(name: str) -> dict[str, Any]:
    """What the compiler made of a contract of the package."""
    found = sorted((PACKAGE / "artifacts").rglob(f"{name}.json"))
    return _read(found[0] if found else PACKAGE / "artifacts" / f"{name}.json")


@cache
def _recorded(name: str) -> dict[str, Any]:
    """The record of a contract's deployment."""
    return _read(PACKAGE / "deployments" / NETWORK / f"{name}.json")


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise PewError(f"@iexec/poco has no {path.relative_to(PACKAGE)}", hint="run `make setup`")
    data: dict[str, Any] = json.loads(path.read_text())
    return data
