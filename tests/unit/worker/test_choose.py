"""Which runtime a worker takes: the engine where one answers, the other with the reason where none does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.worker.test_config import GOOD, write
from worker.config import WorkerConfig, load
from worker.runner.choose import WEAKER, choose

ME = "0x" + "44" * 20


def config(folder: Path, runtime: str) -> WorkerConfig:
    nobody = f"docker_host: unix://{folder}/no.sock\n"
    return load(write(folder, f"{GOOD}{nobody}runtime: {runtime}\nplatform: linux/amd64\n"))


def test_without_an_engine_the_other_is_taken_and_why_is_said(tmp_path: Path) -> None:
    chosen = choose(config(tmp_path, "auto"), ME)
    assert chosen.name == "bubblewrap"
    assert "no.sock" in chosen.why or "engine" in chosen.why.lower()
    assert "isolates less" in WEAKER


def test_who_asks_for_the_engine_gets_no_weaker_one(tmp_path: Path) -> None:
    assert choose(config(tmp_path, "docker"), ME).name == "docker"


@pytest.mark.parametrize(("runtime", "earlier", "taken"), [
    ("auto", "docker", "docker"),
    ("auto", "bubblewrap", "bubblewrap"),
    ("bubblewrap", "docker", "bubblewrap"),
    ("docker", "bubblewrap", "docker"),
])  # fmt: skip
def test_tasks_under_way_keep_the_runtime_that_finds_them_again(
    tmp_path: Path, runtime: str, earlier: str, taken: str
) -> None:
    assert choose(config(tmp_path, runtime), ME, earlier).name == taken
