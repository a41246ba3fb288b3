"""Forecasts of the harvest against each other: ours, EWMA, WCMA and Pro-Energy, on uncurtailed years.

nMAE is the sum of absolute errors of the energy over the horizon over the sum of that energy, from the twenty-first day
on. Sources: EWMA, Kansal et al. 2007; WCMA, Recas Piorno et al. 2009; Pro-Energy, Cammarano et al. 2012.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.energy.contest import STEP_S, STEPS_PER_DAY, Floats, Site
from benchmarks.energy.ours import panel_of
from benchmarks.energy.rivals import Ewma
from worker.energy.forecast import Forecaster

#: Horizon in words -> steps ahead, steps between two forecasts.
HORIZONS = {"30 min": (2, 1), "24 h": (96, 4)}
_WARM_UP = 20 * STEPS_PER_DAY
_WCMA_DAYS, _WCMA_SLOTS, _WCMA_WEIGHT = 4, 12, 0.7
_PRO_DAYS, _PRO_SLOTS, _PRO_PROFILES, _PRO_WEIGHT = 20, 12, 3, 0.5


def wcma(history: Floats, steps: int) -> Floats:
    """Mean of the last days, scaled by how the last slots compare with theirs; the first slot leans on the last."""
    mean = history[-_WCMA_DAYS * STEPS_PER_DAY :].reshape(_WCMA_DAYS, STEPS_PER_DAY).mean(axis=0)
    usual, past = mean[-_WCMA_SLOTS:], history[-_WCMA_SLOTS:]
    bright = usual > 0.02 * max(float(mean.max()), 1e-6)
    gap = 1.0
    if bright.any():
        weights = np.arange(1, _WCMA_SLOTS + 1)[bright]
        gap = float((weights * np.clip(past[bright] / usual[bright], 0.0, 3.0)).sum() / weights.sum())
    fade = np.exp(-np.arange(steps) / 24.0)
    ahead = mean[:steps] * (gap * fade + 1.0 - fade)
    ahead[0] = _WCMA_WEIGHT * history[-1] + (1.0 - _WCMA_WEIGHT) * mean[0] * gap if mean[0] > 0.0 else 0.0
    return np.asarray(ahead)


def pro_energy(history: Floats, steps: int) -> Floats:
    """The days most like the last hours, weighted by likeness, blended with the last slot."""
    days = min(_PRO_DAYS, len(history) // STEPS_PER_DAY - 1)
    ends = len(history) - STEPS_PER_DAY * np.arange(days)
    windows = np.stack([history[end - STEPS_PER_DAY - _PRO_SLOTS : end] for end in ends])
    apart = np.abs(windows[:, :_PRO_SLOTS] - history[-_PRO_SLOTS:]).mean(axis=1)
    best = np.argsort(apart)[:_PRO_PROFILES]
    likeness = 1.0 - apart[best] / max(float(apart[best].sum()), 1e-9)
    profile = (likeness / likeness.sum()) @ windows[best][:, _PRO_SLOTS : _PRO_SLOTS + steps]
    last = history[-1]
    if last <= 0.0 < profile[0]:
        return np.asarray(profile)
    blend = _PRO_WEIGHT * np.exp(-np.arange(steps) / 8.0)
    return np.asarray((1.0 - blend) * profile + blend * last)


def compare(site: Site, *, every: int = 1) -> list[dict[str, Any]]:
    """Rows `{method, site, horizon, nmae}`, and for ours `below_low`: how often the harvest of the first quarter hour
    stays below what nine in ten should exceed."""
    power = site.panel_w
    energy = np.concatenate([[0.0], np.cumsum(power)])
    clear = np.concatenate([[0.0], np.cumsum(site.clear_w)])
    forecaster = Forecaster(panel_of(site, 1.0))
    ewma = Ewma(site.clear_w[:STEPS_PER_DAY].copy())
    errors: dict[tuple[str, str], float] = {}
    actual = dict.fromkeys(HORIZONS, 0.0)
    below = asked = 0
    for step in range(len(power) - STEPS_PER_DAY):
        if step >= _WARM_UP:
            for horizon, (steps, stride) in HORIZONS.items():
                if step % (stride * every) or clear[step + steps] <= clear[step]:
                    continue
                truth = float(energy[step + steps] - energy[step])
                actual[horizon] += truth
                ours = forecaster.forecast(site.start + step * STEP_S, hours=steps / 4.0)
                if horizon == "30 min":
                    asked += 1
                    below += power[step] < ours.low_w[0]
                for method, ahead in (
                    ("ours", sum(ours.mean_w)),
                    ("EWMA", ewma.day_ahead(step)[:steps].sum()),
                    ("WCMA", wcma(power[:step], steps).sum()),
                    ("Pro-Energy", pro_energy(power[:step], steps).sum()),
                ):
                    key = (method, horizon)
                    errors[key] = errors.get(key, 0.0) + abs(float(ahead) - truth)
        forecaster.observe(site.start + step * STEP_S, float(power[step]))
        ewma.observe(step, float(power[step]))
    rows: list[dict[str, Any]] = []
    for (method, horizon), error in errors.items():
        row: dict[str, Any] = {"method": method, "site": site.name, "horizon": horizon}
        row["nmae"] = round(error / max(actual[horizon], 1e-9), 4)
        if method == "ours" and horizon == "30 min":
            row["below_low"] = round(below / max(1, asked), 4)
        rows.append(row)
    return rows
