"""Prometheus text format 0.0.4."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

Sample = tuple[Mapping[str, str], float]


def gauge(name: str, help_text: str, samples: Iterable[Sample]) -> str:
    return metric("gauge", name, help_text, samples)


def counter(name: str, help_text: str, samples: Iterable[Sample]) -> str:
    return metric("counter", name, help_text, samples)


def metric(kind: str, name: str, help_text: str, samples: Iterable[Sample]) -> str:
    lines = [f"# HELP {name} {help_text}", f"# TYPE {name} {kind}"]
    for labels, value in samples:
        said = ",".join(f'{key}="{text}"' for key, text in labels.items())
        lines.append(f"{name}{{{said}}} {_number(value)}" if said else f"{name} {_number(value)}")
    return "\n".join(lines) + "\n"


def histogram(
    name: str,
    help_text: str,
    label: str,
    bounds: Sequence[float],
    classes: Mapping[str, tuple[Sequence[int], float]],
) -> str:
    """Counts by class, one more than there are bounds, and the sum, for each value of a label."""
    lines = [f"# HELP {name} {help_text}", f"# TYPE {name} histogram"]
    for value, (counts, total) in sorted(classes.items()):
        below = 0
        for bound, count in zip((*map(str, bounds), "+Inf"), counts, strict=True):
            below += count
            lines.append(f'{name}_bucket{{{label}="{value}",le="{bound}"}} {below}')
        lines.append(f'{name}_sum{{{label}="{value}"}} {total:.6f}')
        lines.append(f'{name}_count{{{label}="{value}"}} {below}')
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    return str(int(value)) if isinstance(value, int) else repr(float(value))
