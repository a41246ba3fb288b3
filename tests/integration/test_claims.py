"""Exactly once, the short profile of `make test-claims`: processes are killed while tasks are given to workers."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.claims.campaign import Campaign, Plan
from ops.postgres import Postgres
from ops.stack import Stack


@pytest.mark.parametrize("kind", ["postgresql", "sqlite"])
def test_every_task_reaches_one_worker_though_schedulers_are_killed(
    stack: Stack, postgres: Postgres, tmp_path: Path, kind: str
) -> None:
    database = postgres.create("claims") if kind == "postgresql" else str(tmp_path / "claims.db")
    processes = 4 if kind == "postgresql" else 1
    plan = Plan(claims=300, processes=processes, workers=80 // processes, kills=2, seed=7, patience_s=120)
    outcome = Campaign(stack, database, tmp_path / kind, plan).run()
    assert outcome.ok, outcome
    assert (outcome.claims, outcome.kills) == (300, 2)
