"""iExec's own client against our contracts and services, and our services on iExec's own contracts: `make interop`.

Prints a table per command and per step, writes build/bench/interop.json; exit code 1 where something does not work.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ops.console import ROOT
from ops.stack import Stack
from poco.errors import PewError
from scripts.localstack import Ports
from sdk.progress import Progress
from tests.interop import commands, library, nine, real, work
from tests.interop.journey import Journey, Step
from tests.interop.scene import Scene

OUTPUT = ROOT / "build" / "bench" / "interop.json"


def official_client(folder: Path, progress: Progress, only: str | None) -> dict[str, dict[str, dict[str, Any]]]:
    """Every command of both lines, in its order; what a failed one leaves undone fails the ones that need it."""
    with Stack(folder, say=progress.say) as stack:
        scene = Scene(stack, Ports.free(), progress)
        scene.open()
        eight, nine_ = scene.journey(), scene.journey("client9", "template of 9")
        steps = {**commands.STEPS, **work.STEPS, **library.STEPS}
        found = {"official_client": _rows(steps, eight, progress, only, "iexec 8")}
        nine_.known |= {name: eight.known[name] for name in ("deal", "task") if name in eight.known}
        found["official_client_9"] = _rows(nine.STEPS, nine_, progress, only, "iexec 9")
        return found


def _rows(
    steps: Mapping[str, Step], journey: Journey, progress: Progress, only: str | None, client: str
) -> dict[str, dict[str, Any]]:
    chosen = {name: step for name, step in steps.items() if only is None or only in name}
    return {name: _row(f"{client}: {name}", step, journey, progress) for name, step in chosen.items()}


def _row(name: str, step: Step, journey: Journey, progress: Progress) -> dict[str, Any]:
    started = time.monotonic()
    try:
        outcome = step(journey)
        ok, seconds, error = outcome.ok, outcome.seconds, outcome.error
        said = str(outcome.said.get("refused", ""))
    except Exception as problem:  # whatever it is, the other rows are still run
        ok, seconds, error, said = False, time.monotonic() - started, f"{type(problem).__name__}: {problem}", ""
    words = f": {error[:300]}" if not ok else f": refused: {said[:160]}" if said else ""
    progress.say(f"{'ok    ' if ok else 'FAILED'} {seconds:6.1f} s  {name}{words}")
    row: dict[str, Any] = {"ok": ok, "seconds": round(seconds, 1)}
    return row | ({"refused": said[:500]} if said else {}) | ({} if ok else {"error": error[:500]})


def report(found: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """What is written: of each command its row, of each step on the original whether it works, and its row apart."""
    if "real_poco" not in found:
        return dict(found)
    steps = {name: row["ok"] for name, row in found["real_poco"].items()}
    return {**found, "real_poco": steps, "real_poco_rows": found["real_poco"]}


def main(words: list[str] | None = None) -> int:
    """Run both parts; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.interop", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=("client", "poco"), help="one of the two parts")
    parser.add_argument("--command", help="only commands with this in their name")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="default: build/bench/interop.json")
    options = parser.parse_args(words)
    progress = Progress(sys.stdout)
    found: dict[str, Mapping[str, Mapping[str, Any]]] = {}
    try:
        if options.only != "poco":
            folder = ROOT / "build" / "interop" / "client"
            found |= official_client(folder, progress, options.command)
        if options.only != "client":
            found["real_poco"] = real.run(ROOT / "build" / "interop" / "poco", progress)
    except PewError as error:
        print(f"error: {error.message}\nhint:  {error.hint}", file=sys.stderr)
        return error.exit_code
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(report(found), indent=2) + "\n")
    failed = [f"{part}: {name}" for part, rows in found.items() for name, row in rows.items() if not row["ok"]]
    count = sum(len(rows) for rows in found.values())
    print(f"{count - len(failed)} of {count} work; written: {options.output}")
    for name in failed:
        print(f"  FAILED  {name}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
