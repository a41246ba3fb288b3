"""What dashboard, alerts and recording rules ask of Prometheus."""

from __future__ import annotations

import json
import re

import yaml

from ops.console import ROOT
from ops.prometheus import RULES

DASHBOARD = ROOT / "ops" / "grafana" / "pool.json"
JOB = "pew-scheduler"


def of_dashboard() -> dict[str, list[str]]:
    """Expressions by panel, for the job that the tests have; those of annotations under "annotations"."""
    said = json.loads(DASHBOARD.read_text())
    found: dict[str, list[str]] = {}
    for panel in said["panels"]:
        for target in panel.get("targets", ()):
            found.setdefault(panel["title"], []).append(target["expr"].replace("$job", JOB))
    found["annotations"] = [one["expr"] for one in said["annotations"]["list"]]
    return found


def of_rules() -> dict[str, str]:
    """Expressions by alert or record."""
    rules = [rule for file in RULES for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]
    return {rule.get("alert") or rule["record"]: rule["expr"] for rule in rules}


def names(expression: str) -> set[str]:
    """Metrics that an expression names: ours, the process's and those that rules record."""
    without = re.sub(r'"[^"]*"', "", expression)
    return set(re.findall(r"\b(?:pew|process|haproxy)[a-z0-9_:]*|\bup\b", without)) - {"pew"}
