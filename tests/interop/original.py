"""iExec's own contracts as the chain of a local network: the rest of the network is told by its configuration alone."""

from __future__ import annotations

import json

from web3 import Web3

from ops.real_poco import deploy_real
from ops.services import start_anvil
from scripts.localstack import LocalStack

#: Reference times of iExec's categories, in seconds.
CATEGORIES = (
    ("XS", "up to 5 minutes", 300),
    ("S", "up to 20 minutes", 1_200),
    ("M", "up to 1 hour", 3_600),
    ("L", "up to 3 hours", 10_800),
    ("XL", "up to 10 hours", 36_000),
)


class OriginalStack(LocalStack):
    """A local network on the real PoCo diamond."""

    def start_chain(self) -> None:
        """Anvil, with what npm's @iexec/poco holds deployed on it and a deployment file that says where."""
        url = start_anvil(self.stack, self.ports.chain)
        web3 = Web3(Web3.HTTPProvider(url))
        block = web3.eth.block_number
        poco = deploy_real(web3, web3.eth.accounts[0], CATEGORIES)
        data = {
            "network": "original",
            "chain_id": web3.eth.chain_id,
            "block": block,
            "contracts": {
                "RLC": poco.rlc.address,
                "hub": poco.hub.address,
                "AppRegistry": poco.app_registry.address,
                "DatasetRegistry": poco.dataset_registry.address,
                "WorkerpoolRegistry": poco.workerpool_registry.address,
            },
        }
        self.deployment_file.write_text(json.dumps(data, indent=2) + "\n")
        self.connect()
