"""The long runs of the contract tests: `python -m ops.contracts_long`.

Steps beside the original (tests/contracts/differential), then random markets whose invariants are checked
(tests/contracts/invariants). The seed is the same each time, unless another is asked for.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

from ops.check import brownie_ports
from ops.console import ROOT, SetupError, guarded
from ops.ports import require_ports

BENCH = ROOT / "build" / "bench"
REPORT = BENCH / "contracts-long.json"
STEPS = 10_000
SEED = 1


@dataclass(frozen=True)
class Campaign:
    """A test folder with a long profile, and the file in which it records a run."""

    name: str
    variables: dict[str, str]
    arguments: list[str]

    @property
    def record(self) -> dict[str, Any] | None:
        """What the run recorded; None when it did not get that far."""
        path = BENCH / f"{self.name}.json"
        return json.loads(path.read_text()) if path.exists() else None

    def run(self) -> bool:
        """Whether its tests passed."""
        (BENCH / f"{self.name}.json").unlink(missing_ok=True)
        argv = ["brownie", "test", f"tests/contracts/{self.name}", *self.arguments, "--disable-warnings"]
        return subprocess.run(argv, cwd=ROOT, env={**os.environ, **self.variables}, check=False).returncode == 0


def campaigns(steps: int, seed: int) -> list[Campaign]:
    """Both long runs."""
    network = "pew-anvil" if shutil.which("anvil") else "development"
    return [
        Campaign("differential", {"PEW_DIFFERENTIAL_STEPS": str(steps), "PEW_DIFFERENTIAL_SEED": str(seed)}, []),
        Campaign(
            "invariants",
            {"PEW_INVARIANT_STEPS": str(steps)},
            [f"--hypothesis-seed={seed}", "--network", network],
        ),
    ]


def summary(seed: int, results: dict[str, tuple[bool, dict[str, Any] | None]]) -> dict[str, Any]:
    """The report of runs, each with whether its tests passed and what it recorded.

    A run that failed counts as at least one difference, so does one that recorded nothing.
    """
    report: dict[str, Any] = {"seed": seed, "steps": 0, "unexplained": 0}
    for name, (passed, record) in results.items():
        found = record or {}
        unexplained = max(int(found.get("differences", 0)), 0 if passed and record else 1)
        report["steps"] += int(found.get("steps", 0))
        report["unexplained"] += unexplained
        report[name] = {**found, "unexplained": unexplained}
    return report


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m ops.contracts_long", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=STEPS, metavar="N", help=f"of each run ({STEPS})")
    parser.add_argument("--seed", type=int, default=SEED, metavar="S", help=f"where the random choices begin ({SEED})")
    options = parser.parse_args()
    if options.steps < 1:
        raise SetupError(f"{options.steps} steps are none", "ask for at least 1")
    require_ports(brownie_ports())
    started = time.monotonic()
    results = {each.name: (each.run(), each.record) for each in campaigns(options.steps, options.seed)}
    report = summary(options.seed, results)
    report["seconds"] = round(time.monotonic() - started)
    BENCH.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=2) + "\n")
    for name in results:
        print(f"{name:<14}{report[name].get('steps', 0):7d} steps, {report[name]['unexplained']} unexplained")
    print(f"{report['steps']} steps from seed {options.seed}: {report['unexplained']} unexplained")
    print(f"written: {REPORT.relative_to(ROOT)}")
    return 1 if report["unexplained"] else 0


if __name__ == "__main__":
    sys.exit(guarded(main))
