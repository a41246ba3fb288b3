"""What a stopped or powerless worker gives back, and what it keeps."""

from __future__ import annotations

from pathlib import Path

import pytest

from poco.hexes import ZERO_ADDRESS
from worker.core import Facts, Replicate, Stance
from worker.journal import Journal
from worker.leaving import Leaving, without_stake
from worker.table import Stage

NOW = 1_000_000.0
FACTS = Facts(
    app=ZERO_ADDRESS, image="r/a:1", checksum="0x" + "22" * 32, run_seconds=300, trust=1,
    contribution_deadline=int(NOW) + 2100, final_deadline=int(NOW) + 3000,
)  # fmt: skip


@pytest.fixture
def leaving(tmp_path: Path) -> Leaving:
    return Leaving(Journal(tmp_path / "journal.db"), 60.0)


def replicate(number: int, stage: Stage, **facts: object) -> Replicate:
    return Replicate(
        task_id="0x" + f"{number:064x}", run=1, stage=stage, deal_id="0x" + "22" * 32, index=0,
        authorization="0x" + "44" * 65, enclave_challenge=ZERO_ADDRESS, facts=FACTS.model_copy(update=facts),
    )  # fmt: skip


def test_only_what_fits_and_leaves_no_stake_behind_is_finished(leaving: Leaving) -> None:
    awake = Stance()
    run = replicate(1, Stage.RUNNING)
    began = {run.task_id: NOW - 250}
    assert not leaving.given_back([run], awake, began, NOW), "50 s of its category's 300 are left"
    assert leaving.given_back([run], awake, {run.task_id: NOW - 200}, NOW) == {run.task_id}
    leaving.journal.set_note(f"seconds.{FACTS.app}", "70")
    assert not leaving.given_back([run], awake, {run.task_id: NOW - 20}, NOW), "the app took 70 s the last time"
    leaving.journal.set_note(f"seconds.{FACTS.app}", "0.0")
    assert not leaving.given_back([run], awake, {run.task_id: NOW}, NOW), "the app took no time at all"
    leaving.journal.set_note(f"seconds.{FACTS.app}", "70")
    for other in (
        replicate(2, Stage.RUNNING, trust=4),  # its stake would wait for others
        replicate(2, Stage.RUNNING, trust=0),  # of a journal that did not keep it
        replicate(2, Stage.VERIFYING),
        replicate(2, Stage.PULLING),
        replicate(2, Stage.FETCHING),
    ):
        assert leaving.given_back([other], awake, {other.task_id: NOW - 69}, NOW) == {other.task_id}
    assert leaving.given_back([run], Stance(halted=True), began, NOW) == {run.task_id}, "it stands still"
    assert not leaving.given_back([replicate(2, Stage.PROVING)], Stance(halted=True), {}, NOW)
    staked = [replicate(n, stage) for n, stage in enumerate(Stage) if stage not in (Stage.RUNNING, Stage.PROVING)]
    back = leaving.given_back(staked, awake, {}, NOW)
    assert {r.stage for r in staked if r.task_id in back} == {
        Stage.VERIFYING, Stage.GATING, Stage.PULLING, Stage.FETCHING,
    }  # fmt: skip
    assert not without_stake(
        [r for r in staked if r.stage in (Stage.CONTRIBUTING, Stage.CONTRIBUTED, Stage.FINALIZING)]
    )


def test_what_is_paused_past_its_deadline_goes_to_others(leaving: Leaving) -> None:
    run = replicate(1, Stage.RUNNING)
    began = {run.task_id: NOW - 100}
    assert not leaving.hopeless([run], Stance(), began, NOW + 5000), "it runs"
    for resume_at, now, hopeless in (
        (int(NOW) + 1800, NOW, False),  # 200 s are left then, the deadline is at 2100
        (int(NOW) + 2000, NOW, True),
        (None, NOW, False),  # nobody knows when: as long as there is time
        (None, NOW + 2050, True),
    ):
        # time stands still for what is paused
        found = leaving.hopeless([run], Stance(halted=True, resume_at=resume_at), {run.task_id: now - 100}, now)
        assert bool(found) is hopeless, (resume_at, now)
    assert not leaving.hopeless([replicate(2, Stage.CONTRIBUTED)], Stance(halted=True), {}, NOW + 5000)
