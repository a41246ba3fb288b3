"""The servers that are not ours as processes of a `Stack`: a chain (Ganache, with our contracts), an image registry."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from ops.console import ROOT
from ops.engine import find_registry
from ops.ports import HOST, require_ports
from ops.stack import RUN_LABEL, Stack
from poco.errors import PewError

CHAIN_ID = 1337
#: Past states that Anvil keeps in memory: who reads at a block that is just behind the newest needs some.
KEPT_STATES = 256
#: Brownie's name for a chain on this machine that runs already (networks.yaml).
NETWORK = "pew-local"
#: The development sentence that Hardhat and Anvil use too; its keys are public: only for local chains.
MNEMONIC = "test test test test test test test test test test test junk"


def start_ganache(
    stack: Stack,
    port: int,
    *,
    name: str = "ganache",
    accounts: int = 20,
    balance_ether: int = 1000,
    hardfork: str = "berlin",
    extra: Sequence[str] = (),
) -> str:
    """Start a fresh Ganache on loopback that mines each transaction at once; its state ends with it.

    Args:
        stack: the run it belongs to.
        port: for JSON-RPC over HTTP and WebSocket.
        name: of the process.
        accounts: unlocked accounts, derived from `MNEMONIC` (m/44'/60'/0'/0/i).
        balance_ether: of each, in ether.
        hardfork: at most shanghai; Brownie waits for ever on a later one than berlin.
        extra: more command-line arguments.

    Returns:
        The JSON-RPC URL.
    """
    program = ROOT / "node_modules" / ".bin" / "ganache"
    if not program.exists():
        raise PewError("Ganache is not installed", hint="run `make setup`")
    url = f"http://{HOST}:{port}"
    require_ports({name: (port, "port")})
    scratch = stack.run_dir / f"{name}-db"  # Ganache keeps its state in a temporary folder: ours, not the machine's
    scratch.mkdir(exist_ok=True)
    argv: list[str | Path] = [program, "--server.host", HOST, "--server.port", str(port)]
    argv += ["--chain.chainId", str(CHAIN_ID), "--chain.networkId", str(CHAIN_ID), "--chain.hardfork", hardfork]
    argv += ["--wallet.mnemonic", MNEMONIC, "--wallet.totalAccounts", str(accounts)]
    argv += ["--wallet.defaultBalance", str(balance_ether), "--miner.instamine", "eager", "--logging.quiet", *extra]
    path = os.pathsep.join([str(ROOT / ".venv" / "bin"), os.environ.get("PATH", "")])
    stack.start(
        name, argv, env={"TMPDIR": str(scratch), "PATH": path}, ready=lambda: _chain_id(url) == CHAIN_ID, timeout=60
    )
    return url


def start_anvil(stack: Stack, port: int, *, name: str = "anvil", accounts: int = 20, extra: Sequence[str] = ()) -> str:
    """Start a fresh Anvil on loopback that mines each transaction at once, with the accounts of `start_ganache`.

    Args:
        stack: the run it belongs to.
        port: for JSON-RPC.
        name: of the process.
        accounts: unlocked accounts.
        extra: more command-line arguments.

    Returns:
        The JSON-RPC URL.

    Raises:
        PewError: it is not installed (npm has it for linux-amd64 only).
    """
    program = ROOT / "node_modules" / ".bin" / "anvil"
    if not program.exists():
        raise PewError("Anvil is not installed", hint="run `make setup`; npm has it for linux-amd64 only")
    argv: list[str | Path] = [program, "--host", HOST, "--port", str(port), "--silent"]
    argv += ["--mnemonic", MNEMONIC, "--accounts", str(accounts), "--prune-history", str(KEPT_STATES), *extra]
    stack.start(name, argv, ready=port)
    return f"http://{HOST}:{port}"


def deploy_contracts(stack: Stack, port: int) -> Path:
    """`brownie run deploy` on the local chain at a port; returns the deployment file, a copy in the run's folder.

    One at a time in this workspace: Brownie remembers deployments by chain id, and fails on what a deployment that was
    killed left of another chain.
    """
    brownie = Path(sys.executable).parent / "brownie"
    target = stack.run_dir / "deployment.json"
    remembered = ROOT / "build" / "deployments" / str(CHAIN_ID)
    with (ROOT / "build" / "deploy.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(remembered, ignore_errors=True)
        argv: list[str | Path] = [brownie, "run", "deploy", "--network", NETWORK]
        process = stack.start("deploy", argv, env={"PEW_CHAIN_PORT": str(port)})
        code = process.wait()
        if code:
            raise PewError(f"the deployment failed\n{process.last_lines()}", hint=f"its whole output: {process.log}")
        shutil.copyfile(ROOT / "deployments" / f"{NETWORK}.json", target)
    stack.stop_process("deploy")
    return target


def start_registry(stack: Stack, port: int, folder: Path, *, name: str = "registry") -> str:
    """Start an image registry on loopback that stores in `folder` and allows deletion; return its URL.

    Debian's program where there is one, else Docker Hub's image `registry:2`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    program = find_registry()
    url = f"http://{HOST}:{port}"
    if program is not None:
        settings = {
            "version": "0.1",
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(folder.resolve())}, "delete": {"enabled": True}},
            "http": {"addr": f"{HOST}:{port}", "secret": secrets.token_hex(16)},
        }
        config = stack.run_dir / f"{name}.yml"
        config.write_text(json.dumps(settings, indent=2))  # JSON is YAML
        argv: list[str | Path] = [program, "serve", config]
    else:
        argv = ["docker", "run", "--rm", "--label", f"{RUN_LABEL}={stack.run_id}", "-p", f"{HOST}:{port}:5000"]
        argv += ["-v", f"{folder.resolve()}:/var/lib/registry", "-e", "REGISTRY_STORAGE_DELETE_ENABLED=true"]
        argv += ["registry:2"]
    stack.start(name, argv, ready=f"{url}/v2/", timeout=180)
    return url


def _chain_id(url: str) -> int:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310  (our own URL)
    with urllib.request.urlopen(request, timeout=2) as answer:  # noqa: S310
        return int(json.load(answer)["result"], 16)
