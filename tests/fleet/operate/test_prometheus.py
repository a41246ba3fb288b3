"""A real Prometheus asks real schedulers: alerts fire for what dies, and every expression of the dashboard has data."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import requests

from benchmarks.fleet.cluster import Cluster, wait_for
from benchmarks.scale.fleet import wallet
from benchmarks.scale.ground import Demand
from ops import prometheus
from ops.console import ROOT
from ops.ports import free_port
from ops.prometheus import Prometheus, promtool
from ops.stack import Stack
from poco.wire import login_typed_data
from tests.unit.fleet import expressions

#: The simulated workers of the load, one that is killed, one that only tells its meter.
BUSY, DOOMED, METERED = 6, 6, 7
UNKNOWN_AFTER, LOST_AFTER = 8, 20
#: Said of what need not have happened in a test; the metric itself must be there all the same.
QUIET = {"Why", "annotations"}
DEATHS = {"PewWorkerLost", "PewSchedulerDown", "PewNoLeader", "PewTasksFail"}


def test_rules_are_valid_and_fire_when_they_should() -> None:
    promtool("check", "rules", *prometheus.RULES)
    promtool("test", "rules", ROOT / "tests" / "fleet" / "operate" / "rules" / "alerts_test.yml")


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, Prometheus]]:
    with Stack(tmp_path_factory.mktemp("watched"), handle_signals=False) as stack:
        cluster = Cluster(stack, 8)
        for number in (0, 1):
            cluster.start_replica(number, unknown_after=UNKNOWN_AFTER, lost_after=LOST_AFTER)
        cluster.start_balancer()
        targets = {expressions.JOB: cluster.replica_ports, "pew-balancer": [cluster.balancer_metrics]}
        yield cluster, Prometheus(stack, free_port(), targets, every=2, quick=True)


def tell(cluster: Cluster) -> None:
    """A worker's meter and a quarter hour of its day."""
    me, url = wallet(METERED), cluster.scheduler_url
    http = requests.Session()
    asked = http.post(f"{url}/login/challenge", json={"wallet": me.address}, timeout=10).json()
    chain_id = cluster.chain.deployment.chain_id
    typed = login_typed_data(chain_id, cluster.workerpool, me.address, asked["nonce"], asked["expires"])
    signed = {"wallet": me.address, **asked, "signature": me.sign_typed(typed)}
    http.headers["Authorization"] = f"Bearer {http.post(f'{url}/login', json=signed, timeout=10).json()['token']}"
    info = {"name": "roof", "platforms": ["linux/arm64"], "cpus": 4, "memory_mb": 900, "disk_mb": 8000}
    assert http.put(f"{url}/workers/me", json=info, timeout=10).status_code == 204
    meter = {"harvested_wh": 30.0, "consumed_wh": 20.0, "stored_wh": 40.0, "soc": 0.8, "harvest_w": 6.0, "load_w": 3.0}
    quarter = {"at": int(time.time()) // 900 * 900 - 900, "harvested_wh": 2.0, "consumed_wh": 1.0, "soc": 0.8}
    quarter |= {"temperature_c": 41.5, "action": "run", "reason": "sun", "tasks": 1}
    resume = int(time.time()) + 3600
    body = {"presence": "ASLEEP", "resume_at": resume, "free_slots": 0, "acked": 0, "energy": meter, "wait_seconds": 0}
    answer = http.post(f"{url}/poll", json={**body, "telemetry": [quarter]}, timeout=10)
    assert answer.status_code == 200, answer.text


def test_alerts_fire_for_what_dies_and_the_dashboard_shows_it(watched: tuple[Cluster, Prometheus]) -> None:
    cluster, server = watched
    tell(cluster)
    cluster.start_workers(0, BUSY, "busy")
    cluster.start_workers(DOOMED, 1, "doomed")
    demand = Demand(cluster, cluster.workerpool, 60)
    demand.start()
    try:
        wait_for(lambda: _value(server, "sum(pew_rewards_nrlc_total)") > 0, 120, "nothing is paid")
        # the rules' patience is short here: what fired before the first of the schedulers led must be over
        wait_for(lambda: not server.firing() & DEATHS, 30, "alerts fire for a pool that is well")
        # a worker is gone without a word
        cluster.stack.stop_process("doomed", kill=True)
        wait_for(lambda: "PewWorkerLost" in server.firing(), 120, "nobody is told of the worker that died")
        assert _value(server, "max(pew_workers_missing)") == 1
        assert _value(server, 'max(pew_workers{presence="ASLEEP"})') == 1
        # and so is the scheduler that leads
        leads = cluster.leader()
        cluster.kill_replica(leads)
        wait_for(lambda: "PewSchedulerDown" in server.firing(), 60, "nobody is told of the scheduler that died")
        cluster.start_replica(leads, unknown_after=UNKNOWN_AFTER, lost_after=LOST_AFTER)
        wait_for(lambda: "PewSchedulerDown" not in server.firing(), 30, "the alert stays")
        wait_for(lambda: _value(server, "sum(pew_leader)") == 1, 30, "not one leads")
        _every_expression_has_data(server)
        _every_metric_that_rules_name_is_there(server)
    finally:
        demand.stop()


def _every_expression_has_data(server: Prometheus) -> None:
    # rates need two samples after the restart, recorded ones a look more
    end = time.monotonic() + 120
    asked = {(panel, one) for panel, many in expressions.of_dashboard().items() for one in many}
    assert len(asked) >= 40
    while empty := {(panel, one) for panel, one in asked if not server.query(one) and panel not in QUIET}:
        assert time.monotonic() < end, sorted(empty)
        time.sleep(2)


def _every_metric_that_rules_name_is_there(server: Prometheus) -> None:
    there = server.series()
    for rule, expression in expressions.of_rules().items():
        server.query(expression)
        absent = expressions.names(expression) - there
        # how near the nearest deadline is can only be said while a task waits; this pool has no broker
        assert absent <= {"pew_tasks_least_margin_seconds", "pew_broker_connected"}, (rule, absent)


def _value(server: Prometheus, expression: str) -> float:
    found = server.query(expression)
    return float(found[0]["value"][1]) if found else 0.0
