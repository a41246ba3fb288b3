"""Meter, gate and source together: books that survive a restart, words for the scheduler."""

from __future__ import annotations

from pathlib import Path

from poco.hexes import ZERO_ADDRESS
from worker.core import Facts, Replicate
from worker.energy import EnergyConfig, Offer
from worker.journal import Journal
from worker.power import Power
from worker.table import Stage

TASK = "0x" + "11" * 32
NOW = 1_000_000.0
NIGHT = EnergyConfig(speed=1, soc=0.8, start="2001-06-21T00:00")


def replicate(stage: Stage) -> Replicate:
    facts = Facts(
        app=ZERO_ADDRESS, image="", checksum="", run_seconds=300,
        contribution_deadline=int(NOW) + 2100, final_deadline=int(NOW) + 3000, stake_nrlc=5,
    )  # fmt: skip
    return Replicate(
        task_id=TASK, run=1, stage=stage, deal_id=TASK, index=0, authorization="0x" + "44" * 65,
        enclave_challenge=ZERO_ADDRESS, facts=facts,
    )  # fmt: skip


def looked(power: Power, now: float, *replicates: Replicate) -> float:
    """Load in watts after two looks."""
    power.look(now, replicates, {}, False)
    power.look(now + 1, replicates, {}, False)
    return power.energy().load_w or 0.0


def test_computing_draws_more_than_idling(tmp_path: Path) -> None:
    power = Power(NIGHT, Journal(tmp_path / "j.db"), NOW)
    idle = looked(power, NOW + 1)
    computing = looked(power, NOW + 10, replicate(Stage.RUNNING))
    assert computing > idle * 2
    assert looked(power, NOW + 20, replicate(Stage.CONTRIBUTED)) == idle


def test_totals_go_on_after_a_restart(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.db")
    power = Power(NIGHT, journal, NOW)
    for second in range(1, 100, 10):
        power.look(NOW + second, (), {}, False)
    power.save()
    before = power.energy()
    assert before.consumed_wh is not None and before.consumed_wh > 0
    assert journal.energy_snapshot("summary") == before.model_dump()
    again = Power(NIGHT, journal, NOW + 200)
    again.look(NOW + 201, (), {}, False)
    after = again.energy()
    assert after.consumed_wh is not None and after.consumed_wh > before.consumed_wh
    assert after.stored_wh is not None and before.stored_wh is not None and after.stored_wh < before.stored_wh


def test_the_stance_is_the_gates_word(tmp_path: Path) -> None:
    full = Power(NIGHT, Journal(tmp_path / "full.db"), NOW)
    stance = full.look(NOW + 1, (), {}, False)
    assert (stance.willing, stance.halted, stance.asleep) == (True, False, False)
    assert stance.words.startswith("run: battery at 80%")
    low = Power(NIGHT.model_copy(update={"soc": 0.2, "battery_wh": 5.0}), Journal(tmp_path / "low.db"), NOW)
    stance = low.look(NOW + 1, (replicate(Stage.RUNNING),), {TASK: NOW}, False)
    assert (stance.willing, stance.halted, stance.asleep) == (False, True, False)
    assert low.halted
    empty = Power(NIGHT.model_copy(update={"soc": 0.12}), Journal(tmp_path / "empty.db"), NOW)
    stance = empty.look(NOW + 1, (), {}, False)
    assert stance.asleep and stance.halted and not stance.willing
    assert stance.resume_at is not None and stance.resume_at > NOW
    assert "; until " in stance.words


def test_an_offer_is_weighed_and_the_words_fit_the_wire(tmp_path: Path) -> None:
    power = Power(NIGHT, Journal(tmp_path / "j.db"), NOW)
    power.look(NOW + 1, (), {}, False)
    assert power.weigh(Offer(TASK, 300.0, 10**9, 0, int(NOW) + 2100), NOW + 1).action == "run"
    late = power.weigh(Offer(TASK, 300.0, 10**9, 0, int(NOW) + 100), NOW + 1)
    assert late.action == "decline" and "deadline" in late.reason
    assert len(power.energy().decision) <= 300
