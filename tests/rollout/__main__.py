"""The way to a testnet rehearsed with everything that goes wrong there: `make rollout-rehearsal`.

Writes build/bench/rollout.json: `{faults: {name: survived}, deployed_twice, steps: {name: ok}, seconds}`; exit code 1
where a fault was not survived, a step does not work or anything was deployed twice.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ops.console import ROOT
from ops.stack import Stack
from poco.errors import PewError
from tests.rollout import journey
from tests.rollout.faults import FAULTS
from tests.rollout.rig import CREATIONS, Rig

OUTPUT = ROOT / "build" / "bench" / "rollout.json"
RUN = ROOT / "build" / "rollout"


class Report:
    """What is written; lines are printed as they come."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.rows: dict[str, dict[str, bool]] = {"faults": {}, "steps": {}}
        self.errors: dict[str, str] = {}
        self.twice = 0
        self._lock = threading.Lock()

    def try_(self, kind: str, name: str, act: Callable[[], None]) -> None:
        """Run something; whatever it raises, the others are still run."""
        began, error = time.monotonic(), ""
        try:
            act()
        except Exception as problem:
            error = f"{type(problem).__name__}: {problem}"
        with self._lock:
            self.rows[kind][name] = not error
            if error:
                self.errors[name] = error[:1500]
            words = f": {error[:400]}" if error else ""
            print(f"{'FAILED' if error else 'ok    '} {time.monotonic() - began:6.1f} s  {name}{words}", flush=True)

    def content(self) -> dict[str, Any]:
        rest = {"deployed_twice": self.twice, "seconds": round(time.monotonic() - self.started, 1)}
        return {**self.rows, **rest} | ({"errors": self.errors} if self.errors else {})

    @property
    def good(self) -> bool:
        return not self.errors and not self.twice and any(self.rows.values())


def fault(stack: Stack, report: Report, number: int, name: str) -> None:
    """One fault on a chain of its own."""
    rig = Rig(stack, f"fault-{number}")

    def act() -> None:
        try:
            FAULTS[name](rig)
        finally:
            report.twice += max(0, rig.sent()[0] - CREATIONS)

    report.try_("faults", name, act)
    rig.close()
    stack.stop_process(f"fault-{number}")


def main(words: list[str] | None = None) -> int:
    """Run it; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.rollout", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="faults and steps with this in their name")
    parser.add_argument("--at-once", type=int, default=4, help="so many side by side (default: %(default)s)")
    options = parser.parse_args(words)
    report = Report()
    try:
        with Stack(RUN) as stack:
            jobs: list[Callable[[], None]] = [
                lambda name=name, step=step: report.try_("steps", name, lambda: step(stack))  # type: ignore[misc]
                for name, step in journey.STEPS.items()
                if options.only in name
            ]
            jobs += [
                lambda number=number, name=name: fault(stack, report, number, name)  # type: ignore[misc]
                for number, name in enumerate(FAULTS)
                if options.only in name
            ]
            with ThreadPoolExecutor(options.at_once) as pool:
                list(pool.map(lambda job: job(), jobs))
    except PewError as error:
        print(f"error: {error.message}\nhint:  {error.hint}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps(report.content(), indent=2) + "\n")
    print(f"{'all survived' if report.good else 'NOT all survived'}, {report.twice} deployed twice; {OUTPUT}")
    return 0 if report.good else 1


if __name__ == "__main__":
    sys.exit(main())
