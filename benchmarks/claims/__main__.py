"""`python -m benchmarks.claims`: writes build/bench/claims.json; `make test-claims`.

100,000 tasks are given to the workers of four scheduler processes on one PostgreSQL, then as many to those of one
process on SQLite, while processes are killed and started again. Each task must reach exactly one worker.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys

from benchmarks.claims.campaign import Campaign, Outcome, Plan
from ops.console import ROOT, SetupError, say
from ops.postgres import start_postgres
from ops.stack import Stack
from poco.errors import PewError

OUT = ROOT / "build" / "bench" / "claims.json"
FOLDER = ROOT / "build" / "claims"


def main() -> int:
    """Exit code 1 where a task was given twice, or to nobody."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.claims", description=__doc__)
    parser.add_argument("--claims", type=int, default=100_000, help="on each database (100,000)")
    parser.add_argument("--kills", type=int, default=20, help="of scheduler processes, on each database (20)")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    shutil.rmtree(FOLDER, ignore_errors=True)
    found: dict[str, Outcome] = {}
    try:
        with Stack(FOLDER) as stack:
            server = start_postgres(stack)
            for name, database, processes in (
                ("postgresql", server.create("claims"), 4),
                ("sqlite", str(FOLDER / "claims.db"), 1),
            ):
                plan = Plan(given.claims, processes, 800 // processes, given.kills, given.seed, 60 + given.claims / 10)
                say("claims", f"{plan.claims} on {name}, {processes} processes, {plan.kills} kills")
                found[name] = Campaign(stack, database, FOLDER / name, plan).run()
                say("claims", json.dumps(found[name].as_json()))
                OUT.parent.mkdir(parents=True, exist_ok=True)
                OUT.write_text(json.dumps({key: one.as_json() for key, one in found.items()}, indent=2) + "\n")
    except (SetupError, PewError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0 if all(one.ok for one in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
