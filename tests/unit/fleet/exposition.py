"""Reads Prometheus's text format strictly."""

from __future__ import annotations

import re

_LABEL = r'[a-z_]+="[^"\\]*"'
_SAMPLE = re.compile(rf"([a-z_]+)(?:\{{({_LABEL}(?:,{_LABEL})*)\}})? (-?[0-9.e+-]+|nan)")
_TYPES = ("counter", "gauge", "histogram")


def parsed(text: str) -> dict[str, float]:
    """Samples by name and labels. AssertionError where a line is no sample, is said twice, or has no type or help."""
    found: dict[str, float] = {}
    helped: set[str] = set()
    typed: dict[str, str] = {}
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name = line.split()[2]
            assert name not in helped, f"{name} is explained twice"
            assert len(line.split(" ", 3)) == 4, line
            helped.add(name)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name in helped and name not in typed and kind in _TYPES, line
            typed[name] = kind
        else:
            match = _SAMPLE.fullmatch(line)
            assert match, line
            family = match[1] if match[1] in typed else re.sub("_(bucket|sum|count)$", "", match[1])
            assert typed.get(family) == ("histogram" if family != match[1] else typed[family]), line
            assert (typed[family] == "counter") == match[1].endswith("_total"), line
            key = line.rpartition(" ")[0]
            assert key not in found, f"{key} is there twice"
            found[key] = float(match[3])
    return found
