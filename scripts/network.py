"""A whole network on this machine that stays until Ctrl-C: `make network` or `python -m scripts.network`.

Chain, contracts, image registry, file server, a pool with its scheduler and three solar-powered workers of different
architectures, and a funded wallet for whoever tries something out. `build/network/env` tells `pew` where all that is.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from pathlib import Path

from ops.console import ROOT, SetupError
from ops.stack import Stack
from poco.errors import PewError
from poco.orders import WorkerpoolOrder
from scripts.demo_run import HASTE, RLC, SITES, SUN
from scripts.localstack import LocalStack, Ports, together
from sdk.progress import Progress

#: The registry's is the default of `pew dapp push`.
PORTS = {"chain": 17545, "registry": 5000, "scheduler": 17300, "files": 17400}
FOLDER = ROOT / "build" / "network"
OWNER, VISITOR = "scheduler", "you"
PRICE, VOLUME, TRUST = RLC, 1000, 16
FUNDS, STAKE = 1000, 100


def start(local: LocalStack, progress: Progress) -> None:
    """Start everything and open the market: workers wait, the pool's offers are in the book."""
    shown = local.run_dir / "files"
    shown.mkdir(exist_ok=True)
    for name in (OWNER, VISITOR, *SITES):
        local.make_wallet(name)
    together(local.start_chain, local.start_registry, lambda: local.start_files(shown))
    progress.say(f"contracts deployed, hub {local.chain.deployment.hub}")
    for name in local.wallets:
        local.fund(name, rlc=FUNDS * RLC)
    owner = local.client(OWNER)
    pool = owner.register_pool("Solar workers of a local network")
    owner.deposit(FUNDS * RLC // 2)
    local.start_scheduler(pool)
    for name, site in SITES.items():
        # The sun of the records at its own pace: noon when the network starts.
        energy = {**SUN, **site.energy, "speed": 1}
        local.start_worker(name, pool, site.platform, energy, stake_nrlc=STAKE * RLC, **HASTE)
    local.wait_for_workers(len(SITES))
    progress.say("workers wait for work: " + ", ".join(f"{n} ({s.platform})" for n, s in SITES.items()))
    for category in range(5):
        owner.publish(WorkerpoolOrder(pool, PRICE, volume=VOLUME, category=category, trust=TRUST))
    _write_env(local)


def _write_env(local: LocalStack) -> None:
    wallets = local.run_dir / "wallets"
    values = {
        "PEW_RPC": local.rpc_url,
        "PEW_DEPLOYMENT": str(local.deployment_file),
        "PEW_SCHEDULER": local.scheduler_url,
        "PEW_REGISTRY": local.registry_host,
        "PEW_WALLET": str(wallets / f"{VISITOR}.json"),
        "PEW_PASSWORD_FILE": str(wallets / f"{VISITOR}.password"),
    }
    lines = [f"export {name}={shlex.quote(value)}" for name, value in values.items()]
    lines.append(f'export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"')
    (local.run_dir / "env").write_text("\n".join(lines) + "\n")


def main(words: list[str] | None = None) -> int:
    """Run the network until Ctrl-C; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.network", description=(__doc__ or "").splitlines()[0])
    for name, port in PORTS.items():
        parser.add_argument(f"--{name}-port", type=int, default=port, help="default: %(default)s")
    parser.add_argument("--dir", type=Path, default=FOLDER, help="default: build/network")
    options = parser.parse_args(words)
    progress = Progress(sys.stdout)
    try:
        with Stack(options.dir, say=progress.say) as stack:
            local = LocalStack(stack, Ports(**{name: getattr(options, f"{name}_port") for name in PORTS}))
            progress.say(f"Docker Engine at {local.docker_host}")
            start(local, progress)
            progress.say(f"files in {os.path.relpath(local.run_dir / 'files')} are served at {local.files_url}/")
            progress.say(f"in another terminal: . {os.path.relpath(local.run_dir / 'env')}    Ctrl-C ends the network")
            while True:
                stack.check()
                time.sleep(1)
    except (PewError, SetupError) as error:
        print(f"error: {error.message}\nhint:  {error.hint}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
