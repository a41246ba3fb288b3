"""`python -m benchmarks.energy`: the contest, and forecasts against each other; writes build/bench/energy.json."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.energy import ours
from benchmarks.energy.bound import lp_bound
from benchmarks.energy.contest import (
    STEPS_PER_DAY,
    SYSTEMS,
    Outcome,
    Policy,
    Site,
    System,
    make_offers,
    simulate,
)
from benchmarks.energy.forecasts import compare
from benchmarks.energy.oracle import Oracle
from benchmarks.energy.records import load_sites
from benchmarks.energy.rivals import (
    AcceptAll,
    BidCurve,
    Budget,
    Rival,
    Threshold,
    bid_candidates,
    threshold_candidates,
)
from poco.errors import PewError

OUT = Path("build/bench/energy.json")
_TUNING_SEED = 100
_CANDIDATES = 40
_QUICK_STEPS = 60 * STEPS_PER_DAY


class SensesOnly(Rival):
    """Takes nothing and stays up while it can: what uptime the place allows at all."""

    name = "sensing only"

    def accept(self, _step: int, _soc: Any, _expected: Any, _price: Any, asked: Any) -> Any:
        return np.zeros_like(asked)

    def rest(self, _step: int, soc: Any, asked: Any) -> Any:
        return self._hysteresis(soc, 0.12, 0.14, asked)


def run(system: System, site: Site, seeds: tuple[int, ...], with_bound: bool) -> list[dict[str, Any]]:
    """Rows of one device at one place: every policy under every stream of offers."""
    lanes, stream = len(seeds), np.arange(len(seeds))
    offers, training = make_offers(len(site), seeds), make_offers(len(site), (_TUNING_SEED,))
    gates, oracle = ours.Gates(lanes), Oracle(lanes, naps=False)
    fair = simulate(system, site, offers, oracle, stream)
    bounds = [lp_bound(system, site, offers, lane) if with_bound else None for lane in range(lanes)]

    def repeated(parameters: Any) -> Any:
        return np.repeat(np.atleast_2d(parameters), lanes, axis=0)

    def tuned(kind: type[Threshold] | type[BidCurve], candidates: Any) -> Any:
        """The best for this very year and device, found under other offers."""
        tried = simulate(system, site, training, kind("", candidates), np.zeros(len(candidates), np.int64))
        return repeated(candidates[int(np.argmax(tried.score))])

    bids = bid_candidates(_CANDIDATES)
    blind = bids * (0.0, 1.0, 1.0, 1.0)
    policies: list[Policy] = [
        AcceptAll(lanes),
        SensesOnly(lanes),
        Threshold("threshold 50 %", repeated((0.5, 0.2, 0.3, 0.0))),
        Threshold("threshold with price floor, tuned", tuned(Threshold, threshold_candidates(_CANDIDATES))),
        Budget(lanes),
        BidCurve("bid curve, tuned", tuned(BidCurve, blind)),
        BidCurve("bid curve with clear-sky blend, tuned", tuned(BidCurve, bids)),
        Oracle(lanes, naps=True),
        gates,
    ]
    rows = list(_rows(oracle.name, system, site, seeds, fair, fair, bounds, None))
    for policy in policies:
        outcome = simulate(system, site, offers, policy, stream)
        times = gates.decision_ms if policy is gates else None
        rows += _rows(policy.name, system, site, seeds, outcome, fair, bounds, times)
    return rows


def _rows(  # noqa: PLR0917
    policy: str,
    system: System,
    site: Site,
    seeds: tuple[int, ...],
    outcome: Outcome,
    fair: Outcome,
    bounds: list[float | None],
    times: list[list[float]] | None,
) -> Iterator[dict[str, Any]]:
    for lane, seed in enumerate(seeds):
        bound = bounds[lane]
        score = float(outcome.score[lane])
        yield {
            "policy": policy,
            "site": site.name,
            "system": system.name,
            "seed": seed,
            "score": round(score, 2),
            "of_sun_oracle": round(score / float(fair.score[lane]), 4),
            "of_lp_bound": None if bound is None else round(score / bound, 4),
            "brown_outs": int(outcome.brown_outs[lane]),
            "tasks_lost": int(outcome.tasks_lost[lane]),
            "tasks_done": int(outcome.tasks_done[lane]),
            "iot_uptime": round(float(outcome.iot_uptime[lane]), 4),
            "net_wh": round(float(outcome.harvested_wh[lane] - outcome.consumed_wh[lane]), 1),
            "min_soc": round(float(outcome.min_soc[lane]), 4),
            "wakes": int(outcome.wakes[lane]),
            "full_cycles": round(float(outcome.cycles[lane]), 1),
            "harvest_over_need": round(float(site.panel_w.mean()) * system.panel_wp / system.idle_w, 2),
            "decision_ms_p99": None if times is None else round(float(np.percentile(times[lane], 99)), 3),
        }


def summary(rows: list[dict[str, Any]]) -> list[str]:
    """One line a policy: mean and worst share of the oracle, what went wrong, uptime."""
    lines = [f"{'policy':40s} {'mean':>6s} {'worst':>6s} {'brown-outs':>10s} {'lost':>6s} {'up':>5s}"]
    for policy in dict.fromkeys(row["policy"] for row in rows):
        mine = [row for row in rows if row["policy"] == policy]
        share = [row["of_sun_oracle"] for row in mine]
        browns, lost = (sum(row[key] for row in mine) for key in ("brown_outs", "tasks_lost"))
        up = sum(row["iot_uptime"] for row in mine) / len(mine)
        lines.append(f"{policy:40s} {sum(share) / len(share):6.3f} {min(share):6.3f} {browns:10d} {lost:6d} {up:5.2f}")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.energy", description=__doc__)
    parser.add_argument("--records", type=Path, help="folder of records; default: the typical years that pvlib carries")
    parser.add_argument("--sites", nargs="+", help="only sites whose name begins so")
    parser.add_argument("--years", type=int, default=1, help="at most so many years of a site (default 1; 0 = all)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5], help="streams of offers")
    parser.add_argument("--lp", action="store_true", help="also the clairvoyant bound (minutes a row)")
    parser.add_argument("--quick", action="store_true", help="sixty days and two streams of offers")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    began = time.monotonic()
    try:
        sites = load_sites(options.records, years=options.years or None)
    except PewError as error:
        print(f"error: {error}\nhint: {error.hint}", file=sys.stderr)
        return 2
    if options.sites:
        sites = [site for site in sites if site.name.startswith(tuple(options.sites))]
    if not sites:
        print("error: no such site\nhint: leave --sites out", file=sys.stderr)
        return 2
    seeds = tuple(options.seeds)
    if options.quick:
        seeds, sites = seeds[:2], [_shortened(site) for site in sites]
    rows: list[dict[str, Any]] = []
    forecasts: list[dict[str, Any]] = []
    with ProcessPoolExecutor(options.jobs) as pool:
        runs = [pool.submit(run, system, site, seeds, options.lp) for site in sites for system in SYSTEMS.values()]
        compared = pool.map(partial(compare, every=2), sites)
        for future in runs:
            done = future.result()
            rows += done
            mine = [row for row in done if row["policy"] == ours.NAME]
            shares = " ".join(f"{row['of_sun_oracle']:.3f}" for row in mine)
            print(f"{mine[0]['site']:24s} {mine[0]['system']:16s} {shares}", flush=True)
        for each in compared:
            forecasts += each
    options.out.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"rows": rows, "ours": ours.NAME, "forecast": forecasts, "quick": options.quick}, indent=1)
    options.out.write_text(text + "\n")
    print(*summary(rows), sep="\n")
    for horizon in dict.fromkeys(row["horizon"] for row in forecasts):
        means = {
            method: np.mean([r["nmae"] for r in forecasts if (r["method"], r["horizon"]) == (method, horizon)])
            for method in dict.fromkeys(row["method"] for row in forecasts)
        }
        print(f"forecast {horizon}: " + ", ".join(f"{method} {mean:.1%}" for method, mean in means.items()))
    print(f"{options.out} in {time.monotonic() - began:.0f} s")
    return 0


def _shortened(site: Site) -> Site:
    part = slice(0, min(len(site), _QUICK_STEPS))
    arrays = site.panel_w[part], site.clear_w[part], site.temperature_c[part]
    return Site(site.name, site.latitude, site.longitude, site.start, *arrays)


if __name__ == "__main__":
    sys.exit(main())
