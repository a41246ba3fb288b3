"""The figures for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from poco import amounts
from simulator.search import Answer


def lines(result: Mapping[str, Any]) -> list[str]:
    """A run, a line for each subject."""
    tasks, money, energy, latency = result["tasks"], result["money"], result["energy"], result["latency"]
    machine, share, per = result["machine"], tasks["in_time"], result["money"]["per_worker"]
    said = [
        f"{result['workers']} workers ({machine['board']}, {machine['panel_wp']:g} Wp, {machine['battery_wh']:g} Wh), "
        f"{result['days']:g} days, seed {result['seed']}",
        f"tasks     {tasks['ordered']:,} ordered: {tasks['finished']:,} finished, {tasks['failed']:,} failed, "
        f"{tasks['open']:,} open; {'-' if share is None else f'{share:.2%}'} of those that ended in time",
        f"declined  {_counts(tasks['declined'])} ({tasks['offers']:,} offers)",
        f"latency   p50 {duration(latency['p50'])}, p99 {duration(latency['p99'])} from order to finalized",
        f"rewards   {_rlc(money['rewards'])} to workers; each {_rlc(per['mean'])} "
        f"(least {_rlc(per['min'])}, median {_rlc(per['p50'])}, most {_rlc(per['max'])}); "
        f"stakes lost {_rlc(money['stakes_lost'])}; gas {_rlc(money['gas'])}",
        f"energy    {_kwh(energy['harvested_wh'])} harvested, {_kwh(energy['consumed_wh'])} used, "
        f"{_kwh(energy['wasted_wh'])} of the sun not taken, {_kwh(energy['lost_wh'])} lost in batteries; "
        f"{'-' if energy['per_task_wh'] is None else format(energy['per_task_wh'], '.1f')} Wh a task",
        f"power     {energy['brown_outs']:,} brown-outs, {energy['wakes']:,} wake-ups",
        "time      " + ", ".join(f"{share:.1%} {state}" for state, share in result["time"].items()),
    ]
    ended = tasks["replicates_ended"]
    if ended:
        said.append(f"replicates that ended without a result: {_counts(ended)}")
    if "run" in result:
        run = result["run"]
        said.append(f"simulated in {run['seconds']:.1f} s, {run['rss_mb']:.0f} MB")
    return said


def answer_line(answer: Answer) -> str:
    """One panel of a search."""
    best = next((trial for trial in answer.trials if trial.workers == answer.workers), None)
    if best is None:
        return f"{answer.panel_wp:6g} Wp  none: {answer.why}"
    share = "no task" if best.in_time is None else f"{best.in_time:.2%} in time"
    size = f"{best.workers} worker{'s'[: best.workers > 1]}"
    return f"{answer.panel_wp:6g} Wp  {size}: {share}, p99 {duration(best.p99_seconds)}, no brown-out"


def duration(seconds: float | None) -> str:
    """Seconds for people; `-` for none."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items(), key=lambda i: -i[1])) or "none"


def _rlc(nrlc: float) -> str:
    return amounts.show(round(nrlc))


def _kwh(wh: float) -> str:
    return f"{wh / 1000:,.1f} kWh"
