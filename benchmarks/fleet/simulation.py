"""The simulator at full size: a thousand workers for a month, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from ops.console import ROOT
from poco.errors import PewError

WORKERS, DAYS = 1000, 30
#: A task for each worker every eight hours, some of them of several votes.
SCENARIO = """
workers: {workers}
days: {days}
sites:
  - {{skies: 8, spread_days: 20}}
  - {{record: pvlib:703165TY.csv, skies: 4}}
machine: {{board: pi-4b, panel_wp: 60, battery_wh: 256}}
work:
  tasks_per_day: {tasks}
  kinds: [{{share: 9, category: S}}, {{share: 1, category: S, trust: 5}}]
"""


def measure(workers: int = WORKERS, days: float = DAYS) -> dict[str, Any]:
    """Simulate the fleet once.

    Returns:
        `workers`, `days`; `seconds` of wall time with the start of the program; `rss_mb`, the most that it held;
        `ordered`, `finished`, `in_time` and `brown_outs`, so that a run that does nothing is seen.

    Raises:
        PewError: it failed.
    """
    folder = ROOT / "build" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "simulation.yaml"
    file.write_text(SCENARIO.format(workers=workers, days=days, tasks=3 * workers))
    argv = [sys.executable, "-m", "simulator", "--scenario", str(file), "--json"]
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=False, cwd=ROOT, timeout=7200)
    if done.returncode:
        raise PewError(f"the simulator ended with {done.returncode}", hint="its own words stand above")
    result = json.loads(done.stdout)
    return {
        "workers": workers,
        "days": days,
        "seconds": result["run"]["seconds"],
        "rss_mb": result["run"]["rss_mb"],
        "tasks": result["tasks"]["ordered"],
        "finished": result["tasks"]["finished"],
        "in_time": result["tasks"]["in_time"],
        "brown_outs": result["energy"]["brown_outs"],
    }
