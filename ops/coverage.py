"""Statements and branches of the contracts that the tests reach: `python -m ops.coverage`.

Runs `brownie test -C` and judges its report, reports/coverage.json. The totals in that report leave out functions that
have no branch or were never called; what counts here is its highlights, which name every statement and branch.
A branch has two ways out, each counted by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import yaml

from ops.console import ROOT, SetupError, guarded
from ops.ports import require_ports

REPORT = ROOT / "reports" / "coverage.json"
BUILD = ROOT / "build" / "contracts"
LEAST = 95.0
#: ways out of a branch that were taken, by the colour Brownie gives it
WAYS = {"green": 2, "yellow": 1, "orange": 1, "red": 0}
# these send past Brownie, which does not trace them: the first have a chain of their own
LEFT_OUT = ("tests/contracts/differential", "tests/contracts/invariants")


@dataclass(frozen=True)
class Count:
    """How many of how many were reached."""

    reached: int = 0
    total: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.reached + other.reached, self.total + other.total)

    @property
    def percent(self) -> float:
        """Share in percent; where there is nothing to reach, all of it was."""
        return 100 * self.reached / self.total if self.total else 100.0

    def __str__(self) -> str:
        return f"{self.reached:5d} of {self.total:5d} {self.percent:6.1f} %"


@dataclass(frozen=True)
class Coverage:
    """What was reached of one contract, or of all."""

    statements: Count = Count()
    branches: Count = Count()

    def __add__(self, other: Coverage) -> Coverage:
        return Coverage(self.statements + other.statements, self.branches + other.branches)

    def reaches(self, percent: float) -> bool:
        """Whether both shares are at least that."""
        return min(self.statements.percent, self.branches.percent) >= percent


def coverage(highlights: Mapping[str, Any], contract: str) -> Coverage:
    """Count one contract's highlights; an area is [first byte, byte after the last, colour, label]."""
    statements = [area for areas in highlights["statements"][contract].values() for area in areas]
    branches = [area for areas in highlights["branches"][contract].values() for area in areas]
    return Coverage(
        Count(sum(area[2] == "green" for area in statements), len(statements)),
        Count(sum(WAYS[area[2]] for area in branches), 2 * len(branches)),
    )


def missing(highlights: Mapping[str, Any], contract: str, sources: Mapping[str, Path]) -> Iterator[str]:
    """`file:line what` of each area of a contract that was not reached on every way; `sources` by Brownie's id."""
    for kind in ("statements", "branches"):
        for source, areas in highlights[kind][contract].items():
            path = sources[source]
            text = path.read_bytes()
            for start, stop, colour, _ in sorted(areas):
                if colour != "green":
                    line = text.count(b"\n", 0, start) + 1
                    what = "statement" if kind == "statements" else f"branch taken {WAYS[colour]} of 2 ways"
                    code = " ".join(text[start:stop].decode().split())
                    yield f"{path}:{line}: {what}: {code[:70]}"


def deployable(build: Path, excluded: list[str]) -> dict[str, dict[str, Any]]:
    """Build artifacts of the contracts that have code to reach, but for those whose source is excluded by a pattern.

    A library of internal functions has none: it is counted in each contract that it is compiled into.
    """
    artifacts = (json.loads(path.read_text()) for path in sorted(build.glob("*.json")))
    return {
        each["contractName"]: each
        for each in artifacts
        if each["bytecode"]
        and any(each["coverageMap"]["statements"].values())
        and not any(fnmatch(each["sourcePath"], pattern) for pattern in excluded)
    }


def judge(report: Path, build: Path, excluded: list[str], least: float, *, list_missing: bool) -> int:
    """Print the coverage of each contract and of all; 0 when all together reach `least` percent of both."""
    highlights = json.loads(report.read_text())["highlights"]
    total, untouched = Coverage(), []
    print(f"\n{'contract':<20} {'statements':^24} {'branches':^24}")
    for name, artifact in deployable(build, excluded).items():
        if name not in highlights["statements"]:
            untouched.append(name)
            continue
        each = coverage(highlights, name)
        total += each
        print(f"{name:<20} {each.statements} {each.branches}")
        if list_missing:
            sources = {source: ROOT / path for source, path in artifact["allSourcePaths"].items()}
            for line in missing(highlights, name, sources):
                print(f"    {line.removeprefix(f'{ROOT}/')}")
    print(f"{'all':<20} {total.statements} {total.branches}")
    for name in untouched:
        print(f"{name}: no test ran it")
    if untouched or not total.reaches(least):
        print(f"FAILED: at least {least:g} % of statements and of branches is asked for")
        return 1
    return 0


def run_tests(paths: list[str]) -> int:
    """`brownie test -C` from nothing: traces kept from earlier runs are of no use to a verdict."""
    # Anvil traces several times faster than Ganache; it is not built for every platform
    network = "pew-anvil" if shutil.which("anvil") else "development"
    for kept in (REPORT, ROOT / "build" / "tests.json"):
        kept.unlink(missing_ok=True)
    networks = yaml.safe_load((ROOT / "networks.yaml").read_text())["development"]
    port = next(each["cmd_settings"]["port"] for each in networks if each["id"] == network)
    require_ports({"Brownie's chain": (port, f"networks.yaml: {network}: cmd_settings: port")})
    argv = ["brownie", "test", *paths, "-C", "--network", network, "--disable-warnings"]
    return subprocess.run(argv, cwd=ROOT, env=os.environ, check=False).returncode


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m ops.coverage", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--least", type=float, default=LEAST, metavar="PERCENT", help="of statements and of branches")
    parser.add_argument("--missing", action="store_true", help="list what was not reached")
    parser.add_argument("--report-only", action="store_true", help="judge the report of an earlier run")
    options = parser.parse_args()
    if not options.report_only:
        folders = sorted(path.parent for path in (ROOT / "tests" / "contracts").glob("*/test_*.py"))
        paths = dict.fromkeys(str(path.relative_to(ROOT)) for path in folders)
        if code := run_tests([path for path in paths if path not in LEFT_OUT]):
            return code
    if not REPORT.exists():
        raise SetupError("there is no coverage report", "leave out --report-only")
    excluded = yaml.safe_load((ROOT / "brownie-config.yaml").read_text())["reports"]["exclude_paths"]
    return judge(REPORT, BUILD, excluded, options.least, list_missing=options.missing)


if __name__ == "__main__":
    sys.exit(guarded(main))
