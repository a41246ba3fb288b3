"""`python -m benchmarks.fleet`: writes build/bench/fleet.json; `make bench-fleet`."""

from __future__ import annotations

import argparse
import importlib
import json
import sys

from ops.console import ROOT, SetupError
from poco.errors import PewError

OUT = ROOT / "build" / "bench" / "fleet.json"
PARTS = ("simulation", "radio", "replicas")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet", description=__doc__)
    parser.add_argument("--only", choices=PARTS, help="one part; the others keep their figures of the last run")
    only = parser.parse_args().only
    OUT.parent.mkdir(parents=True, exist_ok=True)
    found = json.loads(OUT.read_text()) if only and OUT.exists() else {}
    for part in PARTS if only is None else (only,):
        print(f"{part} ...", flush=True)
        found[part] = importlib.import_module(f"benchmarks.fleet.{part}").measure()
        print(f"{part}: {json.dumps(found[part])}", flush=True)
    OUT.write_text(json.dumps(found, indent=2) + "\n")
    print(f"written: {OUT.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (PewError, SetupError) as error:
        print(
            f"error: {error}\nhint: {error.hint}" if getattr(error, "hint", "") else f"error: {error}", file=sys.stderr
        )
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
