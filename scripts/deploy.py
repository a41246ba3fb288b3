"""Deploy the marketplace: `brownie run deploy --network <id>`.

Writes `deployments/<network>.json`. On a chain that lives on, a deployment that is still there is kept.
The deployer is the first unlocked account, or the Brownie account that PEW_DEPLOYER names.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from brownie import (
    AppRegistry,
    Contract,
    DatasetRegistry,
    EnergyLedger,
    Hub,
    HubExtension,
    Rlc,
    WorkerpoolRegistry,
    accounts,
    chain,
    network,
    project,
    web3,
)

ROOT = Path(__file__).resolve().parent.parent
LOCAL = "pew-local"

# name, description, longest run in seconds
CATEGORIES = (
    ("XS", "up to 5 minutes", 300),
    ("S", "up to 20 minutes", 1_200),
    ("M", "up to 1 hour", 3_600),
    ("L", "up to 3 hours", 10_800),
    ("XL", "up to 10 hours", 36_000),
)


def abi(name: str) -> list[dict[str, Any]]:
    """ABI of a compiled contract or interface of this project."""
    return project.get_loaded_projects()[0]._build.get(name)["abi"]


def hub_at(address: str) -> Contract:
    """The hub with its whole interface, which two contracts answer together."""
    return Contract.from_abi("IHub", address, abi("IHub"))


def deploy(deployer: Any) -> dict[str, Any]:
    """Deploy token, registries, energy ledger and hub and create the categories.

    Returns:
        The contracts by the name they have in the deployment file.
    """
    sender = {"from": deployer}
    rlc = Rlc.deploy(sender)
    registries = [registry.deploy(sender) for registry in (AppRegistry, DatasetRegistry, WorkerpoolRegistry)]
    extension = HubExtension.deploy(rlc, *registries, sender)
    ledger = EnergyLedger.deploy(sender)
    hub = hub_at(Hub.deploy(extension, ledger, sender).address)
    for category in CATEGORIES:
        hub.createCategory(*category, sender)
    named = (*registries, ledger)
    return {"RLC": rlc, "hub": hub, **{contract._name: contract for contract in named}}


def record(network_id: str, deployer: str, block: int, contracts: dict[str, Any]) -> dict[str, Any]:
    """Content of the deployment file; categories are read back from the hub."""
    hub = contracts["hub"]
    categories = [(i, hub.viewCategory(i)) for i in range(hub.countCategory())]
    return {
        "network": network_id,
        "chain_id": chain.id,
        "deployer": deployer,
        "block": block,
        "contracts": {name: contract.address for name, contract in contracts.items()},
        "categories": [{"id": i, "name": name, "seconds": seconds} for i, (name, _, seconds) in categories],
    }


def standing(path: Path) -> dict[str, Any] | None:
    """The deployment of that file, if all its contracts are on this chain."""
    if not path.exists():
        return None
    data: dict[str, Any] = json.loads(path.read_text())
    if data["chain_id"] != chain.id or not all(web3.eth.get_code(a) for a in data["contracts"].values()):
        return None
    return data


def write(path: Path, data: dict[str, Any]) -> None:
    """Write the file whole or not at all."""
    path.parent.mkdir(exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps(data, indent=2) + "\n")
    draft.replace(path)


def main() -> None:
    network_id = network.show_active()
    path = ROOT / "deployments" / f"{network_id}.json"
    kept = standing(path)
    if kept and not chain_is_disposable():
        print(f"{path.relative_to(ROOT)} is still good on chain {kept['chain_id']}: nothing deployed")
        return
    name = os.environ.get("PEW_DEPLOYER")
    if not name and not len(accounts):
        raise SystemExit("error: no account to deploy from\nhint: set PEW_DEPLOYER to one of `brownie accounts list`")
    deployer = accounts.load(name) if name else accounts[0]
    block = len(chain)
    data = record(network_id, deployer.address, block, deploy(deployer))
    write(path, data)
    if network_id == LOCAL:
        # the next local chain has the same id and none of these contracts: Brownie would not even start there
        shutil.rmtree(ROOT / "build" / "deployments" / str(chain.id), ignore_errors=True)
    for contract, address in data["contracts"].items():
        print(f"{contract:<20}{address}")
    print(f"written: {path.relative_to(ROOT)}")


def chain_is_disposable() -> bool:
    """Whether Brownie counts the network among the development chains."""
    return bool(network.main.CONFIG.network_type == "development")
