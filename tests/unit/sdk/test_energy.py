"""`pew energy`: pictures and audits of a ledger's file."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from eth_account import Account

from chain.wallet import Wallet
from poco.energy import dump
from poco.errors import BadInputError
from scripts.energy_life import live
from sdk import cli
from sdk.energy.plot import draw
from sdk.energy.png import png, ramp
from sdk.energy.report import audit
from sdk.energy.series import Series
from worker.energy import EnergyConfig


@pytest.fixture(scope="module")
def ledger():
    config = EnergyConfig(start="2001-06-20T00:00")
    return live(config, 2.5, Wallet(Account.from_key("0x" + "11" * 32)), step=900)


@pytest.fixture
def file(ledger, tmp_path):
    path = tmp_path / "ledger.jsonl"
    path.write_text("\n".join(dump(ledger)))
    return path


@pytest.mark.parametrize("kind", ["day", "month", "year"])
def test_a_picture_is_svg_and_shows_what_the_ledger_says(ledger, kind):
    series = Series(ledger)
    root = ET.fromstring(draw(series, kind))  # noqa: S314  (what we wrote)
    words = "".join(root.itertext())
    assert ledger.worker in words
    assert "simulated" in words
    assert len(root.findall("{*}image")) == (0 if kind == "day" else 3)


def test_days_are_those_of_the_sun(ledger):
    series = Series(ledger)
    day = series.span("day", "2001-06-21")[0]
    sunny = [i for i, r in enumerate(day.records) if r is not None and r.harvested]
    assert abs((sunny[0] + sunny[-1]) / 2 - 47.5) < 4  # noon is in the middle
    assert day.harvested > day.consumed > 50
    assert sum(end - begin for begin, end, _, _ in day.decisions) == 86_400
    assert len(series.span("month", "2001-06-21")) == 30
    assert len(series.span("year", "2001-06-21")) == 365


@pytest.mark.parametrize("date", ["2001-07-04", "21.6.2001", "2001-13-01"])
def test_what_cannot_be_drawn_is_said(ledger, date):
    with pytest.raises(BadInputError):
        Series(ledger).span("day", date)


def test_notes_that_make_no_sense_are_passed_over(ledger):
    odd = [{"at": "x"}, {"kind": "task"}, {"at": 5, "kind": "decision", "action": "<b>"}, {"at": 7, "kind": "task"}]
    assert "<b>" not in draw(Series(replace(ledger, notes=odd)), "day")


def test_a_png_has_its_size_and_palette():
    data = png([bytes([0, 1, 2]), bytes([3, 3, 3])], ramp([(0, 0, 0), (255, 255, 255)], 3))
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert data[16:24] == bytes([0, 0, 0, 3, 0, 0, 0, 2])


def test_payback_follows_from_the_surplus(ledger):
    report = audit(replace(ledger, entries=[]), 30)
    assert (report.good, report.payback_years()) == (True, None)
    one = audit(replace(ledger, entries=ledger.entries[76:172]), 1)  # a UTC day in the middle, cut out of its chain
    assert one.found[0].check == "chain"
    summed = one.balance
    assert summed is not None
    embodied = 5_000 * 0.060 + 330 * 0.256 + 150
    assert one.payback_years() == pytest.approx(embodied / (summed.surplus / 1e6 * 365.25))


def test_the_command_line(file, tmp_path, capsys):
    assert cli.main(["energy", "verify", str(file), "--offline", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["good"], said["simulated"], said["anchored_days"]) == (True, True, None)
    svg, page = tmp_path / "day.svg", tmp_path / "page.html"
    assert cli.main(["energy", "plot", str(file), "--output", str(svg)]) == 0
    assert cli.main(["energy", "page", str(tmp_path), "--output", str(page)]) == 0
    assert svg.read_text().startswith("<svg")
    assert "pew energy verify" in page.read_text()


def test_a_bad_ledger_exits_1_and_names_the_entry(file, capsys):
    lines = file.read_text().splitlines()
    record = json.loads(lines[70])
    record[3] += 5
    file.write_text("\n".join([*lines[:70], json.dumps(record), *lines[71:]]))
    assert cli.main(["energy", "verify", str(file), "--offline"]) == 1
    out = capsys.readouterr()
    assert "BAD       entry 68" in out.out
    assert "signature" in out.err


@pytest.mark.parametrize("what", ["nowhere.jsonl", "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"])
def test_a_ledger_that_cannot_be_found(what, capsys):
    assert cli.main(["energy", "verify", what, "--offline"]) == 2
    assert "hint:" in capsys.readouterr().err


def test_an_empty_folder(tmp_path, capsys):
    assert cli.main(["energy", "plot", str(tmp_path)]) == 2
    assert "no ledger" in capsys.readouterr().err
