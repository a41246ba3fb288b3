"""The simulator as a program, with the planner on, and over weeks."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from benchmarks.fleet import simulation
from ops.console import ROOT
from simulator.command import with_plan
from simulator.scenario import load
from simulator.world import World

PEW = [sys.executable, "-m", "sdk.cli", "fleet", "simulate"]


def test_sharing_changes_no_decision_of_the_planner():
    """Tables of a day's plan taken from a worker with the same past, or made by each for itself."""
    changes = {
        "workers": 4, "days": 2, "sites": [{"skies": 2}], "work": {"tasks_per_day": 60},
        "machine": {"panel_wp": 30, "battery_wh": 100, "soc_spread": 0},
    }  # fmt: skip
    scenario = with_plan(load(None, changes))
    figures = []
    for share in (True, False):
        world = World(scenario, share=share)
        world.run()
        figures.append(world.result())
    assert figures[0] == figures[1]
    assert figures[0]["tasks"]["finished"] > 20


def test_a_fleet_lives_through_weeks():
    found = simulation.measure(workers=60, days=12)
    assert found["tasks"] == pytest.approx(60 * 3 * 12, rel=0.1)
    assert found["in_time"] > 0.95
    assert found["rss_mb"] < 300


def test_a_month_of_winter_is_harder_than_one_of_summer():
    served = []
    for start in ("2001-12-01T00:00", "2001-06-01T00:00"):
        machine = {"panel_wp": 15, "battery_wh": 60}
        world = World(load(None, {"workers": 4, "days": 6, "start": start, "machine": machine}))
        world.run()
        served.append(world.result())
    winter, summer = served
    assert winter["tasks"]["finished"] < 0.9 * summer["tasks"]["finished"]
    assert winter["time"]["asleep"] > summer["time"]["asleep"]


def test_ctrl_c_ends_the_command():
    words = ["--workers", "300", "--days", "60"]
    process = subprocess.Popen([*PEW, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    while psutil.Process(process.pid).cpu_times().user < 4.0:  # it is loaded, and at work
        time.sleep(0.2)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in said


def test_a_search_on_both_cores_finds_what_one_core_finds(tmp_path: Path):
    words = ["--days", "1", "--tasks-per-day", "200", "--panels", "30,60", "--most", "12", "--battery", "120"]
    answers = []
    for jobs in ("1", "2"):
        argv = [sys.executable, "-m", "simulator", *words, "--jobs", jobs, "--json"]
        done = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=ROOT, timeout=600)
        answers.append(json.loads(done.stdout)["answers"])
    assert answers[0] == answers[1]
    assert [answer["panel_wp"] for answer in answers[0]] == [30.0, 60.0]
    assert all(answer["workers"] for answer in answers[0])
