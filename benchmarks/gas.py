"""Gas of our contracts beside that of the original, step by step: `make bench-gas`.

Writes build/bench/gas.json: `{step or total: {ours, real, ratio}}` on Anvil, and on Ganache under `ganache/...`.
Ends with 1 where a total is above the goal.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable

from web3 import HTTPProvider, Web3

from benchmarks.gas_market import (
    ACCOUNTS,
    CATEGORIES,
    CATEGORY,
    WRONG_DIGEST,
    Market,
    Parties,
    deploy_ours,
    wallets,
)
from ops.console import ROOT
from ops.ports import free_port
from ops.real_poco import deploy_real
from ops.services import start_anvil, start_ganache
from ops.stack import Stack
from poco.errors import PewError
from poco.hexes import to_bytes

OUTPUT = ROOT / "build" / "bench" / "gas.json"
GOAL = 0.50
TOTALS = ("trust1", "fast", "two_workers_dataset", "bag_of_100")
BAG = 100
TIMEREF = CATEGORIES[CATEGORY][2]
DEPLOYERS = {"ours": deploy_ours, "real": deploy_real}
Gas = dict[str, int]


def measure(market: Market) -> Gas:
    """Gas of every step and total on one deployment.

    The first task is that of new accounts, which have only deposited; the tasks after it are those of the same parties
    in a market at work: they have been paid before, and a deal of others is under way.
    """
    gas: Gas = {}
    parties = market.parties(workers=5)
    gas["deposit"] = market.gas_of("deposit")
    for name in ("createApp", "createDataset", "createWorkerpool"):
        gas[name] = market.gas_of(name)
    gas["two_workers_dataset"] = two_workers(market, parties, gas)
    others = market.parties(workers=1)
    waiting, _ = market.match(others, "others' match", volume=3)
    gas["trust1"] = one_worker(market, parties, gas)
    gas["fast"] = fast(market, parties, gas)
    gas["bag_of_100"] = bag_of_tasks(market, parties, BAG)
    five_workers(market, parties, gas)
    claims(market, others, waiting, gas)
    reopened(market, parties, gas)
    return gas


def two_workers(market: Market, parties: Parties, gas: Gas) -> int:
    """One task with a dataset, and two workers that agree (trust 4 takes both)."""
    first, second = parties.workers[:2]
    steps: Gas = {}
    deal, steps["matchOrders with dataset"] = market.match(parties, "matchOrders with dataset", dataset=True, trust=4)
    task, initialize = market.initialize(parties, deal, 0, "two initialize")
    for worker, name in ((first, "contribute, first of two"), (second, "contribute, second of two")):
        steps[name] = market.contribute(parties, task, worker, name)
    for worker, name in ((first, "reveal, first of two"), (second, "reveal, second of two")):
        steps[name] = market.reveal(task, worker, name)
    name = "finalize, 2 workers and dataset"
    steps[name] = market.finalize(parties, task, name)
    gas.update(steps)
    return initialize + sum(steps.values())


def one_worker(market: Market, parties: Parties, gas: Gas) -> int:
    """One task without a dataset for one worker, trust 1."""
    worker = parties.workers[0]
    steps: Gas = {}
    deal, steps["matchOrders"] = market.match(parties, "matchOrders")
    task, steps["initialize"] = market.initialize(parties, deal, 0, "initialize")
    steps["contribute, trust 1"] = market.contribute(parties, task, worker, "contribute, trust 1")
    steps["reveal"] = market.reveal(task, worker, "reveal")
    steps["finalize, 1 worker"] = market.finalize(parties, task, "finalize, 1 worker")
    gas.update(steps)
    return sum(steps.values())


def fast(market: Market, parties: Parties, gas: Gas) -> int:
    """The same in one step after `initialize`."""
    deal, match = market.match(parties, "fast match")
    task, initialize = market.initialize(parties, deal, 0, "fast initialize")
    name = "contributeAndFinalize"
    gas[name] = market.contribute_and_finalize(parties, task, parties.workers[0], name)
    return match + initialize + gas[name]


def bag_of_tasks(market: Market, parties: Parties, size: int) -> int:
    """One deal of many tasks for one worker, trust 1, each step a transaction; gas per task."""
    worker = parties.workers[0]
    deal, total = market.match(parties, "bag match", volume=size)
    for index in range(size):
        task, initialize = market.initialize(parties, deal, index, "bag initialize")
        total += initialize
        total += market.contribute(parties, task, worker, "bag contribute")
        total += market.reveal(task, worker, "bag reveal")
        total += market.finalize(parties, task, "bag finalize")
    return round(total / size)


def five_workers(market: Market, parties: Parties, gas: Gas) -> None:
    """Trust 5: four that agree and, as the second, one that does not."""
    deal, _ = market.match(parties, "five match", trust=5)
    task, _ = market.initialize(parties, deal, 0, "five initialize")
    honest = [worker for i, worker in enumerate(parties.workers) if i != 1]
    market.contribute(parties, task, honest[0], "five first")
    gas["contribute, dissent"] = market.contribute(
        parties, task, parties.workers[1], "contribute, dissent", WRONG_DIGEST
    )
    for worker in honest[1:]:
        market.contribute(parties, task, worker, "five contribute")
    for worker in honest:
        market.reveal(task, worker, "five reveal")
    name = "finalize, 5 workers, 1 faulty"
    gas[name] = market.finalize(parties, task, name)


def claims(market: Market, others: Parties, deal: str, gas: Gas) -> None:
    """Three tasks of a deal past its final deadline: without and with a contributor, and never initialized."""
    hub = market.poco.hub.functions
    untouched, _ = market.initialize(others, deal, 0, "claim initialize")
    begun, _ = market.initialize(others, deal, 1, "claim initialize")
    market.contribute(others, begun, others.workers[0], "claim contribute")
    market.pass_time(10 * TIMEREF)
    for name, task in (("claim, no contributor", untouched), ("claim, 1 contributor", begun)):
        gas[name] = market.send(name, hub.claim(to_bytes(task)), others.requester)
    name = "initializeAndClaimArray(1)"
    gas[name] = market.send(name, hub.initializeAndClaimArray([to_bytes(deal)], [2]), others.requester)


def reopened(market: Market, parties: Parties, gas: Gas) -> None:
    """A task whose only worker did not reveal in time."""
    deal, _ = market.match(parties, "reopen match")
    task, _ = market.initialize(parties, deal, 0, "reopen initialize")
    market.contribute(parties, task, parties.workers[0], "reopen contribute")
    market.pass_time(2 * TIMEREF)
    gas["reopen"] = market.send("reopen", market.poco.hub.functions.reopen(to_bytes(task)), parties.scheduler)


def compare(web3: Web3) -> tuple[dict[str, Gas], dict[str, Market]]:
    """Measure both systems on one chain."""
    accounts = wallets(ACCOUNTS)
    deployer = accounts[0].address
    markets = {side: Market(web3, deploy(web3, deployer, CATEGORIES), accounts) for side, deploy in DEPLOYERS.items()}
    return {side: measure(market) for side, market in markets.items()}, markets


def start_tracing(stack: Stack, port: int) -> str:
    """A fresh Anvil that can trace each step; returns its URL."""
    return start_anvil(stack, port, accounts=ACCOUNTS, extra=["--steps-tracing"])


def start_other(stack: Stack, port: int) -> str:
    """A fresh Ganache with today's prices of storage and its refunds; returns its URL."""
    return start_ganache(stack, port, accounts=ACCOUNTS, hardfork="shanghai")


