"""What the simulator is asked: settings, sites, orders, the command, and the search for the smallest pool."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poco.errors import BadInputError
from simulator import orders, skies
from simulator.__main__ import main
from simulator.command import parser, scenario_of
from simulator.scenario import CATEGORIES, DEFAULT_RECORD, load
from simulator.search import Trial, least_of, smallest
from tests.docs_run import pages
from worker.energy.record import open_record

SMALL = ["--workers", "3", "--days", "0.2", "--tasks-per-day", "40", "--category", "XS"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"workers": 0}, "workers"),
        ({"days": -1}, "days"),
        ({"nonsense": 1}, "nonsense"),
        ({"machine": {"board": "pi-99"}}, "pi-zero-2w"),
        ({"sites": [{"latitude": 48.0}]}, "longitude"),
        ({"workers": 3, "work": {"kinds": [{"trust": 100}]}}, "trust of 100 needs"),
        ({"workers": 8, "terms": {"workers_per_owner": 8}, "work": {"kinds": [{"trust": 3}]}}, "different owners"),
        ({"gate": {"sleep_below": 0.9}}, "gate"),
    ],
)
def test_wrong_settings_are_named(changes, words):
    with pytest.raises(BadInputError, match=words):
        load(None, changes)


def test_a_file_and_what_is_put_over_it(tmp_path):
    file = tmp_path / "pool.yaml"
    file.write_text("workers: 7\nmachine: {panel_wp: 20, battery_wh: 60}\n")
    made = load(file, {"machine": {"panel_wp": 30}})
    assert (made.workers, made.machine.panel_wp, made.machine.battery_wh) == (7, 30.0, 60.0)
    for text in ("[1, 2]", "a: [", "workers: many"):
        file.write_text(text)
        with pytest.raises(BadInputError):
            load(file, {})
    with pytest.raises(BadInputError, match="cannot be read"):
        load(tmp_path / "none.yaml", {})


def test_orders_come_at_the_rate_that_was_asked_for():
    scenario = load(
        None, {"days": 200, "work": {"tasks_per_day": 50, "kinds": [{"category": "XS"}, {"category": "M"}]}}
    )
    made = orders.make(scenario)
    assert len(made) == pytest.approx(10_000, rel=0.05)
    assert [o.at for o in made] == sorted(o.at for o in made)
    assert all(0.0 < o.run_seconds <= CATEGORIES[o.kind.category] for o in made)
    assert orders.make(scenario) == made


def test_orders_of_a_file(tmp_path):
    file = tmp_path / "orders.csv"
    heading = "at_seconds,category,trust,reward_rlc,run_seconds\n"
    file.write_text(heading + "500,S,1,0.25,100\n0,xs,1,0.1,60\n99999999,S,1,1,10\n")
    first, second = orders.make(load(None, {"work": {"file": str(file)}}))
    assert (first.at, first.kind.category, second.kind.reward_nrlc, second.run_seconds) == (0, "XS", 250_000_000, 100)
    for row in ("1,Q,1,1,10", "1,S,0,1,10", "-1,S,1,1,10", "1,XS,1,1,301", "1,S,1,x,10", "1,S,1,1", "nan,S,1,1,10"):
        file.write_text(heading + row + "\n")
        with pytest.raises(BadInputError, match="line 2"):
            orders.make(load(None, {"work": {"file": str(file)}}))
    file.write_text("at,category\n1,S\n")
    with pytest.raises(BadInputError, match="heading"):
        orders.make(load(None, {"work": {"file": str(file)}}))


@pytest.mark.parametrize("text", ["48.1,11.6", "-33.9,151.2=pvlib:703165TY.csv", DEFAULT_RECORD, "roof.csv"])
def test_sites(text):
    site = skies.parse_site(text)
    assert (site.latitude is None) is ("," not in text)
    assert site.record == ("roof.csv" if text == "roof.csv" else text.partition("=")[2] or DEFAULT_RECORD)


def test_skies_are_the_record_on_other_days_and_no_two_alike():
    site = skies.parse_site(DEFAULT_RECORD).model_copy(update={"skies": 5, "spread_days": 8})
    begins = skies.begin_of(site, "2001-06-01T00:00")
    above = skies.skies_of(site, load(None, {}).machine, begins)
    noon = begins + 12 * 3600
    shifts = [(open_record(DEFAULT_RECORD).start - sky.replay.record.start) / 86_400 for sky in above]
    assert sorted(shifts) == [-8, -4, 0, 4, 8]
    days = [sum(sky.replay.at(noon + 300 * k).panel_w for k in range(-100, 100)) for sky in above]
    assert len({round(day, 3) for day in days}) == 5
    assert above[0].replay.dark_seconds(begins, 3600.0) == 3600.0
    assert above[0].replay.dark_seconds(noon, 3600.0) == 0.0


def test_clouds_over_another_place():
    """At the record's own place they are the record; further north the same clouds bring less in winter."""
    year = open_record(DEFAULT_RECORD)
    record = replace(year, columns={name: column[:720] for name, column in year.columns.items()})
    own = skies.moved(record, record.latitude, record.longitude)
    ghi, here = record.columns["ghi"], own.columns["ghi"]
    assert sum(here) == pytest.approx(sum(ghi), rel=0.02)
    north = skies.moved(record, 55.0, record.longitude).columns["ghi"]
    assert sum(north) < 0.6 * sum(ghi)


