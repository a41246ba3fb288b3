"""All checks of the project, phase by phase, each timed: `python -m ops.check [lint|contracts|unit|integration|e2e]`.

A phase that fails does not stop the others. Where no Docker Engine can be had, or no bubblewrap, the tests that need it
are left out, named, and the run fails, unless ALLOW_NO_DOCKER=1 or ALLOW_NO_BUBBLEWRAP=1 says that this is accepted.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import yaml

from ops import engine, sandbox
from ops.console import ROOT, SetupError, guarded, say
from ops.ports import require_ports
from poco.errors import PewError

COMMANDS = ROOT / ".venv" / "bin"
PYTEST = [
    str(COMMANDS / "python"),
    "-m",
    "pytest",
    "-q",
    "-p",
    "no:pytest-brownie",
    "--durations=3",
    "--durations-min=5",
    "--dist=loadfile",
    "--no-loadscope-reorder",
]
#: Tests that compute, and tests that wait for blocks, containers and other processes most of the time.
COMPUTE, WAIT = "--numprocesses=2", "--numprocesses=3"
GROUPS = ("lint", "contracts", "unit", "integration", "e2e")
WAITING = {"integration": ["tests/integration", "tests/acceptance"], "e2e": ["tests/e2e"]}
TEST_FOLDERS = ("tests/unit", "tests/integration", "tests/acceptance", "tests/e2e")
NEEDS_ENGINE = frozenset({"integration", "e2e"})
NO_TESTS_COLLECTED = 5  # pytest's exit code


@dataclass(frozen=True)
class Phase:
    """One command of the checks; `group` is the word that asks for it, `ports` are those it must find free."""

    group: str
    name: str
    argv: list[str]
    ports: Mapping[str, tuple[int, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How a phase went; `seconds` of wall time."""

    name: str
    ok: bool
    seconds: float


def phases(left_out: str | None, groups: Sequence[str] = GROUPS) -> list[Phase]:
    """The phases of the groups in their order; `left_out` is the pytest marker expression that is left out, or None."""
    select = ["-m", f"not ({left_out})"] if left_out else []
    waiting = [group for group in WAITING if group in groups]
    every = [
        Phase("lint", "ruff check", [str(COMMANDS / "ruff"), "check", "-q", "."]),
        Phase("lint", "ruff format", [str(COMMANDS / "ruff"), "format", "-q", "--check", "."]),
        Phase("lint", "mypy", [str(COMMANDS / "mypy")]),
        Phase("lint", "import boundaries", [str(COMMANDS / "lint-imports"), "--no-logo"]),
        Phase("lint", "slither", [str(COMMANDS / "python"), "-m", "ops.solidity_lint"]),
        Phase("contracts", "brownie test", [str(COMMANDS / "brownie"), "test"], brownie_ports()),
        Phase("unit", "unit tests", [*PYTEST, COMPUTE, "tests/unit", *select]),
    ]
    if waiting:  # together, so that none waits for the longest file of the others
        folders = [folder for group in waiting for folder in WAITING[group]]
        every.append(Phase(waiting[0], " and ".join(waiting) + " tests", [*PYTEST, WAIT, *folders, *select]))
    return [each for each in every if each.group in groups]


def brownie_ports() -> dict[str, tuple[int, str]]:
    """The port on which Brownie starts its chain; it would take any chain that listens there for its own."""
    path = ROOT / "networks.yaml"
    networks = {each["id"]: each for each in yaml.safe_load(path.read_text())["development"]}
    port = networks["development"]["cmd_settings"]["port"]
    return {"Brownie's chain": (port, f"{path.name}: development: cmd_settings: port")}


def run_phase(phase: Phase, env: dict[str, str], *, may_be_empty: bool) -> Outcome:
    """Run one phase with its output on the terminal; Ctrl-C lets it clean up before this program ends.

    Args:
        phase: what to run.
        env: its environment.
        may_be_empty: whether it is in order that no test is left.
    """
    print(f"\n== {phase.name}", flush=True)
    started = time.monotonic()
    try:
        require_ports(phase.ports)
    except PewError as error:
        print(f"error: {error.message}\nhint:  {error.hint}", flush=True)
        return Outcome(phase.name, False, 0)
    process = subprocess.Popen(phase.argv, cwd=ROOT, env=env)
    try:
        code = process.wait()
    except KeyboardInterrupt:
        try:
            process.wait(60)
        finally:
            process.kill()
        raise
    ok = code == 0 or (may_be_empty and code == NO_TESTS_COLLECTED)
    return Outcome(phase.name, ok, time.monotonic() - started)


