"""CPU and memory of a process by the kernel's account, percentiles, and how figures grow. Linux."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from poco.errors import PewError

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(value) for value in fields[11:15]) / _TICKS


def tree(pid: int) -> list[int]:
    """The process and all its descendants."""
    found = [pid]
    for one in found:
        for thread in Path(f"/proc/{one}/task").glob("*/children"):
            found += [int(child) for child in thread.read_text().split()]
    return found


def resident_mb(pid: int) -> float:
    """Resident memory, MB (10^6 bytes)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of all do not exceed; NaN of none."""
    ordered = sorted(values)
    if not ordered:
        return math.nan
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


def require_answered(errors: Mapping[str, int], answered: int) -> None:
    """PewError where more than one in a hundred failed: a p99 of the others would say nothing."""
    failed = sum(errors.values())
    if failed * 100 > failed + answered:
        raise PewError(
            f"{failed} calls failed while {answered} were answered: {dict(errors)}",
            hint="the machine is too busy for this fleet, or the scheduler is at its limits: see its log",
        )


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """b of the power law value ~ size^b by least squares of the logarithms: 1 is linear, above 1 more than linear.

    NaN where fewer than two values are above zero.
    """
    points = [(math.log(s), math.log(v)) for s, v in zip(sizes, values, strict=True) if s > 0 and v > 0]
    if len(points) < 2:
        return math.nan
    x, y = [p[0] for p in points], [p[1] for p in points]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    over = sum((a - mean_x) * (b - mean_y) for a, b in points)
    under = sum((a - mean_x) ** 2 for a in x)
    return over / under if under else math.nan


def line(sizes: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """(base, per unit of size) of the straight line through the points, by least squares."""
    mean_x, mean_y = sum(sizes) / len(sizes), sum(values) / len(values)
    under = sum((x - mean_x) ** 2 for x in sizes)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(sizes, values, strict=True)) / under if under else 0.0
    return mean_y - slope * mean_x, slope
