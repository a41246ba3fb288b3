"""`python -m benchmarks.scale`: writes build/bench/scale.json; `make bench-scale`.

100, 1,000 and 5,000 simulated workers, each fleet against a fresh scheduler process with tasks at a rate that grows
with the fleet; then a real worker process. Figures of a busy machine are those of that machine.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.scale import real_worker
from benchmarks.scale.figures import cpu_seconds, exponent, line, percentile, require_answered, resident_mb
from benchmarks.scale.fleet import Spec
from benchmarks.scale.ground import Demand, Ground
from benchmarks.scale.zips import result_zip
from ops.console import ROOT, SetupError
from ops.stack import Stack
from poco.errors import BadInputError, PewError
from scripts.localstack import Ports, together

OUT = ROOT / "build" / "bench" / "scale.json"
FOLDER = ROOT / "build" / "bench-scale"
SIZES = (100, 1000, 5000)
#: Processes that share the simulated workers.
FLEETS = 2
GOAL_P99_MS = 250
COMPUTE = (2.0, 6.0)
READY_SECONDS = 400


@dataclass(frozen=True, slots=True)
class Load:
    """How a fleet is measured: seconds before and while, seconds of a quiet poll, tasks a worker and minute."""

    warm_seconds: float
    #: how long polls are held
    poll_seconds: int
    seconds: float
    tasks_per_worker: float


def fleet_row(ground: Ground, size: int, load: Load) -> tuple[dict[str, float], dict[str, Any]]:
    """(the row of the file, what else is worth a line) of one size."""
    folder = ground.run_dir / f"fleet-{size}"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        if old.is_file():
            old.unlink()
    pool = ground.pool(f"{size} simulated workers")
    data = ground.run_dir / "scheduler" / f"data-{size}-{os.getpid()}"
    scheduler = ground.start_scheduler(pool, data_dir=str(data), poll_seconds=load.poll_seconds)
    content, digest = result_zip()
    (folder / "result.zip").write_bytes(content)
    names = []
    share = math.ceil(size / FLEETS)
    for number, first in enumerate(range(0, size, share)):
        name = f"fleet{number}"
        spec = Spec(
            ground.scheduler_url, ground.rpc_url, ground.chain.deployment.hub, pool, ground.chain.deployment.chain_id,
            first, min(share, size - first), COMPUTE, str(folder / "result.zip"), digest,
        )  # fmt: skip
        (folder / f"{name}.json").write_text(json.dumps(asdict(spec)))
        argv = [sys.executable, "-m", "benchmarks.scale.fleet", str(folder / f"{name}.json")]
        ground.stack.start(name, argv)
        names.append(name)
    joined = max(each["seconds"] for each in _collect(ground, folder, names, "ready", READY_SECONDS))
    demand = Demand(ground, pool, size * load.tasks_per_worker)
    demand.start()
    begin = time.monotonic() + load.warm_seconds
    part = folder / "window.part"
    part.write_text(json.dumps({"begin": begin, "end": begin + load.seconds}))
    part.rename(folder / "window.json")
    time.sleep(max(begin - time.monotonic(), 0))
    anvil = ground.stack.processes["anvil"]
    pids = {"scheduler": scheduler.pid, "anvil": anvil.pid}
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    time.sleep(max(begin + load.seconds - time.monotonic(), 0))
    cpu = {name: (cpu_seconds(pid) - before[name]) / load.seconds * 100 for name, pid in pids.items()}
    rss = resident_mb(scheduler.pid)
    seen = _collect(ground, folder, names, "result", 30)
    demand.stop()
    for name in (*names, "scheduler"):
        ground.stack.stop_process(name)
    if demand.trouble:
        raise PewError(f"the requester gave up: {demand.trouble}")
    calls = {kind: [value for each in seen for value in each[kind]] for kind in ("poll", "status", "lag")}
    p = {kind: {share: percentile(values, share) * 1000 for share in (0.5, 0.99)} for kind, values in calls.items()}
    finished = sum(each["finished"] for each in seen)
    kinds = [kind for kind in ("poll", "status") if calls[kind]]
    if not kinds:
        raise PewError("nothing was answered while it was measured", hint="measure longer (--seconds)")
    row = {
        "p50_ms": round(max(p[kind][0.5] for kind in kinds), 1),
        "p99_ms": round(max(p[kind][0.99] for kind in kinds), 1),
        "cpu_pct": round(cpu["scheduler"], 1),
        "rss_mb": round(rss, 1),
        "tasks_per_min": round(finished / load.seconds * 60, 1),
    }
    errors: dict[str, int] = {}
    for each in seen:
        for what, count in each["errors"].items():
            errors[what] = errors.get(what, 0) + count
    require_answered(errors, sum(len(calls[kind]) for kind in kinds))
    more = {
        "latency": p, "count": {kind: len(values) for kind, values in calls.items()}, "joined_s": joined,
        "anvil_pct": cpu["anvil"], "clients_pct": sum(each["cpu_s"] for each in seen) / load.seconds * 100,
        "errors": errors, "ordered": demand.ordered, "untimed": sum(each["untimed"] for each in seen),
    }  # fmt: skip
    return row, more


def _collect(ground: Ground, folder: Path, names: list[str], kind: str, timeout: float) -> list[dict[str, Any]]:
    paths = [folder / f"{name}.{kind}.json" for name in names]
    end = time.monotonic() + timeout
    while not all(path.exists() for path in paths):
        gone = [name for name in names if not ground.stack.processes[name].alive]
        if (gone and not all(path.exists() for path in paths)) or time.monotonic() > end:
            said = ground.stack.processes[(gone or names)[0]].last_lines()
            raise PewError(f"simulated workers are not {kind}\n{said}", hint=f"see the logs in {ground.stack.logs}")
        time.sleep(0.1)
    return [json.loads(path.read_text()) for path in paths]


def tell(size: int, row: dict[str, float], more: dict[str, Any]) -> None:
    """A fleet's figures for people."""
    print(f"{size} workers: {row}")
    for kind in ("poll", "status"):
        p = more["latency"][kind]
        print(f"  {kind:<6} p50 {p[0.5]:7.1f} ms  p99 {p[0.99]:7.1f} ms  of {more['count'][kind]}")
    lag = more["latency"]["lag"]
    print(
        f"  the clients take {more['clients_pct']:.0f} % of a core beside the scheduler's {row['cpu_pct']:.0f} % and "
        f"Anvil's {more['anvil_pct']:.0f} %; "
        f"their own loops are late by {lag[0.5]:.1f} ms (p50), {lag[0.99]:.1f} ms (p99)"
    )
    print(f"  logged in and registered in {more['joined_s']:.1f} s; {more['ordered']} tasks ordered", flush=True)
    if more["errors"] or more["untimed"]:
        print(f"  not as wanted: {more['errors']}; {more['untimed']} polls without timing")


