"""The whole chain of work on this machine: `make demo`, `python -m scripts.demo` or `brownie run demo`.

A requester orders motion detection on real camera footage; three solar-powered workers of different architectures do
it, agree, reveal and are paid; the requester downloads and verifies the result. All figures are read back from the
chain, the meters and the files. Nothing is left running, whatever happens.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ops.console import ROOT

PORTS = {"chain": 18545, "registry": 18500, "scheduler": 18300, "files": 18400}


def run(options: argparse.Namespace) -> int:
    """Run the demo; returns the exit code."""
    try:  # what is imported here takes seconds, and Ctrl-C may come in any of them
        from scripts.demo_run import perform
        from scripts.localstack import Ports

        ports = Ports(**{name: getattr(options, f"{name}_port") for name in PORTS})
        return perform(options.dir, ports, options.trust, _set_up_seconds())
    except KeyboardInterrupt:
        print("error: interrupted\nhint:  nothing was started; run it again", file=sys.stderr)
        return 130


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """The options; ports can also be set by environment variables."""
    parser = argparse.ArgumentParser(prog="python -m scripts.demo", description=(__doc__ or "").splitlines()[0])
    for name, default in PORTS.items():
        variable = f"PEW_DEMO_{name.upper()}_PORT"
        value = os.environ.get(variable, default)
        parser.add_argument(f"--{name}-port", type=int, default=value, help=f"default: %(default)s; or {variable}")
    parser.add_argument("--dir", type=Path, default=ROOT / "build" / "demo", help="default: build/demo")
    parser.add_argument("--trust", type=int, default=5, help="what the requester asks for; default: %(default)s")
    options = parser.parse_args(words)
    if not 3 <= options.trust <= 8:
        parser.error("--trust is 3 or 4 for two of the three workers, 5 to 8 for all")
    return options


def main() -> None:
    """For Brownie: `brownie run demo`."""
    code = run(arguments([]))
    if code:
        raise SystemExit(code)


def _set_up_seconds() -> float:
    """What `make demo` did before this program, by the instant it began (PEW_STARTED, Unix seconds)."""
    try:
        return max(time.time() - float(os.environ["PEW_STARTED"]), 0.0)
    except (KeyError, ValueError):
        return 0.0


if __name__ == "__main__":
    sys.exit(run(arguments(sys.argv[1:])))
