"""The way to a testnet through Brownie: `brownie run rollout [plan|status|verify] --network <id>`.

The id is a file of networks/ and a network of Brownie's (networks.yaml has both); Brownie's node is the one that is
asked. Compiles what has changed, then does as `pew rollout`. The deployer is the Brownie account that PEW_DEPLOYER
names, or the keystore PEW_WALLET; PEW_PASSWORD_FILE holds the password, else it is asked for.
"""

from __future__ import annotations

import os
from pathlib import Path

from brownie import network, web3
from brownie._config import _get_data_folder

from sdk.cli import main as pew


def main() -> None:
    """Send what is left of the rollout."""
    _run("apply")


def plan() -> None:
    """What is left, and what it costs."""
    _run("plan")


def status() -> None:
    """Every step as the chain shows it."""
    _run("status")


def verify() -> None:
    """Byte code, wiring and source."""
    _run("verify")


def _run(command: str) -> None:
    words = ["--rpc", str(web3.provider.endpoint_uri)]
    name = os.environ.get("PEW_DEPLOYER")
    if name:
        words += ["--wallet", str(Path(_get_data_folder()) / "accounts" / f"{name}.json")]
    code = pew([*words, "rollout", command, "--network", network.show_active()])
    if code:
        raise SystemExit(code)