def tests_left_out(expression: str, env: dict[str, str], paths: Sequence[str] = TEST_FOLDERS) -> Counter[str]:
    """How many tests of each file below `paths` a pytest marker expression selects."""
    argv = [*PYTEST, "--collect-only", "-m", expression, *paths]
    listed = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, check=False).stdout
    return Counter(line.partition("::")[0] for line in listed.splitlines() if "::" in line)


def look_for_engine() -> tuple[str | None, str | None, SetupError | None]:
    """Prepare the Docker Engine.

    Returns:
        Its address, or None; the marker expression of the tests that cannot run, or None; and why.
    """
    host = None
    try:
        info, host = engine.ensure_engine()
        engine.ensure_registry()
        engine.ensure_platforms(info, host)
    except SetupError as error:
        return host, "emulation" if host else "docker or emulation", error
    return host, None, None


def look_for_bubblewrap() -> tuple[str | None, SetupError | None]:
    """Prepare bubblewrap; the marker of the tests that cannot run without, or None, and why."""
    try:
        sandbox.ensure_bubblewrap()
    except SetupError as error:
        return "bubblewrap", error
    return None, None


def left_out_is_accepted(expression: str, name: str, env: dict[str, str]) -> bool:
    """Name the tests that were left out for want of `name`; whether the environment says that this is in order."""
    switch = f"ALLOW_NO_{name.partition(' ')[0].upper()}"
    accepted = os.environ.get(switch) == "1"
    counts = tests_left_out(expression, env)
    print(f"  {'left out' if accepted else 'FAILED'}  {sum(counts.values())} tests that need {expression}:")
    for path, count in sorted(counts.items()):
        print(f"            {count:4d}  {path}")
    if not accepted:
        print(f"          prepare it as said above, or accept this with {switch}=1")
    return accepted


def check(groups: list[str]) -> int:
    """Run the phases of the groups and print the summary; 0 when all went well and nothing was left out unasked."""
    started = time.monotonic()
    path = [str(COMMANDS), str(ROOT / "node_modules" / ".bin"), os.environ.get("PATH", "")]
    # xdist's processes must list tests that are parametrized by sets in one order
    env = {**os.environ, "PATH": os.pathsep.join(path), "PYTHONUNBUFFERED": "1", "PYTHONHASHSEED": "0"}
    needed = NEEDS_ENGINE & set(groups)
    host, no_engine, trouble = look_for_engine() if needed else (None, None, None)
    no_bubblewrap, other_trouble = look_for_bubblewrap() if needed else (None, None)
    left_out = " or ".join(each for each in (no_engine, no_bubblewrap) if each) or None
    if host:
        env["DOCKER_HOST"] = host
    for error in filter(None, (trouble, other_trouble)):
        say("engine", f"{error.message}\n        {error.hint}")
    outcomes = [run_phase(each, env, may_be_empty=left_out is not None) for each in phases(left_out, groups)]

    print("\n== summary")
    for each in outcomes:
        print(f"  {'ok' if each.ok else 'FAILED':<8}{each.name:<30}{each.seconds:7.1f} s")
    failed = [each.name for each in outcomes if not each.ok]
    for expression, name in ((no_engine, "Docker Engine"), (no_bubblewrap, "bubblewrap")):
        if expression is not None and not left_out_is_accepted(expression, name, env):
            failed.append(name)
    seconds = time.monotonic() - started
    print(f"\n{'FAILED: ' + ', '.join(failed) if failed else 'All checks passed'} ({seconds:.0f} s)")
    return 1 if failed else 0


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m ops.check", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"of {', '.join(GROUPS)}; all when none is given")
    groups = parser.parse_args().groups or list(GROUPS)
    unknown = sorted(set(groups) - set(GROUPS))
    if unknown:
        raise SetupError(f"unknown group {', '.join(unknown)}", f"there are {', '.join(GROUPS)}")
    return check(groups)


if __name__ == "__main__":
    sys.exit(guarded(main))
