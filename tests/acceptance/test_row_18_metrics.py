"""Row 18: metrics and health.

Parity: figures of the running scheduler, and whether it is well. Beat: Prometheus reads fleet, work, money, chain and
the energy of the whole pool; the number of series does not grow with workers or tasks; health names the part that ails.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import requests

from chain.client import Chain
from tests.flaky_rpc import FlakyRpc
from tests.integration.scheduler_pool import Market, Pool, until

pytestmark = [pytest.mark.chain]
SAMPLE = re.compile(r'([a-z_]+)(?:\{([a-z]+="[^"]*"(?:,[a-z]+="[^"]*")*)\})? (-?[0-9.e+]+|nan)')
METER = {"harvested_wh": 10.0, "consumed_wh": 4.0, "stored_wh": 30.0, "soc": 0.5, "harvest_w": 6.0, "load_w": 2.5}


@pytest.fixture(scope="module")
def pool(hub: Chain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    made = Pool(Market(hub, tmp_path_factory.mktemp("market")), tmp_path_factory.mktemp("pool"))
    made.start()
    yield made
    if made.process is not None:
        made.stop()


def metrics(pool: Pool) -> dict[str, float]:
    """By name and labels; every line is checked against the format."""
    answer = requests.get(f"{pool.url}/metrics", timeout=10)
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    found, typed = {}, set()
    for line in answer.text.splitlines():
        if line.startswith("# TYPE "):
            typed.add(line.split()[2])
        elif not line.startswith("# HELP "):
            match = SAMPLE.fullmatch(line)
            assert match, line
            assert match[1] in typed or re.sub("_(bucket|sum|count)$", "", match[1]) in typed, line
            found[line.rpartition(" ")[0]] = float(match[3])
    return found


def test_they_tell_of_fleet_work_money_chain_and_energy(pool: Pool) -> None:
    one, two = pool.worker("one").join(), pool.worker("two").join()
    one.poll(energy=METER)
    two.poll(energy={**METER, "soc": 0.9}, presence="ASLEEP", slots=0, resume_at=2**31)
    (task,) = pool.deal()
    one.expect("START", task)
    one.verdict(task, "STARTED")
    until(lambda: metrics(pool)['pew_tasks{status="RUNNING"}'] == 1)
    stake = pool.chain.account(pool.owner.address).stake
    until(lambda: metrics(pool)["pew_money_stake_nrlc"] == stake)  # read every two seconds
    found = metrics(pool)
    assert found['pew_workers{presence="ASLEEP"}'] == 1
    assert found["pew_energy_harvested_wh"] == pytest.approx(10.0)  # the other's last poll had none
    assert found['pew_energy_soc{of="least"}'] == pytest.approx(0.9)
    assert found["pew_chain_block"] >= 1
    assert found["pew_chain_trouble"] == 0
    assert found['pew_http_answers_total{method="POST",status="2xx"}'] >= 6
    assert found['pew_latency_seconds_count{kind="status"}'] >= 1
    assert found['pew_latency_seconds_bucket{kind="poll",le="+Inf"}'] == found['pew_latency_seconds_count{kind="poll"}']
    assert found["process_resident_memory_bytes"] > 1e7


def test_series_do_not_grow_with_workers_or_tasks(pool: Pool) -> None:
    before = metrics(pool)
    for name in ("a", "b", "c", "d", "e"):
        pool.worker(name).join().poll()
    pool.deal(volume=20)
    until(lambda: sum(v for k, v in metrics(pool).items() if k.startswith("pew_tasks{")) >= 21)
    after = metrics(pool)
    assert len(after) <= len(before) + 4  # a kind of transaction or an HTTP status that was not there before
    assert not any("0x" in name for name in after)


def test_health_is_good_and_names_what_ails(pool: Pool) -> None:
    answer = requests.get(f"{pool.url}/health", timeout=5)
    assert (answer.status_code, answer.json()["ok"]) == (200, True)
    pool.stop()
    with FlakyRpc(pool.chain.rpc_url) as node:
        pool.start(rpc_url=node.url)
        node.faults.drop = 1.0
        until(lambda: requests.get(f"{pool.url}/health", timeout=5).status_code == 503)
        answer = requests.get(f"{pool.url}/health", timeout=5)
        said = answer.json()
        assert not said["ok"] and said["chain"] and not said["store"] and not said["threads"]
        assert int(answer.headers["Retry-After"]) >= 1
        until(lambda: metrics(pool)["pew_chain_trouble"] == 1)
        node.faults.drop = 0.0
        until(lambda: requests.get(f"{pool.url}/health", timeout=5).status_code == 200)
        pool.stop()
