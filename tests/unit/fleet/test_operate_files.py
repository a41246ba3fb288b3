"""What ops/ ships for a scheduler: it parses, names only what exists, and opens one door."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops import compose, haproxy, prometheus
from ops.console import ROOT
from scheduler.engine import Engine
from tests.unit.fleet import expressions
from tests.unit.fleet.exposition import parsed
from tests.unit.fleet.test_operate_metrics import engine, join, metrics_of  # noqa: F401  (a fixture)

OPS = ROOT / "ops"
UNITS = OPS / "systemd"
#: Told only where there is a chain, a broker, or a task that waits.
MONEY = {"pew_money_stake_nrlc", "pew_money_locked_nrlc", "pew_money_native_wei", "pew_money_missing_nrlc"}
SOMETIMES = MONEY | {
    "pew_broker_connected",
    "pew_broker_workers",
    "pew_tasks_least_margin_seconds",
    "pew_latency_seconds_bucket",
    "pew_http_answers_total",
}
_LIMITS = ("mem_limit", "pids_limit", "cpus")


def composed() -> dict[str, Any]:
    return dict(yaml.safe_load(compose.FILE.read_text()))


@pytest.fixture
def names(engine: Engine) -> set[str]:  # noqa: F811
    """All metrics that a scheduler tells."""
    join(engine, 3)
    found = {name.partition("{")[0] for name in parsed(metrics_of(engine).text())}
    recorded = {rule for rule in expressions.of_rules() if rule.startswith("pew:")}
    return found | recorded | SOMETIMES | {"up"}


def test_dashboard_and_rules_name_only_metrics_that_exist(names: set[str]) -> None:
    asked = [one for many in expressions.of_dashboard().values() for one in many] + list(
        expressions.of_rules().values()
    )
    for expression in asked:
        assert expressions.names(expression) <= names, expression
        assert expressions.names(expression) or "ALERTS" in expression


def test_the_reference_names_every_metric_and_no_other(names: set[str]) -> None:
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    ours = {name for name in names if name.startswith(("pew_", "pew:"))}
    ours = {re.sub("_(bucket|sum|count)$", "", name) for name in ours}
    told = set(re.findall(r"`(pew[_:][a-z0-9_:]+)", page))
    assert told == ours, sorted(told ^ ours)
    alerts = {rule for rule in expressions.of_rules() if not rule.startswith("pew:")}
    assert set(re.findall(r"`(Pew[A-Za-z]+)`", page)) == alerts


def test_every_panel_has_its_place_and_its_own_number() -> None:
    panels = json.loads(expressions.DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken and at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells


def test_one_service_listens_to_the_world_and_all_are_bounded() -> None:
    said = composed()
    for name, service in said["services"].items():
        for port in service.get("ports", ()):
            assert name == "balancer" or str(port).startswith("127.0.0.1:"), (name, port)
        assert service["read_only"] and service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"]
        assert "mem_limit" in service
        assert name == "prepare" or all(limit in service for limit in _LIMITS), name
        assert "user" in service and "logging" in service
        assert re.match(r"\$\{PEW_[A-Z]+_IMAGE:-[a-z/-]+:[v0-9.]+\}$", service["image"]), (
            "a version, and a way to another"
        )
        for key, value in service.get("environment", {}).items():
            assert "PASSWORD" not in key or value.startswith("/run/secrets/"), key
    assert said["networks"]["pool"]["internal"]
    assert set(said["services"]["database"]["networks"]) == set(said["services"]["broker"]["networks"]) == {"pool"}
    assert said["services"]["grafana"]["profiles"] == ["grafana"]
    versions = {said["services"][name]["image"] for name in ("prepare", "scheduler-1", "scheduler-2")}
    image = yaml.safe_load((OPS / "scheduler-image" / "image.yaml").read_text())
    assert versions == {f"${{PEW_SCHEDULER_IMAGE:-{image['name']}:{image['version']}}}"}


def test_what_it_mounts_is_there_and_secrets_are_files() -> None:
    said = composed()
    for service in said["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("./"):
                assert (OPS / source).exists(), source
            elif not source.startswith("$"):
                assert source in said["volumes"], source
    assert all(set(secret) == {"file"} for secret in said["secrets"].values())


def test_prometheus_finds_the_schedulers_that_compose_starts() -> None:
    said = composed()["services"]
    asked = {
        target
        for name in ("scheduler", "haproxy")
        for group in json.loads((prometheus.FOLDER / "targets" / f"{name}.json").read_text())
        for target in group["targets"]
    }
    balancer = said["balancer"]["environment"]
    assert asked == {balancer["PEW_SCHEDULER_1"], balancer["PEW_SCHEDULER_2"], "balancer:8405"}
    aliases = {alias for n in "12" for alias in said[f"scheduler-{n}"]["networks"]["pool"]["aliases"]}
    assert {target.split(":")[0] for target in asked} == aliases | {"balancer"}
    for name in ("PEW_BIND", "PEW_SCHEDULER_1", "PEW_SCHEDULER_2", "PEW_BALANCER_METRICS"):
        assert f"${{{name}-" in haproxy.CONFIG.read_text() and name in balancer


def unit(path: Path) -> dict[str, list[str]]:
    """Settings of a unit by name; AssertionError where a line is none."""
    found: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        if line and not line.startswith(("#", "[")):
            name, equals, value = line.partition("=")
            assert equals and re.fullmatch("[A-Za-z]+", name), line
            found.setdefault(name, []).append(value)
    return found


@pytest.mark.parametrize("name", ["pew-scheduler@.service", "pew-scheduler-backup@.service"])
def test_units_are_confined_and_hold_no_secret(name: str) -> None:
    said = unit(UNITS / name)
    strict = {"ProtectSystem": "strict", "CapabilityBoundingSet": "", "NoNewPrivileges": "yes", "ProtectHome": "yes"}
    assert {key: said[key][0] for key in strict} == strict
    assert said["DynamicUser"] == ["yes"] and said["StateDirectory"][0].startswith("pew-scheduler")
    assert all(value.split(":")[1].startswith("/etc/pew-scheduler/") for value in said["LoadCredential"])
    assert not any("password" in value.lower() for value in said["ExecStart"] + said["Environment"])
