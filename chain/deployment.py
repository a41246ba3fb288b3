"""`deployments/<network>.json`: where the contracts of a network are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from poco.errors import BadInputError
from poco.hexes import address
from poco.orders import Domain


@dataclass(frozen=True, slots=True)
class Deployment:
    """Addresses of one network; `block` is where to start reading logs. iExec's own networks have no energy ledger."""

    network: str
    chain_id: int
    block: int
    rlc: str
    hub: str
    app_registry: str
    dataset_registry: str
    workerpool_registry: str
    energy_ledger: str | None = None

    @property
    def domain(self) -> Domain:
        """The EIP-712 domain of the hub's orders."""
        return Domain(self.chain_id, self.hub)


def load(path: Path) -> Deployment:
    """Read a deployment file; BadInputError when it is missing or not one."""
    try:
        data: dict[str, Any] = json.loads(path.read_text())
        contracts = data["contracts"]
        return Deployment(
            network=str(data["network"]),
            chain_id=int(data["chain_id"]),
            block=int(data["block"]),
            rlc=address(contracts["RLC"]),
            hub=address(contracts["hub"]),
            app_registry=address(contracts["AppRegistry"]),
            dataset_registry=address(contracts["DatasetRegistry"]),
            workerpool_registry=address(contracts["WorkerpoolRegistry"]),
            energy_ledger=address(contracts["EnergyLedger"]) if "EnergyLedger" in contracts else None,
        )
    except FileNotFoundError:
        raise BadInputError(
            f"there is no deployment file {path}", hint="deploy first: brownie run deploy --network <id>"
        ) from None
    except (ValueError, KeyError, TypeError, BadInputError) as error:
        raise BadInputError(f"{path} is not a deployment file: {error}", hint="deploy again to write it anew") from None
