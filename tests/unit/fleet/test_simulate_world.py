"""A small campaign of the simulator: figures, determinism, its moves against the scheduler's own table, sharing."""

from __future__ import annotations

import pytest

from scheduler.transitions import REPLICATE_ROWS, RULES, TASK_ROWS, moves
from simulator.scenario import load
from simulator.world import World

#: Little sun for busy boards, several owners to a vote, wrong results: everything that can happen happens.
HARD = {
    "workers": 10,
    "days": 1.6,
    "sites": [{"skies": 3, "spread_days": 30}],
    "start": "2001-12-10T00:00",
    "machine": {"panel_wp": 22, "battery_wh": 45, "soc": 0.5},
    "gate": {"reserve_soc": 0.0, "sleep_below": 0.12, "continue_above": 0.13, "start_above": 0.15, "wake_above": 0.18},
    "work": {
        "tasks_per_day": 100,
        "kinds": [{"category": "XS"}, {"category": "S", "trust": 5}, {"category": "S", "trust": 3, "share": 0.5}],
    },
    "terms": {"wrong_results": 0.05, "workers_per_owner": 2, "gas_nrlc": 1000},
}


def lived(changes=None, *, share=True):
    world = World(load(None, {**HARD, **(changes or {})}), share=share)
    world.run()
    return world


@pytest.fixture(scope="module")
def hard():
    return lived()


def test_every_task_comes_to_an_end_once(hard):
    tasks = hard.result()["tasks"]
    assert tasks["ordered"] == tasks["finished"] + tasks["failed"] + tasks["open"]
    assert tasks["finished"] == hard.hub.finalized > 50
    assert len(hard.figures.latencies) == tasks["finished"]


def test_all_moves_are_in_the_schedulers_table(hard):
    """The rules that follow an event move too: what is not the event's own must be theirs."""
    for found, rows in ((hard.figures.task_moves, TASK_ROWS), (hard.figures.replicate_moves, REPLICATE_ROWS)):
        table = moves(rows)
        assert found
        for state, event, to in found:
            ways = {to} & table.get((state, event), set())
            after_event = {state, *table.get((state, event), set())}
            by_rules = reached(after_event, table)
            assert ways or to in by_rules, (state, event, to)
    assert {"RUNNING", "COMPLETED"} <= {to for *_, to in hard.figures.task_moves}


def reached(states, table):
    """Where the rules alone lead from there."""
    found = set(states)
    while True:
        more = {to for state in found for to in table.get((state, RULES), set())} - found
        if not more:
            return found
        found |= more


def test_energy_balance_closes(hard):
    for device in hard.devices:
        total, stored = device.source.total, device.source.read(hard.clock.now).stored_wh
        begun = hard.scenario.machine.battery_wh * device.began_soc
        assert total.harvested_wh - total.consumed_wh - total.lost_wh == pytest.approx(stored - begun, abs=1e-6)
        assert total.hours == pytest.approx(hard.scenario.days * 24)
        metered = device.meter.totals
        assert metered.consumed_wh == pytest.approx(total.consumed_wh, abs=0.5)
        assert sum(device.spent.values()) == pytest.approx(hard.scenario.days * 86_400)


def test_money_is_kept(hard):
    accounts = hard.hub.accounts.values()
    assert all(a.free >= 0 and a.locked >= 0 and a.score >= 0 for a in accounts)
    deposits = hard.scenario.terms.deposit_nrlc * hard.scenario.workers
    paid = hard.hub.paid
    assert sum(a.free + a.locked for a in accounts) + hard.hub.scheduler == deposits + paid
    assert sum(a.seized for a in accounts) > 0, "a wrong result loses its stake"
    locked = sum(task.stake for task in hard.hub.tasks.values() if task.status in (1, 2) for _ in task.votes)
    assert sum(a.locked for a in accounts) == locked


def test_no_owner_votes_twice(hard):
    votes = [task.votes for task in hard.hub.tasks.values()]
    assert any(len(v) > 1 for v in votes)
    for v in votes:
        owners = [(int(wallet, 16) - 1) // 2 for wallet in v]
        assert len(owners) == len(set(owners))


def test_a_board_without_power_does_nothing(hard):
    assert hard.result()["energy"]["brown_outs"] > 0
    assert hard.result()["time"]["off"] > 0.0
    assert hard.result()["energy"]["wakes"] > 0


def test_the_same_seed_gives_the_same_and_sharing_changes_nothing():
    """Forecasts and clear skies are computed by each worker for itself, or once for all."""
    small = {"workers": 6, "days": 0.25, "start": "2001-12-10T08:00"}
    result = lived(small).result()
    assert lived(small, share=False).result() == result