def test_the_command_says_what_it_did(capsys, tmp_path):
    assert main([*SMALL, "--json", "--plots", str(tmp_path / "pictures")]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["tasks"]["ordered"] > 0 and said["run"]["rss_mb"] > 10
    assert sorted(p.name for p in (tmp_path / "pictures").iterdir()) == ["energy.svg", "tasks.svg", "workers.svg"]
    assert all(p.read_text().startswith("<svg") for p in (tmp_path / "pictures").iterdir())
    assert main(SMALL) == 0
    assert "brown-outs" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [["--wrkers", "3"], ["--days", "x"], ["--panels", "a"], ["--panels", "0"], ["--site", "nowhere.csv"],
     ["--start", "yesterday"], ["--scenario", "none.yaml"], ["--reward", "much"], ["--plan", "--reward", "0"]],
)  # fmt: skip
def test_bad_input_ends_with_two_lines(words, capsys):
    assert main([*SMALL, *words]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("error: ") and said[1].startswith("hint: ")


def test_ctrl_c_ends_at_once_and_says_so(monkeypatch, capsys):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("simulator.clock.Clock.run", interrupted)
    assert main(SMALL) == 130
    assert "Traceback" not in capsys.readouterr().err


PAGE = "docs/how-to/size-a-fleet.md"


@pytest.mark.parametrize("command", [c.text for c in pages.every_command() if c.page == PAGE])
def test_the_commands_of_the_page_run(command, capsys, monkeypatch, tmp_path):
    """`pew fleet simulate ...` as the page has it, for fewer workers and a shorter time."""
    words = shlex.split(command)
    assert words[:3] == ["pew", "fleet", "simulate"]
    monkeypatch.chdir(tmp_path)
    for step in pages.steps(PAGE, pages.read(PAGE)):
        if not isinstance(step, pages.Command):
            Path(step.name).write_text(step.text)
    assert main([*words[3:], "--days", "0.05", "--workers", "9", "--most", "9"]) == 0, capsys.readouterr().err


def test_a_plan_is_told_what_work_is_worth():
    options = parser().parse_args(["--workers", "10", "--tasks-per-day", "240", "--plan"])
    market = scenario_of(options).gate.market
    assert market is not None
    assert (market.offers_per_h, market.task_nrlc_per_h) == (1.0, pytest.approx(6e8))


@settings(max_examples=60, deadline=None)
@given(need=st.integers(1, 400), most=st.integers(1, 500))
def test_bisection_finds_the_smallest_good_pool(need, most):
    """To a fiftieth, with the pool's size as the only cause."""
    tried = []

    def attempt(scenario):
        tried.append(scenario.workers)
        idle = scenario.work.tasks_per_day == 0.0
        return Trial(scenario.workers, 1.0 if scenario.workers >= need or idle else 0.5, 0)

    answer = smallest(load(None, {"days": 1, "work": {"tasks_per_day": 1}}), 20.0, most, attempt)
    if need > most:
        assert answer.workers is None and "50.0% in time" in answer.why
    else:
        assert answer.workers is not None and need <= answer.workers <= need + max(1, need // 40)
    assert len(tried) <= 2 + 2 * most.bit_length()


def test_a_panel_that_keeps_no_idle_worker_up_is_said():
    answer = smallest(load(None, {}), 1.0, 10, lambda scenario: Trial(scenario.workers, None, 3))
    assert answer.workers is None and "idle" in answer.why and len(answer.trials) == 1


def test_fewer_than_the_load_could_never_be_enough():
    scenario = load(
        None, {"days": 10, "work": {"tasks_per_day": 288, "kinds": [{"run_seconds": 600, "run_spread": 0}]}}
    )
    assert least_of(scenario) == pytest.approx(2, abs=1)