def tell_growth(rows: dict[str, dict[str, float]]) -> None:
    """How each figure grows with the fleet: exponent of a power law, and the straight line."""
    sizes = [float(size) for size in rows]
    if len(sizes) < 2:
        return
    print("growth with the number of workers n: value ~ n^b (b = 1 is linear), and base + slope x 1,000 workers")
    for name in next(iter(rows.values())):
        values = [row[name] for row in rows.values()]
        base, slope = line(sizes, values)
        print(f"  {name:<14} b = {exponent(sizes, values):5.2f}   {base:9.2f} + {slope * 1000:8.2f}")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Everything; the content of the file."""
    load = Load(options.warm, options.poll_seconds, options.seconds, options.tasks_per_worker)
    rows = {}
    ports = Ports(*range(options.port, options.port + 4)) if options.port else Ports.free()
    with Stack(options.dir, say=print) as stack:
        ground = Ground(stack, ports)
        together(ground.start_chain)
        ground.prepare(max(options.sizes))
        for size in options.sizes:
            row, more = fleet_row(ground, size, load)
            tell(size, row, more)
            rows[str(size)] = row
        tell_growth(rows)
        costs = real_worker.measure(ground, idle_seconds=options.idle_seconds, tasks=options.tasks)
    worst = max(row["p99_ms"] for row in rows.values())
    print(f"p99 at most {worst:.0f} ms (goal {GOAL_P99_MS}); real worker: {costs}")
    worker = {name: value for name, value in asdict(costs).items() if name != "overhead_s"}
    return {"scheduler": rows, "worker": worker, "overhead_s": costs.overhead_s}


def main(words: list[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="fleets; default: all three")
    parser.add_argument("--warm", type=float, default=30, help="seconds before a fleet is measured; default: 30")
    parser.add_argument("--seconds", type=float, default=60, help="seconds that each fleet is measured; default: 60")
    parser.add_argument(
        "--tasks-per-worker", type=float, default=0.05, help="tasks ordered a worker and minute; default: 0.05"
    )
    parser.add_argument("--poll-seconds", type=int, default=20, help="how long a poll is held; default: 20")
    parser.add_argument("--idle-seconds", type=float, default=30, help="of the real worker; default: 30")
    parser.add_argument("--tasks", type=int, default=5, help="of the real worker; default: 5")
    parser.add_argument("--port", type=int, default=0, help="first of four ports; default: free ones")
    parser.add_argument("--dir", type=Path, default=FOLDER, help="default: build/bench-scale")
    parser.add_argument("--output", type=Path, default=OUT, help="default: build/bench/scale.json")
    options = parser.parse_args(words)
    try:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard != resource.RLIM_INFINITY and hard < max(options.sizes) + 1000:
            raise BadInputError(
                f"a process may open {hard} files here, {max(options.sizes) + 1000} are needed",
                hint="raise the hard limit (ulimit -Hn) or ask for fewer workers (--sizes)",
            )
        content = run(options)
    except (PewError, SetupError) as error:
        print(f"error: {error.message}\nhint:  {error.hint}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(content, indent=2) + "\n")
    print(f"wrote {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
