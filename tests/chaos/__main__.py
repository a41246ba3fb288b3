"""`python -m tests.chaos --seed 1 --faults 1000`: the crash campaign; `build/bench/chaos.json` says how it went."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

from ops.console import ROOT
from ops.ports import is_free
from poco.errors import BadInputError
from tests.chaos import campaign
from tests.chaos.node import NODES
from tests.chaos.world import PORTS


def free_range() -> int:
    """The first of 40 ports that nobody holds now."""
    for first in range(21700, 31700, PORTS):
        if all(is_free(port) for port in range(first, first + PORTS)):
            return first
    raise BadInputError(f"there are no {PORTS} free ports in a row", hint="choose them: --ports N")


def main() -> int:
    """Exit code 0 when nothing was wrong, 1 when something was."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="fixes the order of faults and orders (%(default)s)")
    parser.add_argument("--faults", type=int, default=1000, help="how many (%(default)s)")
    parser.add_argument("--per-round", type=int, default=200, help="faults on one network (%(default)s)")
    parser.add_argument(
        "--chain", choices=[*NODES, "both"], default="both", help="node; both: every fourth round Ganache"
    )
    parser.add_argument("--workers", type=int, default=3, help="(%(default)s)")
    parser.add_argument("--ports", type=int, help="first of 40 free ports (the first such above 21700)")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "chaos", help="run folder (%(default)s)")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "bench" / "chaos.json", help="(%(default)s)")
    parser.add_argument(
        "--seconds",
        type=int,
        default=30,
        help="reference time of the tasks' category: more on a slow machine (%(default)s)",
    )
    parser.add_argument("--keep", action="store_true", help="keep the folders of rounds that went well too")
    given = parser.parse_args()
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:7.1f} s  {text}", flush=True)

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    chains = ("anvil", "anvil", "ganache", "anvil") if given.chain == "both" else (given.chain,)
    plan = campaign.Plan(
        seed=given.seed, faults=given.faults, per_round=given.per_round, chains=chains, workers=given.workers,
        ports=given.ports or free_range(), seconds=given.seconds, folder=given.folder, keep=given.keep,
    )  # fmt: skip
    given.output.parent.mkdir(parents=True, exist_ok=True)

    def save(report: dict[str, Any]) -> None:
        draft = given.output.with_suffix(".draft")
        draft.write_text(json.dumps(report, indent=1) + "\n")
        draft.replace(given.output)

    report, failed = campaign.run(plan, say, save)
    missed = report["unmet"] if given.faults >= campaign.LONG else []
    if failed is None and not missed:
        met = sum(map(bool, report["by_state"].values()))
        say(f"{report['faults']} faults, {met} instants met by name, nothing lost, nothing stuck: {given.output}")
        return 0
    for name, lines in report["found"].items():
        for line in lines:
            say(f"{name}: {line}")
    for line in report["broken"]:
        say(line)
    if missed:
        say(f"never met: {', '.join(missed)}")
    if failed is not None:
        say(f"the round's logs and data: {failed}; its faults: {failed / 'faults.jsonl'}")
    say(f"again: python -m tests.chaos --seed {given.seed} --faults {given.faults} --chain {given.chain}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
