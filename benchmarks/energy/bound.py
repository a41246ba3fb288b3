"""What no policy can exceed: the linear programme that knows sun, offers and true durations.

Fractions of tasks and of being awake are allowed, waking is free, and the battery may be emptied to the last watt-hour,
also at the end of the record; so its optimum bounds the score of every policy.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse  # type: ignore[import-untyped]
from scipy.optimize import linprog  # type: ignore[import-untyped]

from benchmarks.energy.contest import DT, SENSING_PER_H, START_SOC, Offers, Site, System


def lp_bound(system: System, site: Site, offers: Offers, stream: int) -> float:
    """Upper bound of the score under one stream of offers, tokens.

    Raises:
        RuntimeError: the solver did not reach the optimum.
    """
    battery, steps = system.battery, len(site)
    places = np.arange(offers.price.shape[1])
    heard = places[None, :] < offers.count[:, stream][:, None]
    begins = np.repeat(np.arange(steps), offers.count[:, stream])
    lasts, prices = offers.actual[:, :, stream][heard], offers.price[:, :, stream][heard]
    # one that the record ends is paid for what was seen of it, which can only raise the bound
    seen = np.minimum(lasts, steps - begins)
    tasks = len(begins)
    rows = np.concatenate([np.arange(b, b + k) for b, k in zip(begins, seen, strict=True)])
    works = sparse.csr_matrix((np.ones(len(rows)), (rows, np.repeat(np.arange(tasks), seen))), shape=(steps, tasks))
    eye = sparse.identity(steps, format="csr")
    none, wide = sparse.csr_matrix((steps, steps)), sparse.csr_matrix((steps, steps + 1))
    # columns: tasks, awake, charged, drawn (Wh at the bus, per step), stored at the start of each step and at the end
    up = sparse.hstack([works, -eye, none, none, wide])
    work_wh, awake_wh = (system.cpu_w - system.idle_w) * DT, (system.idle_w - system.off_w) * DT
    bus = sparse.hstack([work_wh * works, awake_wh * eye, eye, -eye, wide])
    after = sparse.diags([np.ones(steps), -system.keep * np.ones(steps)], [1, 0], shape=(steps, steps + 1))
    cells = sparse.hstack(
        [
            sparse.csr_matrix((steps, tasks)),
            none,
            -system.keep * battery.charge_efficiency * eye,
            system.keep / battery.discharge_efficiency * eye,
            after,
        ]
    )
    sun_wh = site.panel_w * system.panel_wp * DT
    most = np.where(site.temperature_c >= battery.min_charge_c, battery.max_c_rate * battery.capacity_wh * DT, 0.0)
    full = battery.capacity_wh
    lower = np.zeros(tasks + 4 * steps + 1)
    upper = np.concatenate([np.ones(tasks + steps), most, np.full(steps, full), np.full(steps + 1, full)])
    lower[tasks + 3 * steps] = upper[tasks + 3 * steps] = START_SOC * full
    cost = np.zeros(len(lower))
    cost[:tasks], cost[tasks : tasks + steps] = -prices, -SENSING_PER_H * DT
    solved = linprog(
        cost,
        A_ub=sparse.vstack([up, bus]).tocsc(),
        b_ub=np.concatenate([np.zeros(steps), sun_wh - system.off_w * DT]),
        A_eq=cells.tocsc(),
        b_eq=np.zeros(steps),
        bounds=np.column_stack([lower, upper]),
        method="highs-ipm",
    )
    if solved.status != 0:
        raise RuntimeError(f"the bound was not found: {solved.message}")
    return -float(solved.fun)
