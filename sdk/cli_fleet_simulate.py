"""`pew fleet simulate`: a fleet on virtual time, before it is bought."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from poco.errors import BadInputError
from sdk.cli_common import Settings, json_option

_FILE = click.Path(path_type=Path)


@click.command("simulate")
@click.option("--scenario", type=_FILE, help="YAML with any of the settings; options come before it.")
@click.option("--workers", type=int, help="How many.  [default: 100]")
@click.option("--days", type=float, help="How long.  [default: 30]")
@click.option("--site", multiple=True, help="RECORD, LATITUDE,LONGITUDE or LATITUDE,LONGITUDE=RECORD; may be repeated.")
@click.option("--start", help="First instant, in the record's local time.  [default: 2001-03-21T00:00]")
@click.option("--board", help="pi-zero-2w, pi-3b+, pi-4b or pi-5.  [default: pi-4b]")
@click.option("--panel", type=float, help="Wp of each worker.  [default: 60]")
@click.option("--battery", type=float, help="Wh of each worker.  [default: 256]")
@click.option("--tasks-per-day", type=float, help="What is ordered of the whole pool, at random.  [default: 100]")
@click.option("--category", type=click.Choice(["XS", "S", "M", "L", "XL"]), help="Of the tasks.  [default: S]")
@click.option("--run-seconds", type=float, help="Median of what a task computes.  [default: half of its category]")
@click.option("--trust", type=int, help="Of the tasks.  [default: 1]")
@click.option("--reward", help="RLC for a task.  [default: 0.1]")
@click.option("--orders", type=_FILE, help="CSV of orders in place of random ones.")
@click.option("--gas", help="RLC that a worker pays for one task's transactions.  [default: 0]")
@click.option("--plan", is_flag=True, help="Workers plan what their energy is worth (slower).")
@click.option("--seed", type=int, help="Another seed, other orders.  [default: 1]")
@click.option("--panels", help="Wp of several panels, like 5,10,20: find the smallest pool for each.")
@click.option("--most", type=int, help="No pool of that search is larger.  [default: 500]")
@click.option("--plots", type=_FILE, help="Folder for pictures (SVG).")
@json_option
@click.pass_obj
def simulate(settings: Settings, /, **asked: Any) -> None:
    """Let a fleet live through weeks of recorded sun in minutes: tasks, rewards, brown-outs, latency, energy.

    The scheduler's core, its matcher, the workers' core and their energy gate are those that run in production. With
    --panels the answer is how many workers a load needs. docs/how-to/size-a-fleet.md has the settings of --scenario.

    \b
    Examples:
      pew fleet simulate --workers 50 --days 14 --tasks-per-day 400
      pew fleet simulate --site 48.1,11.6 --panel 20 --battery 100 --plots pictures
      pew fleet simulate --tasks-per-day 200 --panels 10,20,40 --battery 100
    """
    if find_spec("simulator") is None or find_spec("worker") is None or find_spec("scheduler") is None:
        raise BadInputError(
            "the simulator is not installed beside this pew", hint="install the whole project", code="NOT_INSTALLED"
        )
    words: list[str] = ["--json"] if settings.json else []
    for name, value in asked.items():
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            words.append(flag)
        elif value not in (None, False, ()):
            words += [f"{flag}={each}" for each in (value if isinstance(value, tuple) else (value,))]
    sys.stdout.flush()
    sys.stderr.flush()
    # the program takes this process's place: signals, terminal and exit code are its own
    os.execv(sys.executable, [sys.executable, "-m", "simulator", *words])  # noqa: S606  (a module of ours, no shell)
