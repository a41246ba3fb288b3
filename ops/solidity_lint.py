"""Slither over the contracts: `python -m ops.solidity_lint`.

Fails on a finding that ops/solidity_lint.yaml does not explain, and on an explanation that no finding needs any more.
Slither gets the sources, the settings and the compiler that Brownie uses, so it needs no network.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml
from solcx.install import get_executable

from ops.console import ROOT
from poco.errors import PewError

EXPLAINED = ROOT / "ops" / "solidity_lint.yaml"
FOLDER = ROOT / "build" / "slither"
MOCKS = "contracts/mocks"


@dataclass(frozen=True)
class Finding:
    """What Slither says about one place; `where` is e.g. `Poco.reveal(bytes32,bytes32)`."""

    check: str
    where: str
    text: str


@dataclass(frozen=True)
class Explanation:
    """Why findings of a check are in order at the places that match the pattern (as of file names)."""

    check: str
    where: str
    reason: str

    def covers(self, finding: Finding) -> bool:
        return self.check == finding.check and fnmatchcase(finding.where, self.where)


def compiler_input() -> dict[str, Any]:
    """Standard JSON of all contracts but the mocks, with the settings of brownie-config.yaml."""
    settings = yaml.safe_load((ROOT / "brownie-config.yaml").read_text())["compiler"]
    paths = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "contracts").rglob("*.sol"))]
    return {
        "language": "Solidity",
        "sources": {path: {"content": (ROOT / path).read_text()} for path in paths if not path.startswith(MOCKS)},
        "settings": {"evmVersion": settings["evm_version"], "optimizer": settings["solc"]["optimizer"]},
    }


def findings() -> list[Finding]:
    """Run Slither with all its detectors.

    Raises:
        PewError: it could not run, or the contracts do not compile.
    """
    version = yaml.safe_load((ROOT / "brownie-config.yaml").read_text())["compiler"]["solc"]["version"]
    FOLDER.mkdir(parents=True, exist_ok=True)
    source, target = FOLDER / "input.json", FOLDER / "findings.json"
    source.write_text(json.dumps(compiler_input()))
    target.unlink(missing_ok=True)
    argv: list[str | Path] = [Path(sys.executable).parent / "slither", source, "--compile-force-framework", "Solc-json"]
    argv += ["--solc", get_executable(version), "--fail-none", "--json", target]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode or not target.exists():
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-8:])
        raise PewError(f"Slither could not run\n{last}", hint="does `brownie compile` work?")
    return parse(json.loads(target.read_text()))


def parse(report: dict[str, Any]) -> list[Finding]:
    """The findings of Slither's JSON report."""
    found = report["results"].get("detectors", [])
    return [Finding(each["check"], _place(each["elements"]), each["description"].strip()) for each in found]


def _place(elements: list[dict[str, Any]]) -> str:
    """The first element with the contract it belongs to; "" where a finding names none."""
    if not elements:
        return ""
    first = elements[0]
    fields = first.get("type_specific_fields", {})
    name = fields.get("signature", first["name"])
    parent = fields.get("parent")
    while parent and parent["type"] != "contract":
        name = f"{parent['name']}.{name}"
        parent = parent.get("type_specific_fields", {}).get("parent")
    return f"{parent['name']}.{name}" if parent else str(name)


def explanations() -> list[Explanation]:
    """What is explained in ops/solidity_lint.yaml."""
    content = yaml.safe_load(EXPLAINED.read_text())
    return [Explanation(each["check"], place, each["reason"]) for each in content for place in each["where"]]


def compare(found: list[Finding], explained: list[Explanation]) -> tuple[list[Finding], list[Explanation]]:
    """Findings that nothing explains, and explanations of nothing."""
    open_findings = [finding for finding in found if not any(each.covers(finding) for each in explained)]
    idle = [each for each in explained if not any(each.covers(finding) for finding in found)]
    return open_findings, idle


def main() -> int:
    found = findings()
    open_findings, idle = compare(found, explanations())
    for finding in open_findings:
        print(f"{finding.check}: {finding.where}\n    {finding.text}\n")
    for each in idle:
        print(f"{EXPLAINED.name}: nothing is found any more for {each.check}: {each.where}")
    print(f"slither: {len(found)} findings, {len(open_findings)} not explained, {len(idle)} explanations too many")
    return 1 if open_findings or idle else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except PewError as error:
        print(f"error: {error.message}\nhint:  {error.hint}", file=sys.stderr)
        sys.exit(1)