CHAINS: dict[str, Callable[[Stack, int], str]] = {"anvil": start_tracing, "ganache": start_other}


def rows(measured: dict[str, Gas], prefix: str = "") -> dict[str, dict[str, float]]:
    """`{step or total: {ours, real, ratio}}`, totals last."""
    ours, real = measured["ours"], measured["real"]
    names = [name for name in ours if name not in TOTALS] + list(TOTALS)
    return {
        prefix + name: {"ours": ours[name], "real": real[name], "ratio": round(ours[name] / real[name], 4)}
        for name in names
    }


def table(content: dict[str, dict[str, float]]) -> str:
    """The rows for people."""
    width = max(map(len, content))
    lines = [f"{'step':<{width}} {'ours':>9} {'real':>9} {'ratio':>6}"]
    for name, row in content.items():
        lines.append(f"{name:<{width}} {row['ours']:>9,} {row['real']:>9,} {row['ratio']:>6.2f}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gas", description=__doc__)
    parser.add_argument("--chain", choices=(*CHAINS, "both"), default="both")
    parser.add_argument("--port", type=int, help="of the chain (default: a free one)")
    parser.add_argument("--profile", action="store_true", help="also say where the gas goes (Anvil only)")
    options = parser.parse_args(arguments)
    content: dict[str, dict[str, float]] = {}
    with Stack(ROOT / "build" / "bench" / "run") as stack:
        for name, start in CHAINS.items():
            if options.chain not in (name, "both"):
                continue
            web3 = Web3(HTTPProvider(start(stack, options.port or free_port()), request_kwargs={"timeout": 60}))
            measured, markets = compare(web3)
            content |= rows(measured, "" if name == "anvil" else f"{name}/")
            if options.profile and name == "anvil":
                from benchmarks.gas_profile import report

                for side, market in markets.items():
                    print(report(side, market))
            stack.stop_process(name)
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps(content, indent=2) + "\n")
    print(table(content))
    print(f"written: {OUTPUT.relative_to(ROOT)}")
    above = [name for name, row in content.items() if name.rpartition("/")[2] in TOTALS and row["ratio"] > GOAL]
    if above:
        print(f"above {GOAL} of the original: {', '.join(above)}")
    return 1 if above else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except PewError as error:
        print(f"error: {error.message}\nhint:  {error.hint}", file=sys.stderr)
        sys.exit(1)
